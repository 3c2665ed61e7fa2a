"""Checkpoints: one folder each, written atomically, verified when read, not pickled.

`arrays.safetensors` holds every array, `state.json` everything else, and
`manifest.json` the sha256 and the size of both.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from curriculum.files import flush
from curriculum.nested import join, split
from curriculum.run.contents import CHECKPOINT, MANIFEST
from curriculum.types import State

FORMAT = 3
MOST_LETTERS = 200  # of the reason why a checkpoint cannot be read
ARRAYS = "arrays.safetensors"
REST = "state.json"


class Loaded(NamedTuple):
    """Which entries of a checkpoint were loaded, by path."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]  # expected, but not in the checkpoint
    unexpected: tuple[str, ...]  # in the checkpoint, but not expected: ignored

    def __str__(self) -> str:
        missing = ", ".join(self.missing) or "none"
        unexpected = ", ".join(self.unexpected) or "none"
        return (
            f"{len(self.loaded)} entries loaded; "
            f"missing: {missing}; unexpected: {unexpected}"
        )


# --- writing ---


def write(folder: Path, state: State) -> Path:
    """Write a nested state to `folder`, which appears whole or not at all.

    `folder` must not exist. ValueError says why it could not be written."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        _write_draft(draft, state)
        draft.rename(folder)
        flush(folder.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"checkpoint {folder} could not be written ({reason}); earlier ones are "
            "intact, so the run can be resumed once there is space"
        ) from None
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return folder


def _write_draft(draft: Path, state: State) -> None:
    draft.mkdir(parents=True)
    arrays, rest = split(state, "state")
    save_file(arrays, draft / ARRAYS)
    (draft / REST).write_text(json.dumps({"format": FORMAT, "state": rest}))
    manifest = {path.name: _entry(path) for path in sorted(draft.iterdir())}
    (draft / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in [*draft.iterdir(), draft]:
        flush(path)


def unused(folder: Path) -> Path:
    """`folder`, or a name that is sorted behind it where there is such a checkpoint:
    none is ever written over."""
    step = position(folder)[0]
    taken = [path for path in newest(folder.parent) if position(path)[0] == step]
    if not taken:
        return folder
    number = position(taken[0])[1] + 1
    return folder.with_name(f"{folder.name}-{number:04d}")


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": _digest(path), "bytes": path.stat().st_size}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- reading ---


def read(folder: Path, only: Sequence[str] = ()) -> State:
    """Read what `write` wrote, or of its top-level entries only those named.

    ValueError says what is wrong with a folder that is not an intact checkpoint."""
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise ValueError(f"{folder} is not a checkpoint: it has no {MANIFEST}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name in (ARRAYS, REST):
            _verify(folder / name, manifest[name])
        content = json.loads((folder / REST).read_text())
        _require_format(folder, content["format"])
        rest = content["state"]
        if only:
            rest = {name: rest[name] for name in only}
        with safe_open(folder / ARRAYS, framework="numpy") as arrays:
            return join(arrays.get_tensor, rest)
    except (
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        UnicodeDecodeError,
        json.JSONDecodeError,
        SafetensorError,
        OSError,
    ) as error:
        # an error may quote the damaged file at any length
        reason = str(error)[:MOST_LETTERS]
        raise ValueError(
            f"checkpoint {folder} is damaged ({reason}); resume from another one"
        ) from None


def _verify(path: Path, entry: dict[str, Any]) -> None:
    problem = ""
    if not path.is_file():
        problem = "is missing"
    elif path.stat().st_size != entry["bytes"] or _digest(path) != entry["sha256"]:
        problem = "is not what its manifest says"
    if problem:
        raise ValueError(
            f"checkpoint {path.parent} is damaged: {path.name} {problem}; "
            "resume from another one"
        )


def _require_format(folder: Path, found: int) -> None:
    if found != FORMAT:
        raise ValueError(
            f"checkpoint {folder} has format {found}, this version reads {FORMAT}; "
            "start a new run, or resume with the version that wrote it"
        )


def newest(folder: Path) -> list[Path]:
    """All checkpoints in a run's `checkpoints` folder, newest first."""
    found = [path for path in folder.glob("step-*") if CHECKPOINT.fullmatch(path.name)]
    return sorted(found, key=position, reverse=True)


def position(checkpoint: Path) -> tuple[int, int]:
    """The environment step of a checkpoint, by its name, and how many of the same step
    are older."""
    match = CHECKPOINT.fullmatch(checkpoint.name)
    assert match, f"{checkpoint} has no name of a checkpoint"
    step, number = match.groups(default="0")
    return int(step), int(number)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest checkpoints of a run."""
    for old in newest(folder)[keep:]:
        shutil.rmtree(old)


# --- comparing ---


def select(expected: State, found: State, where: str = "") -> tuple[State, Loaded]:
    """The entries of `found` that `expected` has as well, and which they are.

    Raises ValueError where an array has another shape or dtype."""
    mine = dict(_entries(expected))
    theirs = dict(_entries(found))
    common = [path for path in mine if path in theirs]
    for path in common:
        _require_same_array(where + path, mine[path], theirs[path])
    report = Loaded(
        loaded=tuple(where + path for path in common),
        missing=tuple(where + path for path in mine if path not in theirs),
        unexpected=tuple(where + path for path in theirs if path not in mine),
    )
    return _intersection(expected, found), report


def require_same_layout(expected: State, found: State, where: str = "") -> None:
    """Raise ValueError where a state has other keys, shapes or dtypes than expected."""
    _, report = select(expected, found, where)
    if report.missing or report.unexpected:
        raise ValueError(f"the checkpoint does not fit this configuration: {report}")


def _entries(state: State, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All leaves of a nested state by path, "a/b/c"."""
    for key, value in state.items():
        if isinstance(value, dict):
            yield from _entries(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _intersection(expected: State, found: State) -> State:
    common: State = {}
    for key, value in expected.items():
        if key not in found:
            continue
        nested = isinstance(value, dict)
        common[key] = _intersection(value, found[key]) if nested else found[key]
    return common


def _require_same_array(path: str, expected: Any, found: Any) -> None:
    if not isinstance(expected, np.ndarray | Tensor):
        return
    expected_kind = _kind(expected)
    found_kind = _kind(found)
    if expected_kind != found_kind:
        raise ValueError(
            "the checkpoint does not fit this configuration: "
            f"{path} is {found_kind}, expected {expected_kind}"
        )


def _kind(value: Any) -> str:
    if not isinstance(value, np.ndarray | Tensor):
        return type(value).__name__
    array = _array(value)
    return f"{array.dtype}{list(value.shape)}"


def _array(value: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    return np.ascontiguousarray(value)
