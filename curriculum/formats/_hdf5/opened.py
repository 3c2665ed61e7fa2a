"""Open HDF5 files that nobody vouches for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.formats._episodes.damage import need, readable

EXPANDED = 1_100  # a compressed byte becomes at most so many
SLACK = 2**20  # bytes that need not be stored


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file, whose errors are ValueErrors of one sentence."""
    need("h5py")
    import h5py

    with readable(path), h5py.File(path, "r") as file:
        yield file


def dataset(group: Any, name: str) -> Any:
    """A dataset of numbers; ValueError for one that lies in another file or claims more
    than the file can hold."""
    import h5py

    for part in _parents(name):
        link = group.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{part} is a link to somewhere else")
    found = group[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name} is no array")
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {found.dtype}, not numbers")
    if found.external or found.is_virtual:
        raise ValueError(f"{name} lies in another file")
    stored = found.id.get_storage_size()
    if found.nbytes > SLACK + EXPANDED * stored:
        raise ValueError(
            f"{name} claims {found.nbytes:,} bytes, and {stored:,} are there"
        )
    return found


def _parents(name: str) -> list[str]:
    """A name and the groups it lies in."""
    parts = name.split("/")
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def text(group: Any, name: str) -> bytes:
    """Bytes that are stored as numbers."""
    return np.asarray(dataset(group, name)[()], np.uint8).tobytes()
