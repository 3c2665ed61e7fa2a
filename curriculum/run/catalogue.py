"""Runs in folders: their settings, newest figures and state, without big files.

Of a run, `config.yaml`, `result.json` and the end of `metrics.jsonl` are read, and
nothing is written or unpickled. Torch is not imported.
"""

import math
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from curriculum.report.records import Newest, read_newest
from curriculum.run.contents import (
    RECORDS,
    RESULT,
    RESUMED_RECORDS,
    SETTINGS,
    read_result,
)
from curriculum.run.lock import is_held
from curriculum.run.mirror import is_written
from curriculum.setting import settings_file
from curriculum.storage import shown

State = Literal["running", "interrupted", "finished", "damaged"]
STATES: tuple[State, ...] = get_args(State)
REQUIRED = "seeds"  # a setting of every run; other folders have a config.yaml, too
# settings that the path of a run says
OF_PATH = ("name", "runs_dir")
DEEPEST = 6  # folders below the one that is searched
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Entry(NamedTuple):
    """What is known about a run."""

    folder: Path
    state: State
    written: float  # seconds since 1970: when it was finished or last written to
    settings: Mapping[str, str] = NOTHING  # as they are written as flags
    # columns by tag, a value for each seed: of the newest evaluation and of the result
    figures: Mapping[str, Sequence[float | None]] = NOTHING
    step: int | None = None  # None before the first record
    updates: int | None = None  # of the offline phase, while it is the newest
    problem: str = ""  # of a damaged run

    @property
    def name(self) -> str:
        """The path of its folder, or its URL."""
        return shown(self.folder)

    @property
    def time(self) -> str:
        """When it was last written to, so that texts are ordered as times are."""
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.written))


def read_all(folders: Sequence[Path]) -> list[Entry]:
    """Read every run in and below folders, ordered by path.

    ValueError where one is no folder, or where there is no run."""
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(
                f"{folder} is not a folder; give folders of runs, or --runs-dir"
            )
    seen: set[tuple[int, int]] = set()
    entries = [entry for folder in folders for entry in _search(folder, seen, 0)]
    if not entries:
        searched = ", ".join(map(str, folders))
        raise ValueError(
            f"there is no run in {searched}; runs are folders with {SETTINGS}, which "
            "curriculum.train writes to <runs-dir>/<env>/<name>"
        )
    return sorted(entries, key=lambda entry: entry.folder.parts)


def _search(folder: Path, seen: set[tuple[int, int]], depth: int) -> Iterator[Entry]:
    """The run that a folder is, or those below it; no folder twice, whatever links
    there are."""
    try:
        status = folder.stat()
        place = (status.st_dev, status.st_ino)
        if place in seen:
            return
        seen.add(place)
        with os.scandir(folder) as found:
            inside = {entry.name: entry for entry in found}
        if SETTINGS in inside or RECORDS in inside:
            entry = _read(folder, inside.keys())
            if entry is not None:
                yield entry
            return
        below = [name for name, entry in inside.items() if entry.is_dir()]
    except OSError as error:
        yield _damaged(folder, f"it cannot be read ({error.strerror or error})")
        return
    if depth < DEEPEST:
        for name in below:
            if not name.startswith("."):
                yield from _search(folder / name, seen, depth + 1)


def _read(folder: Path, inside: Collection[str]) -> Entry | None:
    """Read a run, with files of these names; None if it is none, though it has
    settings."""
    settings: dict[str, str] = {}
    try:
        if SETTINGS not in inside:
            raise ValueError(f"it has no {SETTINGS}")
        settings = _read_settings(folder)
        if REQUIRED in settings:
            return _read_run(folder, inside, settings)
        if RECORDS not in inside:
            return None
        raise ValueError(f"{SETTINGS} has no {REQUIRED}")
    except ValueError as error:
        problem = str(error).replace(f"{folder}{os.sep}", "")
    except OSError as error:
        problem = f"it cannot be read ({error.strerror or error})"
    return _damaged(folder, problem, settings)


def _damaged(
    folder: Path, problem: str, settings: Mapping[str, str] = NOTHING
) -> Entry:
    try:
        written = folder.stat().st_mtime
    except OSError:
        written = 0.0
    return Entry(folder, "damaged", written, settings, problem=problem)


def _read_settings(folder: Path) -> dict[str, str]:
    found = settings_file.read_texts(folder / SETTINGS, flag="the settings")
    for name in OF_PATH:
        found.pop(name, None)
    return found


def _read_run(
    folder: Path, inside: Collection[str], settings: Mapping[str, str]
) -> Entry:
    """Read the figures of a run; ValueError says what is damaged."""
    # as long as a resumed run repeats records, these are its newest ones
    records = RESUMED_RECORDS if RESUMED_RECORDS in inside else RECORDS
    last = records if records in inside else SETTINGS
    written = (folder / last).stat().st_mtime
    newest = read_newest(folder / records) if records in inside else Newest(None, None)
    record = newest.record or {}
    figures: dict[str, Any] = {}
    if newest.evaluation is not None:
        figures |= newest.evaluation["values"]
    if RESULT in inside:
        state: State = "finished"
        result = read_result(folder)
        if result is None or not record:
            raise ValueError(f"{RECORDS if result else RESULT} is damaged")
        if not _is_valid(result):
            raise ValueError(f"{RESULT} is damaged: it is no result of a run")
        figures |= result["values"]
        written = float(result["finished"])
    else:
        is_running = is_held(folder) or is_written(folder)
        state = "running" if is_running else "interrupted"
    step = record.get("step")
    updates = record.get("updates")
    return Entry(folder, state, written, settings, figures, step, updates)


def _is_valid(result: Mapping[str, Any]) -> bool:
    """Whether the parts of a complete result are what they should be."""
    values = result["values"]
    return (
        isinstance(result["finished"], int | float)
        and isinstance(values, dict)
        and all(isinstance(column, list) for column in values.values())
    )


def mean(column: Sequence[float | None]) -> float:
    """The mean over seeds; nan where a value is none, or not finite."""
    try:
        return sum(column) / len(column)  # type: ignore[arg-type]
    except (TypeError, ZeroDivisionError, OverflowError):
        return math.nan
