"""Flat arrays of consecutive episodes: split them, join them and check each episode."""

from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np

from curriculum.types import Episode

ARRAYS = ("observation", "action", "reward", "next_observation")  # of an episode
FLAGS = ("terminated", "truncated")
COLUMNS = (*ARRAYS, *FLAGS)
DTYPES = {
    "observation": ("float32", "float64", "uint8"),
    "action": ("int64", "float32"),
    "reward": ("float32",),
    "next_observation": ("float32", "float64", "uint8"),
}


def split(columns: dict[str, np.ndarray]) -> Iterator[Episode]:
    """Split `columns`, [N, ...] each, into checked episodes; an episode ends at a step
    that is terminated or truncated."""
    for name in COLUMNS:
        if columns[name].ndim == 0:
            raise ValueError(f"{name} must have an axis of steps, got one number")
    steps = len(columns["reward"])
    for name in COLUMNS:
        if len(columns[name]) != steps:
            raise ValueError(
                f"{name} has {len(columns[name])} steps, reward has {steps}"
            )
    for name in FLAGS:
        flag = columns[name]
        if flag.dtype != np.bool_ or flag.ndim != 1:
            raise ValueError(f"{name} must be bool [N], got {flag.dtype} {flag.shape}")
    terminated = columns["terminated"]
    truncated = columns["truncated"]
    begin = 0
    number = 0
    for end in np.flatnonzero(terminated | truncated) + 1:
        episode = Episode(
            observation=columns["observation"][begin:end],
            action=columns["action"][begin:end],
            reward=columns["reward"][begin:end],
            next_observation=columns["next_observation"][begin:end],
            terminated=bool(terminated[end - 1]),
            truncated=bool(truncated[end - 1]),
        )
        check(episode, number)
        yield episode
        begin = int(end)
        number += 1
    if begin < steps:
        _refuse(number, "no step is terminated or truncated, so it has no end")


def join(episodes: Iterable[Episode]) -> dict[str, np.ndarray]:
    """Join checked episodes to columns, [N, ...] each."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    for number, episode in enumerate(episodes):
        check(episode, number)
        for name in ARRAYS:
            part = getattr(episode, name)
            _check_alike(number, name, part, parts[name])
            parts[name].append(part)
        for name in FLAGS:
            flag = np.zeros(len(episode.reward), np.bool_)
            flag[-1] = getattr(episode, name)
            parts[name].append(flag)
    if not parts["reward"]:
        raise ValueError("there are no episodes; a data set has at least one")
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def check(episode: Episode, number: int) -> None:
    """Raise ValueError, which names the episode, unless its arrays fit together."""
    _check_shapes(episode, number)
    for name in ARRAYS:
        finite = np.isfinite(getattr(episode, name).reshape(len(episode.reward), -1))
        if not finite.all():
            step = np.flatnonzero(~finite.all(1))[0]
            _refuse(number, f"{name} is not finite at step {step}")
    if episode.action.ndim == 2 and np.abs(episode.action).max(initial=0) > 1:
        _refuse(number, "actions must be in [-1, 1]")
    continues = episode.next_observation[:-1] == episode.observation[1:]
    if not continues.all():
        broken = ~continues.reshape(len(continues), -1).all(1)
        step = np.flatnonzero(broken)[0]
        _refuse(number, f"step {step + 1} does not begin where step {step} ended")
    if not (episode.terminated or episode.truncated):
        _refuse(number, "it is neither terminated nor truncated, so it has no end")


def _check_shapes(episode: Episode, number: int) -> None:
    if episode.reward.ndim != 1 or len(episode.reward) == 0:
        _refuse(number, f"reward must be [T], T > 0, got {list(episode.reward.shape)}")
    for name, dtypes in DTYPES.items():
        array = getattr(episode, name)
        if array.dtype.name not in dtypes:
            _refuse(number, f"{name} must be {' or '.join(dtypes)}, got {array.dtype}")
        if array.ndim == 0 or len(array) != len(episode.reward):
            expected = f"one {name} for each of {len(episode.reward)} rewards"
            _refuse(number, f"there must be {expected}, got {list(array.shape)}")
    axes = 1 if episode.action.dtype == np.int64 else 2
    if episode.action.ndim != axes:
        _refuse(number, f"{episode.action.dtype} actions must have {axes} axes")
    _check_alike(
        number, "next_observation", episode.next_observation, [episode.observation]
    )


def _check_alike(
    number: int, name: str, array: np.ndarray, others: list[np.ndarray]
) -> None:
    """Refuse an array of another dtype, or of another shape of one step, than
    others."""
    if not others:
        return
    expected = f"{others[0].dtype} {list(others[0].shape[1:])}"
    found = f"{array.dtype} {list(array.shape[1:])}"
    if found != expected:
        _refuse(number, f"{name} of one step must be {expected}, got {found}")


def _refuse(number: int, message: str) -> NoReturn:
    raise ValueError(f"episode {number}: {message}")
