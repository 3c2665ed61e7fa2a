"""One process at a time writes to a folder."""

import os
import socket
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

if sys.platform != "win32":
    import fcntl

FILE = ".lock"
MOMENT = 0.02  # seconds; `is_held` takes less

_held: list[TextIO] = []  # by this process


class InUse(ValueError):
    """Another process holds the lock."""


class Lock:
    """The lock of a folder, held until `release` is called or the process ends.

    Raises InUse, which says who holds it. On Windows it keeps nobody out."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = (folder / FILE).open("a+")
        try:
            self._acquire(folder)
        except BaseException:
            self.file.close()
            raise
        _held.append(self.file)

    def _acquire(self, folder: Path) -> None:
        if sys.platform != "win32":
            try:
                _flock(self.file)
            except BlockingIOError:
                self.file.seek(0)
                holder = self.file.read().strip() or "another process"
                raise InUse(
                    f"{folder} is in use by {holder}; wait until it is done, or stop it"
                ) from None
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        self.file.truncate(0)
        self.file.write(f"process {os.getpid()} on {socket.gethostname()} since {now}")
        self.file.flush()

    def release(self) -> None:
        """Let others have the folder."""
        if self.file in _held:
            _held.remove(self.file)
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_held(folder: Path) -> bool:
    """Whether a process holds the lock of a folder, which is not written to; never on
    Windows."""
    if sys.platform != "win32":
        try:
            with (folder / FILE).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


def _close_in_child() -> None:
    """Close the locks in a process that was forked: it would hold them on."""
    for file in _held:
        file.close()
    _held.clear()


if sys.platform != "win32":

    def _flock(file: TextIO) -> None:
        """Lock a file; BlockingIOError if another process has it, and not only for the
        moment that `is_held` takes."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(MOMENT)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    os.register_at_fork(after_in_child=_close_in_child)
