"""Episode gate: a coin flip for every episode decides who acts until it ends."""

from dataclasses import dataclass

import numpy as np

from curriculum.types import Gate, Moment, State


@dataclass(kw_only=True)
class Episode(Gate):
    """The planner plays a whole episode with probability `rate`, taken when the episode
    begins."""

    def __post_init__(self) -> None:
        # who plays the running episodes, [P, E]; None before the first step
        self.planner_plays: np.ndarray | None = None

    def planner_acts(self, moment: Moment) -> np.ndarray:
        heads = moment.coin < moment.rate[:, None]
        if self.planner_plays is None:
            self.planner_plays = heads
        self.planner_plays = np.where(moment.age == 0, heads, self.planner_plays)
        return self.planner_plays

    def state(self) -> State:
        if self.planner_plays is None:
            return {}
        return {"planner_plays": self.planner_plays}

    def load(self, state: State) -> None:
        if state:
            self.planner_plays = state["planner_plays"].copy()
