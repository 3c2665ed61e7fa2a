"""The settings of every expert that is trained and kept: how good, how long, where."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from curriculum.planners._expert.levels import Level
from curriculum.types import Rows, World, within

# evaluations of a training without a goal, which only choose the best policy
EVALUATIONS_WITHOUT_GOAL = 20


class Trained(NamedTuple):
    """A trained policy and its levels."""

    weights: dict[str, np.ndarray]  # that act
    reached: Level  # in the evaluation that ended training or was the best
    # on as many other episodes: chance helped to choose `reached`, this one is unbiased
    other_episodes: Level
    seconds: float  # of training, interruptions not included


@dataclass(kw_only=True)
class Goals:
    """When training ends, and where the expert is kept."""

    # training stops at the first evaluation with this success rate; 0: no such goal
    until_success: float = 0.0
    # training stops at the first evaluation with this mean return; None: no such goal
    until_return: float | None = None
    # maximum environment steps of training; a goal not reached by then is an error;
    # without a goal the best policy of all evaluations is kept
    max_steps: int = 200_000
    # environment steps between evaluations; with fewer, training stops closer to the
    # goal; without a goal there are at most 20
    eval_every: int = 1_000
    eval_episodes: int = 100  # episodes of an evaluation, played greedily
    seed: int = 0  # of training
    # folder of trained experts; an expert with the same settings is found there again
    cache: str = "runs/experts"

    name: ClassVar[str]  # the flag
    libraries: ClassVar[tuple[str, ...]]  # whose versions decide what training gives

    def check(self, world: World) -> None:
        """Raise ValueError where the settings or the world do not fit."""
        self.check_ranges()
        if self.until_success and not world.has_success:
            raise ValueError(
                f"{world} does not report success; "
                "set a return as the goal instead: --planner.until-return"
            )

    def train(self, world: World, folder: Path) -> Trained:
        """Train in `world`; an interrupted training is continued from `folder`.

        Raises NotReached where the goals are not reached."""
        raise NotImplementedError

    def restore(self, weights: dict[str, np.ndarray], rows: Rows) -> Any:
        """The policy with these weights, in the world of `rows`; raises
        `storage.Damaged` where they do not fit."""
        raise NotImplementedError

    def check_ranges(self) -> None:
        """Raise ValueError where a field is out of range."""
        infinity = float("inf")
        within(self, 0, 1, "until_success")
        within(self, 1, infinity, "max_steps", "eval_every", "eval_episodes")
        within(self, 0, 2**32 - 1, "seed")
        if self.until_return is not None and math.isnan(self.until_return):
            raise ValueError("until_return must be a number, got nan")

    @property
    def has_goals(self) -> bool:
        """Whether training stops before `max_steps` where the expert is good enough."""
        return self.until_success > 0 or self.until_return is not None

    @property
    def evaluated_every(self) -> int:
        """Environment steps between evaluations."""
        if self.has_goals:
            return self.eval_every
        return max(self.eval_every, self.max_steps // EVALUATIONS_WITHOUT_GOAL)

    def are_reached(self, level: Level) -> bool:
        """Whether an expert is good enough; always without goals."""
        if self.until_success and (level.success_rate or 0) < self.until_success:
            return False
        return self.until_return is None or level.mean_return >= self.until_return

    def described(self) -> str:
        """The goals in words."""
        goals = []
        if self.until_success:
            goals.append(f"success {self.until_success:g}")
        if self.until_return is not None:
            goals.append(f"a return of {self.until_return:g}")
        if not goals:
            return "without a goal"
        return f"until {' and '.join(goals)}"

    def missed(self, world: World, level: Level) -> str:
        """The sentence about a training that has ended below its goals."""
        return (
            f"{self.name} should train {self.described()} in {world}, but has {level}; "
            "raise --planner.max-steps, ask for less, or choose another planner"
        )
