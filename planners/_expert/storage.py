"""Files of trained experts: safetensors and JSON, written whole or not at all, and
verified when they are read."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from curriculum.types import State

# key that marks, in JSON, where an array belongs; its value is the array's name
ARRAY = "array\0"
MANIFEST = "training.json"  # names the other files of an interrupted training
REST = "state"  # entry of a file's metadata: what is no array, as JSON
LARGEST_JSON = 16_000_000  # bytes of a JSON file that is still read


class Damaged(ValueError):
    """A file is not what was written."""


# --- writing ---


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    _write(path, json.dumps(content, indent=1).encode() + b"\n")


def write_arrays(
    path: Path, arrays: dict[str, np.ndarray], rest: str = ""
) -> dict[str, Any]:
    """Write arrays, and text beside them; returns what `read_arrays` verifies."""
    contiguous = {name: _contiguous(array) for name, array in arrays.items()}
    content = save(contiguous, {REST: rest})
    _write(path, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"file": path.name, "bytes": len(content), "sha256": digest}


def write_state(path: Path, state: State) -> dict[str, Any]:
    """Write a nested state; returns what `read_state` verifies."""
    arrays: dict[str, np.ndarray] = {}
    rest = _without_arrays(state, arrays)
    return write_arrays(path, arrays, json.dumps(rest))


def _contiguous(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(array.shape)  # of 0 axes as well


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _flush_names(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        reason = error.strerror or type(error).__name__
        raise OSError(f"cannot write {path}: {reason}") from None


def _flush_names(folder: Path) -> None:
    """Make sure that renamed files have reached the disk."""
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _without_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Move the arrays of a nested state to `arrays`; returns the rest."""
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = value
        return {ARRAY: name}
    if isinstance(value, dict):
        return {key: _without_arrays(inner, arrays) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(inner, arrays) for inner in value]
    return value


# --- reading ---


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; raises Damaged."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise Damaged(f"{path} is too large")
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"{path} cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise Damaged(f"{path} holds no dictionary")
    return content


def read_arrays(folder: Path, entry: Any) -> tuple[dict[str, np.ndarray], str]:
    """Read the arrays of a file and the text beside them, given what `write_arrays`
    returned; raises Damaged."""
    path = _verified(folder, entry)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata()[REST]
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise Damaged(f"{path} cannot be read ({error})") from None


def read_state(folder: Path, entry: Any) -> State:
    """Read a nested state, given what `write_state` returned; raises Damaged."""
    arrays, rest = read_arrays(folder, entry)
    try:
        return _with_arrays(json.loads(rest), arrays)
    except (ValueError, KeyError) as error:
        raise Damaged(f"{folder} holds a damaged state ({error})") from None


def require_same(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    """Raise Damaged where names, shapes or dtypes of weights are not as expected, or
    numbers are not finite."""
    if expected.keys() != found.keys():
        different = sorted(expected.keys() ^ found.keys())
        raise Damaged(f"other weights: {', '.join(different)}")
    for name, array in expected.items():
        other = found[name]
        if array.shape != other.shape or array.dtype != other.dtype:
            raise Damaged(
                f"{name} is {other.dtype}{list(other.shape)}, "
                f"expected {array.dtype}{list(array.shape)}"
            )
        if not np.isfinite(other).all():
            raise Damaged(f"{name} holds numbers that are not finite")


def _verified(folder: Path, entry: Any) -> Path:
    """The path of a file of the size and digest that were written down."""
    try:
        path = folder / Path(str(entry["file"])).name
        if path.stat().st_size == entry["bytes"]:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest == entry["sha256"]:
                return path
    except (OSError, KeyError, TypeError) as error:
        raise Damaged(f"{folder} lacks a file ({error})") from None
    raise Damaged(f"{path} is not what was written")


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Undo `_without_arrays`."""
    if isinstance(value, list):
        return [_with_arrays(inner, arrays) for inner in value]
    if not isinstance(value, dict):
        return value
    if ARRAY in value:
        return arrays[value[ARRAY]]
    return {key: _with_arrays(inner, arrays) for key, inner in value.items()}
