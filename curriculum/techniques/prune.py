"""Remove the least important hidden units, so that the layers really become smaller,
then imitate the original."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curriculum.shipping.artefact import deployable, quantized
from curriculum.shipping.imitation import imitate
from curriculum.shipping.layers import assemble, dense
from curriculum.types import Deployable, stream

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Prune:
    """Structured pruning: a mask alone changes neither bytes nor time, so every Linear
    is rebuilt without the units.

    A LayerNorm then takes mean and variance over the units that stay; tuning makes up
    for that as for all else."""

    # hidden units removed from each layer, in [0, 1); one unit always stays
    share: float = 0.5
    updates: int = 1000  # gradient steps; 1,000 of them take about a second
    batch: int = 128  # observations per gradient step
    learning_rate: float = 0.001  # of Adam, falling to zero step by step
    # tau in units of the spread of scores; small: the best action counts, large: all do
    temperature: float = 0.03

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, Deployable]:
        """The smaller policy, and the same with int8 weights."""
        smaller = self.rebuilt(policy)
        imitate(
            smaller,
            policy,
            obs,
            stream(seed, "prune"),
            updates=self.updates,
            batch=self.batch,
            learning_rate=self.learning_rate,
            temperature=self.temperature,
        )
        pruned = deployable(smaller)
        return {"pruned": pruned, "pruned-int8": quantized(pruned)}

    def kept(self, policy: nn.Module) -> list[np.ndarray]:
        """The units that each dense layer keeps, ascending; the last layer, whose units
        are actions, keeps all.

        A unit matters as much as the norm of its incoming weights times the norm of its
        outgoing weights."""
        if not 0 <= self.share < 1:
            raise ValueError(
                f"share of units to prune must be in [0, 1), got {self.share}"
            )
        layers, units = dense(policy), []
        for layer, following in pairwise(layers):
            importance = np.linalg.norm(layer.weight, axis=1) * np.linalg.norm(
                following.weight, axis=0
            )
            count = max(1, round((1 - self.share) * len(importance)))
            units.append(np.sort(np.argsort(-importance, kind="stable")[:count]))
        return [*units, np.arange(len(layers[-1].bias))]

    def rebuilt(self, policy: nn.Module) -> nn.Sequential:
        """The policy of the kept units alone, not yet tuned: the same function as
        `masked`, in smaller layers."""
        layers = dense(policy)
        inputs, smaller = np.arange(layers[0].weight.shape[1]), []
        for layer, units in zip(layers, self.kept(policy), strict=True):
            smaller.append(
                layer._replace(
                    weight=layer.weight[np.ix_(units, inputs)], bias=layer.bias[units]
                )
            )
            inputs = units
        return assemble(next(policy.children()), smaller)

    def masked(self, policy: nn.Module) -> nn.Sequential:
        """The policy in its old widths, the weights and biases of removed units zero:
        what `rebuilt` must equal, unless there is LayerNorm."""
        layers = dense(policy)
        for layer, units in zip(layers, self.kept(policy), strict=True):
            removed = np.setdiff1d(np.arange(len(layer.bias)), units)
            layer.weight[removed], layer.bias[removed] = 0, 0
        return assemble(next(policy.children()), layers)
