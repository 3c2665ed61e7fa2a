"""The evaluations of a run: both ends of the scale, the learner alone and mixed."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curriculum.envs._base.native import Navigable
from curriculum.learning.learner import Learner
from curriculum.learning.weights import Snapshot
from curriculum.run import advice
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.deployment import contracts_of, write_policies
from curriculum.run.evaluation import (
    FREE_RUN,
    Episodes,
    Scale,
    d4rl_score,
    data_scale,
    discounted,
    expected,
    final_episodes,
    play_learner,
    play_mixed,
    play_planner,
    summary,
)
from curriculum.run.guard import Guard
from curriculum.run.health import Health
from curriculum.run.planner_use import PlannerUse
from curriculum.run.repeats import announce_chance
from curriculum.run.scores import Scores
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Decay, Gate, Planner, Spec, State, World


@dataclass(kw_only=True)
class Evaluator:
    """Plays evaluation episodes and keeps the scores.

    `planner` is not set up: every evaluation sets up a copy. In a run that trains from
    a data set alone it has no part, and the mean of `data_returns` is the upper end of
    the scale. A planner that learns in the run is `trained` there: copies get its
    state, and scores have no upper end, since its return is not known before."""

    config: Config
    world: World
    spec: Spec
    learner: Learner
    planner: Planner
    gate: Gate
    decay: Decay
    scores: Scores
    health: Health
    data_returns: np.ndarray | None = None  # of every episode; None: a planner plays
    trained: Guard | None = None  # of a planner that learns in the run
    advisor: LearnerAdvisor | None = None  # of a planner that listens to the learner

    def measure_scale(self) -> dict[str, np.ndarray]:
        """Measure random play and the planner, or the data: the ends of the scale of
        scores."""
        announce_chance(self.world)
        episodes = range(self.config.eval_episodes)
        random = self._play_random(episodes)
        if self.data_returns is not None:
            self.scores.set_scale(data_scale(random.reward, self.data_returns))
            values = {
                "eval/random_reward": self.scores.floor,
                "eval/data_reward": self.data_returns.mean(),
            }
            return self._same_for_all(values)
        if self.trained:
            self.scores.set_scale(Scale(random.reward.mean(), np.nan))
            return self._same_for_all({"eval/random_reward": self.scores.floor})
        use = PlannerUse(1)
        planned = self._play_planner(episodes, use)
        self.scores.set_scale(Scale(random.reward.mean(), planned.reward.mean()))
        if self.decay.listens:
            self.scores.require_scale()
        values = {
            "eval/random_reward": self.scores.floor,
            "eval/planner_reward": self.scores.ceiling,
            "eval/planner_success_rate": planned.success.mean(),
            "eval/planner_ep_length": planned.length.mean(),
            "eval/planner_calls": use.calls[0],
            "eval/planner_faults": use.faults[0],
            "eval/planner_late": use.late[0],
        }
        return self._same_for_all(values)

    def _play_random(self, episodes: Sequence[int]) -> Episodes:
        random = plugins.make("planner", "random")
        return play_planner(
            random,
            self.world,
            self.spec,
            episodes,
            name="random play",
            hint=advice.EVALUATION,
        )

    def _play_planner(self, episodes: Sequence[int], use: PlannerUse) -> Episodes:
        """Let the planner play these episodes, or as many as the settings allow."""
        played = play_planner(
            self.planner,
            self.world,
            self.spec,
            episodes[: self._planner_episodes()],
            deadline_ms=self.config.planner_deadline_ms,
            use=use,
        )
        if use.faults.any() or use.late.any():
            print(
                f"planner {plugins.name_of('planner', self.planner)}: "
                f"{use.faults[0]:,} faults and {use.late[0]:,} late answers in "
                f"{use.calls[0]:,} calls; random actions took their place",
                file=sys.stderr,
            )
        return played

    def _planner_episodes(self) -> int:
        """How many episodes measure the planner: as many as the settings say, or as the
        budget pays for if they are long, at least one."""
        if self.config.planner_episodes:
            return self.config.planner_episodes
        if not self.config.planner_budget:
            return self.config.eval_episodes
        longest = self.world.evaluated().max_steps or FREE_RUN
        return max(self.config.planner_budget // longest, 1)

    def _same_for_all(
        self, values: Mapping[str, float | np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Values that all seeds share, [P] each."""
        seeds = len(self.config.seeds)
        return {tag: np.full(seeds, value) for tag, value in values.items()}

    def evaluate_learner(
        self, step: int, update: int, shown: bool = True
    ) -> dict[str, np.ndarray]:
        """Score the learner alone and keep the best weights.

        Scores that are `shown` to the decay may restore the best weights."""
        episodes = range(self.config.eval_episodes)
        played = play_learner(self.learner, self.world, episodes, self.health.stop)
        figures = self.scores.summary(played)
        figures |= d4rl_score(figures["mean_reward"], self.world)
        figures |= expected(played)
        self.scores.keep_best(self.learner, figures["mean_reward"], step, update)
        if shown and self.decay.listens:
            self.scores.roll_back(self.learner, self.decay, played)
        if shown and self.config.rollback:
            reward = figures["mean_reward"]
            self.scores.roll_back_below(self.learner, reward, self.config.rollback)
        values = {f"eval/{name}": value for name, value in figures.items()}
        values["curriculum/rollbacks"] = self.scores.rollbacks.copy()
        return values

    def evaluate_mixed(self, rate: np.ndarray, step: int) -> dict[str, np.ndarray]:
        """Score planner and learner together at planning rates [P]."""
        played, use = play_mixed(
            self.learner,
            self.planner,
            self.gate,
            rate,
            self.world,
            self.spec,
            range(self.config.eval_episodes),
            step,
            self.config.planner_deadline_ms,
            self.config.planner_budget,
            self.health.stop,
            self._planner_state(),
            self.advisor.verdict if self.advisor else None,
        )
        figures = self.scores.summary(played)
        values = {f"eval_mixed/{name}": value for name, value in figures.items()}
        values["eval_mixed/planning_rate"] = rate
        values["eval_mixed/planner_calls"] = use.calls
        values["eval_mixed/planner_faults"] = use.faults
        values["eval_mixed/planner_late"] = use.late
        return values

    def _planner_state(self) -> State | None:
        """The state of a planner that learns; None of one that is as it was made."""
        return self.trained.planner_state() if self.trained else None

    def _play_as_it_is(self, episodes: Sequence[int]) -> tuple[Episodes, PlannerUse]:
        """Let the planner play alone with all that it has learnt in the run, or that
        the learner advises it, [P, N]."""
        seeds = len(self.config.seeds)
        return play_mixed(
            self.learner,
            self.planner,
            plugins.make("gate", "step"),
            np.ones(seeds),
            self.world,
            self.spec,
            episodes,
            step=0,
            deadline_ms=self.config.planner_deadline_ms,
            stop=self.health.stop,
            planner_state=self._planner_state(),
            verdict=self.advisor.verdict if self.advisor else None,
        )

    def finish(
        self, folder: Path | None, step: int, updates: int
    ) -> dict[str, np.ndarray]:
        """Score random play, the planner, the best and the last policy on the same
        episodes, which chose neither policy, and write both policies to `folder`. The
        last one was trained until this step, with so many offline updates.

        Scores are means over the episodes that the planner played."""
        episodes = final_episodes(self.config.eval_episodes)
        random = self._play_random(episodes)
        values = {
            "final/random_reward": random.reward.mean(),
            "final/episodes": len(episodes),
        }
        if self.data_returns is not None:
            scale = data_scale(random.reward, self.data_returns)
            values["final/data_reward"] = self.data_returns.mean()
        elif self.trained:
            scale = self.scores.scale
            explored, _ = self._play_as_it_is(episodes)
            values["final/trained_planner_reward"] = explored.reward.mean(-1)
            values["final/trained_planner_success_rate"] = explored.success.mean(-1)
        else:
            planned = self._play_planner(episodes, PlannerUse(1))
            scored = len(planned.reward)
            scale = Scale(
                floor=float(random.reward[:scored].mean()),
                ceiling=float(planned.reward.mean()),
                episodes=scored,
            )
            values["final/planner_reward"] = scale.ceiling
            values["final/planner_success_rate"] = planned.success.mean()
            values["final/planner_episodes"] = scored
            if self.advisor:
                advised, use = self._play_as_it_is(episodes[:scored])
                values["final/advised_planner_reward"] = advised.reward.mean(-1)
                values["final/advised_planner_success_rate"] = advised.success.mean(-1)
                each = 1000 * use.seconds / np.maximum(use.calls, 1)
                values["final/advised_planner_ms"] = each
        if isinstance(self.world, Navigable):
            constant = plugins.make("planner", "constant")
            fixed = play_planner(
                constant,
                self.world,
                self.spec,
                episodes,
                name="evaluation",
                hint=advice.EVALUATION,
            )
            values["final/constant_reward"] = fixed.reward.mean()
            values["final/constant_success_rate"] = fixed.success.mean()
        last = self.learner.snapshot()
        best = self._final("best", self.scores.best, scale)
        if folder and self.config.keep_policies != "last":
            scores = self.scores
            self._write(folder, "best", scores.best_step, scores.best_update)
        last_values = self._final("last", last, scale)
        if folder:
            self._write(folder, "last", step, updates)
        return self._same_for_all(values) | best | last_values

    def _write(
        self,
        folder: Path,
        policy: str,
        step: np.ndarray | int,
        updates: np.ndarray | int,
    ) -> None:
        contracts = contracts_of(self.config, self.world, policy, step, updates)
        write_policies(self.learner, folder, f"policy-{policy}", contracts)

    def _final(
        self, name: str, weights: Snapshot, scale: Scale
    ) -> dict[str, np.ndarray]:
        """Figures of these weights, which the learner keeps."""
        self.learner.restore(weights, np.ones(len(self.config.seeds), bool))
        episodes = final_episodes(self.config.eval_episodes)
        played = play_learner(self.learner, self.world, episodes, self.health.stop)
        figures = summary(played, scale)
        figures |= d4rl_score(figures["mean_reward"], self.world)
        # an estimate is in the rewards of the data, which evaluations may not have
        if self.config.ope and self.world.evaluated() == self.world:
            figures |= discounted(played)
        return {f"final/{name}_{figure}": value for figure, value in figures.items()}
