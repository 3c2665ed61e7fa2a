"""Advantage gate: the planner acts where the learner does not know what to do.

A learner is unsure where its best action is hardly better than the next one
(Torrey & Taylor 2013, AAMAS), or where its critics disagree (Da Silva et al. 2020,
AAAI). The planning rate stays the share of the planner's steps:
the gate chooses which steps these are.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from curriculum.types import Gate, Moment, State, among, within


@dataclass(kw_only=True)
class Advantage(Gate):
    """The planner takes the share `rate` of the steps in which the learner is least
    sure, among its recent ones."""

    needs_critic: ClassVar[bool] = True

    # margin: it is unsure where its best action is worth little more than the second
    # best, for discrete actions; disagreement: where its critics differ, of which it
    # must have several
    signal: Literal["margin", "disagreement"] = "margin"
    # recent steps of each seed among which a new one is ranked: few follow the learner
    # quickly, many rank exactly
    window: int = 1_000

    def __post_init__(self) -> None:
        among(self, "signal")
        within(self, 1, float("inf"), "window")
        # how sure the learner was in recent steps, [P, n], oldest first; None before
        # the first step
        self.recent: np.ndarray | None = None

    def planner_acts(self, moment: Moment) -> np.ndarray:
        sureness = self._sureness(moment)  # [P, E]
        if self.recent is None:
            self.recent = sureness[:, :0]
        below = self.recent[:, None] < sureness[:, :, None]  # [P, E, n]
        equal = self.recent[:, None] == sureness[:, :, None]
        # uniform in [0, 1): coins order the steps that are equal, itself included
        rank = below.sum(-1) + moment.coin * (equal.sum(-1) + 1)
        rank /= self.recent.shape[1] + 1
        longer = np.concatenate([self.recent, sureness], 1)
        self.recent = longer[:, -self.window :]
        return rank < moment.rate[:, None]

    def _sureness(self, moment: Moment) -> np.ndarray:
        if self.signal == "margin":
            return moment.learner.margin(moment.obs)
        return -moment.learner.disagreement(moment.obs)

    def state(self) -> State:
        return {} if self.recent is None else {"recent": self.recent}

    def load(self, state: State) -> None:
        if state:
            self.recent = state["recent"].copy()
