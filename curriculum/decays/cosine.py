"""Cosine decay: slow at both ends, fastest half way (Loshchilov and Hutter 2017, arXiv
1608.03983, eq. 5)."""

from dataclasses import dataclass
from math import cos, pi

import numpy as np

from curriculum.types import within


@dataclass(kw_only=True)
class Cosine:
    """rate = final + (initial - final) * (1 + cos(pi * min(step / duration, 1))) / 2"""

    initial: float = 1.0  # planning rate at step 0
    final: float = 0.0  # planning rate from `duration` on
    duration: int = 10_000  # environment steps of one seed until `final`

    def __post_init__(self) -> None:
        within(self, 0, 1, "initial", "final")
        within(self, 1, float("inf"), "duration")

    def rate(self, step: int, score: np.ndarray) -> np.ndarray:
        """See `curriculum.types.Decay`."""
        half_wave = (1 + cos(pi * min(step / self.duration, 1.0))) / 2
        return np.full(len(score), self.final + (self.initial - self.final) * half_wave)
