"""Checks of what a planner returns, before it reaches the world or the buffer."""

from collections.abc import Iterable

import numpy as np

from curriculum.types import DECISION_PARTS, Decision, Spec

ROUNDING = 1e-6  # by how much rounding may carry a box action past its bounds
WEIGHT_ROUNDING = 1e-4  # by how much the sum of weights may differ from 1


class BrokenAnswer(ValueError):
    """A planner returned what is no action."""


def checked_decision(
    answer: object, spec: Spec, gives: tuple[str, ...], count: int, planner: str
) -> Decision:
    """Return what a planner decided for `count` rows, with the parts of a decision that
    it `gives`; actions as by `checked_actions`, all other numbers as float32.

    BrokenAnswer says which promise `planner` broke."""
    decision = answer
    if not isinstance(decision, Decision):
        decision = Decision(np.asarray(decision))
    action = checked_actions(np.asarray(decision.action), spec, count, planner)
    parts = {name: getattr(decision, name) for name in DECISION_PARTS}
    found = {name: part for name, part in parts.items() if part is not None}
    expected = {name for name in gives if name != "weights" or spec.actions}
    if found.keys() != expected:
        raise BrokenAnswer(
            f"{planner} must give {_listed(expected)} beside each action, as its "
            f"`gives` says, got {_listed(found)}"
        )
    checked = {
        name: _checked_part(name, np.asarray(part), spec, count, planner)
        for name, part in found.items()
    }
    fresh = None
    if decision.fresh is not None:
        fresh = np.asarray(decision.fresh)
        if fresh.shape != (count,) or fresh.dtype != bool:
            raise BrokenAnswer(
                f"{planner} must return fresh as {count} truth values, one for each "
                f"row, got shape {fresh.shape} of {fresh.dtype}"
            )
    return Decision(action, fresh=fresh, **checked)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _checked_part(
    name: str, part: np.ndarray, spec: Spec, count: int, planner: str
) -> np.ndarray:
    shape = (count, spec.actions) if name == "weights" else (count,)
    if part.shape != shape or not np.issubdtype(part.dtype, np.number):
        raise BrokenAnswer(
            f"{planner} must return {name} of shape {shape}, "
            f"got shape {part.shape} of {part.dtype}"
        )
    if name == "value":
        if not (part < np.inf).all():  # false for nan
            raise BrokenAnswer(
                f"{planner} must return values that are finite, or -inf where it knows "
                f"none, got {part[~(part < np.inf)][0]}"
            )
        return part.astype(np.float32)
    if not ((part >= 0) & (part < np.inf)).all():
        worst = part[~((part >= 0) & (part < np.inf))][0]
        raise BrokenAnswer(
            f"{planner} must return {name} that are finite and at least 0, "
            f"got {worst:.7g}"
        )
    if name == "weights":
        total = part.sum(-1)
        if not np.allclose(total, 1, rtol=0, atol=WEIGHT_ROUNDING):
            raise BrokenAnswer(
                f"{planner} must return weights whose sum is 1 in each row, "
                f"got {total[np.abs(total - 1).argmax()]:.7g}"
            )
    return part.astype(np.float32)


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
    lowest = action.min(initial=0)
    highest = action.max(initial=0)
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
