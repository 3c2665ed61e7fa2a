"""Conversion between Gymnasium's spaces and this package's: observations are flat
float32 numbers, actions are discrete or a flat box in [-1, 1]."""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import gymnasium as gym
import numpy as np
from gymnasium.spaces import utils

from curriculum.envs._base.actions import scale_actions

IMAGE_SIDE = 32  # uint8 boxes with two sides of this many pixels or more are images
Keys = tuple[str | int, ...]


class Part(NamedTuple):
    """A space inside dictionaries and tuples."""

    keys: Keys  # that lead to it
    columns: slice  # its numbers in the flat observation
    space: gym.Space


class FlatView:
    """Observations of a space as flat float32 numbers [O]: parts of a dictionary in
    order of their names, discrete parts one-hot."""

    def __init__(self, space: gym.Space, env_id: str, largest_code: int | None = None):
        """`largest_code` bounds uint8 boxes that hold codes; ValueError for a space
        that cannot be flattened."""
        self.text_parts: list[str] = []  # left out of the observation
        self.parts: list[Part] = []
        lows = []
        highs = []
        start = 0
        for keys, space_part in _parts(space):
            if getattr(space_part.dtype, "kind", "") == "U":
                self.text_parts.append(".".join(map(str, keys)))
                continue
            _check(space_part, space, env_id)
            low, high = _bounds(space_part, largest_code)
            columns = slice(start, start + low.size)
            start = columns.stop
            self.parts.append(Part(keys, columns, space_part))
            lows.append(low)
            highs.append(high)
        if not self.parts:
            raise ValueError(f"{env_id} shows nothing but text: {space}")
        self.box: gym.spaces.Box = gym.spaces.Box(
            np.concatenate(lows), np.concatenate(highs), dtype=np.float32
        )

    def __call__(self, observation: Any) -> np.ndarray:
        """Flatten one observation to a new array [O]."""
        out = np.empty(self.box.shape, np.float32)
        self.write(observation, out)
        return out

    def write(self, observation: Any, out: np.ndarray) -> None:
        """Flatten one observation into `out` [O]."""
        for keys, columns, space in self.parts:
            value = observation
            for key in keys:
                value = value[key]
            if not isinstance(space, gym.spaces.Box):
                out[columns] = utils.flatten(space, value)
            elif len(space.shape) == 1:
                out[columns] = value
            else:
                out[columns] = np.ravel(value)


class ActionConverter:
    """Converts actions of this package to those that an environment takes.

    Raises ValueError for spaces that are neither discrete nor a bounded box."""

    def __init__(self, space: gym.Space, env_id: str):
        self.env_space: Any = space
        self.space: gym.spaces.Discrete | gym.spaces.Box  # of this package
        if isinstance(space, gym.spaces.Discrete):
            self.space = gym.spaces.Discrete(int(space.n))
        elif _is_bounded_box(space):
            low = space.low.ravel()
            high = space.high.ravel()
            self.space = gym.spaces.Box(low, high, dtype=np.float32)
        else:
            raise ValueError(
                f"{env_id} takes actions in {space}, but they must be discrete or "
                "a box of numbers with finite bounds"
            )

    def __call__(self, action: np.ndarray) -> Any:
        """Convert actions [n], or [n, A] in [-1, 1], to a sequence of n."""
        if isinstance(self.env_space, gym.spaces.Discrete):
            return (action + int(self.env_space.start)).tolist()
        scaled = scale_actions(action, self.space).astype(self.env_space.dtype)
        return scaled.reshape(-1, *self.env_space.shape)


def _is_bounded_box(space: gym.Space) -> TypeGuard[gym.spaces.Box]:
    return (
        isinstance(space, gym.spaces.Box)
        and space.is_bounded()
        and np.issubdtype(space.dtype, np.floating)
    )


def _parts(space: gym.Space, keys: Keys = ()) -> Iterator[tuple[Keys, gym.Space]]:
    """The spaces inside dictionaries and tuples, with the keys that lead to them."""
    if isinstance(space, gym.spaces.Dict):
        for name, part in space.spaces.items():
            yield from _parts(part, (*keys, name))
    elif isinstance(space, gym.spaces.Tuple):
        for index, part in enumerate(space.spaces):
            yield from _parts(part, (*keys, index))
    else:
        yield keys, space


def _bounds(
    space: gym.Space, largest_code: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a flattened space, float32."""
    box: Any = utils.flatten_space(space)
    with np.errstate(over="ignore"):  # bounds beyond float32 become infinite
        low = box.low.astype(np.float32)
        high = box.high.astype(np.float32)
    if largest_code and space.dtype == np.uint8:
        high[:] = largest_code
    return low, high


def _check(part: gym.Space, space: gym.Space, env_id: str) -> None:
    if not part.is_np_flattenable:
        raise ValueError(
            f"{env_id} shows {space}, but observations must be boxes, discrete, or "
            "dicts and tuples of them"
        )
    long_sides = [side for side in part.shape or () if side >= IMAGE_SIDE]
    if part.dtype == np.uint8 and len(long_sides) > 1:
        raise ValueError(
            f"{env_id} shows pictures {part.shape}, but observations must be flat "
            "here: choose an id or options that show numbers, or --env atari for "
            "Atari games"
        )
