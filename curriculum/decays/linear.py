"""Linear decay: the rate falls by the same amount in every environment step."""

from dataclasses import dataclass

from curriculum.types import Decay, within


@dataclass(kw_only=True)
class Linear(Decay):
    """rate = initial + (final - initial) * min(step / duration, 1)"""

    initial: float = 1.0  # planning rate at step 0
    final: float = 0.0  # planning rate from `duration` on
    duration: int = 10_000  # environment steps of one seed until `final`

    def __post_init__(self) -> None:
        within(self, 0, 1, "initial", "final")
        within(self, 1, float("inf"), "duration")

    def rate(self, step: int) -> float:
        progress = min(step / self.duration, 1.0)
        return self.initial + (self.final - self.initial) * progress
