"""Remove the least important hidden units, then train to imitate the original."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curriculum.shipping.imitation import imitate
from curriculum.shipping.layers import assemble, dense
from curriculum.types import INFINITY, Technique, stream, within

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Prune(Technique):
    """Structured pruning: every Linear is rebuilt without the removed units. A mask
    would save neither bytes nor time.

    LayerNorm then takes mean and variance over the remaining units; the training that
    follows makes up for that as well."""

    # hidden units removed from each layer, in [0, 1); at least one unit stays
    share: float = 0.5
    updates: int = 1000  # gradient steps; 1,000 of them take about a second
    batch: int = 128  # observations per gradient step
    learning_rate: float = 0.001  # of Adam; falls linearly to zero
    # tau in units of the spread of scores; small: only the best action counts, large:
    # all do; of no effect on box actions
    temperature: float = 0.03

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(
                f"share of units to prune must be in [0, 1), got {self.share:g}"
            )
        within(self, 0, INFINITY, "updates")
        within(self, 1, INFINITY, "batch")
        within(self, 1e-9, INFINITY, "learning_rate", "temperature")

    def compress(
        self, policy: nn.Module, obs: Tensor, seed: int
    ) -> dict[str, nn.Module]:
        """The policy "pruned"."""
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
        return {"pruned": smaller}

    def kept(self, policy: nn.Module) -> list[np.ndarray]:
        """Ascending indices of the units that each dense layer keeps; the last layer,
        whose units are actions, keeps all.

        The importance of a unit is the norm of its incoming weights times the norm of
        its outgoing weights."""
        layers = dense(policy)
        units = []
        for layer, following in pairwise(layers):
            incoming = np.linalg.norm(layer.weight, axis=1)
            outgoing = np.linalg.norm(following.weight, axis=0)
            importance = incoming * outgoing
            count = max(1, round((1 - self.share) * len(importance)))
            descending = np.argsort(-importance, kind="stable")
            units.append(np.sort(descending[:count]))
        return [*units, np.arange(len(layers[-1].bias))]

    def rebuilt(self, policy: nn.Module) -> nn.Sequential:
        """The policy of the kept units alone, before training: the same function as
        `masked`, in smaller layers."""
        layers = dense(policy)
        inputs = np.arange(layers[0].weight.shape[1])
        smaller = []
        for layer, units in zip(layers, self.kept(policy), strict=True):
            weight = layer.weight[np.ix_(units, inputs)]
            smaller.append(layer._replace(weight=weight, bias=layer.bias[units]))
            inputs = units
        return assemble(next(policy.children()), smaller)

    def masked(self, policy: nn.Module) -> nn.Sequential:
        """The policy with its original widths and the weights and biases of removed
        units zero: equal to `rebuilt` unless there is LayerNorm."""
        layers = dense(policy)
        for layer, units in zip(layers, self.kept(policy), strict=True):
            removed = np.setdiff1d(np.arange(len(layer.bias)), units)
            layer.weight[removed] = 0
            layer.bias[removed] = 0
        return assemble(next(policy.children()), layers)
