"""Plans that are carried from one decision to the next."""

import numpy as np

from curriculum.types import Rows, State


class Plans:
    """The last plan of every row: actions for the next H steps, at first all 0."""

    def __init__(self, rows: Rows, actions: np.ndarray):
        """Start from `actions`, zeros [N, H] or [N, H, A]."""
        assert len(actions) == rows.count
        self.rows = rows
        self.actions = actions
        # steps of the episode that had been taken when the plan was made
        self.time = np.zeros(rows.count, np.int64)  # [N]

    def left(self, rows: np.ndarray, hold_last: bool = False) -> np.ndarray:
        """What is left of the plans [n, H] or [n, H, A] after the steps taken since.

        Steps beyond the plan are 0, or with `hold_last` repeat its last action. All are
        0 where a new episode has begun since."""
        time = self.rows.time[rows]
        passed = time - self.time[rows]
        new_episode = (passed < 0) | (time == 0)  # [n]
        passed[new_episode] = 0
        last = self.actions.shape[1] - 1
        step = passed[:, None] + np.arange(last + 1)  # [n, H]
        left = self.actions[rows[:, None], np.minimum(step, last)]
        left[new_episode] = 0
        if not hold_last:
            left[step > last] = 0
        return left

    def keep(self, rows: np.ndarray, actions: np.ndarray) -> None:
        """Replace the plans of these rows by `actions` [n, H] or [n, H, A]."""
        self.actions[rows] = actions
        self.time[rows] = self.rows.time[rows]

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {"plan": self.actions.copy(), "time": self.time.copy()}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.actions = state["plan"].copy()
        self.time = state["time"].copy()
