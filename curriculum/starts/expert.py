"""Expert start: the planner fills the buffer before training begins."""

from dataclasses import dataclass
from typing import ClassVar

from curriculum.types import Buffer, Collector, Start, within


@dataclass(kw_only=True)
class Expert(Start):
    """Fill the buffer with the planner's actions; its calls are counted."""

    asks_planner: ClassVar[bool] = True

    # transitions per seed, rounded up to a step of all its environments
    size: int = 10_000

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "size")

    def fill(self, collector: Collector, buffer: Buffer) -> None:
        collector.play_planner(self.size)
