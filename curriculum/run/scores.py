"""How good the learners are: the scale, the best weights, and the way back to them."""

import numpy as np

from curriculum.learning.learner import Learner
from curriculum.run.evaluation import Episodes, Scale, score, summary
from curriculum.types import Decay, State


class Scores:
    """A score is 0 at the return of random play, `floor`, and 1 at the planner's or
    the data's, `ceiling`."""

    def __init__(self, learner: Learner):
        seeds = len(learner.seeds)
        self.floor = np.nan
        self.ceiling = np.nan
        self.best = learner.snapshot()  # weights
        self.best_reward = np.full(seeds, -np.inf)
        self.best_step = np.zeros(seeds, np.int64)
        self.best_update = np.zeros(seeds, np.int64)  # of the offline phase
        self.rollbacks = np.zeros(seeds, np.int64)

    def set_scale(self, scale: Scale) -> None:
        self.floor = float(scale.floor)
        self.ceiling = float(scale.ceiling)

    def require_scale(self) -> None:
        """Raise ValueError if the planner is no better than random play."""
        if self.ceiling > self.floor:
            return
        raise ValueError(
            "this decay moves on the score between random play and the planner, but "
            f"the planner's return {self.ceiling:.3g} is not above random play's "
            f"{self.floor:.3g}; choose another planner or decay"
        )

    @property
    def scale(self) -> Scale:
        """Both ends, as they were measured."""
        return Scale(self.floor, self.ceiling)

    def summary(self, episodes: Episodes) -> dict[str, np.ndarray]:
        """Figures of [P, N] episodes, [P] each."""
        return summary(episodes, self.scale)

    def keep_best(
        self, learner: Learner, reward: np.ndarray, step: int, update: int
    ) -> None:
        """Keep the weights of the seeds whose mean reward [P] is their best so far, at
        an environment step, after so many offline updates."""
        better = reward > self.best_reward
        learner.update_snapshot(self.best, better)
        self.best_reward = np.where(better, reward, self.best_reward)
        self.best_step = np.where(better, step, self.best_step)
        self.best_update = np.where(better, update, self.best_update)

    def roll_back(self, learner: Learner, decay: Decay, episodes: Episodes) -> None:
        """Show an evaluation to the decay, and restore the best weights of the seeds
        that it names."""
        collapsed = decay.observe(score(episodes.reward, self.scale))
        learner.restore(self.best, collapsed)
        self.rollbacks += collapsed

    def roll_back_below(
        self, learner: Learner, reward: np.ndarray, drop: float
    ) -> None:
        """Restore the best weights of the seeds whose mean reward [P] is more than
        `drop`, in score, below their best; never without a scale."""
        with np.errstate(invalid="ignore"):
            lost = score(self.best_reward, self.scale) - score(reward, self.scale)
        collapsed = lost > drop
        learner.restore(self.best, collapsed)
        self.rollbacks += collapsed

    def state(self) -> State:
        return {
            "floor": self.floor,
            "ceiling": self.ceiling,
            "best": self.best,
            "best_reward": self.best_reward,
            "best_step": self.best_step,
            "best_update": self.best_update,
            "rollbacks": self.rollbacks,
        }

    def load(self, state: State) -> None:
        self.floor = state["floor"]
        self.ceiling = state["ceiling"]
        for name, weights in self.best.items():
            weights.copy_(state["best"][name])
        self.best_reward[:] = state["best_reward"]
        self.best_step[:] = state["best_step"]
        self.best_update[:] = state["best_update"]
        self.rollbacks[:] = state["rollbacks"]
