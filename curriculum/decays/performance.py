"""Performance decay: the rate falls as the learner's own score rises, and vice versa.

Generalises the curriculum of JSRL (Uchendu et al. 2023, arXiv 2204.02372, algorithm 1):
scores are relative to the range between random play (0) and the planner (1), so
negative returns need no special case; a confidence bound over episodes replaces the
noisy mean; and the rate can rise again.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from curriculum.types import Decay, State, within


@dataclass(kw_only=True)
class Performance(Decay):
    """rate = 1 - stage / stages; evaluations of the learner alone move the stage.

    Stage k requires a score of threshold * k / stages. A seed advances when the lower
    confidence bound of its score reaches what the next stage requires. It falls back
    when the upper bound lies more than `hysteresis` below what its current stage
    requires. Either move takes `patience` consecutive evaluations that agree."""

    listens: ClassVar[bool] = True

    # score at which the learner acts alone: 0 random play, 1 the planner's return
    threshold: float = 0.9
    stages: int = 5  # steps from planner to learner: 1 is a switch, many are a slope
    # width of the confidence bound in standard errors: 0 trusts the mean, 2 requires
    # strong evidence
    z: float = 1.0
    patience: int = 1  # consecutive evaluations that must agree before the rate moves
    # how far (in score) a learner must fall below its stage's requirement to lose it
    hysteresis: float = 0.1
    # restore the best weights when the score falls significantly below the best one
    rollback: bool = True

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "threshold", "z", "hysteresis")
        within(self, 1, float("inf"), "stages", "patience")
        # "stage", "streak" and "best" of every seed, [P] each; empty before the first
        # evaluation
        self.memory: State = {}

    def rate(self, step: int) -> float | np.ndarray:
        if not self.memory:
            return 1.0
        return 1 - self.memory["stage"] / self.stages

    def observe(self, scores: np.ndarray) -> np.ndarray:
        if not self.memory:
            self.memory = _initial_memory(len(scores))
        mean = scores.mean(-1)
        error = self.z * _standard_error(scores)
        low = mean - error
        high = mean + error
        self._move_stages(low, high)
        return self._track_best(low, high) & self.rollback

    def _move_stages(self, low: np.ndarray, high: np.ndarray) -> None:
        """Advance or fall back by one stage, given confidence bounds [P]."""
        stage = self.memory["stage"]
        streak = self.memory["streak"]
        per_stage = self.threshold / self.stages
        advances = low >= per_stage * (stage + 1)
        falls_back = high < per_stage * stage - self.hysteresis
        vote = advances.astype(np.int64) - falls_back
        agrees = vote == np.sign(streak)
        streak = np.where(agrees, streak + vote, vote)
        move = np.where(abs(streak) >= self.patience, vote, 0)
        self.memory["stage"] = np.clip(stage + move, 0, self.stages)
        self.memory["streak"] = np.where(move, 0, streak)

    def _track_best(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Update the best lower bounds; returns the seeds that fell significantly
        below theirs, [P] bool."""
        best = self.memory["best"]
        collapsed = high < best
        # restored weights earn a new best score
        self.memory["best"] = np.where(collapsed, -np.inf, np.fmax(best, low))
        return collapsed

    def state(self) -> State:
        return dict(self.memory)

    def load(self, state: State) -> None:
        self.memory = dict(state)


def _initial_memory(seeds: int) -> State:
    return {
        "stage": np.zeros(seeds, np.int64),
        "streak": np.zeros(seeds, np.int64),
        "best": np.full(seeds, -np.inf),
    }


def _standard_error(scores: np.ndarray) -> np.ndarray:
    """Standard error [P] of the mean of scores [P, episodes]; 0 for one episode."""
    seeds, episodes = scores.shape
    if episodes == 1:
        return np.zeros(seeds)
    return scores.std(-1, ddof=1) / np.sqrt(episodes)
