"""Errors of damaged files in one sentence."""

import csv
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# what the libraries raise that read files; RuntimeError: h5py, and encrypted archives
DAMAGE = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(ArithmeticError, MemoryError, RuntimeError, SyntaxError),
    *(struct.error, zipfile.BadZipFile, zlib.error, csv.Error),
)
LONGEST = 300  # characters of a message


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn every error of reading `path` into a ValueError of one sentence."""
    try:
        if not path.exists():
            raise ValueError("there is no such file")
        yield
    except DAMAGE as error:
        raise ValueError(f"data set {path} cannot be read: {said(error)}") from error


def said(error: BaseException) -> str:
    """What an error says, on one line and not longer than a few."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it has no {text}"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def need(*libraries: str) -> None:
    """Raise ValueError where a library is not installed."""
    for library in libraries:
        if find_spec(library) is None:
            raise ValueError(
                f"this format needs {library}, which is not installed: "
                "pip install 'planning-curriculum[data]'"
            )
