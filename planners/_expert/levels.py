"""How good an expert is, and whether that is good enough."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from curriculum.envs._base.door import Door
from curriculum.types import World, stream

# steps after which an episode of a world without a time limit is stopped
FREE_RUN = 1_000


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


def measure(
    act: Callable[[np.ndarray], np.ndarray],
    world: World,
    episodes: range,
    steps: int,
    report: Callable[[], None] = lambda: None,
) -> Level:
    """Play `episodes` with the actions [n] or [n, A] that `act` takes for observations
    [n, *O]; the random streams of the episodes are used for nothing else.

    `report` is called after every step."""
    world = world.evaluated()
    generators = [stream(episode, "expert evaluation") for episode in episodes]
    with Door(world.rows(generators), ("expert evaluation",)) as door:
        obs = door.reset()
        playing = np.ones(door.rows.count, bool)
        reward = np.zeros(door.rows.count)
        success = np.zeros(door.rows.count, bool)
        for _ in range(world.max_steps or FREE_RUN):
            step = door.step(act(obs))
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
