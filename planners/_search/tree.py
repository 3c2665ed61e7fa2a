"""Monte-Carlo tree search: one tree for each row, all searched together.

The search body is `search`; what distinguishes one search from another is given to it
as functions: how actions are selected and how a path is evaluated (as in mctx,
github.com/google-deepmind/mctx).
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np

TIE = 1e-9  # weight of the noise that breaks ties between equally good actions
UNTRIED = 1e9  # priority of actions that have not been tried


class Path(NamedTuple):
    """The way of one simulation through each of n trees, from the root down."""

    nodes: np.ndarray  # [n, depth] int64 nodes visited, -1 below the leaf
    actions: np.ndarray  # [n, depth] int64 action selected in each node


class Trees:
    """The search trees of n rows; each simulation adds one node to every tree.

    A node is a sequence of actions and a child is one action more. `nodes` counts the
    nodes that a tree has room for, A is the number of actions."""

    ROOT: ClassVar[int] = 0
    UNVISITED: ClassVar[int] = -1

    def __init__(self, noise: np.ndarray):
        """Create the roots; `noise` [n, nodes, A] in [0, 1) orders actions that are
        untried or equally good."""
        assert noise.ndim == 3
        self.noise = noise
        self.node_count = 1
        self.children_index = np.full(noise.shape, self.UNVISITED)  # [n, nodes, A]
        self.children_visits = np.zeros(noise.shape)  # [n, nodes, A]
        self.children_returns = np.zeros(noise.shape)  # [n, nodes, A] summed
        # range of the mean returns in each tree
        self.lowest = np.full(len(noise), np.inf)  # [n]
        self.highest = np.full(len(noise), -np.inf)  # [n]

    def simulate(self, depth: int, select: "Select") -> Path:
        """Select actions from the root down to an action that has no node yet, and add
        that node to each tree."""
        count = len(self.noise)
        nodes = np.full((count, depth), self.UNVISITED)
        actions = np.zeros((count, depth), np.int64)
        row = np.arange(count)  # trees that are still in known nodes
        node = np.full(count, self.ROOT)
        for t in range(depth):
            action = select(self, row, node)
            nodes[row, t] = node
            actions[row, t] = action
            child = self.children_index[row, node, action]
            new = child == self.UNVISITED
            self.children_index[row[new], node[new], action[new]] = self.node_count
            row = row[~new]
            node = child[~new]
            if not row.size:
                break
        self.node_count += 1
        return Path(nodes, actions)

    def backward(self, path: Path, returns: np.ndarray) -> None:
        """Add the returns [n, depth], each counted from its step on, to the nodes that
        `path` visited."""
        assert returns.shape == path.nodes.shape
        row, t = np.nonzero(path.nodes >= 0)
        edge = (row, path.nodes[row, t], path.actions[row, t])
        self.children_visits[edge] += 1
        self.children_returns[edge] += returns[row, t]
        mean = self.children_returns[edge] / self.children_visits[edge]
        np.minimum.at(self.lowest, row, mean)
        np.maximum.at(self.highest, row, mean)

    def children_values(self, row: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Mean returns [m, A] of the actions in `node` [m] of the trees `row` [m].

        They are scaled by the range of mean returns in each tree to [0, 1]; 0 where
        untried."""
        visits = self.children_visits[row, node]
        mean = self.children_returns[row, node] / np.maximum(visits, 1)
        width = np.where(self.highest > self.lowest, self.highest - self.lowest, 1)
        scaled = (mean - self.lowest[row, None]) / width[row, None]
        return np.where(visits, scaled, 0)


# (trees, row [m], node [m]) -> actions [m] to follow in these nodes of these trees
Select = Callable[[Trees, np.ndarray, np.ndarray], np.ndarray]
# path of n trees -> returns [n, depth], each from its step on
Evaluate = Callable[[Path], np.ndarray]


def search(
    trees: Trees, simulations: int, depth: int, select: Select, evaluate: Evaluate
) -> None:
    """Run `simulations`, each of which adds one node to every tree."""
    for _ in range(simulations):
        path = trees.simulate(depth, select)
        returns = evaluate(path)
        trees.backward(path, returns)


def ucb1(
    trees: Trees,
    row: np.ndarray,
    node: np.ndarray,
    exploration: float,
    prior: np.ndarray | None = None,
) -> np.ndarray:
    """Actions [m] with the largest upper confidence bound (UCB1); untried ones first.

    `prior` [n, A] weighs exploration at the roots."""
    visits = trees.children_visits[row, node]  # [m, A]
    noise = trees.noise[row, node]  # [m, A]
    node_visits = np.maximum(visits.sum(-1, keepdims=True), 1)  # [m, 1]
    spread = np.sqrt(np.log(node_visits) / np.maximum(visits, 1))
    if prior is not None:
        is_root = (node == Trees.ROOT)[:, None]
        spread = np.where(is_root, prior[row] * spread, spread)
    bound = trees.children_values(row, node) + exploration * spread + TIE * noise
    return np.where(visits, bound, UNTRIED + noise).argmax(-1)


def most_visited(trees: Trees) -> np.ndarray:
    """Actions [n] that were tried most often at the roots; of equally often tried ones
    the one with the best mean return."""
    row = np.arange(len(trees.noise))
    root = np.full_like(row, Trees.ROOT)
    visits = trees.children_visits[:, Trees.ROOT]  # [n, A]
    noise = trees.noise[:, Trees.ROOT]  # [n, A]
    values = trees.children_values(row, root)
    return (visits + 0.5 * values + TIE * noise).argmax(-1)
