"""Horizon gate: the planner opens every episode and the learner finishes it.

The roll-in of JSRL (Uchendu et al. 2023, arXiv 2204.02372): the guide takes the first h
steps, h = rate * steps.
"""

from dataclasses import dataclass

import numpy as np

from curriculum.types import within


@dataclass(kw_only=True)
class Horizon:
    """The planner takes the first round(rate * steps) steps of an episode; a rate of 1
    gives it the whole episode."""

    # episode length that rate 1 stands for: about as long as the planner's episodes
    steps: int = 20

    def __post_init__(self) -> None:
        within(self, 1, float("inf"), "steps")

    def planner_acts(
        self, rate: np.ndarray, time: np.ndarray, coin: np.ndarray
    ) -> np.ndarray:
        """See `curriculum.types.Gate`."""
        return (time < np.rint(rate * self.steps)[:, None]) | (rate >= 1)[:, None]
