"""Write a data set episode by episode, in the memory of one episode."""

import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from curriculum import files
from curriculum.data.dataset import COLUMNS, DataSet, checksum
from curriculum.data.manifest import ColumnFile, Manifest
from curriculum.types import Episode

HEADER = 128  # bytes before the numbers of a file


class Writer:
    """A data set that is being written, in a draft beside its folder.

        with Writer(Path("data/grid"), manifest) as writer:
            writer.add(episode)

    At the end of the context the draft becomes the folder; after an error it is
    removed."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """ValueError if there is something in `folder`."""
        if folder.exists():
            raise ValueError(f"{folder} exists; give another folder or remove it")
        self.folder = folder
        self.manifest = manifest
        self.draft = folder.with_name(f".draft-{folder.name}")
        shutil.rmtree(self.draft, ignore_errors=True)
        self.draft.mkdir(parents=True)
        self.columns: dict[str, _Column] = {}
        self.returns: list[float] = []

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
        self.returns.append(math.fsum(episode.reward.tolist()))

    def _column(self, name: str, values: np.ndarray) -> "_Column":
        if name not in self.columns:
            path = self.draft / f"{name}.npy"
            self.columns[name] = _Column(path, values.dtype, values.shape[1:])
        return self.columns[name]

    def finish(self) -> DataSet:
        """Write the manifest, put the draft in its place and open it."""
        if not self.returns:
            raise ValueError("there are no episodes; a data set has at least one")
        for name, column in self.columns.items():
            column.close()
            digest = checksum(column.path)
            shape = (column.count, *column.shape)
            self.manifest.columns[name] = ColumnFile(column.dtype.name, shape, digest)
        self.manifest.episodes = len(self.returns)
        self.manifest.transitions = self.columns["reward"].count
        self.manifest.returns = {
            "mean": float(np.mean(self.returns)),
            "std": float(np.std(self.returns)),
            "min": float(np.min(self.returns)),
            "max": float(np.max(self.returns)),
        }
        self.manifest.write(self.draft)
        self.draft.rename(self.folder)
        files.flush(self.folder.parent)
        return DataSet(self.folder)

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
            shutil.rmtree(self.draft, ignore_errors=True)


def write(folder: Path, episodes: Iterable[Episode], manifest: Manifest) -> DataSet:
    """Write a data set from a stream of episodes."""
    with Writer(folder, manifest) as writer:
        for episode in episodes:
            writer.add(episode)
    return DataSet(folder)


class _Column:
    """A `.npy` file that grows; its header is written when its length is known."""

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.path = path
        self.dtype = dtype
        self.shape = shape  # of one row
        self.count = 0
        self.file: BinaryIO = path.open("wb")
        self.file.write(bytes(HEADER))

    def append(self, values: np.ndarray) -> None:
        """Append rows [n, *shape]; ValueError for others."""
        if values.dtype != self.dtype or values.shape[1:] != self.shape:
            raise ValueError(
                f"{self.path.stem} of one step must be {self.dtype.name} "
                f"{list(self.shape)}, got {values.dtype.name} {list(values.shape[1:])}"
            )
        self.file.write(np.ascontiguousarray(values).tobytes())
        self.count += len(values)

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
