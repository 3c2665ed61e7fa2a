"""Training an expert with Stable-Baselines3 until it is good enough."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from curriculum.activity import Aborted, Interrupted, Phase, announce, phase
from curriculum.envs._base.door import Door
from curriculum.planners._expert import snapshot
from curriculum.planners._expert.model import build_model
from curriculum.planners._expert.policies import actions_of, isolated
from curriculum.planners._expert.progress import Progress
from curriculum.planners._expert.settings import ExpertSettings
from curriculum.planners._expert.vec_env import RowsEnv
from curriculum.types import State, World, stream

# steps after which an episode of a world without a time limit is stopped
FREE_RUN = 1_000
SAVE_EVERY = 30  # seconds between saves of the progress
# evaluations of a training without a goal, which only choose the best policy
EVALUATIONS_WITHOUT_GOAL = 20


class NotReached(ValueError):
    """Training has ended without an expert that is good enough."""


class Level(NamedTuple):
    """How good an expert was in an evaluation."""

    steps: int  # environment steps that it had been trained for
    mean_return: float
    success_rate: float | None  # None where the world does not report success

    def __str__(self) -> str:
        performance = f"a return of {self.mean_return:.4g} after {self.steps:,} steps"
        if self.success_rate is None:
            return performance
        return f"success {self.success_rate:.2f} and {performance}"


class Trained(NamedTuple):
    """A trained policy and its levels."""

    policy: BasePolicy
    reached: Level  # in the evaluation that ended training or was the best
    # on as many other episodes: chance helped to choose `reached`, this one is unbiased
    other_episodes: Level
    seconds: float  # of training, interruptions not included


def train(expert: ExpertSettings, world: World, folder: Path) -> Trained:
    """Train until an evaluation reaches the goals; without goals for `max_steps`, and
    choose the policy of the best evaluation.

    The progress is kept in `folder`: an interrupted training continues exactly. Raises
    NotReached where the goals are not reached."""
    announce(
        f"training {expert.name} in {world} {_goals(expert)}, "
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
        if not _reaches_goals(self.expert, self.level):
            raise NotReached(
                f"{self.expert.name} should train {_goals(self.expert)} in "
                f"{self.world}, but has {self.level}; "
                "raise --planner.max-steps, ask for less, or choose another planner"
            )
        reached = self.level
        if not _has_goals(self.expert):
            reached = self.best
            weights = snapshot.tensors_of(self.best_policy)
            self.model.policy.load_state_dict(weights)
        episodes = self.expert.eval_episodes
        others = self.measure(range(episodes, 2 * episodes))
        others = others._replace(steps=reached.steps)
        seconds = self.seconds + time.perf_counter() - self.began
        return Trained(self.model.policy, reached, others, seconds)

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
        every = self.expert.eval_every
        if not _has_goals(self.expert):
            every = max(every, self.expert.max_steps // EVALUATIONS_WITHOUT_GOAL)
        if self._steps_are_used_up():
            return self.level.steps < steps
        return steps // every > self.level.steps // every

    def _take_in(self, level: Level) -> None:
        self.level = level
        if not _has_goals(self.expert) and level.mean_return >= self.best.mean_return:
            self.best = level
            self.best_policy = snapshot.arrays_of(self.model.policy.state_dict())

    def _is_finished(self) -> bool:
        if self._steps_are_used_up():
            return True
        return _has_goals(self.expert) and _reaches_goals(self.expert, self.level)

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
    """Play `episodes` greedily; their random streams are used for nothing else.

    `report` is called after every step."""
    world = world.evaluated()
    generators = [stream(episode, "expert evaluation") for episode in episodes]
    with Door(world.rows(generators), ("expert evaluation",)) as door:
        obs = door.reset()
        playing = np.ones(door.rows.count, bool)
        reward = np.zeros(door.rows.count)
        success = np.zeros(door.rows.count, bool)
        for _ in range(world.max_steps or FREE_RUN):
            step = door.step(actions_of(policy, obs))
            reward += np.where(playing, step.reward, 0)
            success = np.where(playing, step.success, success)
            playing &= ~(step.terminated | step.truncated)
            obs = step.obs
            report()
            if not playing.any():
                break
            door.rest(~playing)
        reports_success = door.knows_success.any()
    success_rate = float(success.mean()) if reports_success else None
    return Level(steps, float(reward.mean()), success_rate)


def _has_goals(expert: ExpertSettings) -> bool:
    return expert.until_success > 0 or expert.until_return is not None


def _reaches_goals(expert: ExpertSettings, level: Level) -> bool:
    if expert.until_success and (level.success_rate or 0) < expert.until_success:
        return False
    return expert.until_return is None or level.mean_return >= expert.until_return


def _goals(expert: ExpertSettings) -> str:
    goals = []
    if expert.until_success:
        goals.append(f"success {expert.until_success:g}")
    if expert.until_return is not None:
        goals.append(f"a return of {expert.until_return:g}")
    if not goals:
        return "without a goal"
    return f"until {' and '.join(goals)}"
