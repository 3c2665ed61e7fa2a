"""Observations as an environment gives them, restored from the flat numbers of
`FlatView`, which loses nothing but text."""

from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._gym.spaces import FlatView, Part


def native_space(view: FlatView) -> gym.Space:
    """The space of an environment's observations, without text."""
    if not view.parts[0].keys:
        return view.parts[0].space
    return _as_space(_nested(view, lambda part: part.space))


def native_observations(view: FlatView, flat: np.ndarray) -> Any:
    """Restore observations [n, O]: arrays with n in front, in a dictionary where the
    environment gives one; the entries of a tuple are named by their index."""
    if not view.parts[0].keys:
        return native_part(view.parts[0], flat)
    return _nested(view, lambda part: native_part(part, flat))


def native_part(part: Part, flat: np.ndarray) -> np.ndarray:
    """Restore one part of observations [n, O], [n, ...]."""
    space: Any = part.space
    numbers = flat[:, part.columns]
    if isinstance(space, gym.spaces.Discrete):
        return numbers.argmax(-1) + int(space.start)
    if isinstance(space, gym.spaces.MultiDiscrete):
        ends = np.cumsum(space.nvec.ravel())[:-1]
        chosen = [one_hot.argmax(-1) for one_hot in np.split(numbers, ends, axis=-1)]
        restored = np.stack(chosen, -1).reshape(-1, *space.shape)
        return (restored + space.start).astype(space.dtype)
    return numbers.reshape(-1, *space.shape).astype(space.dtype)


def _as_space(value: Any) -> gym.Space:
    """The space of nested dictionaries of spaces."""
    if not isinstance(value, dict):
        return value
    return gym.spaces.Dict({key: _as_space(inner) for key, inner in value.items()})


def _nested(view: FlatView, value_of: Any) -> dict[str, Any]:
    """A value for every part, in dictionaries as the parts are."""
    nested: dict[str, Any] = {}
    for part in view.parts:
        *outer, last = map(str, part.keys)
        inner = nested
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[last] = value_of(part)
    return nested
