"""Gymnasium's spaces as this package has them: observations flat float32 numbers,
actions discrete or a flat box."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import utils

PICTURE = 32  # pixels a side from which on bytes are a picture


class View:
    """A space's values as flat float32 numbers: one-hot what is discrete, parts of a
    dictionary by name."""

    def __init__(self, space: gym.Space, env_id: str, code: int | None = None):
        """`code` is the largest number in boxes of bytes that hold codes; ValueError
        where there is no such view."""
        self.dropped: list[str] = []  # parts that are text
        # keys that lead to it, its numbers, its space
        self.parts: list[tuple[tuple[Any, ...], slice, gym.Space]] = []
        bounds = [np.zeros((2, 0), np.float32)]
        for keys, part in _parts(space):
            if getattr(part.dtype, "kind", "") == "U":
                self.dropped.append(".".join(map(str, keys)))
                continue
            _check(part, space, env_id)
            box: Any = utils.flatten_space(part)
            with np.errstate(over="ignore"):  # bounds beyond float32 are none
                bound = np.stack([box.low, box.high]).astype(np.float32)
            if code and part.dtype == np.uint8:
                bound[1] = code
            at = sum(b.shape[1] for b in bounds)
            self.parts.append((keys, slice(at, at + bound.shape[1]), part))
            bounds.append(bound)
        if not self.parts:
            raise ValueError(f"{env_id} shows nothing but text: {space}")
        self.box = gym.spaces.Box(*np.concatenate(bounds, 1), dtype=np.float32)

    def __call__(self, value: Any) -> np.ndarray:
        """One observation [O] float32."""
        out = np.empty(self.box.shape, np.float32)
        self.write(value, out)
        return out

    def write(self, value: Any, out: np.ndarray) -> None:
        """Put one observation into `out` [O]."""
        for keys, where, space in self.parts:
            part = value
            for key in keys:
                part = part[key]
            if isinstance(space, gym.spaces.Box):
                out[where] = part if len(space.shape) == 1 else np.ravel(part)
            else:
                out[where] = utils.flatten(space, part)


def _parts(
    space: gym.Space, keys: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], gym.Space]]:
    """The spaces inside dictionaries and tuples, and the keys that lead to them."""
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        inner = space.spaces
        for key, part in inner.items() if isinstance(inner, dict) else enumerate(inner):
            yield from _parts(part, (*keys, key))
    else:
        yield keys, space


def _check(part: gym.Space, space: gym.Space, env_id: str) -> None:
    if not part.is_np_flattenable:
        raise ValueError(
            f"{env_id} shows {space}, but observations must be boxes, discrete, or dicts and tuples of them"
        )
    if part.dtype == np.uint8 and sum(side >= PICTURE for side in part.shape or ()) > 1:
        raise ValueError(
            f"{env_id} shows pictures {part.shape}, but observations must be flat here: choose an id or options "
            "that show numbers, or --env atari for Atari games"
        )


def bounded(space: gym.Space, env_id: str) -> gym.spaces.Discrete | gym.spaces.Box:
    """Actions as worlds have them, discrete from 0 or a flat box; ValueError for all
    others."""
    if isinstance(space, gym.spaces.Discrete):
        return gym.spaces.Discrete(int(space.n))
    if (
        isinstance(space, gym.spaces.Box)
        and space.is_bounded()
        and np.issubdtype(space.dtype, np.floating)
    ):
        return gym.spaces.Box(space.low.ravel(), space.high.ravel(), dtype=np.float32)
    raise ValueError(
        f"{env_id} takes actions in {space}, but they must be discrete or a box of numbers with finite bounds"
    )
