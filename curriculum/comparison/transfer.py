"""Copies of a run's folder between machines that do not share their disks.

A copy is taken while the run is trained, and can be continued from: whoever writes it
down puts records and policies there first, then every checkpoint as a whole, and last
the result, which says that the run is finished.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from curriculum.files import write_bytes
from curriculum.run.contents import CHECKPOINTS, RESULT
from curriculum.run.mirror import State, state_of


class Changes(NamedTuple):
    """What is new in a folder; paths are relative to it."""

    files: Mapping[str, bytes]
    gone: tuple[str, ...]  # files that are no longer there


class Outbox:
    """Reads what is new in a folder since the last time."""

    def __init__(self, folder: Path, known: State | None = None):
        self.folder = folder
        self.known: State = {} if known is None else known

    def changes(self) -> Changes:
        """What is new; checkpoints are read first, so that the records that belong to
        them are there, too."""
        present = state_of(self.folder)
        files: dict[str, bytes] = {}
        order = sorted(present, key=lambda path: not path.startswith(CHECKPOINTS))
        for path in order:
            if self.known.get(path) == present[path]:
                continue
            try:
                files[path] = (self.folder / path).read_bytes()
            except FileNotFoundError:  # an older checkpoint that was just deleted
                del present[path]
        gone = tuple(path for path in self.known if path not in present)
        self.known = present
        return Changes(files, gone)


def write(folder: Path, changes: Changes) -> None:
    """Write changes down in the copy of a folder."""
    checkpoints: dict[str, dict[str, bytes]] = {}
    last = {}
    for path, data in changes.files.items():
        first, _, rest = path.partition("/")
        name, _, file = rest.partition("/")
        if first == CHECKPOINTS and file:
            checkpoints.setdefault(name, {})[file] = data
        elif path == RESULT:
            last[path] = data
        else:
            _write(folder / path, data)
    for name, files in sorted(checkpoints.items()):
        _write_checkpoint(folder / CHECKPOINTS / name, files)
    for path in changes.gone:
        (folder / path).unlink(missing_ok=True)
        parent = (folder / path).parent
        if parent.is_dir() and parent != folder and not any(parent.iterdir()):
            parent.rmdir()
    for path, data in last.items():
        _write(folder / path, data)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def _write_checkpoint(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a checkpoint, which appears whole or not at all."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for name, data in files.items():
        _write(draft / name, data)
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
