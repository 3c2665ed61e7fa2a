"""The hand-over of a run: the evaluations of its online phase, and what they say."""

from collections.abc import Mapping

import numpy as np

from curriculum.report import handover
from curriculum.run.evaluation import Scale, score
from curriculum.setting.config import Config
from curriculum.types import State


class Handover:
    """Keeps the evaluations of the online phase, which begins where the offline phase
    ends.

    Only a run that has steps, and a planner that acts or data to start from, hands
    over: others have no values."""

    def __init__(self, config: Config, from_data: bool):
        seeds = len(config.seeds)
        self.config = config
        self.has_teacher = from_data  # also once a planner was asked, or will be
        self.steps = np.zeros(0, np.int64)  # [U]
        self.reward = np.zeros((0, seeds))  # [U, P] of the learner alone
        self.calls = np.zeros((0, seeds), np.int64)  # [U, P] of the planner so far

    def add(
        self, step: int, values: Mapping[str, np.ndarray], healthy: np.ndarray
    ) -> None:
        """Keep the values of an evaluation, in place of an earlier one of the same
        step."""
        kept = self.steps < step
        reward = np.where(healthy, values["eval/mean_reward"], np.nan)
        calls = values["planner/calls_total"]
        self.steps = np.append(self.steps[kept], step)
        self.reward = np.vstack([self.reward[kept], reward])
        self.calls = np.vstack([self.calls[kept], calls])
        is_asked = calls.any() or values["eval/planning_rate"].any()
        self.has_teacher = self.has_teacher or bool(is_asked)

    def measures(self, scale: Scale) -> dict[str, np.ndarray]:
        """Measures of the hand-over so far, by name, [P] each."""
        if not (self.config.steps and self.has_teacher):
            return {}
        evaluations = handover.Evaluations(
            steps=self.steps,
            reward=self.reward,
            score=score(self.reward, scale),
            calls=self.calls,
            learned=handover.has_learned(self.steps, self.config.offline_updates),
        )
        return handover.measure(evaluations)

    def values(
        self, scale: Scale, newest: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Measures of the hand-over so far, and how far the learner alone is below
        learner and planner together in the `newest` evaluation."""
        found = self.measures(scale)
        if found and "eval_mixed/score" in newest:
            found["mixed_gap"] = newest["eval_mixed/score"] - newest["eval/score"]
        return {f"handover/{name}": value for name, value in found.items()}

    def final_values(self, scale: Scale) -> dict[str, np.ndarray]:
        """Measures of the whole hand-over."""
        found = self.measures(scale)
        return {f"{handover.FINAL}{name}": value for name, value in found.items()}

    def state(self) -> State:
        return {
            "has_teacher": self.has_teacher,
            "steps": self.steps,
            "reward": self.reward,
            "calls": self.calls,
        }

    def load(self, state: State) -> None:
        if not state:  # of an earlier version
            return
        self.has_teacher = self.has_teacher or state["has_teacher"]
        self.steps = np.array(state["steps"])
        self.reward = np.array(state["reward"])
        self.calls = np.array(state["calls"])
