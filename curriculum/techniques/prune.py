"""Remove the least important hidden units, so that the layers really become smaller, then imitate the original."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from curriculum.deploy import assemble, dense, deployable, imitate, quantized
from curriculum.types import Deployable, stream

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(kw_only=True)
class Prune:
    """Structured pruning: a mask alone changes neither bytes nor time, so every Linear is rebuilt without the units."""

    share: float = 0.5  # hidden units removed from each layer, in [0, 1); one unit always stays
    updates: int = 1000  # gradient steps; 1,000 of them take about a second
    batch: int = 128  # observations per gradient step
    learning_rate: float = 0.001  # of Adam, falling to zero step by step
    temperature: float = 0.03  # tau in units of the spread of scores; small: the best action counts, large: all do

    def compress(self, policy: nn.Sequential, obs: Tensor, seed: int) -> dict[str, Deployable]:
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

    def kept(self, policy: nn.Sequential) -> list[np.ndarray]:
        """The units that each dense layer keeps, ascending; the last layer, whose units are actions, keeps all.

        A unit matters as much as the norm of its incoming weights times the norm of its outgoing weights."""
        if not 0 <= self.share < 1:
            raise ValueError(f"share of units to prune must be in [0, 1), got {self.share}")
        layers, units = dense(policy), []
        for (incoming, _), (outgoing, _) in pairwise(layers):
            importance = np.linalg.norm(incoming, axis=1) * np.linalg.norm(outgoing, axis=0)
            count = max(1, round((1 - self.share) * len(importance)))
            units.append(np.sort(np.argsort(-importance, kind="stable")[:count]))
        return [*units, np.arange(len(layers[-1][1]))]

    def rebuilt(self, policy: nn.Sequential) -> nn.Sequential:
        """The policy of the kept units alone, not yet tuned: the same function as `masked`, in smaller layers."""
        layers = dense(policy)
        inputs, smaller = np.arange(layers[0][0].shape[1]), []
        for (weight, bias), units in zip(layers, self.kept(policy), strict=True):
            smaller.append((weight[np.ix_(units, inputs)], bias[units]))
            inputs = units
        return assemble(policy[0], smaller)

    def masked(self, policy: nn.Sequential) -> nn.Sequential:
        """The policy in its old widths, the weights and biases of removed units zero: what `rebuilt` must equal."""
        layers = dense(policy)
        for (weight, bias), units in zip(layers, self.kept(policy), strict=True):
            removed = np.setdiff1d(np.arange(len(bias)), units)
            weight[removed], bias[removed] = 0, 0
        return assemble(policy[0], layers)
