"""Rolling statistics of collection: recent episodes, visited cells, who acted."""

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from curriculum.replay.buffer import SOURCE
from curriculum.replay.layout import Transition
from curriculum.types import State

WINDOW = 100  # finished episodes of a seed that the averages span


class FinishedEpisode(NamedTuple):
    """What one episode brought."""

    reward: float
    length: int
    success: bool


class Ledger:
    """Follows P seeds of E rows each, in a world with `cells` (height, width), or (0,)
    where it has none."""

    def __init__(self, seeds: int, rows: int, cells: tuple[int, ...]):
        # of the running episodes, [P, E]
        self.returns = np.zeros((seeds, rows))
        self.lengths = np.zeros((seeds, rows), np.int64)
        self.windows: list[deque[FinishedEpisode]] = []
        for _ in range(seeds):
            self.windows.append(deque(maxlen=WINDOW))
        self.episodes = np.zeros(seeds, np.int64)  # finished
        # environment step of the first success
        self.first_success = np.full(seeds, np.nan)
        # since the last report: actions of the planner, and all actions
        self.planner_actions = np.zeros(seeds, np.int64)
        self.actions = np.zeros(seeds, np.int64)
        self.visits = np.zeros((seeds, *cells), np.int64)
        # [P, 1] where the cells of each seed begin once all are flattened
        self.first_cell = np.arange(seeds)[:, None] * math.prod(cells)

    def add(self, step: int, transition: Transition, success: np.ndarray) -> None:
        """Add one step of all rows, taken at environment step `step`."""
        self.planner_actions += (transition.source == SOURCE["planner"]).sum(1)
        self.actions += transition.source.shape[1]
        self.returns += transition.reward
        self.lengths += 1
        over = transition.terminated | transition.truncated
        if over.any():
            self._finish(step, over, success)

    def _finish(self, step: int, over: np.ndarray, success: np.ndarray) -> None:
        """Take in the episodes that are over in the rows of a mask [P, E]."""
        seeds, rows = over.nonzero()
        for seed, reward, length, succeeded in zip(
            seeds.tolist(),
            self.returns[seeds, rows].tolist(),
            self.lengths[seeds, rows].tolist(),
            success[seeds, rows].tolist(),
            strict=True,
        ):
            self.windows[seed].append(FinishedEpisode(reward, length, succeeded))
        self.episodes += over.sum(1)
        first = (over & success).any(1) & np.isnan(self.first_success)
        self.first_success[first] = step
        self.returns[over] = 0
        self.lengths[over] = 0

    def visit(self, cell: np.ndarray) -> None:
        """Count the cells [P, E] in which the rows stand."""
        places = cell + self.first_cell
        np.add.at(self.visits.reshape(-1), places.reshape(-1), 1)

    def values(self, knows_success: np.ndarray | bool = True) -> dict[str, np.ndarray]:
        """Averages over the window, [P] each; restarts the count of who acted.

        `knows_success` [P]: seeds whose world reports success."""
        means = np.array([_means(window) for window in self.windows])
        reward, length, success = means.T
        success = np.where(knows_success, success, np.nan)
        share = self.planner_actions / np.maximum(self.actions, 1)
        self.planner_actions[:] = 0
        self.actions[:] = 0
        return {
            "rollout/ep_rew_mean": reward,
            "rollout/ep_len_mean": length,
            "rollout/success_rate": success,
            "rollout/episodes": self.episodes.copy(),
            "rollout/first_success_step": self.first_success.copy(),
            "curriculum/expert_action_share": share,
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "returns": self.returns,
            "lengths": self.lengths,
            "episodes": self.episodes,
            "first_success": self.first_success,
            "planner_actions": self.planner_actions,
            "actions": self.actions,
            "visits": self.visits,
        }

    def state(self) -> State:
        windows = []
        for window in self.windows:
            windows.append([list(episode) for episode in window])
        return {**self._arrays(), "windows": windows}

    def load(self, state: State) -> None:
        for name, array in self._arrays().items():
            array[:] = state[name]
        for window, saved in zip(self.windows, state["windows"], strict=True):
            window.clear()
            window.extend(FinishedEpisode(*episode) for episode in saved)


def _means(window: deque[FinishedEpisode]) -> np.ndarray:
    """Mean reward, length and success of episodes; nan without any."""
    if not window:
        return np.full(len(FinishedEpisode._fields), np.nan)
    return np.mean(window, axis=0)
