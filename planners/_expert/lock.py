"""A lock on a folder: of all processes that train the same expert, one does."""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curriculum.activity import phase

LOCK = "lock"  # the file that is locked
PAUSE = 0.2  # seconds between attempts


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made; wait while another process holds it.

    The operating system frees the lock of a process that is killed."""
    handle = _try(folder)
    if handle is None:
        print(f"waiting: another process works in {folder}", file=sys.stderr)
        with phase("expert", total=0, unit="seconds of waiting") as current:
            while handle is None:
                time.sleep(PAUSE)
                current.advance(PAUSE)
                handle = _try(folder)
    try:
        yield
    finally:
        os.close(handle)


def _try(folder: Path) -> int | None:
    """Lock a folder; None where another process holds it or has just removed it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None
