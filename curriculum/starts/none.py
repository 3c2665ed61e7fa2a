"""No start: training begins with an empty buffer."""

from dataclasses import dataclass
from typing import ClassVar

from curriculum.types import Planner


@dataclass(kw_only=True)
class Empty:
    """Seed the buffer with nothing."""

    source: ClassVar[str] = "random"
    size: ClassVar[int] = 0

    def actor(self, planner: Planner, random: Planner) -> Planner:
        """Never asked to act."""
        return random
