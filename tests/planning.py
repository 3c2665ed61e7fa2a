"""Asking planners without a run."""

import numpy as np

from curriculum.types import Planner, action_of


def act(planner: Planner, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The actions of a planner, without what else it decides."""
    return action_of(planner.act(obs, rows))
