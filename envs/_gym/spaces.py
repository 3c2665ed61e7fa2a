"""Observations of Gymnasium's spaces as flat float32 numbers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.spaces import utils

from curriculum.envs._base.door import WorldError, converted
from curriculum.envs._gym.pictures import Keys


class Part(NamedTuple):
    """A space inside dictionaries and tuples."""

    keys: Keys  # that lead to it
    columns: slice  # its numbers in the flat observation
    space: gym.Space


class FlatView:
    """Observations of a space as flat float32 numbers [O]: parts of a dictionary in
    order of their names, discrete parts one-hot."""

    frames: int = 0  # not a stack of pictures

    def __init__(
        self, spaces: Mapping[Keys, gym.Space], env_id: str, largest_code: int | None
    ):
        """`spaces` are the parts by the keys that lead to them. `largest_code` bounds
        uint8 boxes that hold codes; ValueError for a space that cannot be flattened."""
        self.parts: list[Part] = []
        lows = []
        highs = []
        start = 0
        for keys, space in spaces.items():
            if not space.is_np_flattenable:
                raise ValueError(
                    f"{env_id} shows {space}, but observations must be boxes, "
                    "discrete, or dicts and tuples of them"
                )
            low, high = _bounds(space, largest_code)
            columns = slice(start, start + low.size)
            start = columns.stop
            self.parts.append(Part(keys, columns, space))
            lows.append(low)
            highs.append(high)
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
            if isinstance(space, gym.spaces.Box):
                out[columns] = _flat_box(value, space, keys)
            elif isinstance(space, gym.spaces.Discrete):
                out[columns] = 0
                out[columns.start + _index(value, space)] = 1
            else:
                out[columns] = utils.flatten(space, value)


def _flat_box(value: Any, space: gym.spaces.Box, keys: Keys) -> np.ndarray:
    """The numbers of a box; axes of length 1 may differ from those declared."""
    array = np.asarray(value)
    if array.shape != space.shape:
        part = f" {'.'.join(map(str, keys))}" if keys else ""
        array = converted(f"observation{part}", array, space.shape, array.dtype)
    return array.ravel()


def _index(value: Any, space: gym.spaces.Discrete) -> int:
    """The position of a discrete observation."""
    index = np.asarray(value).item() - int(space.start)
    if index != int(index) or not 0 <= index < space.n:
        raise WorldError(f"observation {value!r} is not in {space}")
    return int(index)


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
