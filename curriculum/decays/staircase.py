"""Staircase decay: equal steps down at equal intervals, constant in between."""

from dataclasses import dataclass

from curriculum.types import Decay, within


@dataclass(kw_only=True)
class Staircase(Decay):
    """rate = initial + (final - initial) * min(floor(step / (duration / stairs)),
    stairs) / stairs"""

    initial: float = 1.0  # planning rate at step 0
    final: float = 0.0  # planning rate from `duration` on
    duration: int = 10_000  # environment steps of one seed until `final`
    stairs: int = 5  # number of steps down

    def __post_init__(self) -> None:
        within(self, 0, 1, "initial", "final")
        within(self, 1, float("inf"), "duration", "stairs")

    def rate(self, step: int) -> float:
        taken = min(step * self.stairs // self.duration, self.stairs)
        return self.initial + (self.final - self.initial) * taken / self.stairs
