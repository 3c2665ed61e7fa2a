"""Observations that are pictures, as stacks of the last few in grey, 84 x 84."""

from typing import Any, TypeGuard

import gymnasium as gym
import numpy as np

from curriculum.envs._base.pictures import SIDE, grey, shrink

SMALLEST_SIDE = 32  # pixels; smaller boxes are numbers
Keys = tuple[str | int, ...]


class PictureView:
    """Stacks [frames, 84, 84] uint8 of the last pictures, oldest first.

    Before the first picture of an episode the stack repeats it."""

    def __init__(self, space: gym.spaces.Box, keys: Keys, frames: int, env_id: str):
        """`keys` lead to the picture inside an observation; ValueError for a picture
        with other channels than grey or red, green and blue."""
        self.keys = keys
        self.frames = frames
        self.brightest = float(space.high.max())
        self.is_bytes = space.dtype == np.uint8
        shape = space.shape
        self.is_sequence = len(shape) == 4  # of pictures, the newest last
        channel_axis = _channel_axis(shape[-3:])
        if channel_axis is None:
            raise ValueError(
                f"{env_id} shows pictures {shape}, but pictures must be [height, "
                "width], [height, width, 1 or 3] or [channels, height, width]: "
                "register it with a wrapper that shows one of these"
            )
        self.channel_axis = channel_axis
        self.box: gym.spaces.Box = gym.spaces.Box(
            0, 255, (frames, SIDE, SIDE), np.uint8
        )

    def __call__(self, observation: Any) -> np.ndarray:
        """The stack at the beginning of an episode, a new array."""
        return np.repeat(self._picture(observation)[None], self.frames, 0)

    def write(self, observation: Any, out: np.ndarray) -> None:
        """Append the picture of the next step to the stack `out`."""
        out[:-1] = out[1:].copy()
        out[-1] = self._picture(observation)

    def _picture(self, observation: Any) -> np.ndarray:
        """The newest picture [84, 84] in an observation."""
        picture = observation
        for key in self.keys:
            picture = picture[key]
        picture = np.asarray(picture)
        if self.is_sequence:
            picture = picture[-1]
        if not self.is_bytes:
            share = (picture / self.brightest).clip(0, 1)
            picture = np.rint(255 * share).astype(np.uint8)
        if picture.ndim == 3:
            picture = np.moveaxis(picture, self.channel_axis, -1)
            # a stack of grey pictures in the place of colours: the newest
            is_colour = picture.shape[-1] == 3
            picture = grey(picture) if is_colour else picture[..., -1]
        if picture.shape == (SIDE, SIDE):
            return picture
        return shrink(picture)


def is_picture(space: gym.Space) -> TypeGuard[gym.spaces.Box]:
    """Whether a space holds pictures: bytes, or numbers from 0 to 1 or to 255, with two
    sides of 32 or more."""
    if not isinstance(space, gym.spaces.Box) or not 2 <= len(space.shape) <= 4:
        return False
    if sum(side >= SMALLEST_SIDE for side in space.shape) < 2:
        return False
    if space.dtype == np.uint8:
        return True
    low = np.unique(space.low)
    high = np.unique(space.high)
    return low.size == high.size == 1 and low[0] == 0 and high[0] in (1, 255)


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    """The axis of the channels of a picture; 0 where it has none, None where it cannot
    be told."""
    if len(shape) == 2:
        return 0
    height_first = min(shape[:2]) >= SMALLEST_SIDE
    if height_first and shape[2] in (1, 3):
        return 2
    if not height_first and min(shape[1:]) >= SMALLEST_SIDE:
        return 0
    return None
