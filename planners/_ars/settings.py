"""The settings of augmented random search."""

from dataclasses import dataclass
from typing import ClassVar

from curriculum.planners._expert.goals import Goals
from curriculum.types import within


@dataclass(kw_only=True)
class ARSSettings(Goals):
    """How the search moves, and the defaults of its goals."""

    max_steps: int = 1_000_000  # environment steps of the search at most
    eval_every: int = 50_000  # environment steps between evaluations
    eval_episodes: int = 20  # episodes of an evaluation, played without noise
    directions: int = 8  # tried in each iteration, an episode for each way
    best: int = 4  # directions that the policy steps along
    step_size: float = 0.02  # of the policy in an iteration
    noise: float = 0.025  # how far the policy is moved along a direction
    # subtracted from every reward in the search; the bonus for staying alive, where
    # there is one (1 in Hopper): otherwise standing still is learned first
    reward_offset: float = 0.0

    name: ClassVar[str] = "ars"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def check_ranges(self) -> None:
        super().check_ranges()
        infinity = float("inf")
        within(self, 1, infinity, "directions", "best")
        within(self, -infinity, infinity, "reward_offset")
        for name in ("step_size", "noise"):
            value = getattr(self, name)
            if not 0 < value < infinity:
                raise ValueError(f"{name} must be positive and finite, got {value:g}")
