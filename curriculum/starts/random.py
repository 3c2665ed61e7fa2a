"""Random start: uniformly random actions fill the buffer before training begins."""

from dataclasses import dataclass

from curriculum.types import Buffer, Collector, Start, within


@dataclass(kw_only=True)
class Random(Start):
    """Fill the buffer with random play, without planner calls."""

    # transitions per seed, rounded up to a step of all its environments
    size: int = 10_000

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "size")

    def fill(self, collector: Collector, buffer: Buffer) -> None:
        collector.play_random(self.size)
