"""Run folders: `<runs-dir>/<env>/<name>/`, created once and never overwritten.

One process at a time writes to a folder (`curriculum.run.lock`), and nothing that an
earlier process wrote is lost:

- Files are written beside and renamed; to `metrics.jsonl` and `progress.csv` whole
  lines are appended.
- A resumed run writes the records after its checkpoint again. They go to
  `metrics.resumed.jsonl`, which replaces `metrics.jsonl` as soon as it has as many
  lines; until then, the next resume reads it.
- A run that goes on from an older checkpoint, or beyond its end, moves the later
  checkpoints and `result.json` to `superseded-<number>/`.
- Only older checkpoints are deleted, when there are newer ones behind them.

Where `<runs-dir>` is a URL, all of this holds for a folder on this machine, which is
copied to the URL while the run is trained (`curriculum.run.mirror`).
"""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from curriculum.files import flush, is_url, write_text
from curriculum.report.records import read_records
from curriculum.run import checkpoint, mirror
from curriculum.run.contents import (
    CHECKPOINTS,
    RECORDS,
    RESULT,
    RESUMED_RECORDS,
    SETTINGS,
    is_finished,
)
from curriculum.run.lock import InUse, Lock
from curriculum.setting.config import folder_name_in
from curriculum.storage import Remote

# kinds of records whose last values are the result of a run, if there are any
RESULT_KINDS = ("baseline", "final", "time")


class Found(NamedTuple):
    """A run that can be resumed; its folder is locked."""

    folder: Path
    # None for a run that was killed before its first one: it starts again
    checkpoint: Path | None
    lock: Lock


# --- creating ---


def create(
    parent: Path | Remote, name: str, settings: dict[str, Any], file: str = SETTINGS
) -> Lock:
    """Create the folder of a new run, lock it and write its settings to `file`; a
    number is appended to a name that is taken."""
    folder = _made(parent / name)
    number = 1
    while folder is None:
        number += 1
        folder = _made(parent / f"{name}-{number}")
    lock = mirror.lock(folder)
    write(folder / file, settings)
    return lock


def _made(folder: Path | Remote) -> Path | None:
    """Make a folder; None if it exists."""
    if isinstance(folder, Remote):
        return mirror.made(folder)
    parent = folder.parent
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if parent.is_dir():
            return None
        raise ValueError(
            f"{parent} is not a folder, so no run can be written there; "
            "choose another --runs-dir"
        ) from None
    except OSError as error:
        raise ValueError(
            f"cannot write to {parent} ({error.strerror}); choose another --runs-dir"
        ) from None
    return folder


def write(path: Path, settings: dict[str, Any]) -> None:
    """Write settings as YAML, whole or not at all."""
    write_text(path, yaml.safe_dump(settings, sort_keys=False))


def discard(folder: Path) -> None:
    """Remove the folder of a run that this process created, unless there is a
    checkpoint in it."""
    if not checkpoint.newest(folder / CHECKPOINTS):
        shutil.rmtree(folder, ignore_errors=True)


# --- resuming ---


def find(resume: str) -> Found:
    """Lock the run, or the run of the checkpoint, that `--resume` names."""
    if is_url(resume):
        return _find_at(Remote(resume))
    path = Path(resume)
    if path.parent.name == CHECKPOINTS and path.is_dir():
        folder = path.parent.parent
        require_run(folder, resume)
        checkpoint.read(path, only=["run"])
        return Found(folder, path, mirror.lock(folder))
    require_run(path, resume)
    lock = mirror.lock(path)
    try:
        return Found(path, _intact(path, resume), lock)
    except BaseException:
        lock.release()
        raise


def _find_at(remote: Remote) -> Found:
    """Lock the run, or the run of the checkpoint, at a URL."""
    is_checkpoint = remote.parent.name == CHECKPOINTS
    run = remote.parent.parent if is_checkpoint else remote
    folder = mirror.opened(run)
    lock = mirror.lock(folder)
    try:
        require_run(folder, str(remote))
        if is_checkpoint:
            path = folder / CHECKPOINTS / remote.name
            checkpoint.read(path, only=["run"])
            return Found(folder, path, lock)
        return Found(folder, _intact(folder, str(remote)), lock)
    except BaseException:
        lock.release()
        raise


def require_run(folder: Path, resume: str) -> None:
    """Raise ValueError where `--resume` names something else."""
    if not (folder / SETTINGS).is_file():
        raise ValueError(
            f"--resume {resume}: neither a run (a folder with {SETTINGS}) "
            "nor one of its checkpoints"
        )


def _intact(folder: Path, resume: str) -> Path | None:
    """The newest checkpoint of a run, None if it has none; ValueError if it is damaged,
    which names the newest one that is not."""
    checkpoints = checkpoint.newest(folder / CHECKPOINTS)
    if not checkpoints:
        return None
    try:
        checkpoint.read(checkpoints[0], only=["run"])
    except ValueError as error:
        others = intact(checkpoints[1:])
        advice = f"go on from the newest intact one: --resume {others}"
        if others is None:
            advice = "none of its checkpoints is intact: start a new run"
        reason = str(error).removesuffix("; resume from another one")
        raise ValueError(f"{reason}; {advice}") from None
    return checkpoints[0]


def find_newest(parent: Path | Remote, name: str) -> Found | None:
    """Lock the newest unfinished run of this name that can be resumed.

    None if there is none; InUse if other processes have all of them."""
    in_use = None
    looked_into = mirror.looked_into(parent, (SETTINGS, RESULT))
    for unfinished in _unfinished(looked_into, name):
        folder = mirror.writable(parent, unfinished.name)
        try:
            lock = mirror.lock(folder)
        except InUse as error:
            in_use = in_use or error
            continue
        found = None
        if not is_finished(folder):  # another process may have finished it meanwhile
            found = _resumable(folder, lock)
        if found:
            return found
        lock.release()
    if in_use:
        raise in_use
    return None


def _resumable(folder: Path, lock: Lock) -> Found | None:
    """A locked run; None, and a line that says so, if its checkpoints are damaged."""
    checkpoints = checkpoint.newest(folder / CHECKPOINTS)
    newest = intact(checkpoints, report=True)
    if checkpoints and newest is None:
        print(f"passed over: {folder} has no intact checkpoint", file=sys.stderr)
        return None
    if newest and newest != checkpoints[0]:
        print(f"going on from the newest intact one, {newest}", file=sys.stderr)
    return Found(folder, newest, lock)


def _unfinished(parent: Path, name: str) -> list[Path]:
    """Folders of unfinished runs of exactly this name, newest first."""
    found = []
    for settings in parent.glob(f"*/{SETTINGS}"):
        folder = settings.parent
        if _belongs_to(settings, name) and not is_finished(folder):
            found.append(folder)
    return sorted(found, key=_last_written, reverse=True)


def _belongs_to(settings: Path, name: str) -> bool:
    """Whether the run with these settings has this name, whatever number its folder
    has."""
    try:
        content = yaml.safe_load(settings.read_text())
        return isinstance(content, dict) and folder_name_in(content) == name
    except (OSError, ValueError, yaml.YAMLError):
        return False


def _last_written(folder: Path) -> int:
    return (folder / SETTINGS).stat().st_mtime_ns


def intact(checkpoints: Sequence[Path], report: bool = False) -> Path | None:
    """The first of these checkpoints that can be read; `report` why others cannot."""
    for path in checkpoints:
        try:
            checkpoint.read(path, only=["run"])
            return path
        except ValueError as error:
            if report:
                reason = str(error).removesuffix("; resume from another one")
                print(f"passed over: {reason}", file=sys.stderr)
    return None


def set_aside_later(folder: Path, resumed: Path) -> None:
    """Move what is later than a checkpoint out of the way, and the run's result."""
    checkpoints = folder / CHECKPOINTS
    if resumed.parent.resolve() != checkpoints.resolve():
        return
    moved = [folder / RESULT] if (folder / RESULT).exists() else []
    for path in checkpoint.newest(checkpoints):
        if checkpoint.position(path) > checkpoint.position(resumed):
            moved.append(path)
    if not moved:
        return
    number = 1
    while (folder / f"superseded-{number}").exists():
        number += 1
    aside = folder / f"superseded-{number}"
    aside.mkdir()
    for path in moved:
        path.rename(aside / path.name)


# --- records ---


def records(folder: Path) -> list[dict[str, Any]]:
    """All records in `metrics.jsonl`, without a last line that was not written to its
    end."""
    return read_records(folder / RECORDS)


def history(folder: Path, resumed: Path | None) -> list[dict[str, Any]]:
    """The records that a checkpoint knows of; later ones are written again."""
    if resumed is None:
        return []
    known = checkpoint.read(resumed, only=["run"])["run"]["records"]
    found = read_records(folder / RESUMED_RECORDS)
    if len(found) < known:
        found = records(folder)
    if len(found) < known:
        raise ValueError(
            f"{folder}/{RECORDS} has {len(found)} records, the checkpoint knows of "
            f"{known}; it was cut by hand"
        )
    return found[:known]


def flush_records(folder: Path) -> None:
    """Make sure that the records have reached the disk."""
    for name in (RECORDS, RESUMED_RECORDS):
        if (folder / name).is_file():
            flush(folder / name)


# --- results ---


def finish(folder: Path, settings: dict[str, Any], last: dict[str, Any]) -> None:
    """Mark a run as finished: `result.json` holds the last values of its records, given
    by kind; numbers that are not finite are null."""
    values = {}
    for kind in RESULT_KINDS:
        for tag, value in last.get(kind, {}).items():
            numbers = np.asarray(value, float).tolist()
            values[tag] = [x if np.isfinite(x) else None for x in numbers]
    result = {
        "finished": time.time(),
        "seeds": settings["seeds"],
        "steps": settings["steps"],
        "values": values,
    }
    write_text(folder / RESULT, json.dumps(result, indent=1, allow_nan=False))
