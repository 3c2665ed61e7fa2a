"""Horizon gate: the planner begins every episode and the learner finishes it.

The roll-in of JSRL (Uchendu et al. 2023, arXiv 2204.02372): the guide takes the first h
steps, h = rate * steps.
"""

from dataclasses import dataclass

import numpy as np

from curriculum.types import Gate, Moment, within


@dataclass(kw_only=True)
class Horizon(Gate):
    """The planner takes the first round(rate * steps) steps of an episode, and all of
    them at rate 1."""

    # episode length that rate 1 stands for: about as long as the planner's episodes
    steps: int = 20

    def __post_init__(self) -> None:
        within(self, 1, float("inf"), "steps")

    def planner_acts(self, moment: Moment) -> np.ndarray:
        horizon = np.rint(moment.rate * self.steps)
        whole_episode = moment.rate >= 1
        return (moment.age < horizon[:, None]) | whole_episode[:, None]
