"""The search trees of n rows in arrays of fixed size."""

import numpy as np

from curriculum.planners._tlppo.options import Prey
from curriculum.planners._tlppo.predators import Predators
from curriculum.planners._tlppo.scenarios import Rollouts

ROOT = 0
NO_NODE = -1


class Tree:
    """One tree for each of n rows, with up to E nodes of A options each.

    A node is a place that the prey reached by a sequence of options. The value of an
    option is its reward plus the discounted value of the best that follows."""

    def __init__(self, root: Rollouts, nodes: int, options: int, discount: float):
        rows = len(root.prey.cell)
        shape = (rows, nodes, options)
        self.discount = discount
        self.reward = np.zeros(shape)  # [n, E, A] on the way of an option
        self.later = np.zeros(shape)  # [n, E, A] best rewards known after its end
        self.value = np.full(shape, -np.inf)  # [n, E, A] -inf: there is no such option
        self.visits = np.zeros(shape)  # [n, E, A]
        self.child = np.full(shape, NO_NODE)  # [n, E, A] node at the end of an option
        # [n, E, A] bool, whether something is left to be tried after an option
        self.open = np.zeros(shape, bool)
        # [n, E] node and option that lead to a node
        self.parent_node = np.zeros(shape[:2], np.int64)
        self.parent_option = np.zeros(shape[:2], np.int64)
        self.size = np.ones(rows, np.int64)  # [n] nodes
        self.ends = _empty_like(root, shape)  # [n, E, A, ...] where the options end

    def add(self, row: np.ndarray, node: np.ndarray, option: np.ndarray) -> np.ndarray:
        """Add a node at the ends of these options, [m], one in a row at most; returns
        the new nodes [m]."""
        new = self.size[row]
        self.child[row, node, option] = new
        self.parent_node[row, new] = node
        self.parent_option[row, new] = option
        self.size[row] += 1
        return new

    def ends_of(
        self, row: np.ndarray, node: np.ndarray, option: np.ndarray
    ) -> Rollouts:
        """The rollouts at the ends of these options, [m]."""
        return self.ends.at((row, node, option))

    def record(
        self,
        row: np.ndarray,
        node: np.ndarray,
        option: np.ndarray,
        reward: np.ndarray,
        later: np.ndarray,
        end: Rollouts,
    ) -> None:
        """Record options [m] that were tried for the first time: their rewards, those
        of the path to the goal after them, and where they end."""
        tried = (row, node, option)
        self.reward[tried] = reward
        self.later[tried] = later
        self.open[tried] = ~end.prey.over
        self.visits[tried] = 1
        self.value[tried] = reward + (1 - self.discount) * later
        self.ends.put(tried, end)

    def close(self, row: np.ndarray, node: np.ndarray) -> None:
        """Close the options that lead to these nodes, [m]."""
        parent_node = self.parent_node[row, node]
        parent_option = self.parent_option[row, node]
        self.open[row, parent_node, parent_option] = False

    def back_up(self, row: np.ndarray, node: np.ndarray) -> None:
        """Carry the best values of nodes [m] up to the root."""
        while row.size:
            parent_node = self.parent_node[row, node]
            option = (row, parent_node, self.parent_option[row, node])
            best = self.value[row, node].max(-1)
            self.later[option] = np.maximum(self.later[option], best)
            later = self.later[option]
            self.value[option] = self.reward[option] + (1 - self.discount) * later
            self.visits[option] += 1
            below_root = parent_node > ROOT
            row = row[below_root]
            node = parent_node[below_root]


def _empty_like(root: Rollouts, shape: tuple[int, ...]) -> Rollouts:
    """Rollouts for every option of every node."""

    def empty(column: np.ndarray) -> np.ndarray:
        return np.zeros((*shape, *column.shape[1:]), column.dtype)

    prey = Prey(*[empty(column) for column in root.prey])
    predators = Predators(*[empty(column) for column in root.predators])
    return Rollouts(prey, predators)
