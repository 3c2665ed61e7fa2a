"""Training an expert with Stable-Baselines3 until it is good enough."""

import sys
import time
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from curriculum.planners._expert.policies import actions_of, isolated
from curriculum.planners._expert.settings import ExpertSettings
from curriculum.planners._expert.vec_env import RowsEnv
from curriculum.types import World, stream

# steps after which an episode of a world without a time limit is stopped
FREE_RUN = 1_000
PAUSE = 10  # seconds between messages about the progress of training


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
    """A trained model and its levels."""

    model: OffPolicyAlgorithm
    reached: Level  # in the evaluation that ended training
    # on as many other episodes: chance helped to choose `reached`, this one is unbiased
    other_episodes: Level


def train(expert: ExpertSettings, world: World) -> Trained:
    """Train until an evaluation reaches the goals, or for `max_steps` without a goal.

    Raises ValueError where the goals are not reached."""
    goals = _goals(expert)
    print(
        f"training {expert.name} in {world} {goals}, "
        f"at most {expert.max_steps:,} steps",
        file=sys.stderr,
    )
    with isolated():
        generator = stream(expert.seed, f"{expert.name} expert")
        rows = world.rows([generator], expert.rows)
        model = build_model(expert, VecMonitor(RowsEnv(rows)))
        reached = _learn(expert, model, world)
        if not _reaches_goals(expert, reached):
            raise ValueError(
                f"{expert.name} should train {goals} in {world}, but has {reached}; "
                "raise --planner.max-steps, ask for less, or choose another planner"
            )
        others = range(expert.eval_episodes, 2 * expert.eval_episodes)
        other_episodes = measure(model.policy, world, others, reached.steps)
    return Trained(model, reached, other_episodes)


def measure(policy: BasePolicy, world: World, episodes: range, steps: int) -> Level:
    """Play `episodes` greedily; their random streams are used for nothing else."""
    world = world.evaluated()
    generators = [stream(episode, "expert evaluation") for episode in episodes]
    rows = world.rows(generators)
    obs = rows.reset()
    playing = np.ones(rows.count, bool)
    reward = np.zeros(rows.count)
    success = np.zeros(rows.count, bool)
    for _ in range(world.max_steps or FREE_RUN):
        step = rows.step(actions_of(policy, obs))
        reward += np.where(playing, step.reward, 0)
        success = np.where(playing, step.success, success)
        playing &= ~(step.terminated | step.truncated)
        obs = step.obs
        if not playing.any():
            break
        rows.rest(~playing)
    success_rate = float(success.mean()) if world.has_success else None
    return Level(steps, float(reward.mean()), success_rate)


def build_model(expert: ExpertSettings, env: VecEnv) -> OffPolicyAlgorithm:
    """An untrained model of the expert's algorithm."""
    space = env.observation_space
    images = len(space.shape or ()) == 3 and space.dtype == np.uint8
    if images and "CnnPolicy" not in expert.algorithm.policy_aliases:
        raise ValueError(f"{expert.name} has no network for images; choose sac or tqc")
    # gradient updates for one step of all rows, and steps of all rows between updates
    updates = expert.rows * expert.updates_per_step
    steps_between = max(1, round(1 / updates))
    own = expert.algorithm_settings()
    network = {"net_arch": list(expert.hidden), **own.pop("policy_kwargs", {})}
    model = expert.algorithm(
        "CnnPolicy" if images else "MlpPolicy",
        env,
        learning_rate=expert.learning_rate,
        buffer_size=max(min(expert.capacity, expert.max_steps), expert.rows),
        learning_starts=expert.learning_starts,
        batch_size=expert.batch_size,
        gamma=expert.discount,
        train_freq=steps_between,
        gradient_steps=max(1, round(updates * steps_between)),
        policy_kwargs=network,
        seed=expert.seed,
        device="cpu",
        **own,
    )
    # otherwise the library creates a folder for each model
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


class _StopAtGoals:
    """A callback that evaluates every `eval_every` steps and ends training when the
    goals are reached."""

    def __init__(self, expert: ExpertSettings, model: OffPolicyAlgorithm, world: World):
        self.expert = expert
        self.model = model
        self.world = world
        self.level = Level(0, -np.inf, None)
        self.reached = False
        self.last_message = time.perf_counter()

    def __call__(self, *_: Any) -> bool:
        """Whether to continue training."""
        every = self.expert.eval_every
        if self.model.num_timesteps // every > self.level.steps // every:
            self.level = self.evaluate()
            has_goals = _has_goals(self.expert)
            self.reached = has_goals and _reaches_goals(self.expert, self.level)
            if time.perf_counter() - self.last_message > PAUSE:
                print(f"{self.expert.name} has {self.level}", file=sys.stderr)
                self.last_message = time.perf_counter()
        return not self.reached

    def evaluate(self) -> Level:
        episodes = range(self.expert.eval_episodes)
        steps = self.model.num_timesteps
        return measure(self.model.policy, self.world, episodes, steps)


def _learn(expert: ExpertSettings, model: OffPolicyAlgorithm, world: World) -> Level:
    """Train; returns the level at the end."""
    callback = _StopAtGoals(expert, model, world)
    model.learn(expert.max_steps, callback=callback.__call__, log_interval=None)  # type: ignore[arg-type]
    if callback.reached:
        return callback.level
    return callback.evaluate()


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
