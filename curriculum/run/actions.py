"""Checks of what a planner returns, before it reaches the world or the buffer."""

import numpy as np

from curriculum.types import Spec

ROUNDING = 1e-6  # by how much rounding may carry a box action past its bounds


class BrokenAnswer(ValueError):
    """A planner returned what is no action."""


def checked_actions(
    action: np.ndarray, spec: Spec, count: int, planner: str
) -> np.ndarray:
    """Return the actions of a planner for `count` rows, box actions as float32 within
    [-1, 1].

    BrokenAnswer says which promise `planner` broke."""
    if spec.actions:
        _check_discrete(action, spec.actions, count, planner)
        return action
    _check_box(action, spec.action_size, count, planner)
    return action.clip(-1, 1).astype(np.float32)


def _check_discrete(action: np.ndarray, actions: int, count: int, planner: str) -> None:
    if action.shape != (count,) or not np.issubdtype(action.dtype, np.integer):
        raise BrokenAnswer(
            f"{planner} must return {count} whole numbers, "
            "one for each row it is given, "
            f"got shape {action.shape} of {action.dtype}"
        )
    lowest = action.min()
    highest = action.max()
    if lowest < 0 or highest >= actions:
        raise BrokenAnswer(
            f"{planner} must choose actions 0 to {actions - 1}, "
            f"got {lowest} to {highest}"
        )


def _check_box(action: np.ndarray, size: int, count: int, planner: str) -> None:
    shape = (count, size)
    if action.shape != shape or not np.issubdtype(action.dtype, np.floating):
        raise BrokenAnswer(
            f"{planner} must return floating numbers of shape {shape}, "
            "an action for each row it is given, "
            f"got shape {action.shape} of {action.dtype}"
        )
    within_bounds = np.abs(action) <= 1 + ROUNDING  # false for nan
    if not within_bounds.all():
        raise BrokenAnswer(
            f"{planner} must choose actions between -1 and 1, "
            "which are scaled to the world's bounds later, "
            f"got {action.min():.7g} to {action.max():.7g}"
        )
