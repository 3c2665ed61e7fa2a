"""Run folders: `<runs-dir>/<env>/<name>/`, created once and never overwritten."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from curriculum.run import checkpoint

SETTINGS = "config.yaml"
RECORDS = "metrics.jsonl"
RESULT = "result.json"  # exists once the run is finished
# kinds of records whose last values are the result of a run
RESULT_KINDS = ("baseline", "final", "time")


def create(
    parent: Path, name: str, settings: dict[str, Any], file: str = SETTINGS
) -> Path:
    """Create the folder of a new run and write its settings to `file`; a number is
    appended to a name that is taken."""
    folder = parent / name
    number = 1
    while not _made(folder):
        number += 1
        folder = parent / f"{name}-{number}"
    write(folder / file, settings)
    return folder


def _made(folder: Path) -> bool:
    """Make a folder; false if it exists."""
    parent = folder.parent
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if parent.is_dir():
            return False
        raise ValueError(
            f"{parent} is not a folder, so no run can be written there; "
            "choose another --runs-dir"
        ) from None
    except OSError as error:
        raise ValueError(
            f"cannot write to {parent} ({error.strerror}); choose another --runs-dir"
        ) from None
    return True


def write(path: Path, settings: dict[str, Any]) -> None:
    """Write settings as YAML, whole or not at all."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(yaml.safe_dump(settings, sort_keys=False))
    draft.replace(path)


# --- resuming ---


def find(parent: Path, name: str, resume: str) -> tuple[Path | None, Path | None]:
    """The run and the checkpoint that `--resume` names.

    (None, None) if "auto" finds no unfinished run. The checkpoint is None for a run
    that was killed before its first one: it starts again in its own folder."""
    if resume == "auto":
        return _newest_unfinished(parent, name)
    path = Path(resume)
    if path.parent.name == "checkpoints" and path.is_dir():
        return path.parent.parent, path
    if not (path / SETTINGS).is_file():
        raise ValueError(
            f"--resume {resume}: neither a run (a folder with {SETTINGS}) "
            "nor one of its checkpoints"
        )
    found = checkpoint.newest(path / "checkpoints")
    return path, found[0] if found else None


def _newest_unfinished(parent: Path, name: str) -> tuple[Path | None, Path | None]:
    unfinished = []
    for settings in parent.glob(f"*/{SETTINGS}"):
        folder = settings.parent
        same_name = name in (folder.name, _without_number(folder.name))
        if same_name and not is_finished(folder):
            unfinished.append(folder)
    if not unfinished:
        return None, None
    newest = max(unfinished, key=_last_written)
    return newest, _newest_intact(checkpoint.newest(newest / "checkpoints"))


def _without_number(name: str) -> str:
    stem, _, number = name.rpartition("-")
    return stem if number.isdigit() else name


def _last_written(folder: Path) -> int:
    return (folder / SETTINGS).stat().st_mtime_ns


def _newest_intact(checkpoints: Sequence[Path]) -> Path | None:
    """The first of these checkpoints that can be read; prints why others cannot."""
    for path in checkpoints:
        try:
            checkpoint.read(path, only=["run"])
            return path
        except ValueError as error:
            print(f"passed over: {error}", file=sys.stderr)
    return None


def records(folder: Path) -> list[dict[str, Any]]:
    """All records in `metrics.jsonl`, without a last line that was not written to its
    end."""
    path = folder / RECORDS
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def history(folder: Path, resumed: Path | None) -> list[dict[str, Any]]:
    """The records that a checkpoint knows of; later ones are written again."""
    if resumed is None:
        return []
    known = checkpoint.read(resumed, only=["run"])["run"]["records"]
    found = records(folder)
    if len(found) < known:
        raise ValueError(
            f"{folder}/{RECORDS} has {len(found)} records, the checkpoint knows of "
            f"{known}; it was cut by hand"
        )
    return found[:known]


# --- results ---


def is_finished(folder: Path) -> bool:
    """Whether the run has come to its end."""
    return (folder / RESULT).exists()


def reopen(folder: Path) -> None:
    """Mark a run as unfinished."""
    (folder / RESULT).unlink(missing_ok=True)


def finish(folder: Path, settings: dict[str, Any], last: dict[str, Any]) -> None:
    """Mark a run as finished: `result.json` holds the last values of its records, given
    by kind."""
    values = {}
    for kind in RESULT_KINDS:
        for tag, value in last[kind].items():
            values[tag] = np.asarray(value, float).tolist()
    result = {
        "finished": time.time(),
        "seeds": settings["seeds"],
        "steps": settings["steps"],
        "values": values,
    }
    (folder / RESULT).write_text(json.dumps(result, indent=1))
