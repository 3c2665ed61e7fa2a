"""The evaluations of a run: both ends of the scale, the learner alone and mixed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curriculum.learning.learner import Learner
from curriculum.learning.weights import Snapshot
from curriculum.run import advice
from curriculum.run.deployment import write_policies
from curriculum.run.evaluation import (
    final_episodes,
    play_learner,
    play_mixed,
    play_planner,
)
from curriculum.run.scores import Scores
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Decay, Gate, Planner, Spec, World


@dataclass(kw_only=True)
class Evaluator:
    """Plays evaluation episodes and keeps the scores.

    `planner` is not set up: every evaluation sets up a copy."""

    config: Config
    world: World
    spec: Spec
    learner: Learner
    planner: Planner
    gate: Gate
    decay: Decay
    scores: Scores

    def measure_scale(self) -> dict[str, np.ndarray]:
        """Measure random play and the planner, the ends of the scale of scores."""
        episodes = self.config.eval_episodes
        random = play_planner(
            plugins.make("planner", "random"),
            self.world,
            self.spec,
            range(episodes),
            name="random play",
            hint=advice.EVALUATION,
        )
        planned = play_planner(
            self.planner,
            self.world,
            self.spec,
            range(self.config.planner_episodes or episodes),
        )
        self.scores.set_scale(random, planned)
        if self.decay.listens:
            self.scores.require_scale()
        values = {
            "eval/random_reward": self.scores.floor,
            "eval/planner_reward": self.scores.ceiling,
            "eval/planner_success_rate": planned.success.mean(),
            "eval/planner_ep_length": planned.length.mean(),
        }
        seeds = len(self.config.seeds)
        return {tag: np.full(seeds, value) for tag, value in values.items()}

    def evaluate_learner(self, step: int) -> dict[str, np.ndarray]:
        """Score the learner alone, keep the best weights, and show the scores to the
        decay, which may restore the best weights."""
        episodes = range(self.config.eval_episodes)
        played = play_learner(self.learner, self.world, episodes)
        summary = self.scores.summary(played)
        self.scores.keep_best(self.learner, summary["mean_reward"], step)
        if self.decay.listens:
            self.scores.roll_back(self.learner, self.decay, played)
        values = {f"eval/{name}": value for name, value in summary.items()}
        values["curriculum/rollbacks"] = self.scores.rollbacks.copy()
        return values

    def evaluate_mixed(self, rate: np.ndarray, step: int) -> dict[str, np.ndarray]:
        """Score planner and learner together at planning rates [P]."""
        played, calls = play_mixed(
            self.learner,
            self.planner,
            self.gate,
            rate,
            self.world,
            self.spec,
            range(self.config.eval_episodes),
            step,
            self.config.planner_deadline_ms,
        )
        summary = self.scores.summary(played)
        values = {f"eval_mixed/{name}": value for name, value in summary.items()}
        values["eval_mixed/planning_rate"] = rate
        values["eval_mixed/planner_calls"] = calls
        return values

    def finish(self, folder: Path | None) -> dict[str, np.ndarray]:
        """Score the best and the last policy on episodes that chose neither, and write
        both to `folder`."""
        last = self.learner.snapshot()
        best = self._final("best", self.scores.best, folder)
        return best | self._final("last", last, folder)

    def _final(
        self, name: str, weights: Snapshot, folder: Path | None
    ) -> dict[str, np.ndarray]:
        self.learner.restore(weights, np.ones(len(self.config.seeds), bool))
        episodes = final_episodes(self.config.eval_episodes)
        played = play_learner(self.learner, self.world, episodes)
        if folder:
            write_policies(self.learner, folder, name)
        summary = self.scores.summary(played)
        return {f"final/{name}_{figure}": value for figure, value in summary.items()}
