"""Nested states as arrays and JSON, and back: what comes back is what was given.

A state holds dicts, lists and tuples of numbers, text, bytes, None, arrays, NumPy
scalars and tensors. Arrays are named by their path; everything that JSON cannot say is
an object with the key "" that says what it is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from curriculum.types import State

KIND = ""  # the key that marks, in JSON, what is not a plain dict
KEYS = (str, int, float, bool, type(None))
PLAIN = (str, int, bool, type(None))
# kinds of NumPy's types that are stored, and those among them that are stored as such
KINDS = "biufcmMSU"
NATIVE = {np.dtype(name) for name in ("bool", "float16", "float32", "float64")}
NATIVE |= {
    np.dtype(f"{sign}int{8 * size}") for sign in ("", "u") for size in (1, 2, 4, 8)
}


class Unstorable(ValueError):
    """A state holds what a checkpoint cannot keep."""


def split(state: State, where: str = "state") -> tuple[dict[str, np.ndarray], State]:
    """Separate the arrays from the rest of a nested state, which JSON can hold.

    Unstorable says what cannot be kept, and where it is."""
    splitter = _Splitter()
    rest = splitter.mapping(state, "", where)
    return splitter.arrays, rest


def require_storable(state: Any, where: str) -> None:
    """Raise Unstorable unless `split` keeps a state exactly; `where` names it."""
    if not isinstance(state, dict):
        raise Unstorable(f"{where} must be a dict, got {type(state).__name__}")
    try:
        split(state, where)
    except RecursionError:
        raise Unstorable(f"{where} is nested too deeply, or holds itself") from None


def join(array: Callable[[str], np.ndarray], rest: State) -> State:
    """Undo `split`; `array` returns the array of a name."""
    state: State = _joined(array, rest, "")
    return state


class _Splitter:
    """Collects the arrays of a state."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def mapping(self, value: Mapping[Any, Any], path: str, where: str) -> State:
        is_plain = all(type(key) is str and key != KIND for key in value)
        if is_plain:
            return {
                key: self.node(item, f"{path}/{quoted(key)}", f"{where}[{key!r}]")
                for key, item in value.items()
            }
        items = []
        for number, (key, item) in enumerate(value.items()):
            if type(key) not in KEYS:
                raise _unstorable(f"the key {key!r} of {where}", key)
            name = self.node(key, "", where)
            items.append(
                [name, self.node(item, f"{path}/#{number}", f"{where}[{key!r}]")]
            )
        return {KIND: "dict", "items": items}

    def node(self, value: Any, path: str, where: str) -> Any:
        if type(value) in PLAIN:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {KIND: "float", "is": str(value)}
        if isinstance(value, Tensor):
            return self.tensor(value, path, where)
        if isinstance(value, np.ndarray | np.generic):
            return self.array(value, path, where)
        if isinstance(value, dict):
            return self.mapping(value, path, where)
        if type(value) in (list, tuple):
            items = [
                self.node(item, f"{path}/#{number}", f"{where}[{number}]")
                for number, item in enumerate(value)
            ]
            return items if type(value) is list else {KIND: "tuple", "items": items}
        if type(value) is bytes:
            return {KIND: "bytes", "is": value.hex()}
        raise _unstorable(where, value)

    def array(self, value: np.ndarray | np.generic, path: str, where: str) -> State:
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        is_masked = isinstance(value, np.ma.MaskedArray)
        if is_masked or value.dtype.kind not in KINDS:
            raise _unstorable(where, value)
        array = np.asarray(value)
        name = path[1:]
        if array.dtype in NATIVE and array.dtype.isnative:
            self.arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
            return {KIND: kind}
        raw = array.tobytes()
        self.arrays[name] = np.ndarray(len(raw), np.uint8, raw)
        return {KIND: kind, "dtype": array.dtype.str, "shape": list(array.shape)}

    def tensor(self, value: Tensor, path: str, where: str) -> State:
        if value.layout != torch.strided or value.is_quantized:
            raise _unstorable(where, value)
        tensor = value.detach().cpu()
        name = path[1:]
        try:
            array = tensor.resolve_conj().resolve_neg().numpy()
        except TypeError:  # NumPy has no such numbers
            self.arrays[name] = np.zeros(0, np.uint8)
            if tensor.numel():
                flat = tensor.contiguous().reshape(-1)
                self.arrays[name] = flat.view(torch.uint8).numpy()
            kind = str(tensor.dtype).removeprefix("torch.")
            return {KIND: "tensor", "dtype": kind, "shape": list(tensor.shape)}
        if array.dtype not in NATIVE:
            raise _unstorable(where, value)
        self.arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {KIND: "tensor"}


def quoted(key: str) -> str:
    """A key as part of a path, in which "/" separates keys."""
    return quote(key, safe=" ()[],:=+", errors="surrogatepass")


def _unstorable(where: str, value: Any) -> Unstorable:
    kind = type(value).__name__
    if isinstance(value, np.ndarray | np.generic | Tensor):
        kind = f"{kind} of {value.dtype}"
    return Unstorable(
        f"{where} is of type {kind}, which a checkpoint cannot keep; it keeps dicts, "
        "lists and tuples of arrays, tensors, numbers, text, bytes and None"
    )


def _joined(array: Callable[[str], np.ndarray], node: Any, path: str) -> Any:
    if isinstance(node, list):
        return _items(array, node, path)
    if not isinstance(node, dict):
        return node
    if KIND not in node:
        return {
            key: _joined(array, item, f"{path}/{quoted(key)}")
            for key, item in node.items()
        }
    kind = node[KIND]
    if kind == "dict":
        return {
            _joined(array, key, ""): _joined(array, item, f"{path}/#{number}")
            for number, (key, item) in enumerate(node["items"])
        }
    if kind == "tuple":
        return tuple(_items(array, node["items"], path))
    if kind == "float":
        return float(node["is"])
    if kind == "bytes":
        return bytes.fromhex(node["is"])
    return _number_of(kind, node, array(path[1:]))


def _items(array: Callable[[str], np.ndarray], nodes: list[Any], path: str) -> Any:
    return [_joined(array, item, f"{path}/#{n}") for n, item in enumerate(nodes)]


def _number_of(kind: str, node: State, found: np.ndarray) -> Any:
    """An array, a scalar or a tensor."""
    if kind == "tensor":
        tensor = torch.from_numpy(found.copy())
        if "dtype" not in node:
            return tensor
        dtype = getattr(torch, node["dtype"])
        if not found.size:
            return torch.empty(node["shape"], dtype=dtype)
        return tensor.view(dtype).reshape(node["shape"])
    if "dtype" in node:
        kept = np.dtype(node["dtype"])
        # a copy: what is read from a buffer cannot be written to
        found = np.ndarray(node["shape"], kept, found.tobytes()).copy()
    return found if kind == "array" else found[()]
