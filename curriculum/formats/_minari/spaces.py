"""Spaces as Minari writes them, JSON, and values of them as flat numbers."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LARGEST = 2**24  # numbers of one observation or action
BOX_KINDS = ("Box", "MultiBinary", "MultiDiscrete")


class Leaf(NamedTuple):
    """A space without parts."""

    keys: tuple[str, ...]  # that lead to it
    kind: str  # "Box", "Discrete", ...
    shape: tuple[int, ...]
    dtype: np.dtype
    low: np.ndarray  # [*shape] float64
    high: np.ndarray


def leaves(
    space: Any, tuple_key: Callable[[int], str], keys: tuple[str, ...] = ()
) -> list[Leaf]:
    """The parts of a space, of dictionaries in order of their names; `tuple_key` names
    the parts of a tuple in the file."""
    kind = space["type"]
    if kind == "Dict":
        parts = sorted(space["subspaces"].items())
    elif kind == "Tuple":
        parts = [(tuple_key(i), part) for i, part in enumerate(space["subspaces"])]
    else:
        return [_leaf(space, kind, keys)]
    found = []
    for key, part in parts:
        found += leaves(part, tuple_key, (*keys, key))
    if not found:
        raise ValueError("its spaces are empty")
    return found


def _leaf(space: Any, kind: str, keys: tuple[str, ...]) -> Leaf:
    if kind == "Discrete":
        low = np.array(float(space.get("start", 0)))
        high = low + int(space["n"]) - 1
        return Leaf(keys, kind, (), np.dtype(np.int64), low, high)
    if kind == "MultiBinary":
        shape = tuple(np.atleast_1d(space["n"]).astype(int).tolist())
        low = np.zeros(shape)
        return Leaf(keys, kind, shape, np.dtype(np.int8), low, low + 1)
    if kind == "MultiDiscrete":
        choices = np.array(space["nvec"], float)
        low = np.array(space.get("start", np.zeros(choices.shape)), float)
        dtype = np.dtype(space.get("dtype", "int64"))
        return Leaf(keys, kind, choices.shape, dtype, low, low + choices - 1)
    if kind != "Box":
        raise ValueError(f"it has a space of type {kind}, which is not read")
    shape = tuple(int(axis) for axis in space["shape"])
    if math.prod(shape) > LARGEST:
        raise ValueError(f"it has a space of shape {list(shape)}")
    low = np.broadcast_to(np.array(space["low"], float), shape)
    high = np.broadcast_to(np.array(space["high"], float), shape)
    return Leaf(keys, kind, shape, np.dtype(space["dtype"]), low, high)


def observations(values: list[np.ndarray], parts: list[Leaf]) -> np.ndarray:
    """Observations of all parts: as they are, or flat float32 numbers where there are
    several, as in this package's worlds."""
    if len(parts) == 1 and parts[0].kind == "Box":
        return values[0].reshape(len(values[0]), *parts[0].shape)
    columns = []
    for value, part in zip(values, parts, strict=True):
        if part.kind == "Discrete":
            columns.append(_one_hot(value, part))
        else:
            columns.append(value.reshape(len(value), -1).astype(np.float32))
    return np.concatenate(columns, 1)


def _one_hot(value: np.ndarray, part: Leaf) -> np.ndarray:
    choices = int(part.high - part.low) + 1
    if choices > LARGEST:
        raise ValueError(f"it has a space of {choices:,} choices")
    index = value.reshape(len(value)).astype(np.int64) - int(part.low)
    if index.min() < 0 or index.max() >= choices:
        raise ValueError("an observation is not in its space")
    out = np.zeros((len(value), choices), np.float32)
    out[np.arange(len(value)), index] = 1
    return out


def actions(values: list[np.ndarray], parts: list[Leaf]) -> np.ndarray:
    """Discrete actions counted from 0; numbers scaled from their bounds to [-1, 1]."""
    if len(parts) > 1 or parts[0].kind not in ("Box", "Discrete"):
        raise ValueError("its actions are not one box or one choice")
    part = parts[0]
    value = values[0]
    if part.kind == "Discrete":
        return value.reshape(len(value)).astype(np.int64) - int(part.low)
    value = value.reshape(len(value), -1)
    low = part.low.ravel()
    high = part.high.ravel()
    if not (np.isfinite(low) & np.isfinite(high) & (low < high)).all():
        raise ValueError("its actions have no bounds")
    if (low == -1).all() and (high == 1).all():
        return value
    scaled = (value - low) / (high - low) * 2 - 1
    return scaled.astype(value.dtype if value.dtype.kind == "f" else np.float32)


def spec(observation: list[Leaf], action: list[Leaf]) -> dict[str, Any]:
    """The spec of a manifest, as JSON."""
    act = action[0]
    is_discrete = act.kind == "Discrete"
    values: dict[str, Any] = {
        "actions": int(act.high - act.low) + 1 if is_discrete else 0,
        "action_size": 0 if is_discrete else math.prod(act.shape),
        "frames": 0,
    }
    single = observation[0]
    if len(observation) == 1 and single.kind == "Box":
        name = single.dtype.name
        kept = name in ("float32", "float64", "uint8", "int64")
        wide = "int64" if name in ("int32", "uint32") else "float32"
        values["obs_dtype"] = name if kept else wide
        values["obs_shape"] = list(single.shape)
        low, high = single.low, single.high
    else:
        values["obs_dtype"] = "float32"
        low = np.concatenate([_flat_bound(part, 0) for part in observation])
        high = np.concatenate([_flat_bound(part, 1) for part in observation])
        values["obs_shape"] = [low.size]
    if values["obs_dtype"] != "uint8":
        values["obs_low"] = [_number(x) for x in low.ravel().tolist()]
        values["obs_high"] = [_number(x) for x in high.ravel().tolist()]
    return values


def _flat_bound(part: Leaf, side: int) -> np.ndarray:
    if part.kind == "Discrete":
        return np.full(int(part.high - part.low) + 1, float(side))
    return (part.low, part.high)[side].ravel()


def _number(number: float) -> float | str:
    """JSON has no infinity."""
    return number if math.isfinite(number) else str(number)
