"""NumPy archive: one array for each column, all episodes one after another.

The arrays are `observation`, `action`, `reward`, `next_observation`, `terminated` and
`truncated`, and `manifest`, bytes of JSON. Nothing in the file is unpickled.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.formats._flat.columns import COLUMNS, join, split
from curriculum.types import Episode, Format

DAMAGE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(kw_only=True)
class NPZ(Format):
    """A compressed .npz file."""

    def read(self, path: Path) -> Iterator[Episode]:
        columns = _load(path)
        try:
            yield from split(columns)
        except ValueError as error:
            raise ValueError(f"data set {path}: {error}") from error

    def write(
        self, path: Path, episodes: Iterable[Episode], manifest: dict[str, Any]
    ) -> None:
        arrays: dict[str, Any] = dict(join(episodes))
        text = json.dumps(manifest).encode()
        arrays["manifest"] = np.frombuffer(text, np.uint8)
        draft = path.with_name(f"{path.name}.draft")
        with draft.open("wb") as file:
            np.savez_compressed(file, **arrays)
        os.replace(draft, path)


def _load(path: Path) -> dict[str, np.ndarray]:
    """The columns of a file."""
    if not path.is_file():
        raise ValueError(f"there is no data set {path}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in COLUMNS if name not in archive.files]
            if not missing:
                return {name: archive[name] for name in COLUMNS}
    except DAMAGE as error:
        raise ValueError(f"data set {path} cannot be read: {error}") from error
    raise ValueError(f"data set {path} has no array {', '.join(missing)}")
