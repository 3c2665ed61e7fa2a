"""What search is made of: the rewards of copies, every seed with a chance of its own,
and trees for all the rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from curriculum.envs._base.native import NativeSimulator
from curriculum.envs._base.streams import RowStreams
from curriculum.types import Simulator

TIE = 1e-9  # weight of the noise that breaks ties between equally good actions


def rollout(
    simulator: Simulator,
    state: np.ndarray,
    actions: np.ndarray,
    owner: np.ndarray,
    generators: Sequence[np.random.Generator],
) -> tuple[np.ndarray, np.ndarray]:
    """Rewards [n, H], 0 after a true end, of the `actions` [n, H (, A)] from states [n,
    ...], and which ended, [n].

    The copies stand in order of their seeds, `owner` [n]; a seed's chance comes from
    its own generator alone."""
    # one call a seed costs nothing where copies are stepped one by one
    if not isinstance(simulator, NativeSimulator):
        own = [np.flatnonzero(owner == seed) for seed in range(len(generators))]
        parts = [
            simulator.rollout(state[o], actions[o], g)[:2]
            for o, g in zip(own, generators, strict=True)
            if o.size
        ]
        reward, ended = (np.concatenate(part) for part in zip(*parts, strict=True))
        return reward, ended
    reward, over, now = (
        np.zeros(actions.shape[:2]),
        np.ones(len(state), bool),
        np.arange(len(state)),
    )
    chance: Any = RowStreams(generators, np.bincount(owner, minlength=len(generators)))
    for t in range(actions.shape[1]):
        state, reward[now, t], ended = simulator.step(state, actions[now, t], chance)
        if ended.any():
            now, state = now[~ended], state[~ended]
            chance = RowStreams(
                generators, np.bincount(owner[now], minlength=len(generators))
            )
            if not now.size:
                break
    over[now] = False
    return reward, over


class Trees:
    """A search tree for each of n rows, all of which grow by one node a simulation.

    A node is a sequence of actions, an edge one more action; 0 is the root."""

    def __init__(self, noise: np.ndarray):
        """Make the roots; `noise` [n, nodes, A] in [0, 1) orders the untried and the
        equally good actions."""
        self.noise, self.size = noise, 1
        self.child = np.full(noise.shape, -1)  # -1: not in the tree
        self.visits, self.total = np.zeros(noise.shape), np.zeros(noise.shape)
        # mean returns in the tree
        self.low, self.high = np.full(len(noise), np.inf), np.full(len(noise), -np.inf)

    def descend(self, depth: int, exploration: float) -> tuple[np.ndarray, np.ndarray]:
        """The nodes passed [n, depth], -1 beyond the leaf, and the actions chosen
        there; adds the leaves."""
        shape = (len(self.noise), depth)
        nodes, actions = np.full(shape, -1), np.zeros(shape, np.int64)
        row, node = np.arange(shape[0]), np.zeros(shape[0], np.int64)
        for t in range(depth):
            action = self._urge(row, node, exploration).argmax(-1)
            nodes[row, t], actions[row, t] = node, action
            following = self.child[row, node, action]
            new = following < 0
            self.child[row[new], node[new], action[new]] = self.size
            row, node = row[~new], following[~new]
            if not row.size:
                break
        self.size += 1
        return nodes, actions

    def learn(self, nodes: np.ndarray, actions: np.ndarray, to_go: np.ndarray) -> None:
        """Take in the returns [n, depth] from each node passed onwards."""
        row, t = np.nonzero(nodes >= 0)
        edge = row, nodes[row, t], actions[row, t]
        self.visits[edge] += 1
        self.total[edge] += to_go[row, t]
        mean = self.total[edge] / self.visits[edge]
        np.minimum.at(self.low, row, mean)
        np.maximum.at(self.high, row, mean)

    def best(self) -> np.ndarray:
        """The action [n] most often tried at the root; of several the one of the best
        mean return."""
        row = np.arange(len(self.noise))
        mean = self._mean(row, np.zeros_like(row))
        return (self.visits[:, 0] + 0.5 * mean + TIE * self.noise[:, 0]).argmax(-1)

    def _urge(
        self, row: np.ndarray, node: np.ndarray, exploration: float
    ) -> np.ndarray:
        """How much each action [m, A] asks to be tried (UCB1): untried ones first."""
        visits, noise = self.visits[row, node], self.noise[row, node]
        spread = np.sqrt(
            np.log(np.maximum(visits.sum(-1, keepdims=True), 1)) / np.maximum(visits, 1)
        )
        return np.where(
            visits,
            self._mean(row, node) + exploration * spread + TIE * noise,
            1e9 + noise,
        )

    def _mean(self, row: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Mean returns [m, A] on a scale from the lowest to the highest in the tree, 0
        where untried."""
        visits, low = self.visits[row, node], self.low[row, None]
        width = np.where(self.high > self.low, self.high - self.low, 1)[row, None]
        return np.where(
            visits, (self.total[row, node] / np.maximum(visits, 1) - low) / width, 0
        )
