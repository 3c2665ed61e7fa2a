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
    # share of its actions that are replaced by random ones, box actions: standard
    # deviation of added noise; its own actions stay as labels, which show the way back
    # from mistakes (DART: Laskey et al. 2017, arXiv 1703.09327)
    noise: float = 0.0

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "size")
        within(self, 0, 1, "noise")

    def fill(self, collector: Collector, buffer: Buffer) -> None:
        collector.play_planner(self.size, self.noise)
