"""Constant planning rate: the planner keeps its share for the whole run."""

from dataclasses import dataclass

from curriculum.types import Decay, within


@dataclass(kw_only=True)
class Constant(Decay):
    """rate = value"""

    # planning rate: 0 the learner always acts, 1 the planner always acts
    value: float = 0.5

    def __post_init__(self) -> None:
        within(self, 0, 1, "value")

    def rate(self, step: int) -> float:
        return self.value
