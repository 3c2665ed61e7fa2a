"""HDF5 in the layout of D4RL (Fu et al. 2020, arXiv 2004.07219) or d3rlpy.

D4RL's datasets are `observations`, `actions`, `rewards`, `terminals` and, where the
file has them, `timeouts` and `next_observations`. We add `infos/episode`,
`infos/truncated`, `infos/source` and `metadata/manifest`. `timeouts` is also set where
a recording ends, so that no reader goes on into the next episode.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from curriculum import files
from curriculum.formats._episodes import notes
from curriculum.formats._episodes.damage import need
from curriculum.formats._flat.arrays import row_bytes, rows_of_blocks
from curriculum.formats._flat.blocks import Block, episodes
from curriculum.formats._flat.columns import NAMES, check_rows, conformed, found
from curriculum.formats._flat.rows import rows_of
from curriculum.formats._hdf5.appended import append_all
from curriculum.formats._hdf5.opened import dataset, opened, text
from curriculum.types import Episode, Format

WRITTEN = {  # column -> dataset; "timeouts" is made of the flags
    "observation": "observations",
    "action": "actions",
    "reward": "rewards",
    "next_observation": "next_observations",
    "terminated": "terminals",
    "truncated": "infos/truncated",
    "episode": "infos/episode",
    "source": "infos/source",
}
MANIFEST = "metadata/manifest"


@dataclass(kw_only=True)
class HDF5(Format):
    """An .hdf5 file in the layout of D4RL."""

    # time limit of the world, of use where the file has no timeouts; 0: none
    max_steps: int = 0

    suffixes: ClassVar[tuple[str, ...]] = (".hdf5", ".h5")

    def metadata(self, path: Path) -> dict[str, Any]:
        with opened(path) as file:
            return notes.kept(text(file, MANIFEST)) if MANIFEST in file else {}

    def read(self, path: Path, report: Callable[[str], None]) -> Iterator[Episode]:
        with opened(path) as file:
            blocks = _numbered(file) if "observations_0" in file else _blocks(file)
            yield from episodes(blocks, report, self.max_steps)

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        need("h5py")
        import h5py

        with files.replacing(path) as draft, h5py.File(draft, "w") as file:
            append_all(file, map(_named, rows_of(episodes)))
            file[MANIFEST] = np.frombuffer(notes.written(manifest), np.uint8)


def _named(columns: Block) -> dict[str, np.ndarray]:
    """The columns of an episode by the names of datasets."""
    out = {WRITTEN[name]: rows for name, rows in columns.items()}
    timeouts = columns["truncated"].copy()
    timeouts[-1] |= not columns["terminated"][-1]
    out["timeouts"] = timeouts
    return out


def _blocks(file: Any) -> Iterator[Block]:
    """Blocks of rows of D4RL's datasets."""
    names = {name for names in NAMES.values() for name in names if name in file}
    stored = {column: dataset(file, name) for column, name in found(names).items()}
    shapes = {array.name: array.shape for array in stored.values()}
    kinds = {array.name: array.dtype for array in stored.values()}
    rows = check_rows(shapes, kinds)
    largest = max(row_bytes(array.shape, array.dtype) for array in stored.values())
    begin = 0
    for count in rows_of_blocks(largest, rows):
        end = begin + count
        yield conformed({column: array[begin:end] for column, array in stored.items()})
        begin = end


def _numbered(file: Any) -> Iterator[Block]:
    """A block for each episode of d3rlpy, whose datasets are `observations_0`,
    `observations_1` and so on."""
    number = 0
    while f"observations_{number}" in file:
        columns = ("observation", "action", "reward")
        block = {name: dataset(file, f"{name}s_{number}")[()] for name in columns}
        block = conformed(block)
        steps = len(block["reward"])
        terminated = dataset(file, f"terminated_{number}")[()]
        block["terminated"][-1] = bool(terminated)
        block["episode"] = np.full(steps, number)
        yield block
        number += 1
