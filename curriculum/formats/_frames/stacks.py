"""Stacks of pictures and the single pictures they are made of."""

import numpy as np

from curriculum.formats._episodes.check import Damaged
from curriculum.types import Episode


def stacked(pictures: np.ndarray, stack: int, known: int = 1) -> np.ndarray:
    """Observations [n, stack, height, width], views of pictures [n + known - 1, ...],
    the first of which shows `known` pictures; those before them are black."""
    black = np.zeros((stack - known, *pictures.shape[1:]), np.uint8)
    padded = np.concatenate([black, pictures])
    views = np.lib.stride_tricks.sliding_window_view(padded, stack, axis=0)
    return np.moveaxis(views, -1, 1)


def pictures_of(episode: Episode) -> np.ndarray:
    """The newest picture of every observation, [T + 1, height, width]; Damaged where
    the others are not those before."""
    first = episode.observation[0]
    if first.ndim != 3 or first.dtype != np.uint8 or episode.action.ndim != 1:
        raise Damaged(
            "this format stores stacks of grey pictures and discrete actions, got "
            f"observations {first.dtype} {list(first.shape)} and "
            f"actions {episode.action.dtype}"
        )
    newest = episode.observation[:, -1]
    pictures = np.concatenate([newest, episode.next_observation[-1:, -1]])
    rebuilt = stacked(pictures, len(first))
    same = (rebuilt[:-1] == episode.observation).all(axis=(1, 2, 3))
    if not same.all() or (rebuilt[-1] != episode.next_observation[-1]).any():
        raise Damaged("its observations are not stacks of the pictures before")
    return pictures
