"""What a data set holds, in a few lines and as arrays for pictures."""

import numpy as np

from curriculum.data.dataset import DataSet

CHUNK = 4_096  # observations read at once
MOST_NUMBERS = 64  # of an observation; longer ones are projected at random


def metadata(data: DataSet) -> str:
    """Four lines: episodes, mean return, mean length and transitions."""
    return (
        f"Num Episodes: {len(data)}\n"
        f"Avg Episode Reward: {data.returns().mean():.2f}\n"
        f"Avg Episode Length: {data.columns.length.mean():.2f}\n"
        f"Total Transitions: {data.transitions}"
    )


def spread_evenly(data: DataSet, most: int) -> np.ndarray:
    """Indices of at most `most` transitions, evenly spread over all, in order."""
    count = min(most, data.transitions)
    return np.arange(count) * data.transitions // count


def observations(data: DataSet, steps: np.ndarray) -> np.ndarray:
    """The observations of transitions `steps` [n] as rows of numbers, [n, F] float32.

    Stacked frames are one row; long rows are projected to MOST_NUMBERS numbers, which
    keeps distances (Johnson and Lindenstrauss 1984)."""
    size = int(np.prod(data.manifest.spec.obs_shape))
    rows = data.obs_rows()[steps]
    parts = []
    directions = None
    if size > MOST_NUMBERS:
        rng = np.random.default_rng(0)
        drawn = rng.standard_normal((size, MOST_NUMBERS))
        directions = (drawn / np.sqrt(MOST_NUMBERS)).astype(np.float32)
    for first in range(0, len(rows), CHUNK):
        chunk = rows[first : first + CHUNK, None] + np.arange(data.stack)
        part = data.columns.obs[chunk].reshape(len(chunk), size).astype(np.float32)
        parts.append(part if directions is None else part @ directions)
    return np.concatenate(parts)


def episode_of(data: DataSet) -> np.ndarray:
    """The episode of every transition, [N]."""
    return np.arange(len(data)).repeat(data.columns.length)


def source_of_episodes(data: DataSet) -> np.ndarray:
    """Who acted most in every episode, [M]: an index into the manifest's sources."""
    count = len(data.manifest.sources)
    place = episode_of(data) * count + data.columns.source
    acted = np.bincount(place, minlength=len(data) * count)
    found: np.ndarray = acted.reshape(len(data), count).argmax(1)
    return found
