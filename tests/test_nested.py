"""What a plug-in keeps in its state comes back from a checkpoint exactly, or is refused
in one sentence."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curriculum.nested import Unstorable, join, require_storable, split
from curriculum.run import checkpoint
from curriculum.run.guard import Guard
from curriculum.types import Planner, Spec

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=4)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        kept = [(type(key), key) for key in a] == [(type(key), key) for key in b]
        return kept and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, np.ndarray | np.generic):
        same_bytes = a.tobytes() == b.tobytes()
        return a.dtype.str == b.dtype.str and a.shape == b.shape and same_bytes
    return repr(a) == repr(b)  # nan equals nan, 0.0 is not -0.0


def kept(state: Any, folder: Path) -> Any:
    """A state as a checkpoint gives it back."""
    return checkpoint.read(checkpoint.write(folder, {"planner": state}))["planner"]


STATES = {
    "a slash and nesting": {"a/b": np.ones(1), "a": {"b": np.zeros(2)}},
    "an empty key": {"": np.ones(3), "x": {"": {"": 1}}},
    "whole numbers as keys": {1: "a", "1": "b", False: "c", None: np.ones(1), 0.5: 2},
    "a percent sign": {"%2F": 1, "/": np.ones(1), "#0": [np.zeros(1)], "ä": np.ones(2)},
    "tuples and lists": {"t": (1, [2, (np.ones(1), ())], {})},
    "not finite": {"n": [float("nan"), float("inf"), -float("inf"), -0.0]},
    "numbers without dimensions": {
        "s": np.float64(0.1),
        "n": np.int64(3),
        "b": np.bool_(True),
        "0d": np.array(2.0),
    },
    "large numbers": {"n": 2**127 - 1, "m": -(2**70)},
    "bytes": {"b": b"\x00\xff"},
    "other byte order": {
        "a": np.arange(3, dtype=">f8"),
        "b": np.arange(3, dtype=">i2"),
    },
    "half precision": {
        "h": torch.ones(2, dtype=torch.float16),
        "b": torch.tensor(1.5, dtype=torch.bfloat16),
        "e": torch.ones(2, 0, dtype=torch.bfloat16),
    },
    "text, dates and complex numbers": {
        "u": np.array(["a", "bcd"]),
        "d": np.array(["2020-01-01"], "M8[D]"),
        "c": np.array([1 + 2j]),
        "none": np.zeros((2, 0), ">f4"),
    },
    "not contiguous": {"a": np.arange(6).reshape(2, 3).T, "t": torch.ones(2, 3).T},
    "half a character": {"\ud800": np.ones(1), "s": "\ud800"},
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_comes_back_as_it_was(name: str, tmp_path: Path):
    assert same(kept(STATES[name], tmp_path / "step-1"), STATES[name])


class Drawn:
    """Draws nested states."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def key(self) -> Any:
        alphabet = ["a", "b", "/", "", "%", "#", "0", "é", ".", "//"]
        if self.rng.random() < 0.8:
            return "".join(self.rng.choice(alphabet, self.rng.integers(4)))
        return [0, 1, -3, 0.5, False, None][self.rng.integers(6)]

    def value(self, depth: int) -> Any:
        kind = self.rng.integers(12)
        size = tuple(self.rng.integers(0, 3, self.rng.integers(3)))
        if kind < 5 and depth:
            values = [self.value(depth - 1) for _ in range(self.rng.integers(4))]
            if kind < 3:
                return {self.key(): value for value in values}
            return values if kind == 3 else tuple(values)
        if kind < 8:
            types = ["?", "i1", "<u8", ">i4", "f2", ">f8", "c8", "<U3", "S2", "m8[s]"]
            array = self.rng.integers(0, 2, size).astype(types[self.rng.integers(10)])
            is_whole = self.rng.random() < 0.8 or not array.size
            return array if is_whole else array.reshape(-1)[0]
        if kind == 8:
            tensors = [torch.bool, torch.bfloat16, torch.float16, torch.int64]
            return torch.zeros(size).to(tensors[self.rng.integers(4)])
        return [None, 3, 0.1, float("nan"), "a/b", b"x", True][self.rng.integers(7)]


def test_random_nested_states_come_back_as_they_were():
    for seed in range(400):
        drawn = Drawn(seed)
        state = {drawn.key(): drawn.value(3) for _ in range(4)}
        arrays, rest = split(state)
        text = json.dumps(rest, allow_nan=False)
        assert same(join(arrays.__getitem__, json.loads(text)), state), seed


LOOP: dict[str, Any] = {}
LOOP["again"] = LOOP
REFUSED = {
    "a set": ({"seen": {1, 2}}, "['seen'] is of type set, which"),
    "objects": (
        {"a": {"b": np.array([{}])}},
        "['a']['b'] is of type ndarray of object",
    ),
    "a key": ({("a", 1): 2}, "the key ('a', 1) of planner Remembering: state() is of"),
    "an item": ({"x": [1, Fraction(1, 2)]}, "['x'][1] is of type Fraction, which"),
    "masked": ({"m": np.ma.masked_array([1], [True])}, "['m'] is of type MaskedArray"),
    "fields": ({"s": np.zeros(1, "i4,f4")}, "['s'] is of type ndarray of"),
    "complex": ({"c": 1j}, "['c'] is of type complex, which"),
    "sparse": ({"t": torch.eye(2).to_sparse()}, "['t'] is of type Tensor of"),
    "itself": (LOOP, "state() is nested too deeply, or holds itself"),
    "no dict": ([1], "state() must be a dict, got list"),
}


class Remembering(Planner):
    """A planner with any state."""

    def __init__(self, remembered: Any) -> None:
        self.remembered = remembered

    def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Any:
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.zeros(len(rows), np.int64)

    def state(self) -> Any:
        return self.remembered


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_by_planner_and_key(name: str):
    state, message = REFUSED[name]
    with pytest.raises(Unstorable) as caught:
        Guard(Remembering(state), SPEC).state()
    assert message in str(caught.value)
    assert str(caught.value).startswith(("planner Remembering: state()", "the key"))
    assert "\n" not in str(caught.value)
    with pytest.raises(Unstorable):
        require_storable(state, "state()")
