"""Uniform-cost search over the states of a world (Russell and Norvig, Artificial
Intelligence: A Modern Approach, 4th edition 2021, section 3.4.2)."""

import heapq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from curriculum.types import KeyedSimulator

BATCH = 32  # at most so many states are expanded in one call of the simulator


class Route(NamedTuple):
    """A path: its actions, and the keys of the states in which they are taken."""

    keys: list[bytes]
    actions: list[int]
    is_best: bool  # no other path can be better; False: the search was cut short


@dataclass
class Node:
    """A state, and the best path to it so far."""

    key: bytes
    total: float  # return of the path
    steps: int
    parent: "Node | None" = None
    action: int = 0  # that led from `parent` to here
    is_closed: bool = False  # its actions were tried, or a better path was found

    @property
    def order(self) -> tuple[float, int]:
        """The highest return comes first, of equal ones the fewest steps."""
        return -self.total, self.steps


class Open(NamedTuple):
    """An entry of the queue; the smallest is expanded first."""

    order: tuple[float, int]
    number: int  # of entries before it
    node: Node
    state: np.ndarray  # [1, ...]; dropped once it was expanded


class End(NamedTuple):
    """A way to end the episode."""

    total: float
    reward: float  # of the last step
    parent: Node
    action: int


class Graph:
    """The states within reach of one state, and the best paths to them.

    The highest return comes first, of equal ones the fewest steps: breadth-first where
    steps cost nothing, or all the same."""

    def __init__(
        self,
        simulator: KeyedSimulator,
        root: np.ndarray,
        actions: int,
        rng: np.random.Generator,
    ):
        """Begin at the state `root` [1, ...]; the chance that copies meet comes from
        `rng`."""
        self.simulator = simulator
        self.actions = actions
        self.rng = rng
        node = Node(simulator.keys(root)[0], total=0.0, steps=0)
        self.nodes = {node.key: node}
        # a heap, whose first entry is never closed
        self.queue = [Open(node.order, 0, node, root)]
        self.pushed = 1
        self.goal: End | None = None  # the best end whose last step pays
        self.other_end: End | None = None  # the best of the others

    def search(self, limit: int) -> Route | None:
        """Expand states until no path can be better than the best one, or `limit`
        states have been met; None if no path leads anywhere.

        Cut short, it goes to an open state with the highest return, of equals the
        farthest; of equals again one is drawn."""
        while self.queue and len(self.nodes) < limit and not self._is_decided():
            self._expand(self._next())
        if self.goal:
            return self._route(self.goal.parent, self.goal.action, self._is_decided())
        if self.queue:
            return self._outward()
        if self.other_end:
            return self._route(self.other_end.parent, self.other_end.action, True)
        return None

    def _is_decided(self) -> bool:
        """Whether no open path can still beat the best goal, if no goal pays more than
        it and no other step pays."""
        if not self.goal or not self.queue:
            return bool(self.goal)
        return self.goal.total >= self.queue[0].node.total + self.goal.reward

    def _next(self) -> list[Open]:
        """Take states of equal return and steps from the queue."""
        batch = [self._pop()]
        while self.queue and len(batch) < BATCH:
            if self.queue[0].order != batch[0].order:
                break
            batch.append(self._pop())
        return batch

    def _pop(self) -> Open:
        entry = heapq.heappop(self.queue)
        entry.node.is_closed = True
        self._drop_closed()
        return entry

    def _drop_closed(self) -> None:
        """Remove first entries whose state was expanded, or found by a better path."""
        while self.queue and self.queue[0].node.is_closed:
            heapq.heappop(self.queue)

    def _expand(self, batch: list[Open]) -> None:
        """Try all actions in these states."""
        state = np.concatenate([entry.state for entry in batch])
        action = np.tile(np.arange(self.actions), len(batch))
        children = self.simulator.step(
            np.repeat(state, self.actions, axis=0), action, self.rng
        )
        alive = np.flatnonzero(~children.terminated)
        keys = self.simulator.keys(children.state[alive])
        key_of = dict(zip(alive.tolist(), keys, strict=True))
        for n, chosen in enumerate(action.tolist()):
            parent = batch[n // self.actions].node
            reward = float(children.reward[n])
            if children.terminated[n]:
                self._end(End(parent.total + reward, reward, parent, chosen))
            else:
                child = Node(
                    key_of[n],
                    total=parent.total + reward,
                    steps=parent.steps + 1,
                    parent=parent,
                    action=chosen,
                )
                self._meet(child, children.state[n : n + 1])
        self._drop_closed()

    def _end(self, end: End) -> None:
        if end.reward > 0:
            if not self.goal or end.total > self.goal.total:
                self.goal = end
        elif not self.other_end or end.total > self.other_end.total:
            self.other_end = end

    def _meet(self, child: Node, state: np.ndarray) -> None:
        """Keep a state that is new, or the better path to one that is still open."""
        known = self.nodes.get(child.key)
        if known and (known.is_closed or known.order <= child.order):
            return
        self.nodes[child.key] = child
        if known:
            known.is_closed = True
        heapq.heappush(self.queue, Open(child.order, self.pushed, child, state))
        self.pushed += 1

    def _outward(self) -> Route:
        """The path to an open state with the highest return, or to one of them."""
        open_nodes = [entry.node for entry in self.queue if not entry.node.is_closed]
        best = max((node.total, node.steps) for node in open_nodes)
        equal = [node for node in open_nodes if (node.total, node.steps) == best]
        equal.sort(key=lambda node: node.key)
        node = equal[int(self.rng.integers(len(equal)))]
        assert node.parent  # the root is expanded first
        return self._route(node.parent, node.action, False)

    def _route(self, last: Node, action: int, is_best: bool) -> Route:
        """The path to `last`, then `action`."""
        node: Node | None = last
        keys: list[bytes] = []
        actions = [action]
        while node:
            keys.append(node.key)
            if node.parent:
                actions.append(node.action)
            node = node.parent
        return Route(keys[::-1], actions[::-1], is_best)
