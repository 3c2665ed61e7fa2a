"""Exponential decay: the rate halves every `half_life` steps, down to a cutoff."""

from dataclasses import dataclass

from curriculum.types import Decay, within


@dataclass(kw_only=True)
class Exponential(Decay):
    """rate = initial * 0.5 ** (step / half_life), and 0 below `cutoff`"""

    initial: float = 1.0  # planning rate at step 0
    half_life: float = 2_000.0  # environment steps of one seed in which the rate halves
    cutoff: float = 0.01  # rates below this are 0: the learner acts alone

    def __post_init__(self) -> None:
        within(self, 0, 1, "initial", "cutoff")
        within(self, 1e-9, float("inf"), "half_life")

    def rate(self, step: int) -> float:
        rate = self.initial * 0.5 ** (step / self.half_life)
        return rate if rate >= self.cutoff else 0.0
