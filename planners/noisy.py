"""Any other planner with a share of its actions replaced by random ones."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from curriculum.planners._generators import SeedGenerators
from curriculum.setting import inner
from curriculum.types import (
    Advisor,
    Decision,
    Planner,
    Rows,
    Spec,
    State,
    World,
    within,
)


@dataclass(kw_only=True)
class Noisy(Planner):
    """For data of every quality between random play and the other planner.

    The other planner is asked for every action, so its own random draws are the same
    for every `epsilon`."""

    # the other planner: a name, module:Class or a path to a file
    planner: str = "shortest_path"
    # settings of the other planner, such as simulations=32 horizon=20
    settings: tuple[str, ...] = ()
    epsilon: float = 0.3  # share of actions that are random, in [0, 1]

    def __post_init__(self):
        within(self, 0, 1, "epsilon")

    @property
    def needs(self) -> str:  # type: ignore[override]
        return self._make_other().needs

    @property
    def advised(self) -> bool:  # type: ignore[override]
        return self._make_other().advised

    def check_world(self, world: World) -> None:
        self._make_other().check_world(world)

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.other = self._make_other().setup(rows, spec, seeds)
        self.spec = spec
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "noisy planner", rows_per_seed)
        return self

    def listen(self, advisor: Advisor) -> None:
        self.other.listen(advisor)

    def simulator_seconds(self) -> float:
        return self.other.simulator_seconds()

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        coin, noise = self._draw(rows)
        answer = self.other.act(obs, rows)
        if not isinstance(answer, Decision):
            answer = Decision(answer)
        action = np.array(answer.action)  # a copy: the planner may keep it
        replaced = coin < self.epsilon
        action[replaced] = noise[replaced]
        if replaced.any():
            self.other.interrupt(rows[replaced])
        return Decision(action, fresh=answer.fresh)

    def interrupt(self, rows: np.ndarray) -> None:
        self.other.interrupt(rows)

    def _draw(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A coin [n] in [0, 1) and a random action [n] or [n, A] for each row."""
        width = 1 + (self.spec.action_size or 1)
        drawn = np.empty((len(rows), width))
        for generator, own in self.generators.by_seed(rows):
            drawn[own] = generator.random((np.count_nonzero(own), width))
        coin = drawn[:, 0]
        if self.spec.actions:
            return coin, (drawn[:, 1] * self.spec.actions).astype(np.int64)
        return coin, 2 * drawn[:, 1:] - 1

    def state(self) -> State:
        return {"generators": self.generators.state(), "other": self.other.state()}

    def load(self, state: State) -> None:
        self.generators.load(state["generators"])
        self.other.load(state["other"])

    def _make_other(self) -> Planner:
        other: Planner = inner.make_inner("planner", self.planner, self.settings)
        if other.learns:
            raise ValueError(
                f"noisy plays with a planner that is there before the run, and "
                f"{self.planner} learns in it; choose another --planner.planner"
            )
        return other
