"""Columns of rows: their names in files, and their dtypes in episodes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from curriculum.formats._flat.blocks import Block

# what other writers call them; the first is the name in D4RL files
NAMES = {
    "observation": ("observations", "observation", "obs", "states", "state"),
    "action": ("actions", "action"),
    "reward": ("rewards", "reward"),
    "next_observation": (
        *("next_observations", "next_observation", "next_obs", "next_states"),
        "next_state",
    ),
    "terminated": (
        *("terminals", "terminated", "terminations", "terminal", "dones", "done"),
        "is_terminals",
    ),
    "truncated": (
        *("infos/truncated", "timeouts", "truncated", "truncations", "timeout"),
        "truncateds",
    ),
    "episode": ("episode", "infos/episode"),
    "source": ("source", "infos/source"),
}
NEEDED = ("observation", "action", "reward")
CLIPPED = 1e-5  # actions beyond [-1, 1] by less are rounding errors
LARGEST_ROW = 2**26  # bytes


def found(names: Iterable[str]) -> dict[str, str]:
    """The names in the file, by column; ValueError where one is missing."""
    present = set(names)
    chosen = {}
    for column, candidates in NAMES.items():
        matches = [name for name in candidates if name in present]
        if matches:
            chosen[column] = matches[0]
    for column in NEEDED:
        if column not in chosen:
            listed = ", ".join(NAMES[column])
            raise ValueError(f"it has no column {listed}")
    if not {"terminated", "truncated", "episode"} & chosen.keys():
        raise ValueError(
            "it has no column that says where episodes end: "
            f"{', '.join(NAMES['terminated'] + NAMES['truncated'])}"
        )
    return chosen


def check_rows(shapes: Mapping[str, tuple[int, ...]], kinds: Mapping[str, Any]) -> int:
    """Raise ValueError unless columns have equally many rows of numbers; returns how
    many."""
    for name, shape in shapes.items():
        dtype = np.dtype(kinds[name])
        if dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {dtype}, not numbers")
        if not shape:
            raise ValueError(f"{name} is one number, not a row for each step")
        size = dtype.itemsize
        for axis in shape[1:]:
            size *= axis
        if size > LARGEST_ROW:
            raise ValueError(f"one row of {name} has {size:,} bytes")
    rows = {name: shape[0] for name, shape in shapes.items()}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{name} {count:,}" for name, count in rows.items())
        raise ValueError(f"its columns have different numbers of rows: {listed}")
    return next(iter(rows.values()))


def conformed(block: Block) -> Block:
    """The columns of a block in the dtypes and shapes of episodes."""
    out: Block = {}
    for name, rows in block.items():
        if name in ("observation", "next_observation"):
            out[name] = observations(rows)
        elif name == "action":
            out[name] = actions(rows)
        elif name in ("terminated", "truncated"):
            out[name] = flags(rows, name)
        else:
            out[name] = numbers(rows, name)
    if "terminated" not in out:
        out["terminated"] = np.zeros(len(out["reward"]), bool)
    if "next_observation" in out:
        both = ("observation", "next_observation")
        common = np.result_type(*(out[name] for name in both))
        for name in both:
            out[name] = out[name].astype(common, copy=False)
    return out


def observations(rows: np.ndarray) -> np.ndarray:
    """Observations as float32, float64, uint8 or int64, without a change of value."""
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.dtype.name in ("float32", "float64", "uint8", "int64"):
        return rows
    if rows.dtype.name in ("bool", "float16", "int8", "int16", "uint16"):
        return rows.astype(np.float32)
    if rows.dtype.name in ("int32", "uint32"):
        return rows.astype(np.int64)
    raise ValueError(f"observations are {rows.dtype}")


def actions(rows: np.ndarray) -> np.ndarray:
    """Discrete actions as int64 [n], others as float [n, A]."""
    if rows.dtype.kind in "iu":
        if rows.ndim > 1 and rows[:1].size == 1:
            rows = rows.reshape(len(rows))
        return rows.astype(np.int64, copy=False)
    if rows.dtype == np.float16:
        rows = rows.astype(np.float32)
    if rows.ndim != 2:
        rows = rows.reshape(len(rows), -1)
    over = np.abs(rows).max(initial=0)
    return np.clip(rows, -1, 1) if 1 < over <= 1 + CLIPPED else rows


def numbers(rows: np.ndarray, name: str) -> np.ndarray:
    """Rewards, sources or numbers of episodes, [n]."""
    rows = _one_axis(rows, name)
    if name == "episode":
        if rows.dtype.kind not in "iu":
            raise ValueError(f"episode holds {rows.dtype}, not whole numbers")
        return rows.astype(np.int64, copy=False)
    if name == "source":
        if rows.dtype.kind not in "iu" or rows.min(initial=0) < 0 or rows.max() > 255:
            raise ValueError("source must hold numbers from 0 to 255")
        return rows.astype(np.uint8, copy=False)
    if rows.dtype.name in ("float32", "float64"):
        return rows
    return rows.astype(np.float64 if rows.dtype.itemsize > 2 else np.float32)


def flags(rows: np.ndarray, name: str) -> np.ndarray:
    """Flags as bool [n]."""
    rows = _one_axis(rows, name)
    if rows.dtype == np.bool_:
        return rows
    flag = rows != 0
    if not (rows[flag] == 1).all():
        raise ValueError(
            f"{name} holds {rows[flag & (rows != 1)][0]}, not only 0 and 1"
        )
    return flag


def _one_axis(rows: np.ndarray, name: str) -> np.ndarray:
    if rows.size != len(rows):
        raise ValueError(f"{name} has shape {list(rows.shape[1:])} for one step")
    return rows.reshape(len(rows))
