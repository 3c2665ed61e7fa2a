"""The ledger of collection: returns, lengths and successes of recent episodes, visits,
who acted."""

from collections import deque

import numpy as np

from curriculum.replay.buffer import SOURCE
from curriculum.replay.layout import Transition
from curriculum.types import State

WINDOW = 100  # finished episodes of a seed that the averages span


class Rollout:
    """Watches P seeds of E rows each."""

    def __init__(
        self, seeds: int, rows: int, cells: tuple[int, ...], has_success: bool = True
    ):
        self.has_success = has_success
        self.returns, self.lengths = (
            np.zeros((seeds, rows)),
            np.zeros((seeds, rows), np.int64),
        )
        self.windows: list[deque] = [deque(maxlen=WINDOW) for _ in range(seeds)]
        self.episodes = np.zeros(seeds, np.int64)  # finished
        # environment step of the first success
        self.first_success = np.full(seeds, np.nan)
        # steps the planner chose, steps in all, since the last report
        self.acted = np.zeros((2, seeds), np.int64)
        self.visits = np.zeros((seeds, *cells), np.int64)

    def add(self, step: int, transition: Transition, success: np.ndarray) -> None:
        """Take in one step of all rows, taken at environment step `step`."""
        self.acted[0] += (transition.source == SOURCE["planner"]).sum(1)
        self.acted[1] += transition.source.shape[1]
        self.returns += transition.reward
        self.lengths += 1
        over = transition.terminated | transition.truncated
        for p, e in zip(*np.nonzero(over), strict=True):
            self.windows[p].append(
                (
                    float(self.returns[p, e]),
                    int(self.lengths[p, e]),
                    bool(success[p, e]),
                )
            )
        self.episodes += over.sum(1)
        succeeded = (over & success).any(1) & np.isnan(self.first_success)
        self.first_success[succeeded] = step
        self.returns[over], self.lengths[over] = 0, 0

    def visit(self, cell: np.ndarray) -> None:
        """Count the cells [P, E] in which the rows stand."""
        counts = self.visits.reshape(len(cell), -1)
        np.add.at(counts, (np.arange(len(cell))[:, None], cell), 1)

    def values(self) -> dict[str, np.ndarray]:
        """Averages over the window, [P] each; starts a new count of who acted."""
        # [P, 3]
        means = np.array(
            [np.mean(w, axis=0) if w else [np.nan] * 3 for w in self.windows]
        )
        share = self.acted[0] / np.maximum(self.acted[1], 1)
        self.acted[:] = 0
        return {
            "rollout/ep_rew_mean": means[:, 0],
            "rollout/ep_len_mean": means[:, 1],
            "rollout/success_rate": means[:, 2]
            if self.has_success
            else np.full(len(means), np.nan),
            "rollout/episodes": self.episodes.copy(),
            "rollout/first_success_step": self.first_success.copy(),
            "curriculum/expert_action_share": share,
        }

    def state(self) -> State:
        """Everything needed to go on exactly from here."""
        arrays = {
            name: getattr(self, name)
            for name in (
                "returns",
                "lengths",
                "episodes",
                "first_success",
                "acted",
                "visits",
            )
        }
        return arrays | {
            "windows": [
                [list(episode) for episode in window] for window in self.windows
            ]
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        for name in (
            "returns",
            "lengths",
            "episodes",
            "first_success",
            "acted",
            "visits",
        ):
            getattr(self, name)[:] = state[name]
        self.windows = [
            deque((tuple(e) for e in window), maxlen=WINDOW)
            for window in state["windows"]
        ]
