"""NumPy archive: one array for each column, all episodes one after another.

It is written with the arrays `observation`, `action`, `reward`, `next_observation`,
`terminated`, `truncated`, `episode` (its number), `source` where it is known, and
`manifest`, bytes of JSON. Other names that are read are those of `NAMES` in
`_flat/columns.py`: `observations`, `dones` and so on. Nothing is unpickled.
"""

import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curriculum import files
from curriculum.formats._episodes import notes
from curriculum.formats._episodes.damage import readable
from curriculum.formats._flat.arrays import (
    Drafts,
    StoredArray,
    row_bytes,
    rows_of_blocks,
)
from curriculum.formats._flat.blocks import Block, episodes
from curriculum.formats._flat.columns import check_rows, conformed, found
from curriculum.formats._flat.rows import rows_of
from curriculum.types import Episode, Format


@dataclass(kw_only=True)
class NPZ(Format):
    """A compressed .npz file."""

    # time limit of the world, of use where the file does not say which episodes were
    # cut short; 0: none
    max_steps: int = 0

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def metadata(self, path: Path) -> dict[str, Any]:
        with readable(path), zipfile.ZipFile(path) as archive:
            found(_names(archive))
            if "manifest.npy" not in archive.namelist():
                return {}
            with archive.open("manifest.npy") as file:
                stored = StoredArray(file, "manifest")
                return notes.kept(stored.all().astype(np.uint8).tobytes())

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        with readable(path), zipfile.ZipFile(path) as archive:
            yield from episodes(_blocks(archive), report, self.max_steps)

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        note = np.frombuffer(notes.written(manifest), np.uint8)
        with (
            tempfile.TemporaryDirectory(dir=path.parent) as folder,
            Drafts(Path(folder)) as drafts,
            files.replacing(path) as draft,
        ):
            for columns in rows_of(episodes):
                drafts.append(columns)
            drafts.append({"manifest": note})
            _write_archive(draft, drafts)


def _names(archive: zipfile.ZipFile) -> list[str]:
    """The arrays of an archive."""
    names = archive.namelist()
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _blocks(archive: zipfile.ZipFile) -> Iterator[Block]:
    """Blocks of rows of all columns."""
    with ExitStack() as stack:
        arrays = {}
        for column, name in found(_names(archive)).items():
            file = stack.enter_context(archive.open(f"{name}.npy"))
            arrays[column] = StoredArray(file, name)
        shapes = {array.name: array.shape for array in arrays.values()}
        kinds = {array.name: array.dtype for array in arrays.values()}
        rows = check_rows(shapes, kinds)
        largest = max(row_bytes(a.shape, a.dtype) for a in arrays.values())
        for count in rows_of_blocks(largest, rows):
            block = {column: array.rows(count) for column, array in arrays.items()}
            yield conformed(block)


def _write_archive(path: Path, drafts: Drafts) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in drafts.files:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                drafts.write(name, file)
