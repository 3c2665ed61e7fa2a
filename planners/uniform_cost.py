"""The best path through copies of the true state, found by uniform-cost search."""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.planners._generators import SeedGenerators
from curriculum.planners._search.graph import Graph, Route
from curriculum.types import KeyedSimulator, Planner, Rows, Spec, State, within

KEY_BYTES = 16
MOST_ROUTES = 10_000  # that are kept for other seeds


@dataclass(kw_only=True)
class UniformCost(Planner):
    """For deterministic worlds with discrete actions and a sparse reward, such as
    MiniGrid's: the path with the highest return to an end whose last step pays.

    The path is the best one where nothing but the end of an episode pays, and no end
    pays more than the first found. Worlds with chance are planned for one outcome of
    every action, and planned again where another one comes (FF-Replan, Yoon et al.
    2007). Actions are remembered state by state, so a search is needed only in states
    that lie on no earlier path. Time limits are not simulated."""

    # different states that a search meets before it gives up; it then goes to the most
    # promising of them and searches again from there
    states: int = 20_000
    # states whose action is remembered, of each seed: the oldest are forgotten
    memory: int = 100_000

    needs: ClassVar[str] = "state"

    def __post_init__(self):
        within(self, 2, float("inf"), "states")
        within(self, 1, float("inf"), "memory")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if not spec.actions:
            raise ValueError(
                f"uniform_cost needs discrete actions, {name_of(rows.world)} has box "
                "actions; choose --planner mppi"
            )
        simulator = rows.simulator()
        if not isinstance(simulator, KeyedSimulator):
            raise ValueError(
                f"uniform_cost needs copies that can be told apart, those of "
                f"{name_of(rows.world)} have no keys; choose --planner mcts"
            )
        self.simulator = simulator
        self.actions = spec.actions
        self.world = rows.world
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "uniform-cost planner", rows_per_seed)
        # of best paths, and of those to where a search goes on, which are taken once
        self.best = [_Memory(self.memory) for _ in seeds]
        self.provisional = [_Memory(self.memory) for _ in seeds]
        self.routes: dict[bytes, Route | None] = {}
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        action = np.zeros(len(rows), np.int64)
        seed_of = self.generators.seed_of(rows)
        for n, seed in enumerate(seed_of.tolist()):
            state = self.simulator.states(rows[n : n + 1])
            action[n] = self._choose(state, seed)
        return action

    def _choose(self, state: np.ndarray, seed: int) -> int:
        """The action in one state [1, ...] of a row of this seed."""
        key = self.simulator.keys(state)[0]
        best = self.best[seed]
        provisional = self.provisional[seed]
        if key in best.actions:
            return best.actions[key]
        if key in provisional.actions:
            return provisional.actions.pop(key)
        generator = self.generators.of_seed[seed]
        route = self._search(key, state, generator)
        if route is None:
            return int(generator.integers(self.actions))
        if route.is_best:
            best.keep(route.keys, route.actions)
        else:
            self._warn()
            provisional.keep(route.keys[1:], route.actions[1:])
        return route.actions[0]

    def _search(
        self, key: bytes, state: np.ndarray, generator: np.random.Generator
    ) -> Route | None:
        """Search from a state [1, ...], unless that was done for any of the seeds.

        Where nothing is drawn the result depends on the state alone, so that a seed
        acts as it would without the others."""
        if key in self.routes:
            return self.routes[key]
        before = generator.bit_generator.state
        graph = Graph(self.simulator, state, self.actions, generator)
        route = graph.search(self.states)
        if generator.bit_generator.state == before:
            self.routes[key] = route
        if len(self.routes) > MOST_ROUTES:
            del self.routes[next(iter(self.routes))]
        return route

    def _warn(self) -> None:
        warnings.warn(
            f"uniform_cost met {self.states:,} states of {self.world} and cannot tell "
            "the best path: it takes the best one so far; raise --planner.states, or "
            "choose --planner mcts",
            stacklevel=2,
        )

    def state(self) -> State:
        return {
            "generators": self.generators.state(),
            "best": [memory.state() for memory in self.best],
            "provisional": [memory.state() for memory in self.provisional],
        }

    def load(self, state: State) -> None:
        self.generators.load(state["generators"])
        for name, memories in (("best", self.best), ("provisional", self.provisional)):
            for memory, saved in zip(memories, state[name], strict=True):
                memory.load(saved)


class _Memory:
    """The actions to take in states, by their keys."""

    def __init__(self, limit: int):
        self.limit = limit
        self.actions: dict[bytes, int] = {}

    def keep(self, keys: list[bytes], actions: list[int]) -> None:
        """Remember the actions to take in these states; the oldest beyond the limit are
        forgotten."""
        self.actions.update(zip(keys, actions, strict=True))
        while len(self.actions) > self.limit:
            del self.actions[next(iter(self.actions))]

    def state(self) -> dict[str, Any]:
        """Return everything `load` needs, in the order in which it was kept."""
        keys = np.frombuffer(b"".join(self.actions), np.uint8)
        actions = np.fromiter(self.actions.values(), np.int64)
        return {"keys": keys.reshape(-1, KEY_BYTES).copy(), "actions": actions}

    def load(self, saved: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        keys = [key.tobytes() for key in saved["keys"]]
        self.actions = dict(zip(keys, saved["actions"].tolist(), strict=True))
