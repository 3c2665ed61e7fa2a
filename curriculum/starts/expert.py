"""Expert start: the planner fills the buffer before training begins."""

from dataclasses import dataclass
from typing import ClassVar

from curriculum.types import Planner, within


@dataclass(kw_only=True)
class Expert:
    """Seed the buffer with what the planner does; its calls are counted."""

    source: ClassVar[str] = "expert"
    # transitions per seed, rounded up to a step of all its environments
    size: int = 10_000

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "size")

    def actor(self, planner: Planner, random: Planner) -> Planner:
        """See `curriculum.types.Start`."""
        return planner
