"""Conversion of this package's actions, discrete or a box in [-1, 1], to those that an
environment takes.

Parts of dictionaries and tuples are laid side by side. Where all parts are discrete,
every combination of them is one discrete action: they are counted like the digits of a
number, the last part fastest."""

import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from curriculum.envs._base.actions import scale_actions

MOST_COMBINATIONS = 1_000


class ActionConverter:
    """Converts actions [n], or [n, A] in [-1, 1], to those of one environment.

    Raises ValueError for a space with an unbounded part, with discrete parts beside
    boxes, or with too many combinations."""

    def __init__(self, space: gym.Space, env_id: str):
        self.env_space: Any = space
        self.parts = list(_parts(space))
        self.sizes: list[int] = []  # choices of each digit, of discrete parts
        self.space: spaces.Discrete | spaces.Box  # of this package
        if all(_is_finite(part) for part in self.parts):
            self.sizes = [size for part in self.parts for size in _sizes(part)]
            count = math.prod(self.sizes)
            if count > MOST_COMBINATIONS and not isinstance(space, spaces.Discrete):
                raise ValueError(
                    f"{env_id} takes actions in {space}, which are {count:,} "
                    f"combinations, but at most {MOST_COMBINATIONS:,} can be learned "
                    "as discrete actions: register it with a wrapper that offers fewer"
                )
            self.space = spaces.Discrete(count)
        elif all(_is_bounded_box(part) for part in self.parts):
            low = np.concatenate([part.low.ravel() for part in self.parts])
            high = np.concatenate([part.high.ravel() for part in self.parts])
            self.space = spaces.Box(
                low.astype(np.float32), high.astype(np.float32), dtype=np.float32
            )
        else:
            raise ValueError(
                f"{env_id} takes actions in {space}, but they must be discrete in all "
                "parts, or numbers with finite bounds in all parts"
            )

    def __call__(self, action: np.ndarray) -> Any:
        """Convert actions to a sequence of n."""
        if isinstance(self.env_space, spaces.Discrete):
            return (action + int(self.env_space.start)).tolist()
        if isinstance(self.space, spaces.Discrete):
            digits = np.stack(np.unravel_index(action, self.sizes), -1)
            return [self._combined(row) for row in digits]
        scaled = scale_actions(action, self.space)
        if isinstance(self.env_space, spaces.Box):
            shape = (-1, *self.env_space.shape)
            return scaled.astype(self.env_space.dtype).reshape(shape)
        return [self._combined(row) for row in scaled]

    def _combined(self, numbers: np.ndarray) -> Any:
        """The action that consists of these digits or numbers."""
        values = []
        for part in self.parts:
            count = math.prod(part.shape or ())
            values.append(_value(part, numbers[:count]))
            numbers = numbers[count:]
        return _nested(self.env_space, iter(values))

    def index(self, action: Any) -> int:
        """The discrete action that is converted to `action`."""
        values = _values(self.env_space, action)
        digits = [
            np.ravel(value) - _start(part)
            for part, value in zip(self.parts, values, strict=True)
        ]
        return int(np.ravel_multi_index(np.concatenate(digits), self.sizes))


def _parts(space: gym.Space) -> Iterator[Any]:
    """The spaces inside dictionaries and tuples."""
    if isinstance(space, spaces.Dict):
        for part in space.spaces.values():
            yield from _parts(part)
    elif isinstance(space, spaces.Tuple):
        for part in space.spaces:
            yield from _parts(part)
    else:
        yield space


def _values(space: gym.Space, action: Any) -> Iterator[Any]:
    """The values of the parts of an action."""
    if isinstance(space, spaces.Dict):
        for name, part in space.spaces.items():
            yield from _values(part, action[name])
    elif isinstance(space, spaces.Tuple):
        for part, value in zip(space.spaces, action, strict=True):
            yield from _values(part, value)
    else:
        yield action


def _nested(space: gym.Space, values: Iterator[Any]) -> Any:
    """Put the values of all parts back into dictionaries and tuples."""
    if isinstance(space, spaces.Dict):
        return {name: _nested(part, values) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nested(part, values) for part in space.spaces)
    return next(values)


def _is_finite(part: gym.Space) -> bool:
    """Whether a part has finitely many values that digits can count."""
    if isinstance(part, spaces.Box):
        return part.is_bounded() and np.issubdtype(part.dtype, np.integer)
    return isinstance(part, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)


def _is_bounded_box(part: gym.Space) -> bool:
    return (
        isinstance(part, spaces.Box)
        and part.is_bounded()
        and np.issubdtype(part.dtype, np.floating)
    )


def _sizes(part: Any) -> list[int]:
    """The number of choices of each digit of a discrete part."""
    if isinstance(part, spaces.Discrete):
        return [int(part.n)]
    if isinstance(part, spaces.MultiDiscrete):
        return [int(choices) for choices in part.nvec.ravel()]
    if isinstance(part, spaces.MultiBinary):
        return [2] * math.prod(part.shape)
    lowest = part.low.ravel().tolist()
    highest = part.high.ravel().tolist()
    return [int(high) - int(low) + 1 for low, high in zip(lowest, highest, strict=True)]


def _start(part: Any) -> Any:
    """The values that stand for the digit 0."""
    if isinstance(part, spaces.MultiBinary):
        return 0
    if isinstance(part, spaces.Box):
        return part.low.ravel().astype(np.int64)
    return np.ravel(part.start)


def _value(part: Any, numbers: np.ndarray) -> Any:
    """A part's value with these digits or numbers."""
    if isinstance(part, spaces.Discrete):
        return int(numbers[0] + part.start)
    if _is_finite(part):
        numbers = numbers + _start(part)
    return numbers.reshape(part.shape).astype(part.dtype)
