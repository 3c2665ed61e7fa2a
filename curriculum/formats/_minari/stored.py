"""The arrays of one episode, in Minari's two back ends."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curriculum.formats._episodes.damage import need, readable
from curriculum.formats._hdf5.opened import dataset, opened
from curriculum.formats._minari.spaces import Leaf

SMALL = 2**24  # bytes of a JSON file
LARGEST = 2**30  # bytes of an episode


class Stored(NamedTuple):
    """The arrays of an episode as they are in the file, T steps."""

    observation: list[np.ndarray]  # [T + 1, ...] of every part
    action: list[np.ndarray]  # [T, ...]
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    source: np.ndarray | None


class Unreadable(ValueError):
    """An episode that cannot be read, but others can."""


def data_folder(path: Path) -> Path:
    """The folder of a data set that holds its data."""
    return path / "data" if (path / "data").is_dir() else path


def description(path: Path) -> dict[str, Any]:
    """What `metadata.json` of a data set says."""
    with readable(path):
        file = data_folder(path) / "metadata.json"
        if not file.is_file():
            raise ValueError("there is no metadata.json in it")
        if file.stat().st_size > SMALL:
            raise ValueError("its metadata.json is too large")
        values = json.loads(file.read_text())
        for name in ("observation_space", "action_space"):
            if isinstance(values[name], str):
                values[name] = json.loads(values[name])
        return values


Reader = Callable[[int], Stored]


def hdf5_episodes(
    path: Path, observation: list[Leaf], action: list[Leaf]
) -> Iterator[tuple[int, Reader]]:
    """The number of every episode of an HDF5 file, and what reads it."""
    with opened(data_folder(path) / "main_data.hdf5") as file:
        numbers = sorted(_numbers(file.keys(), r"episode_(\d+)"))
        for number in numbers:
            yield (
                number,
                lambda number: _of_group(
                    file, f"episode_{number}", observation, action
                ),
            )


def _of_group(
    file: Any, group: str, observation: list[Leaf], action: list[Leaf]
) -> Stored:
    def parts(name: str, leaves: list[Leaf]) -> list[np.ndarray]:
        return [array("/".join((name, *leaf.keys))) for leaf in leaves]

    def array(name: str) -> np.ndarray:
        found = dataset(file, f"{group}/{name}")
        if found.nbytes > LARGEST:
            raise ValueError(f"{name} has {found.nbytes:,} bytes")
        rows: np.ndarray = found[()]
        return rows

    has_source = f"{group}/infos/source" in file
    return Stored(
        observation=parts("observations", observation),
        action=parts("actions", action),
        reward=array("rewards"),
        terminated=array("terminations"),
        truncated=array("truncations"),
        source=array("infos/source") if has_source else None,
    )


def arrow_episodes(
    path: Path, observation: list[Leaf], action: list[Leaf], kind: str
) -> Iterator[tuple[int, Reader]]:
    """The number of every episode of Arrow or Parquet files, and what reads it."""
    need("pyarrow")
    folder = data_folder(path)
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
    for number in sorted(_numbers(names, r"(\d+)")):
        yield (
            number,
            lambda number: _of_table(folder / str(number), observation, action, kind),
        )


def _of_table(
    folder: Path, observation: list[Leaf], action: list[Leaf], kind: str
) -> Stored:
    table = _table(folder, kind)

    def parts(name: str, leaves: list[Leaf]) -> list[np.ndarray]:
        return [_column(table.column(name), leaf) for leaf in leaves]

    def array(name: str) -> np.ndarray:
        return _numpy(table.column(name))[:-1]  # the last row is padding

    source = None
    if "infos" in table.column_names:
        infos = _chunk(table.column("infos"))
        if "source" in [field.name for field in infos.type]:
            source = _numpy(infos.field("source"))[:-1]
    return Stored(
        observation=parts("observations", observation),
        action=[rows[:-1] for rows in parts("actions", action)],
        reward=array("rewards"),
        terminated=array("terminations"),
        truncated=array("truncations"),
        source=source,
    )


def _table(folder: Path, kind: str) -> Any:
    """The table of an episode; pyarrow checks it, as nobody vouches for the file."""
    import pyarrow

    files = sorted(p for p in folder.glob(f"*.{kind}") if p.is_file())
    if len(files) != 1:
        raise ValueError(f"{folder.name} has {len(files)} files of kind {kind}, not 1")
    try:
        if kind == "parquet":
            from pyarrow import parquet

            table = parquet.read_table(files[0], partitioning=None)
        else:
            with pyarrow.OSFile(str(files[0])) as file:
                table = pyarrow.ipc.open_file(file).read_all()
        if table.nbytes > LARGEST:
            raise ValueError(f"it has {table.nbytes:,} bytes")
        table.validate(full=True)
    except pyarrow.ArrowException as error:
        raise ValueError(str(error)) from error
    return table


def _chunk(column: Any) -> Any:
    """A column as one array."""
    import pyarrow

    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pyarrow.ChunkedArray):
        column = pyarrow.concat_arrays(column.chunks)
    return column


def _column(column: Any, leaf: Leaf) -> np.ndarray:
    array = _chunk(column)
    for key in leaf.keys:
        array = array.field(key)
    return _numpy(array)


def _numpy(column: Any) -> np.ndarray:
    """The numbers of a column, flat for every row."""
    array = _chunk(column)
    if array.null_count:
        raise ValueError("it has empty fields")
    rows = len(array)
    while hasattr(array, "flatten") and "list" in str(array.type):
        array = array.flatten()
    numbers = np.asarray(array.to_numpy(zero_copy_only=False))
    if numbers.dtype.kind not in "biuf":
        raise ValueError(f"it holds {array.type}, not numbers")
    return numbers.reshape(rows, -1) if numbers.size != rows else numbers


def _numbers(names: Any, pattern: str) -> Iterator[int]:
    for name in names:
        match = re.fullmatch(pattern, name)
        if match:
            yield int(match[1])
