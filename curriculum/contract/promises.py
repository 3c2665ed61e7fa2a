"""What all checks share: the error, comparisons, and the path of a checkpoint."""

import copy
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor

from curriculum.calls import is_fault, origin
from curriculum.nested import Unstorable, join, require_storable, split
from curriculum.setting import plugins
from curriculum.types import State, World


class ContractError(ValueError):
    """A plug-in breaks promises; `broken` has a sentence for each."""

    def __init__(self, plugin: str, broken: Sequence[str], world: str = ""):
        self.broken = tuple(broken)
        where = f" in {world}" if world else ""
        title = f"{plugin} breaks its contract{where}:"
        super().__init__("\n- ".join([title, *broken]))


class BrokenPromise(Exception):
    """A promise that is broken; what follows cannot be checked."""


@contextmanager
def checking(family: str, plugin: object, world: str = "") -> Iterator[None]:
    """Turn a broken promise into the error that names plug-in and world."""
    try:
        yield
    except BrokenPromise as error:
        name = f"{family} {plugins.name_of(family, plugin)}"
        raise ContractError(name, [str(error)], world) from None


@contextmanager
def calling(method: str) -> Iterator[None]:
    """Report an exception of a plug-in's method as a broken promise."""
    try:
        yield
    except BrokenPromise:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        raise BrokenPromise(f"{method} raised {error!r}{origin(error)}") from error


def require(condition: bool, sentence: str) -> None:
    """Raise BrokenPromise unless a condition holds."""
    if not condition:
        raise BrokenPromise(sentence)


def require_array(name: str, array: Any, shape: tuple[int, ...], kind: Any) -> None:
    """Require a finite array of a shape and a kind of numbers."""
    require(
        isinstance(array, np.ndarray),
        f"{name} must be an array, got {type(array).__name__}",
    )
    require(
        array.shape == shape and np.issubdtype(array.dtype, kind),
        f"{name} must have shape {shape} of {kind.__name__}, "
        f"got shape {array.shape} of {array.dtype}",
    )
    if np.issubdtype(kind, np.floating):
        require(bool(np.isfinite(array).all()), f"{name} must be finite")


def require_mask(method: str, mask: Any, shape: tuple[int, ...]) -> None:
    """Require that a method returned booleans of a shape."""
    require(
        isinstance(mask, np.ndarray),
        f"{method} must return an array, got {type(mask).__name__}",
    )
    require(
        mask.shape == shape and mask.dtype == bool,
        f"{method} must return a mask of shape {shape}, "
        f"got shape {mask.shape} of {mask.dtype}",
    )


def world_name(world: World) -> str:
    """Return the name of a world in messages."""
    return world.title or plugins.name_of("env", world)


def copied(family: str, plugin: Any) -> Any:
    """Copy a plug-in as a run does before it uses it."""
    try:
        return copy.deepcopy(plugin)
    except BaseException as error:
        if not is_fault(error):
            raise
        raise BrokenPromise(
            f"a {family} must let itself be copied before setup, it raised {error!r}"
        ) from error


def stored(state: Any, where: str = "state()") -> State:
    """Return a state as a checkpoint restores it."""
    try:
        require_storable(state, where)
    except Unstorable as error:
        raise BrokenPromise(str(error)) from None
    arrays, rest = split(copy.deepcopy(state))
    return join(arrays.__getitem__, json.loads(json.dumps(rest)))


def equal(a: Any, b: Any) -> bool:
    """Whether two nests of arrays and plain values are the same; nan equals nan."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, Tensor):
        return equal(a.detach().cpu().numpy(), b.detach().cpu().numpy())
    if isinstance(a, np.ndarray):
        is_floating = a.dtype.kind == "f"
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=is_floating)
    return bool(a == b)
