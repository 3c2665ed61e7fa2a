"""Checkpoints: a folder each, written atomically, read only when intact, and nothing in
them pickled.

`arrays.safetensors` holds every array, `state.json` everything else, `manifest.json`
the sha256 and size of both.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, from_numpy

from curriculum.types import State

FORMAT = 2


def write(folder: Path, state: State) -> Path:
    """Write a nested state to `folder`, which appears whole or not at all."""
    arrays, rest = _split(state)
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(arrays, draft / "arrays.safetensors")
    (draft / "state.json").write_text(json.dumps({"format": FORMAT, "state": rest}))
    files = {
        path.name: {"sha256": _digest(path), "bytes": path.stat().st_size}
        for path in sorted(draft.iterdir())
    }
    (draft / "manifest.json").write_text(json.dumps(files, indent=1))
    for path in [*draft.iterdir(), draft]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():  # the same step again, after a resume
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def read(folder: Path) -> State:
    """Read what `write` wrote; ValueError says what is wrong with a folder that is not
    intact."""
    folder = Path(folder)
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{folder} is no checkpoint: it has no manifest.json")
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name in ("arrays.safetensors", "state.json"):
            _verify(folder / name, manifest[name])
        content = json.loads((folder / "state.json").read_text())
        arrays = load_file(folder / "arrays.safetensors")
    except (
        KeyError,
        TypeError,
        json.JSONDecodeError,
        SafetensorError,
        OSError,
    ) as error:
        raise ValueError(
            f"checkpoint {folder} is damaged ({error}); resume from another one"
        ) from None
    if content["format"] != FORMAT:
        raise ValueError(
            f"checkpoint {folder} has format {content['format']}, this version reads {FORMAT}"
        )
    return _join(arrays, content["state"])


def newest(folder: Path) -> list[Path]:
    """All checkpoints in a run's `checkpoints` folder, newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def prune(folder: Path, keep: int) -> None:
    """Delete all but the newest checkpoints of a run."""
    for old in newest(folder)[keep:]:
        shutil.rmtree(old)


def fits(expected: State, found: State, where: str = "") -> None:
    """Raise ValueError where a state has other keys, shapes or dtypes than this run's
    own."""
    for key in sorted(expected.keys() ^ found.keys()):
        raise ValueError(
            f"the checkpoint does not fit this configuration: {where}{key} is on one side only"
        )
    for key, mine in expected.items():
        other = found[key]
        if isinstance(mine, dict):
            fits(mine, other, f"{where}{key}/")
        elif isinstance(mine, np.ndarray | Tensor):
            a, b = _array(mine), _array(other)
            if a.shape != b.shape or a.dtype != b.dtype:
                raise ValueError(
                    f"the checkpoint does not fit this configuration: {where}{key} is {b.dtype}{list(b.shape)}, "
                    f"expected {a.dtype}{list(a.shape)}"
                )


def _verify(path: Path, entry: dict[str, Any]) -> None:
    if not path.is_file():
        raise ValueError(
            f"checkpoint {path.parent} is damaged: {path.name} is missing; resume from another one"
        )
    if path.stat().st_size != entry["bytes"] or _digest(path) != entry["sha256"]:
        raise ValueError(
            f"checkpoint {path.parent} is damaged: {path.name} is not what its manifest says; resume from another one"
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _array(value: np.ndarray | Tensor) -> np.ndarray:
    return np.ascontiguousarray(
        value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    )


def _split(state: State, prefix: str = "") -> tuple[dict[str, np.ndarray], State]:
    """Take the arrays out of a nested dict, named by their path; a tensor is marked so
    that it comes back as one."""
    arrays: dict[str, np.ndarray] = {}
    rest: State = {}
    for key, value in state.items():
        if isinstance(value, dict):
            inner, rest[key] = _split(value, f"{prefix}{key}/")
            arrays |= inner
        elif isinstance(value, np.ndarray | Tensor):
            arrays[prefix + key] = _array(value).reshape(value.shape)
            rest[key] = {"": "tensor" if isinstance(value, Tensor) else "array"}
        else:
            rest[key] = value
    return arrays, rest


def _join(arrays: dict[str, np.ndarray], rest: State, prefix: str = "") -> State:
    state: State = {}
    for key, value in rest.items():
        if isinstance(value, dict) and "" in value:
            array = arrays[prefix + key]
            state[key] = from_numpy(array.copy()) if value[""] == "tensor" else array
        elif isinstance(value, dict):
            state[key] = _join(arrays, value, f"{prefix}{key}/")
        else:
            state[key] = value
    return state
