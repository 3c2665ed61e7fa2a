"""Episode gate: a coin is tossed for every episode, and whoever wins it plays to the
end."""

from dataclasses import dataclass

import numpy as np

from curriculum.types import State


@dataclass(kw_only=True)
class Episode:
    """The planner plays a whole episode with probability `rate` (the rate when the
    episode begins)."""

    def planner_acts(
        self, rate: np.ndarray, time: np.ndarray, coin: np.ndarray
    ) -> np.ndarray:
        """See `curriculum.types.Gate`."""
        won = coin < rate[:, None]
        self.planner_plays = np.where(
            time == 0, won, getattr(self, "planner_plays", won)
        )
        return self.planner_plays

    def state(self) -> State:
        """Who plays the running episodes, [P, E]."""
        return (
            {"planner_plays": self.planner_plays}
            if hasattr(self, "planner_plays")
            else {}
        )

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        if state:
            self.planner_plays = state["planner_plays"].copy()
