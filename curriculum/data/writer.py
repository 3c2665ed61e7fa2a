"""Write a data set episode by episode, in the memory of one episode."""

import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from curriculum import files
from curriculum.data.dataset import COLUMNS, DataSet, checksum
from curriculum.data.manifest import ColumnFile, Manifest
from curriculum.types import Episode

HEADER = 128  # bytes before the numbers of a file
SAVED = "saved.json"  # in a draft that can be continued
LOCK = ".lock"  # of the process that writes
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OSError)


def draft_of(folder: Path) -> Path:
    """Where a data set is written before it is complete."""
    return folder.with_name(f".draft-{folder.name}")


def require_free(folder: Path, origin: dict[str, Any] | None = None) -> None:
    """Raise ValueError if there is something in `folder`, or an unfinished data set of
    another origin in its place."""
    if folder.exists():
        raise ValueError(f"{folder} exists; give another folder or remove it")
    draft = draft_of(folder)
    if not (draft / SAVED).is_file():
        return
    found = _read_saved(draft)["origin"]
    if found != (origin or {}):
        raise ValueError(
            f"{draft} is unfinished and has other settings "
            f"({_differences(found, origin)}); "
            "repeat its command to go on, remove it, or choose another folder"
        )


def _read_saved(draft: Path) -> dict[str, Any]:
    """What `Writer.save` wrote last."""
    try:
        found = json.loads((draft / SAVED).read_text())
        parts = ("origin", "columns", "saved")
        return {name: dict(found[name]) for name in parts}
    except DAMAGE as error:
        raise _damaged(draft, error) from error


def _damaged(draft: Path, error: Exception) -> ValueError:
    return ValueError(
        f"the unfinished {draft} cannot be continued ({error}); remove it"
    )


class Writer:
    """A data set that is being written, in a draft beside its folder.

        with Writer(Path("data/grid"), manifest) as writer:
            writer.add(episode)

    At the end of the context the draft becomes the folder. After an error it is
    removed, unless `save` was called: a writer with the same `origin` continues it
    after the last call, and finds in `saved` what that was given."""

    def __init__(
        self, folder: Path, manifest: Manifest, origin: dict[str, Any] | None = None
    ) -> None:
        """ValueError if there is something in `folder`, or a draft of another origin.

        `origin` holds the settings that the data follow from, as JSON does."""
        require_free(folder, origin)
        self.folder = folder
        self.manifest = manifest
        self.origin = origin
        self.draft = draft_of(folder)
        self.columns: dict[str, _Column] = {}
        self.saved: dict[str, Any] = {}
        self.draft.mkdir(parents=True, exist_ok=True)
        if (self.draft / SAVED).is_file():
            self._continue()
        else:
            self._clear()

    def _clear(self) -> None:
        """Remove what a process left that was killed before it saved."""
        for path in self.draft.iterdir():
            if path.name != LOCK:
                path.unlink()

    def _continue(self) -> None:
        """Go on where `save` was called last."""
        found = _read_saved(self.draft)
        self.saved = found["saved"]
        try:
            for name, (dtype, shape, count) in found["columns"].items():
                path = self.draft / f"{name}.npy"
                column = _Column(path, np.dtype(dtype), tuple(shape), count)
                self.columns[name] = column
        except DAMAGE as error:
            raise _damaged(self.draft, error) from error

    def save(self, state: dict[str, Any]) -> None:
        """Make sure that a later writer can continue from here; `state`, which JSON can
        hold, becomes its `saved`."""
        for column in self.columns.values():
            column.flush()
        found = {
            "origin": self.origin or {},
            "columns": {
                name: (column.dtype.name, column.shape, column.count)
                for name, column in self.columns.items()
            },
            "saved": state,
        }
        files.write_text(self.draft / SAVED, json.dumps(found))

    def add(self, episode: Episode) -> None:
        """Append an episode."""
        length = len(episode.reward)
        source = episode.source
        if source is None:
            source = np.zeros(length, np.uint8)
        frames = self.manifest.spec.frames
        after = episode.next_observation[-1:]
        if frames:  # every image once
            first = episode.observation[0]
            newest = episode.next_observation[:, -1]
            obs = np.concatenate([first, newest])
        else:
            obs = np.concatenate([episode.observation, after])
        values = {
            "obs": obs,
            "action": episode.action,
            "reward": episode.reward,
            "source": source,
            "length": np.array([length], np.int64),
            "terminated": np.array([episode.terminated]),
            "truncated": np.array([episode.truncated]),
        }
        for name in COLUMNS:
            self._column(name, values[name]).append(values[name])

    def _column(self, name: str, values: np.ndarray) -> "_Column":
        if name not in self.columns:
            path = self.draft / f"{name}.npy"
            self.columns[name] = _Column(path, values.dtype, values.shape[1:])
        return self.columns[name]

    def finish(self) -> DataSet:
        """Write the manifest, put the draft in its place and open it."""
        if not self.columns:
            raise ValueError("there are no episodes; a data set has at least one")
        for name, column in self.columns.items():
            column.close()
            digest = checksum(column.path)
            shape = (column.count, *column.shape)
            self.manifest.columns[name] = ColumnFile(column.dtype.name, shape, digest)
        self.manifest.episodes = self.columns["length"].count
        self.manifest.transitions = self.columns["reward"].count
        self.manifest.returns = self._returns()
        self.manifest.write(self.draft)
        self.draft.rename(self.folder)
        for name in (SAVED, LOCK):  # not before: until then, it could be continued
            (self.folder / name).unlink(missing_ok=True)
        files.flush(self.folder.parent)
        return DataSet(self.folder)

    def _returns(self) -> dict[str, float]:
        """Mean, std, min and max of the undiscounted returns."""
        rewards = np.load(self.columns["reward"].path, mmap_mode="r")
        lengths = np.load(self.columns["length"].path)
        returns = []
        first = 0
        for length in lengths.tolist():
            returns.append(math.fsum(rewards[first : first + length].tolist()))
            first += length
        return {
            "mean": float(np.mean(returns)),
            "std": float(np.std(returns)),
            "min": float(np.min(returns)),
            "max": float(np.max(returns)),
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            for column in self.columns.values():
                column.file.close()
            if self.draft.exists() and not (self.draft / SAVED).exists():
                shutil.rmtree(self.draft)


def write(folder: Path, episodes: Iterable[Episode], manifest: Manifest) -> DataSet:
    """Write a data set from a stream of episodes."""
    with Writer(folder, manifest) as writer:
        for episode in episodes:
            writer.add(episode)
    return DataSet(folder)


def _differences(one: dict[str, Any], other: dict[str, Any] | None) -> str:
    """The settings that differ, as "name value, not value"."""
    if not other:
        return "they are those of another command"
    names = sorted({*one, *other})
    return ", ".join(
        f"{name} {one.get(name)}, not {other.get(name)}"
        for name in names
        if one.get(name) != other.get(name)
    )


class _Column:
    """A `.npy` file that grows; its header is written when its length is known."""

    def __init__(
        self, path: Path, dtype: np.dtype, shape: tuple[int, ...], count: int = 0
    ) -> None:
        """Begin a file, or continue one after `count` rows."""
        self.path = path
        self.dtype = dtype
        self.shape = shape  # of one row
        self.count = count
        self.file: BinaryIO = path.open("r+b" if count else "wb")
        if not count:
            self.file.write(bytes(HEADER))
            return
        size = HEADER + count * dtype.itemsize * math.prod(shape)
        if path.stat().st_size < size:
            raise ValueError(f"{path.name} is too short")
        self.file.truncate(size)
        self.file.seek(size)

    def append(self, values: np.ndarray) -> None:
        """Append rows [n, *shape]; ValueError for others."""
        if values.dtype != self.dtype or values.shape[1:] != self.shape:
            raise ValueError(
                f"{self.path.stem} of one step must be {self.dtype.name} "
                f"{list(self.shape)}, got {values.dtype.name} {list(values.shape[1:])}"
            )
        self.file.write(np.ascontiguousarray(values).data)
        self.count += len(values)

    def flush(self) -> None:
        """Make sure that what was appended is on the disk."""
        self.file.flush()
        files.flush(self.path)

    def close(self) -> None:
        """Write the header and make sure that the file is on the disk."""
        entries = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.count, *self.shape),
        }
        text = repr(entries).encode("latin1")
        magic = b"\x93NUMPY\x01\x00"
        size = HEADER - len(magic) - 2
        self.file.seek(0)
        self.file.write(magic + size.to_bytes(2, "little"))
        self.file.write(text.ljust(size - 1) + b"\n")
        self.file.close()
        files.flush(self.path)
