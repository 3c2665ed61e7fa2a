"""The tree search over options: one tree for each row, all grown together."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from curriculum.envs._cellworld.rules import PREY_SPEED, STEP_SECONDS
from curriculum.planners._tlppo.scenarios import Rollouts, Scenarios, Weights
from curriculum.planners._tlppo.tree import Tree

GOLDEN_RATIO = 0.618034  # multiples of it, modulo 1, are spread evenly over [0, 1)


class Found(NamedTuple):
    """What a search of n rows has found."""

    target: np.ndarray  # [n] cells to head for
    # [n, A] cells that the options head for first, and what they are worth: -inf where
    # there is no such option
    targets: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class Search:
    """How trees are searched: the settings of the planner and its model of the
    world."""

    scenarios: Scenarios
    allowed: np.ndarray  # [331, A] bool, options of each cell that the world accepts
    simulations: int
    depth: int
    exploration: float
    discount: float
    weights: Weights

    def run(self, root: Rollouts, noise: np.ndarray) -> Found:
        """Plan for n rows; `noise` [n, A] in [0, 1) breaks ties and makes the random
        choices."""
        options = noise.shape[-1]
        fewest = self.allowed[self.scenarios.cells.open].sum(-1).min()
        most_nodes = 1 + self.simulations // max(int(fewest), 1)
        tree = Tree(root, most_nodes, options, self.discount)
        rows = np.arange(len(noise))
        tried = self._expand(tree, rows, np.zeros_like(rows), root)
        while True:
            unfinished = tried[rows] < self.simulations
            growing = tree.size[rows] < most_nodes
            rows = rows[unfinished & growing & tree.open[rows, 0].any(-1)]
            if not rows.size:
                return self._found(tree, root)
            self._simulate(tree, rows, noise, tried)

    def _simulate(
        self, tree: Tree, rows: np.ndarray, noise: np.ndarray, tried: np.ndarray
    ) -> None:
        """Descend to an option that no option was tried after, and try all that may
        follow it. Adds to `tried` [n], the options tried in each row."""
        row, node, option = self._descend(tree, rows, noise)
        if row.size:
            new = tree.add(row, node, option)
            start = tree.ends_of(row, node, option)
            tried[row] += self._expand(tree, row, new, start)
            tree.back_up(row, new)

    def _expand(
        self, tree: Tree, row: np.ndarray, node: np.ndarray, start: Rollouts
    ) -> np.ndarray:
        """Try every option of new nodes [m], each followed by the path to the goal;
        returns how many there are, [m]."""
        options = self.scenarios.options
        which, option = np.nonzero(self.allowed[start.prey.cell])
        end, reward = self._rollout(start.at(which), option)
        later = np.zeros(len(which))
        going = np.flatnonzero(~end.prey.over)
        to_goal = np.full(going.size, options.goal)
        _, later[going] = self._rollout(end.at(going), to_goal)
        tree.record(row[which], node[which], option, reward, later, end)
        return np.bincount(which, minlength=len(row))

    def _rollout(
        self, start: Rollouts, option: np.ndarray
    ) -> tuple[Rollouts, np.ndarray]:
        return self.scenarios.rollout(start, option, self.depth, self.weights)

    def _descend(
        self, tree: Tree, rows: np.ndarray, noise: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, nodes and options, [m] each, after which nothing was tried yet.

        A row that ends in a node with no option left closes the option that leads to
        that node and is left out."""
        row = rows
        node = np.zeros_like(rows)
        found = []
        while row.size:
            option = self._priority(tree, row, node, noise).argmax(-1)
            exhausted = ~tree.open[row, node].any(-1)
            tree.close(row[exhausted], node[exhausted])
            child = tree.child[row, node, option]
            leaf = ~exhausted & (child < 0)
            found.append(np.stack([row[leaf], node[leaf], option[leaf]]))
            inner = ~exhausted & ~leaf
            row = row[inner]
            node = child[inner]
        row, node, option = np.concatenate(found, -1)
        return row, node, option

    def _priority(
        self, tree: Tree, row: np.ndarray, node: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Priority of each option of nodes [m], as [m, A]: UCB1 on values that are
        scaled to [0, 1] in each node; -inf for options that are not open."""
        is_open = tree.open[row, node]
        if np.isinf(self.exploration):  # random search
            shift = GOLDEN_RATIO * tree.size[row, None]
            return np.where(is_open, (noise[row] + shift) % 1, -np.inf)
        value = tree.value[row, node]
        visits = tree.visits[row, node]
        worst = np.where(visits, value, np.inf).min(-1, keepdims=True)
        best = value.max(-1, keepdims=True)
        scaled = (value - worst) / np.maximum(best - worst, 1e-9)
        visits_of_node = visits.sum(-1, keepdims=True)
        bonus = np.sqrt(2 * np.log(visits_of_node) / np.maximum(visits, 1))
        priority = scaled + self.exploration * bonus + 1e-9 * noise[row]
        return np.where(is_open, priority, -np.inf)

    def _found(self, tree: Tree, root: Rollouts) -> Found:
        targets = self.scenarios.options.targets
        first = np.where(targets < 0, root.prey.cell[:, None], targets)  # [n, A]
        return Found(self._best(tree, root), first, tree.value[:, 0])

    def _best(self, tree: Tree, root: Rollouts) -> np.ndarray:
        """The cells [n] to head for: the target of the best option. If the prey reaches
        it within one step, the target of the best option after it."""
        targets = self.scenarios.options.targets
        row = np.arange(len(tree.size))
        option = tree.value[:, 0].argmax(-1)
        child = tree.child[row, 0, option]
        following = tree.value[row, np.maximum(child, 0)].argmax(-1)
        offset = self.scenarios.cells.xy[targets[option]] - root.prey.xy
        distance = np.hypot(*offset.T)
        near = (distance < PREY_SPEED * STEP_SECONDS) & (targets[option] >= 0)
        skip = near & (child > 0) & (targets[following] >= 0)
        target = targets[np.where(skip, following, option)]
        return np.where(target < 0, root.prey.cell, target)
