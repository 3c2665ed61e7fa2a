"""Planner and learner act together, row by row, as the gate decides.

`Mixture.use` counts what the planner is asked for.
"""

from collections.abc import Sequence

import numpy as np

from curriculum.replay.buffer import SOURCE
from curriculum.run.guard import Guard
from curriculum.run.planner_use import PlannerUse
from curriculum.types import Gate, Moment, Planner, Policy, Spec, State, stream


class Mixture:
    """Acts for P seeds of E rows each; rows are in order of seeds.

    A seed's planner is not asked more than `budget` times. If it raises an error, does
    not return valid actions, or takes more than `deadline_ms` per row, the learner acts
    instead in all rows of that call. A budget or deadline of 0 sets no limit."""

    def __init__(
        self,
        planner: Planner,
        learner: Policy,
        gate: Gate,
        spec: Spec,
        seeds: Sequence[int],
        rows_per_seed: int,
        name: str = "gate",
        budget: int = 0,
        deadline_ms: float = 0.0,
    ):
        self.guard = Guard(planner, spec, deadline_ms)
        self.learner = learner
        self.gate = gate
        self.budget = budget or np.inf
        self.shape = (len(seeds), rows_per_seed)
        self.learner_alone = np.full(self.shape, SOURCE["learner"])
        self.coins = [stream(seed, name) for seed in seeds]
        self.use = PlannerUse(len(seeds))

    def act(
        self,
        obs: np.ndarray,
        age: np.ndarray,
        rate: np.ndarray,
        explore: bool,
        playing: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose actions [P, E] or [P, E, A] for observations [P, E, *O] at planning
        rates [P]; also returns their sources [P, E].

        `age` [P, E] counts the steps of each episode. Outside the mask `playing` [P, E]
        the planner is not asked."""
        planned = self._planned(obs, age, rate)
        if playing is not None:
            planned = planned & playing
        if self.budget < np.inf:
            planned = planned & self._affordable(planned)
        action = self.learner.act(obs, explore)
        answer = self.plan(obs, planned) if planned.any() else None
        if answer is None:
            return action, self.learner_alone
        action[planned] = answer
        return action, np.where(planned, SOURCE["planner"], SOURCE["learner"])

    def _planned(
        self, obs: np.ndarray, age: np.ndarray, rate: np.ndarray
    ) -> np.ndarray:
        """Where the gate wants the planner to act, [P, E] bool."""
        coin = np.empty(self.shape)
        for generator, own in zip(self.coins, coin, strict=True):
            generator.random(out=own)
        return self.gate.planner_acts(Moment(rate, age, coin, obs, self.learner))

    def _affordable(self, planned: np.ndarray) -> np.ndarray:
        """The first rows in mask `planned` [P, E] that the budget still pays for."""
        remaining = self.budget - self.use.calls
        return np.cumsum(planned, 1) <= remaining[:, None]

    @property
    def spent(self) -> np.ndarray:
        """Which seeds have spent their planner's budget, [P] bool."""
        return self.use.calls >= self.budget

    def plan(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """Ask the planner to act in the rows in mask [P, E]; None if it fails or is
        late."""
        asked = rows.sum(1)
        answer = self.guard.ask(obs[rows], np.flatnonzero(rows))
        self.use.add(asked, answer)
        return answer.action

    def state(self) -> State:
        return {
            "use": self.use.state(),
            "coins": [generator.bit_generator.state for generator in self.coins],
            "gate": self.gate.state(),
            "planner": self.guard.state(),
        }

    def load(self, state: State) -> None:
        self.use.load(state["use"])
        for generator, saved in zip(self.coins, state["coins"], strict=True):
            generator.bit_generator.state = saved
        self.gate.load(state["gate"])
        self.guard.load(state["planner"])
