"""Plans that are carried from one decision to the next."""

import numpy as np

from curriculum.types import Rows, State

NEVER = -2  # a step that no row takes


class Plans:
    """The last plan of every row: actions for the next H steps, at first all 0."""

    def __init__(self, rows: Rows, actions: np.ndarray):
        """Start from `actions`, zeros [N, H] or [N, H, A]."""
        assert len(actions) == rows.count
        self.rows = rows
        self.actions = actions
        # steps of the episode that had been taken when the plan was made
        self.time = np.zeros(rows.count, np.int64)  # [N]
        # last step of the episode that was taken as planned
        self.followed = np.full(rows.count, NEVER)  # [N]

    def goes_on(self, rows: np.ndarray, steps: int) -> np.ndarray:
        """Rows [n] bool whose plan was made less than `steps` steps ago and was
        followed in every step since."""
        time = self.rows.time[rows]
        passed = time - self.time[rows]
        return (passed > 0) & (passed < steps) & (self.followed[rows] == time - 1)

    def follow(self, rows: np.ndarray) -> None:
        """Note that these rows take the step that was planned."""
        self.followed[rows] = self.rows.time[rows]

    def drop(self, rows: np.ndarray) -> None:
        """Note that these rows did not take the step that was planned."""
        self.followed[rows] = NEVER

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
        return {
            "plan": self.actions.copy(),
            "time": self.time.copy(),
            "followed": self.followed.copy(),
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.actions = state["plan"].copy()
        self.time = state["time"].copy()
        # checkpoints of former versions follow no plans
        self.followed = state.get("followed", np.full(len(self.time), NEVER)).copy()
