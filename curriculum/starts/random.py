"""Random start: uniformly random actions fill the buffer before training begins."""

from dataclasses import dataclass
from typing import ClassVar

from curriculum.types import Planner, within


@dataclass(kw_only=True)
class Random:
    """Seed the buffer with random play; it costs no planner calls."""

    source: ClassVar[str] = "random"
    # transitions per seed, rounded up to a step of all its environments
    size: int = 10_000

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "size")

    def actor(self, planner: Planner, random: Planner) -> Planner:
        """See `curriculum.types.Start`."""
        return random
