"""Read and write arrays in NumPy's file format, block by block."""

from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import numpy as np

BLOCK = 2**23  # bytes of a block of one column
# of NumPy's parser
HEADER_ERRORS = (ValueError, TypeError, SyntaxError, RecursionError, TokenError)
MOST_ROWS = 2**16  # of a block
LARGEST = 2**30  # bytes of an array that has to be read at once


class Source(Protocol):
    """A file that is read from its beginning to its end."""

    def read(self, count: int) -> bytes: ...


class StoredArray:
    """An array in a file, whose rows are read one block after another."""

    def __init__(self, file: Source, name: str) -> None:
        """Read the header; ValueError for an array that is not of numbers."""
        self.file = file
        self.name = name
        self.shape, self.dtype, self.is_fortran = _header(file, name)
        if self.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {self.dtype}, not numbers")
        self.whole: np.ndarray | None = None
        self.position = 0

    def rows(self, count: int) -> np.ndarray:
        """The next rows [count, ...]; ValueError where the file ends before."""
        if self.is_fortran and len(self.shape) > 1:
            return self._rows_of_whole(count)
        shape = (count, *self.shape[1:])
        return self._numbers(shape)

    def all(self) -> np.ndarray:
        """All numbers of a small array."""
        return self._numbers(self.shape, self.is_fortran)

    def _rows_of_whole(self, count: int) -> np.ndarray:
        """Rows of an array that is stored column by column."""
        if self.whole is None:
            self.whole = self._numbers(self.shape, fortran=True)
        begin = self.position
        self.position += count
        return np.ascontiguousarray(self.whole[begin : self.position])

    def _numbers(self, shape: tuple[int, ...], fortran: bool = False) -> np.ndarray:
        size = self.dtype.itemsize
        for axis in shape:
            size *= axis
        if size > LARGEST:
            raise ValueError(f"{self.name} would take {size:,} bytes at once")
        data = self.file.read(size)
        if len(data) < size:
            raise ValueError(f"{self.name} ends early")
        numbers = np.frombuffer(data, self.dtype)
        numbers = numbers.astype(self.dtype.newbyteorder("="), copy=False)
        return numbers.reshape(shape[::-1]).T if fortran else numbers.reshape(shape)


def _header(file: Source, name: str) -> tuple[tuple[int, ...], np.dtype, bool]:
    # NumPy's functions call nothing but `read`
    stream: BinaryIO = file  # type: ignore[assignment]
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    except HEADER_ERRORS as error:
        raise ValueError(f"{name} is no array of NumPy: {error}") from error
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are not read")
    if any(axis < 0 for axis in shape):
        raise ValueError(f"{name} has the impossible shape {list(shape)}")
    return shape, dtype, fortran


def rows_of_blocks(row_bytes: int, rows: int) -> Iterator[int]:
    """The number of rows of each block, for rows of so many bytes."""
    most = max(1, min(MOST_ROWS, BLOCK // max(row_bytes, 1)))
    for begin in range(0, rows, most):
        yield min(most, rows - begin)


def row_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of one row of an array."""
    size = dtype.itemsize
    for axis in shape[1:]:
        size *= axis
    return size


class Drafts:
    """Columns that grow on the disk, as they have to be known before an archive of them
    is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, BinaryIO] = {}
        self.rows: dict[str, int] = {}
        self.kinds: dict[str, np.ndarray] = {}  # an empty array like each column

    def append(self, columns: dict[str, np.ndarray]) -> None:
        """Append rows to each of these columns."""
        for name, rows in columns.items():
            if name not in self.files:
                self.files[name] = (self.folder / f"{name}.raw").open("wb")
                self.rows[name] = 0
                self.kinds[name] = np.empty((0, *rows.shape[1:]), rows.dtype)
            self.files[name].write(np.ascontiguousarray(rows).tobytes())
            self.rows[name] += len(rows)

    def write(self, name: str, file: Any) -> None:
        """Write a column in NumPy's format."""
        kind = self.kinds[name]
        header = {
            "descr": np.lib.format.dtype_to_descr(kind.dtype),
            "fortran_order": False,
            "shape": (self.rows[name], *kind.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(file, header)
        self.files[name].flush()
        with (self.folder / f"{name}.raw").open("rb") as draft:
            while data := draft.read(BLOCK):
                file.write(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self.files.values():
            file.close()
