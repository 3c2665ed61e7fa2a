"""Performance-gated decay: the planner withdraws as the learner alone proves itself,
and returns when it falls.

Generalises the curriculum of JSRL (Uchendu et al. 2023, arXiv 2204.02372, algorithm 1):
scores are relative to the range between random play (0) and the planner (1), so
negative returns need no care; a confidence bound over episodes replaces the noisy mean;
and the rate can go up again.
"""

from dataclasses import dataclass

import numpy as np

from curriculum.types import State, within


@dataclass(kw_only=True)
class Performance:
    """rate = 1 - stage / stages; a stage is gained or lost on evaluations of the
    learner alone.

    Stage k asks for the score threshold * k / stages. The next stage is gained when the
    lower confidence bound reaches what it asks for; the present one is lost when the
    upper bound lies more than `hysteresis` below what it asks for; either only after
    `patience` evaluations in a row that say the same."""

    # score at which the learner acts alone: 0 random play, 1 the planner's return
    threshold: float = 0.9
    stages: int = 5  # steps from planner to learner: 1 a switch, many a slope
    # width of the confidence bound in standard errors: 0 trusts the mean, 2 asks for
    # strong evidence
    z: float = 1.0
    patience: int = 1  # evaluations in a row before the rate moves
    # how far (in score) below a stage's demand the learner must fall to lose it
    hysteresis: float = 0.1
    # bring the best weights back when the score falls significantly below the best one
    rollback: bool = True

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "threshold", "z", "hysteresis")
        within(self, 1, float("inf"), "stages", "patience")

    def rate(self, step: int, score: np.ndarray) -> np.ndarray:
        """See `curriculum.types.Decay`."""
        return 1 - self._memory(len(score))["stage"] / self.stages

    def observe(self, scores: np.ndarray) -> np.ndarray:
        """Move on one evaluation, `scores` [P, episodes] of the learner alone; gives
        the seeds that fell, [P] bool."""
        seeds, episodes = scores.shape
        memory = self._memory(seeds)
        error = (
            self.z * scores.std(-1, ddof=1) / np.sqrt(episodes)
            if episodes > 1
            else np.zeros(seeds)
        )
        low, high = scores.mean(-1) - error, scores.mean(-1) + error
        demand = self.threshold / self.stages
        risen = low >= demand * (memory["stage"] + 1)
        fallen = high < demand * memory["stage"] - self.hysteresis
        vote = risen.astype(np.int64) - fallen
        memory["streak"] = np.where(
            vote == np.sign(memory["streak"]), memory["streak"] + vote, vote
        )
        move = np.where(abs(memory["streak"]) >= self.patience, vote, 0)
        memory["stage"] = np.clip(memory["stage"] + move, 0, self.stages)
        memory["streak"] = np.where(move, 0, memory["streak"])
        collapsed = high < memory["best"]
        # the lower bound: only a significant fall undercuts it
        best = np.fmax(memory["best"], low)
        # weights brought back set the bar anew
        memory["best"] = np.where(collapsed, -np.inf, best)
        return collapsed & self.rollback

    def state(self) -> State:
        """Stage, streak and best lower bound of every seed."""
        return dict(getattr(self, "memory", {}))

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.memory = dict(state)

    def _memory(self, seeds: int) -> State:
        if not getattr(self, "memory", None):
            self.memory = {
                "stage": np.zeros(seeds, np.int64),
                "streak": np.zeros(seeds, np.int64),
                "best": np.full(seeds, -np.inf),
            }
        return self.memory
