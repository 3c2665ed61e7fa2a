"""What a planner was asked for: its calls, faults, late answers and wall time."""

from collections.abc import Mapping

import numpy as np

from curriculum.run.guard import Answer
from curriculum.types import State

COUNTED = ("calls", "faults", "late", "seconds")


class PlannerUse:
    """Counts the use of a planner for P seeds.

    A call is one action that the planner is asked for and plans: following a plan that
    it made earlier is none."""

    def __init__(self, seeds: int):
        self.calls = np.zeros(seeds, np.int64)
        # calls that ended in an error or without valid actions
        self.faults = np.zeros(seeds, np.int64)
        # actions that came after the deadline, or were not asked for because an earlier
        # call still went on
        self.late = np.zeros(seeds, np.int64)
        # wall time; that of several rows is divided among seeds by their rows
        self.seconds = np.zeros(seeds)
        # of these, those in a simulator, and those that the learner took to advise
        self.simulator_seconds = np.zeros(seeds)
        self.advice_seconds = np.zeros(seeds)
        # updates of a planner that learns, and their wall time, divided evenly
        self.updates = 0
        self.learning_seconds = np.zeros(seeds)

    def add(
        self,
        asked: np.ndarray,
        answer: Answer,
        planned: np.ndarray | None = None,
        advice_seconds: float = 0.0,
    ) -> None:
        """Count an answer for `asked` [P] rows of each seed, of which the planner
        planned for `planned` [P], None: for all, and to which the learner has
        contributed for some seconds."""
        if planned is None:
            planned = asked
        if answer.failure == "fault":
            self.faults += asked
        if answer.failure in ("late", "busy"):
            self.late += asked
        if answer.failure != "busy":
            self.calls += planned
        share = asked / asked.sum()
        self.seconds += answer.seconds * share
        self.simulator_seconds += answer.simulator_seconds * share
        self.advice_seconds += advice_seconds * share

    def add_counts(self, counts: Mapping[str, np.ndarray]) -> None:
        """Add `COUNTED` numbers, [P] each, that were counted elsewhere."""
        for name in COUNTED:
            getattr(self, name)[:] += counts[name]

    def counts(self) -> dict[str, np.ndarray]:
        """A copy of the `COUNTED` numbers so far, [P] each."""
        return {name: getattr(self, name).copy() for name in COUNTED}

    def add_update(self, seconds: float) -> None:
        """Count an update of all seeds of a planner that learns."""
        self.updates += 1
        self.learning_seconds += seconds / len(self.learning_seconds)

    def values(self) -> dict[str, np.ndarray]:
        """The counts, [P] each."""
        return {
            "planner/calls_total": self.calls.copy(),
            "planner/faults_total": self.faults.copy(),
            "planner/late_total": self.late.copy(),
        }

    def time_values(self) -> dict[str, np.ndarray]:
        """The wall time, [P] each."""
        milliseconds = 1000 * self.seconds
        values = {
            "planner/ms_per_call": milliseconds / np.maximum(self.calls, 1),
            "planner/seconds_total": self.seconds.copy(),
        }
        if self.simulator_seconds.any() or self.advice_seconds.any():
            values |= self._split()
        if self.updates:
            milliseconds = 1000 * self.learning_seconds
            values["planner/learn_ms"] = milliseconds / self.updates
            values["planner/learn_seconds_total"] = self.learning_seconds.copy()
        return values

    def _split(self) -> dict[str, np.ndarray]:
        """What the milliseconds of a call went into, [P] each."""
        rest = self.seconds - self.simulator_seconds - self.advice_seconds
        parts = {
            "simulator": self.simulator_seconds,
            "learner": self.advice_seconds,
            "rest": rest,
        }
        calls = np.maximum(self.calls, 1)
        return {
            f"planner/{name}_ms": 1000 * part / calls for name, part in parts.items()
        }

    def state(self) -> State:
        return {
            "calls": self.calls,
            "faults": self.faults,
            "late": self.late,
            "seconds": self.seconds.tolist(),  # a list: arrays hold no wall times
            "simulator_seconds": self.simulator_seconds.tolist(),
            "advice_seconds": self.advice_seconds.tolist(),
            "updates": self.updates,
            "learning_seconds": self.learning_seconds.tolist(),
        }

    def load(self, state: State) -> None:
        self.calls[:] = state["calls"]
        self.faults[:] = state["faults"]
        self.late[:] = state["late"]
        self.seconds[:] = state["seconds"]
        # checkpoints of former versions hold no parts and no planner that learns
        self.simulator_seconds[:] = state.get("simulator_seconds", 0.0)
        self.advice_seconds[:] = state.get("advice_seconds", 0.0)
        self.updates = state.get("updates", 0)
        self.learning_seconds[:] = state.get("learning_seconds", 0.0)
