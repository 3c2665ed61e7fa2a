"""Check episodes: nothing that a file says about them is trusted."""

from collections.abc import Iterable, Iterator

import numpy as np

from curriculum.types import Episode

ARRAYS = ("observation", "action", "reward", "next_observation")
OBSERVATIONS = ("float32", "float64", "uint8", "int64")
DTYPES = {
    "observation": OBSERVATIONS,
    "action": ("int64", "float32", "float64"),
    "reward": ("float32", "float64"),
    "next_observation": OBSERVATIONS,
}
MOST_ACTIONS = 1_000_000  # discrete ones


class Damaged(ValueError):
    """An episode that is to be left out, and why."""


def check(episode: Episode) -> None:
    """Raise Damaged unless the arrays of an episode fit together."""
    _check_shapes(episode)
    for name in ARRAYS:
        _check_finite(name, getattr(episode, name))
    _check_actions(episode.action)
    _check_continues(episode)


def checked(episodes: Iterable[Episode]) -> Iterator[Episode]:
    """Pass on episodes that are to be written; ValueError names the first that is
    damaged or unlike those before."""
    first: Episode | None = None
    for number, episode in enumerate(episodes):
        try:
            check(episode)
            check_alike(episode, first or episode)
        except Damaged as error:
            raise ValueError(f"episode {number}: {error}") from None
        first = first or episode
        yield episode
    if first is None:
        raise ValueError("there are no episodes; a data set has at least one")


def check_alike(episode: Episode, first: Episode) -> None:
    """Raise Damaged where the arrays of one step have other dtypes or shapes than those
    of the first episode."""
    for name in ARRAYS:
        expected = _kind(getattr(first, name))
        found = _kind(getattr(episode, name))
        if found != expected:
            raise Damaged(f"{name} of one step must be {expected}, got {found}")


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape[1:])}"


def _check_shapes(episode: Episode) -> None:
    steps = len(episode.reward)
    if episode.reward.ndim != 1 or steps == 0:
        shape = list(episode.reward.shape)
        raise Damaged(f"reward must be [T], T > 0, got {shape}")
    for name, dtypes in DTYPES.items():
        array = getattr(episode, name)
        if array.dtype.name not in dtypes:
            raise Damaged(f"{name} must be {' or '.join(dtypes)}, got {array.dtype}")
        if array.ndim == 0 or len(array) != steps:
            shape = list(array.shape)
            raise Damaged(f"there must be one {name} for {steps} rewards, got {shape}")
    axes = 1 if episode.action.dtype == np.int64 else 2
    if episode.action.ndim != axes:
        raise Damaged(f"{episode.action.dtype} actions must have {axes} axes")
    expected = _kind(episode.observation)
    found = _kind(episode.next_observation)
    if found != expected:
        raise Damaged(f"next_observation of one step must be {expected}, got {found}")
    source = episode.source
    if source is not None and (source.dtype != np.uint8 or source.shape != (steps,)):
        raise Damaged(f"source must be uint8 [{steps}], got {source.dtype}")


def _check_finite(name: str, array: np.ndarray) -> None:
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        axes = tuple(range(1, finite.ndim))
        step = np.flatnonzero(~finite.all(axes))[0]
        raise Damaged(f"{name} is not finite at step {step}")


def _check_actions(action: np.ndarray) -> None:
    if action.ndim == 1:
        low = action.min()
        high = action.max()
        if low < 0 or high >= MOST_ACTIONS:
            bad = low if low < 0 else high
            raise Damaged(
                f"discrete actions must be 0 to {MOST_ACTIONS - 1:,}, got {bad}"
            )
    elif np.abs(action).max(initial=0) > 1:
        largest = np.abs(action).max()
        raise Damaged(f"actions must be in [-1, 1], got one of size {largest:g}")


def _check_continues(episode: Episode) -> None:
    after = episode.next_observation[:-1]
    following = episode.observation[1:]
    if after.size and after.__array_interface__ == following.__array_interface__:
        return  # the same memory
    continues = after == following
    if not continues.all():
        axes = tuple(range(1, continues.ndim))
        step = np.flatnonzero(~continues.all(axes))[0]
        raise Damaged(f"step {step + 1} does not begin where step {step} ended")
