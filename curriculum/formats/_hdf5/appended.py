"""Write columns of an HDF5 file that grow."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

CHUNK = 2**18  # bytes
BATCH = 2**23  # bytes that are written at once


def append_all(file: Any, parts: Iterable[dict[str, np.ndarray]]) -> None:
    """Append rows to compressed datasets, which are made when they first come."""
    for columns in _batches(parts):
        for name, rows in columns.items():
            if name not in file:
                _create(file, name, rows)
            stored = file[name]
            begin = len(stored)
            stored.resize(begin + len(rows), 0)
            stored[begin:] = rows


def _create(file: Any, name: str, rows: np.ndarray) -> None:
    row = max(1, rows[:1].nbytes)
    file.create_dataset(
        name,
        shape=(0, *rows.shape[1:]),
        maxshape=(None, *rows.shape[1:]),
        chunks=(max(1, CHUNK // row), *rows.shape[1:]),
        dtype=rows.dtype,
        compression="gzip",
        compression_opts=1,
    )


def _batches(
    parts: Iterable[dict[str, np.ndarray]],
) -> Iterator[dict[str, np.ndarray]]:
    """Join the columns of short episodes."""
    waiting: list[dict[str, np.ndarray]] = []
    size = 0
    for columns in parts:
        waiting.append(columns)
        size += sum(rows.nbytes for rows in columns.values())
        if size > BATCH:
            yield _joined(waiting)
            waiting = []
            size = 0
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
