"""Runs in folders: their settings, newest figures and state, without big files.

Of a run, `config.yaml`, `result.json` and the end of `metrics.jsonl` are read, and
nothing is written. Torch is not imported.
"""

import math
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from curriculum.report.records import read_newest
from curriculum.run.contents import (
    RECORDS,
    RESULT,
    RESUMED_RECORDS,
    SETTINGS,
    read_result,
)
from curriculum.run.lock import is_held
from curriculum.setting import settings_file

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
    # newest values by tag, means over seeds; nan where one is not finite
    figures: Mapping[str, float] = NOTHING
    step: int | None = None  # None before the first record
    updates: int | None = None  # of the offline phase, while it is the newest
    problem: str = ""  # of a damaged run

    @property
    def name(self) -> str:
        """The path of its folder."""
        return str(self.folder)

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
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
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
    found = settings_file.read_again(folder / SETTINGS, flag="the settings")
    return {
        name: "none" if words is None else " ".join(words)
        for name, words in found.items()
        if name not in OF_PATH
    }


def _read_run(
    folder: Path, inside: Collection[str], settings: Mapping[str, str]
) -> Entry:
    """Read the figures of a run; ValueError says what is damaged."""
    # as long as a resumed run repeats records, these are its newest ones
    records = RESUMED_RECORDS if RESUMED_RECORDS in inside else RECORDS
    newest: list[dict[str, Any]] = []
    written = (folder / SETTINGS).stat().st_mtime
    if records in inside:
        newest = list(read_newest(folder / records).values())
        written = (folder / records).stat().st_mtime
    figures: dict[str, float] = {}
    for record in reversed(newest):
        figures |= _means(record["values"], records)
    step = newest[0]["step"] if newest else None
    updates = newest[0].get("updates") if newest else None
    state: State = "running" if is_held(folder) else "interrupted"
    if RESULT in inside:
        state = "finished"
        result = read_result(folder)
        if result is None or not newest:
            raise ValueError(f"{RECORDS if result else RESULT} is damaged")
        figures |= _means(result["values"], RESULT)
        written = _number(result["finished"], RESULT)
    return Entry(folder, state, written, settings, figures, step, updates)


def _means(values: Any, file: str) -> dict[str, float]:
    """The mean over seeds of each tag."""
    try:
        return {
            tag: math.nan if None in column else sum(column) / len(column)
            for tag, column in values.items()
        }
    except (AttributeError, TypeError, ZeroDivisionError, OverflowError):
        raise ValueError(f"{file} is damaged: its values are no numbers") from None


def _number(value: Any, file: str) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"{file} is damaged: {str(value)[:40]!r} is no time")
    return float(value)
