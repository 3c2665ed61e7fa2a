"""Cosine decay: slow at both ends, fastest half way (Loshchilov & Hutter 2017).

SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv 1608.03983, eq. 5, applied
to the planning rate.
"""

from dataclasses import dataclass
from math import cos, pi

from curriculum.types import Decay, within


@dataclass(kw_only=True)
class Cosine(Decay):
    """rate = final + (initial - final) * (1 + cos(pi * min(step / duration, 1))) / 2"""

    initial: float = 1.0  # planning rate at step 0
    final: float = 0.0  # planning rate from `duration` on
    duration: int = 10_000  # environment steps of one seed until `final`

    def __post_init__(self) -> None:
        within(self, 0, 1, "initial", "final")
        within(self, 1, float("inf"), "duration")

    def rate(self, step: int) -> float:
        progress = min(step / self.duration, 1.0)
        half_wave = (1 + cos(pi * progress)) / 2
        return self.final + (self.initial - self.final) * half_wave
