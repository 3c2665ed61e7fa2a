"""Training an expert with Stable-Baselines3 until it is good enough."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from curriculum.activity import Aborted, Interrupted, Phase, announce, phase
from curriculum.planners._expert import levels, snapshot
from curriculum.planners._expert.goals import Trained
from curriculum.planners._expert.levels import Level, NotReached
from curriculum.planners._expert.model import build_model
from curriculum.planners._expert.policies import actions_of, isolated
from curriculum.planners._expert.progress import Progress
from curriculum.planners._expert.settings import ExpertSettings
from curriculum.planners._expert.vec_env import RowsEnv
from curriculum.types import State, World, stream

SAVE_EVERY = 30  # seconds between saves of the progress
ACTING = ("actor.", "q_net.", "quantile_net.")  # names of the weights that act


def train(expert: ExpertSettings, world: World, folder: Path) -> Trained:
    """Train until an evaluation reaches the goals; without goals for `max_steps`, and
    choose the policy of the best evaluation.

    The progress is kept in `folder`: an interrupted training continues exactly. Raises
    NotReached where the goals are not reached."""
    announce(
        f"training {expert.name} in {world} {expert.described()}, "
        f"at most {expert.max_steps:,} steps"
    )
    steps = phase("expert", expert.max_steps, "steps", "--planner.max-steps")
    with steps as current, isolated(), _open_rows(expert, world) as env:
        training = Training(expert, world, env, folder, current)
        try:
            training.run()
            return training.result()
        except Aborted:  # anywhere, perhaps within an update
            raise
        except Interrupted:
            training.save()
            raise


def _open_rows(expert: ExpertSettings, world: World) -> closing[RowsEnv]:
    """The environments of a training, closed at its end."""
    generator = stream(expert.seed, f"{expert.name} expert")
    return closing(RowsEnv(world.rows([generator], expert.rows)))


class Training:
    """One training of an expert.

    It is saved, evaluated and interrupted only between the steps of all rows and the
    updates that follow."""

    def __init__(
        self,
        expert: ExpertSettings,
        world: World,
        env: RowsEnv,
        folder: Path,
        current: Phase,
    ):
        self.expert = expert
        self.world = world
        self.phase = current
        self.model: Any = build_model(expert, env)
        _, self.callback = self.model._setup_learn(expert.max_steps)
        self.progress = Progress(folder, self.model, env.rows)
        self.level = Level(0, -np.inf, None)  # in the newest evaluation
        self.best = self.level
        self.best_policy: State = {}
        self.seconds = 0.0  # until `began`
        self.began = time.perf_counter()
        self.saved = self.began

    def run(self) -> None:
        """Train until the goals are reached or the steps are used up."""
        if self.progress.exists:
            self._load()
        else:
            self._collect()
        while True:
            if self._evaluation_is_due():
                self._take_in(self.measure(range(self.expert.eval_episodes)))
            if self._is_finished():
                return
            self._report()
            if time.perf_counter() - self.saved > SAVE_EVERY:
                self.save()
            self._train()

    def result(self) -> Trained:
        """The policy that training gives; NotReached where it is not good enough."""
        if not self.expert.are_reached(self.level):
            raise NotReached(self.expert.missed(self.world, self.level))
        reached = self.level
        if not self.expert.has_goals:
            reached = self.best
            best = snapshot.tensors_of(self.best_policy)
            self.model.policy.load_state_dict(best)
        episodes = self.expert.eval_episodes
        others = self.measure(range(episodes, 2 * episodes))
        others = others._replace(steps=reached.steps)
        seconds = self.seconds + time.perf_counter() - self.began
        weights = acting(snapshot.arrays_of(self.model.policy.state_dict()))
        return Trained(weights, reached, others, seconds)

    def measure(self, episodes: range) -> Level:
        """Evaluate the policy as it is now."""
        self._require_finite()
        steps = self.model.num_timesteps
        return measure(self.model.policy, self.world, episodes, steps, self._report)

    def save(self) -> None:
        """Save the progress."""
        self.saved = time.perf_counter()
        self.progress.save(
            {
                "level": list(self.level),
                "best": list(self.best),
                "best_policy": self.best_policy,
                "seconds": self.seconds + self.saved - self.began,
            }
        )

    def _load(self) -> None:
        saved = self.progress.load()
        self.level = Level(*saved["level"])
        self.best = Level(*saved["best"])
        self.best_policy = saved["best_policy"]
        self.seconds = saved["seconds"]
        steps = self.model.num_timesteps
        announce(
            f"{self.expert.name} was trained for {steps:,} steps before; "
            f"continuing from {self.progress.folder}"
        )

    def _train(self) -> None:
        """Update, and take the next steps; NotReached where the weights diverge."""
        try:
            self._update()
            self._collect()
        except ValueError:  # the library's distributions refuse NaN
            self._require_finite()
            raise

    def _require_finite(self) -> None:
        weights = self.model.policy.state_dict().values()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in weights):
            raise NotReached(
                f"{self.expert.name} diverged before {self.model.num_timesteps:,} "
                f"steps of training in {self.world}: its weights are not finite; "
                "lower --planner.learning-rate"
            )

    def _collect(self) -> None:
        model = self.model
        model.collect_rollouts(
            model.env,
            callback=self.callback,
            train_freq=model.train_freq,
            replay_buffer=model.replay_buffer,
            learning_starts=model.learning_starts,
        )

    def _update(self) -> None:
        model = self.model
        if model.num_timesteps > model.learning_starts:
            model.train(model.gradient_steps, model.batch_size)

    def _evaluation_is_due(self) -> bool:
        """Whether training is over, or crossed a multiple of the interval, since the
        last evaluation."""
        steps = self.model.num_timesteps
        every = self.expert.evaluated_every
        if self._steps_are_used_up():
            return self.level.steps < steps
        return steps // every > self.level.steps // every

    def _take_in(self, level: Level) -> None:
        self.level = level
        if not self.expert.has_goals and level.mean_return >= self.best.mean_return:
            self.best = level
            self.best_policy = snapshot.arrays_of(self.model.policy.state_dict())

    def _is_finished(self) -> bool:
        if self._steps_are_used_up():
            return True
        return self.expert.has_goals and self.expert.are_reached(self.level)

    def _steps_are_used_up(self) -> bool:
        return self.model.num_timesteps >= self.expert.max_steps

    def _report(self) -> None:
        """Report how far training is; raises Interrupted once it is asked to stop."""
        detail = f"{self.level}" if self.level.steps else ""
        self.phase.update(self.model.num_timesteps, detail)


def measure(
    policy: BasePolicy,
    world: World,
    episodes: range,
    steps: int,
    report: Callable[[], None] = lambda: None,
) -> Level:
    """Let `policy` play `episodes` greedily."""

    def act(obs: np.ndarray) -> np.ndarray:
        return actions_of(policy, obs)

    return levels.measure(act, world, episodes, steps, report)


def acting(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights that act; critics and target networks are not kept."""
    return {name: array for name, array in weights.items() if name.startswith(ACTING)}
