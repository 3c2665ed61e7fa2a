"""Constant planning rate: the planner keeps its share for the whole run."""

from dataclasses import dataclass

import numpy as np

from curriculum.types import within


@dataclass(kw_only=True)
class Constant:
    """rate = value"""

    # planning rate: 0 the learner always acts, 1 the planner always does
    value: float = 0.5

    def __post_init__(self) -> None:
        within(self, 0, 1, "value")

    def rate(self, step: int, score: np.ndarray) -> np.ndarray:
        """See `curriculum.types.Decay`."""
        return np.full(len(score), self.value)
