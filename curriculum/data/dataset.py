"""A data set: a folder of memory-mapped columns, one `.npy` file each, and
`manifest.json`.

Columns of N transitions in M episodes, all episodes one after another:

    obs         [R, *O] the T observations of an episode, then the one after its last
                step; of stacked frames, every image once: the first stack, then the
                newest image of each later one
    action      [N] int64, or [N, A] in [-1, 1]
    reward      [N]
    source      [N] uint8: who acted, an index into the manifest's `sources`
    length      [M] int64: transitions of each episode
    terminated  [M] bool: the episode truly ended
    truncated   [M] bool: it was cut short
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curriculum.data.manifest import Manifest
from curriculum.types import Episode

COLUMNS = ("obs", "action", "reward", "source", "length", "terminated", "truncated")


class Columns(NamedTuple):
    """The memory-mapped columns, read-only."""

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    source: np.ndarray
    length: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray


class DataSet:
    """An opened data set."""

    def __init__(self, folder: Path) -> None:
        """Map the columns of `folder`; ValueError says what is wrong with them.

        Their contents are not read: see `verify`."""
        self.folder = folder
        self.manifest = Manifest.read(folder)
        self.columns = Columns(*(self._map(name) for name in COLUMNS))
        # images of one observation, or 1
        self.stack = max(self.manifest.spec.frames, 1)
        self._check_lengths()
        lengths = self.columns.length
        ends = lengths.cumsum()
        self.first_step = ends - lengths  # [M] first transition of every episode
        # [M] first row of every episode in `obs`
        self.first_obs = self.first_step + self.stack * np.arange(len(lengths))

    def _map(self, name: str) -> np.ndarray:
        """One column, with the shape and type that the manifest says."""
        path = self.folder / f"{name}.npy"
        expected = self.manifest.columns.get(name)
        if expected is None:
            raise ValueError(f"{self.folder} has no column {name} in its manifest")
        try:
            column: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        if column.dtype.name != expected.dtype or column.shape != expected.shape:
            raise ValueError(
                f"{path} holds {column.dtype.name} {list(column.shape)}, its manifest "
                f"says {expected.dtype} {list(expected.shape)}"
            )
        return column

    def _check_lengths(self) -> None:
        columns = self.columns
        count = len(columns.length)
        # their sum could overflow
        longest = columns.length.max(initial=0)
        positive = columns.length.min(initial=1) >= 1
        if count == 0 or not positive or longest > self.transitions:
            raise ValueError(f"{self.folder}: episodes have impossible lengths")
        wanted = {
            "action": self.transitions,
            "source": self.transitions,
            "obs": self.transitions + count * self.stack,
            "terminated": count,
            "truncated": count,
        }
        for name, rows in wanted.items():
            found = len(getattr(columns, name))
            if found != rows:
                raise ValueError(f"{self.folder}: {name} has {found} rows, not {rows}")
        if int(columns.length.sum()) != self.transitions:
            raise ValueError(
                f"{self.folder}: the lengths of episodes add up to "
                f"{int(columns.length.sum())}, there are {self.transitions} transitions"
            )

    @property
    def transitions(self) -> int:
        """Transitions of all episodes, N."""
        return len(self.columns.reward)

    def __len__(self) -> int:
        """Episodes, M."""
        return len(self.columns.length)

    def obs_rows(self) -> np.ndarray:
        """Where in `obs` the observation of every transition begins, [N] int64; the
        next observation begins one row later."""
        steps = np.arange(self.transitions)
        shift = self.stack * np.arange(len(self))
        return steps + shift.repeat(self.columns.length)

    def episode(self, index: int) -> Episode:
        """One episode; its arrays are views of the files."""
        columns = self.columns
        length = int(columns.length[index])
        first = int(self.first_step[index])
        steps = slice(first, first + length)
        row = int(self.first_obs[index])
        obs = columns.obs[row : row + length + self.stack]
        if self.manifest.spec.frames:
            stacks = np.lib.stride_tricks.sliding_window_view(obs, self.stack, axis=0)
            obs = np.moveaxis(stacks, -1, 1)
        return Episode(
            observation=obs[:length],
            action=columns.action[steps],
            reward=columns.reward[steps],
            next_observation=obs[1 : length + 1],
            terminated=bool(columns.terminated[index]),
            truncated=bool(columns.truncated[index]),
            source=columns.source[steps],
        )

    def episodes(self, indices: Iterable[int] | None = None) -> Iterator[Episode]:
        """These episodes in this order, or all."""
        for index in range(len(self)) if indices is None else indices:
            yield self.episode(index)

    def returns(self) -> np.ndarray:
        """Undiscounted return of every episode, [M] float64."""
        rewards = np.asarray(self.columns.reward, np.float64)
        total: np.ndarray = np.add.reduceat(rewards, self.first_step)
        return total

    def verify(self) -> None:
        """Read every column and compare its checksum with the manifest's; ValueError
        names the first that differs."""
        for name, expected in self.manifest.columns.items():
            path = self.folder / f"{name}.npy"
            status = path.stat()
            found = _checksum_of(path, status.st_mtime_ns, status.st_size)
            if found != expected.sha256:
                raise ValueError(f"{path} is damaged: its checksum is another one")


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=64)
def _checksum_of(path: Path, modified_ns: int, size: int) -> str:
    """As `checksum`, computed once for a file that does not change."""
    return checksum(path)
