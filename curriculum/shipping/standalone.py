"""Act by a policy file, with numpy and the standard library alone.

    from standalone import load_policy

    policy = load_policy("policy-best.cur")
    action = policy.act(observation)

A robot needs a policy file and a copy of this module, nothing else. The file is a zip,
not compressed, of two members. `weights.safetensors` holds named arrays of float32, of
float16, or of int8 weights with a scale for each output; all become float32 here.
`policy.json` holds the contract (spaces, world, who trained it), SHA-256 checksums, and
what the policy computes: a list of operations (see `OPERATIONS`). Value 0 is the
observation as float32, value k the output of the k-th operation, and the last value are
the scores: one for each discrete action, of which the largest acts, or the numbers of a
box action in [-1, 1]. Every array is used once.

No policy draws random numbers when it acts; latents that it decodes are in the file.
Whatever is wrong with a file is one ValueError, and its content never runs as code.
"""

import hashlib
import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

FORMAT = 1  # of the file; another number is refused
DOCUMENT = "policy.json"
WEIGHTS = "weights.safetensors"
# limits on what is read
MOST_BYTES = 2**30  # of the file
MOST_TEXT = 2**22  # bytes of a JSON text
MOST_DIRECTORY = 2**12  # bytes of the zip's list of members
MOST_OPERATIONS = 1_000
MOST_NUMBERS = 2**24  # that are computed for one observation
ACTION_DTYPES = ("float16", "float32", "float64")
OBSERVATION_DTYPES = (
    *(*ACTION_DTYPES, "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
)
# what reading a damaged zip raises, besides ValueError
DAMAGE = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, OverflowError),
    *(OSError, EOFError, struct.error),
)
# types of arrays by their names in a safetensors file
ARRAY_DTYPES = {"F32": "<f4", "F16": "<f2", "I8": "i1"}
LARGEST = 127  # a vector whose largest number is rounded to this has int8 steps
EXCLUDED = -1e30  # the score of an action that is not admitted
NEAR = 2.0  # means up to here, in scales, are not subtracted but part of the biases
# operations whose single observation is computed in memory that is kept
DENSE = re.compile("normalise( linear( layer_norm)? relu)* linear( tanh)?")

Arrays = dict[str, np.ndarray]
Shape = tuple[int, ...]


class Policy:
    """A policy that was read from a file.

    Calls share memory, so threads need a policy each. An observation for which the
    scores are not finite is refused with a ValueError."""

    def __init__(self, contract: dict[str, Any], operations: list, arrays: Arrays):
        self.contract = contract
        self.operations = operations
        self.arrays = arrays
        observation = _entry(contract, "observation", dict)
        self._shape = _shape(observation)
        self._dtype = _dtype(observation, OBSERVATION_DTYPES)
        self._steps, width = _steps(operations, arrays, self._shape)
        # weights that were int8 have taken their scales in
        scales = {about.get("weight_scale") for about in operations}
        kept = [array.size for name, array in arrays.items() if name not in scales]
        self._array_bytes = 4 * sum(kept)
        action = _entry(contract, "action", dict)
        self.action_of = _to_action(action, width)
        # whether an action is the index of the largest score
        self._is_index = action["kind"] == "discrete" and action["start"] == 0
        self._single: Callable[[np.ndarray], np.ndarray] | None = None
        if _is_dense(operations, self._dtype):
            self._single = _single(operations, arrays, self._shape)

    def act(self, obs: Any) -> Any:
        """The action for one observation [*O], or the actions for a batch [n, *O], in
        the units and the type of the world; discrete ones are int64."""
        # asks in the fastest way; whatever it misses, the last line computes as well
        single = self._single
        if (
            single
            and type(obs) is np.ndarray
            and obs.dtype is self._dtype
            and obs.shape == self._shape
        ):
            scores = single(obs)
            if self._is_index:
                index = scores.argmax()
                # the largest of scores is nan where one of them is
                if isfinite(scores.item(index)):
                    return index
            return self.action_of(scores)
        return self.action_of(self.scores(obs))

    def scores(self, obs: Any) -> np.ndarray:
        """Scores [actions], of which the largest acts, or the numbers [A] of a box
        action in [-1, 1]; for a batch [n, *O], one row for each observation."""
        obs = self._converted(np.asarray(obs))
        if obs.shape == self._shape:
            if self._single:
                return self._single(obs).copy()
            return self._computed(obs[None])[0]
        if obs.shape[1:] != self._shape or not obs.ndim:
            raise ValueError(
                f"an observation has shape {self._shape}, a batch has one more axis in "
                f"front; got {obs.shape}"
            )
        return self._computed(obs)

    @property
    def peak_bytes(self) -> int:
        """Bytes of its float32 arrays, and of all values that are needed at once, at
        most, to act on one observation."""
        last_use = list(range(len(self._steps) + 1))
        for number, step in enumerate(self._steps, 1):
            for index in step.inputs:
                last_use[index] = number
        shapes = [self._shape, *(step.shape for step in self._steps)]
        alive = [
            sum(math.prod(shapes[k]) for k in range(now + 1) if last_use[k] >= now)
            for now in range(len(shapes))
        ]
        return self._array_bytes + 4 * max(alive)

    def _converted(self, obs: np.ndarray) -> np.ndarray:
        """Observations of the policy's type; ValueError where that would lose more than
        digits."""
        if obs.dtype == self._dtype:
            return obs
        if obs.dtype.kind not in "biuf":
            raise ValueError(f"an observation holds numbers, got {obs.dtype}")
        with np.errstate(invalid="ignore", over="ignore"):
            converted = obs.astype(self._dtype)
        if self._dtype.kind != "f" and not np.array_equal(converted, obs):
            raise ValueError(
                f"observations are {self._dtype}, got {obs.dtype} with other numbers"
            )
        return converted

    def _computed(self, obs: np.ndarray) -> np.ndarray:
        values = [obs.astype(np.float32)]
        with np.errstate(all="ignore"):  # what is not finite is found at the end
            for step in self._steps:
                inputs = [values[index] for index in step.inputs]
                values.append(step.compute(*inputs))
        return values[-1]


def load_policy(path: str | Path) -> Policy:
    """Read and check a policy file; ValueError says in one sentence what is wrong."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a policy: there is no such file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is not a policy: it is larger than {MOST_BYTES:,} B")
    try:
        return _policy(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not a policy: {error}") from None


def checksum(document: dict[str, Any]) -> str:
    """SHA-256 of a document, without the checksums in it."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# --- the file ---


def _policy(data: bytes) -> Policy:
    members = _members(data)
    document = _json(members[DOCUMENT], DOCUMENT)
    if document.get("format") != FORMAT:
        given = _shown(document.get("format"))
        raise ValueError(f"it has format {given}, this version reads {FORMAT}")
    expected = {
        DOCUMENT: checksum(document),
        WEIGHTS: hashlib.sha256(members[WEIGHTS]).hexdigest(),
    }
    found = _entry(document, "sha256", dict)
    for name, digest in expected.items():
        if found.get(name) != digest:
            raise ValueError(f"{name} is damaged: its checksum is another one")
    arrays = _arrays(members[WEIGHTS])
    operations = _entry(document, "operations", list)
    contract = {
        name: value
        for name, value in document.items()
        if name not in ("operations", "sha256")
    }
    return Policy(contract, operations, arrays)


def _members(data: bytes) -> dict[str, bytes]:
    """The two members of the zip."""
    # the list of members is bounded before anything reads it
    end = data[-22:]
    if len(end) < 22 or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise ValueError("it is no whole zip")
    (directory,) = struct.unpack("<I", end[12:16])
    if directory > MOST_DIRECTORY or data[-42:-38] == b"PK\6\7":
        raise ValueError(f"it has members besides {DOCUMENT} and {WEIGHTS}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            if sorted(names) != [DOCUMENT, WEIGHTS]:
                listed = ", ".join(_shown(name) for name in names)
                raise ValueError(
                    f"it must hold {DOCUMENT} and {WEIGHTS}, once each, it holds "
                    f"{listed or 'nothing'}"
                )
            for member in members:
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{member.filename} is compressed")
                if member.file_size != member.compress_size:
                    raise ValueError(f"{member.filename} has two sizes")
            return {member.filename: archive.read(member) for member in members}
    except DAMAGE as error:
        raise ValueError(f"its zip is damaged: {error!s:.60}") from None


def _json(data: bytes, name: str) -> dict[str, Any]:
    if len(data) > MOST_TEXT:
        raise ValueError(f"the JSON of {name} is longer than {MOST_TEXT:,} bytes")
    try:
        found = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"the JSON of {name} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the JSON of {name} cannot be read: {error}") from None
    if type(found) is not dict:
        raise ValueError(f"the JSON of {name} is no object")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _arrays(data: bytes) -> Arrays:
    """The arrays of a safetensors file: the length of a JSON header, the header, and
    the numbers of all arrays one after the other."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError(f"{WEIGHTS} is cut short")
    header = _json(data[8 : 8 + length], WEIGHTS)
    content = memoryview(data)[8 + length :]
    arrays: Arrays = {}
    end = 0
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if type(about) is not dict or about.get("dtype") not in list(ARRAY_DTYPES):
            listed = ", ".join(ARRAY_DTYPES)
            raise ValueError(f"array {_shown(name)} is none of {listed}")
        dtype = np.dtype(ARRAY_DTYPES[about["dtype"]])
        shape = _shape(about)
        start = end
        end += dtype.itemsize * math.prod(shape)
        if about.get("data_offsets") != [start, end] or end > len(content):
            raise ValueError(f"array {_shown(name)} does not lie where it should")
        numbers = np.frombuffer(content[start:end], dtype)
        if not np.isfinite(numbers).all():
            raise ValueError(f"array {_shown(name)} has numbers that are not finite")
        arrays[name] = numbers.astype(dtype.newbyteorder("=")).reshape(shape)
    if end != len(content):
        raise ValueError(f"{WEIGHTS} holds more than its arrays")
    return arrays


# --- entries of JSON objects ---


def _shown(value: Any) -> str:
    return f"{value!r:.60}"


def _entry(values: dict[str, Any], name: str, kind: type) -> Any:
    value = values.get(name)
    if type(value) is not kind:
        raise ValueError(f"{name!r} is {_shown(value)}, it must be a {kind.__name__}")
    return value


def _number(values: dict[str, Any], name: str) -> float:
    value: Any = values.get(name)
    if type(value) not in (int, float) or not abs(value) < 1e38:
        raise ValueError(f"{name!r} is {_shown(value)}, it must be a finite number")
    return float(value)


def _whole(value: Any, name: str, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= MOST_NUMBERS:
        raise ValueError(
            f"{name!r} is {_shown(value)}, it must be a whole number from {least} to "
            f"{MOST_NUMBERS:,}"
        )
    return value


def _wholes(values: dict[str, Any], name: str, least: int = 0) -> Shape:
    found = _entry(values, name, list)
    if len(found) > 8:
        raise ValueError(f"{name!r} has {len(found)} numbers, at most 8 are possible")
    return tuple(_whole(value, name, least) for value in found)


def _shape(values: dict[str, Any]) -> Shape:
    return _wholes(values, "shape")


def _dtype(values: dict[str, Any], choices: tuple[str, ...]) -> np.dtype:
    name = values.get("dtype")
    if name not in choices:
        listed = ", ".join(choices)
        raise ValueError(f"'dtype' is {_shown(name)}, it must be one of {listed}")
    return np.dtype(name)


# --- actions ---


def _to_action(about: dict[str, Any], width: int) -> Callable[[np.ndarray], Any]:
    """What turns scores [actions] or [n, actions] into actions of the world."""
    kind = about.get("kind")
    if kind == "discrete":
        if _whole(about.get("n"), "n", 1) != width:
            raise ValueError(f"it gives {width} scores for {about['n']} actions")
        return _discrete(int(_number(about, "start")))
    if kind != "box":
        raise ValueError(f"actions are {_shown(kind)}, they must be discrete or box")
    shape = _shape(about)
    if math.prod(shape) != width:
        raise ValueError(f"it gives {width} numbers for actions of shape {shape}")
    low = _bound(about, "low", width)
    high = _bound(about, "high", width)
    return _box(shape, _dtype(about, ACTION_DTYPES), low, high)


def _bound(about: dict[str, Any], name: str, width: int) -> np.ndarray:
    found = _entry(about, name, list)
    if len(found) != width:
        raise ValueError(f"{name!r} has {len(found)} numbers, it must have {width}")
    numbers = [_number({name: value}, name) for value in found]
    return np.array(numbers, np.float32)


def _discrete(start: int) -> Callable[[np.ndarray], Any]:
    def choose(scores: np.ndarray) -> Any:
        _require_finite(scores)
        return scores.argmax(-1) + start

    return choose


def _box(
    shape: Shape, dtype: np.dtype, low: np.ndarray, high: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    centre = (high + low) / 2
    half_width = (high - low) / 2

    def scale(scores: np.ndarray) -> np.ndarray:
        _require_finite(scores)
        action = np.clip(centre + half_width * scores, low, high)
        return action.astype(dtype, copy=False).reshape(*scores.shape[:-1], *shape)

    return scale


def _require_finite(scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise ValueError(
            "the scores are not finite: the observation holds such numbers or very "
            "large ones"
        )


# --- operations ---


class Step(NamedTuple):
    """An operation that is ready to compute."""

    inputs: tuple[int, ...]  # which values it takes
    shape: Shape  # of its output, for one observation
    compute: Callable[..., np.ndarray]  # values [n, ...] -> output [n, *shape]


class Node:
    """An operation as the file describes it, with checks of what it says."""

    def __init__(self, about: dict[str, Any], unused: Arrays, shapes: list[Shape]):
        self.about = about
        self.unused = unused
        self.shapes = shapes  # of its inputs

    def input(self, axes: int = 1) -> Shape:
        """The shape of its only input."""
        if len(self.shapes) != 1 or len(self.shapes[0]) < axes:
            raise ValueError(f"inputs of shapes {self.shapes} do not fit")
        return self.shapes[0]

    def pair(self, is_fitting: Callable[[Shape, Shape], bool]) -> tuple[Shape, Shape]:
        """The shapes of its two inputs."""
        if len(self.shapes) != 2 or not is_fitting(*self.shapes):
            raise ValueError(f"inputs of shapes {self.shapes} do not fit")
        return self.shapes[0], self.shapes[1]

    def number(self, name: str) -> float:
        return _number(self.about, name)

    def whole(self, name: str, least: int = 1) -> int:
        return _whole(self.about.get(name), name, least)

    def two(self, name: str, least: int) -> tuple[int, int]:
        """Two whole numbers, for rows and columns of pictures."""
        found = _wholes(self.about, name, least)
        if len(found) != 2:
            raise ValueError(f"{name!r} has {len(found)} numbers, it must have 2")
        return found[0], found[1]

    def array(
        self, name: str, *shape: int | None, may_be_int8: bool = False
    ) -> np.ndarray:
        """An array of this shape, None where any length fits."""
        key = _entry(self.about, name, str)
        if key not in self.unused:
            raise ValueError(f"there is no array {_shown(key)}, or it is used twice")
        array = self.unused.pop(key)
        if array.dtype == np.int8 and not may_be_int8:
            raise ValueError(f"array {_shown(key)} is int8, only weights can be")
        fits = len(shape) == array.ndim and all(
            wanted in (None, given)
            for wanted, given in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = tuple("any" if side is None else side for side in shape)
            raise ValueError(
                f"array {_shown(key)} has shape {array.shape}, it must have {wanted}"
            )
        return array.astype(np.float32) if array.dtype == np.float16 else array

    def weight(self, *shape: int | None) -> np.ndarray:
        """The array "weight" [out, ...] as float32; where it is int8, times the array
        "weight_scale" [out]."""
        weight = self.array("weight", *shape, may_be_int8=True)
        if weight.dtype != np.int8:
            return weight
        return restored(weight, self.array("weight_scale", len(weight)))


def restored(weight: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """int8 weights [out, ...] times the scale [out] of their output, as float32."""
    broadcast = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return weight.astype(np.float32) * broadcast


Made = tuple[Shape, Callable[..., np.ndarray]]


def normalise(node: Node) -> Made:
    """(x - mean) * scale, clipped to [-limit, limit] unless it is 0, as one axis."""
    size = math.prod(node.input(0))
    mean = node.array("mean", size)
    scale = node.array("scale", size)
    limit = np.float32(node.number("limit"))

    def compute(x: np.ndarray) -> np.ndarray:
        scaled = (x.reshape(len(x), size) - mean) * scale
        return np.clip(scaled, -limit, limit) if limit else scaled

    return (size,), compute


def pixels(node: Node) -> Made:
    """x / 255 - center; files of former versions have no center."""
    center = np.float32(node.number("center") if "center" in node.about else 0)
    return node.input(), lambda x: x / np.float32(255) - center


def rounded(node: Node) -> Made:
    """The nearest of 256 multiples of `step` from -128 on: what int8 can hold. Where
    `step` is 0, that of an observation is its largest absolute number / 127."""
    shape = node.input(0)
    step = np.float32(node.number("step"))
    if step < 0 or not math.prod(shape):
        raise ValueError("'step' must be at least 0, and no axis empty")

    def compute(x: np.ndarray) -> np.ndarray:
        size = step or _step_of(x)
        return np.clip(np.rint(x / size), -LARGEST - 1, LARGEST) * size

    return shape, compute


def _step_of(x: np.ndarray) -> np.ndarray:
    """The step [n, 1, ...] of every observation."""
    largest = np.abs(x).max(tuple(range(1, x.ndim)), keepdims=True)
    step = largest / np.float32(LARGEST)
    return np.where(step == 0, np.float32(1), step)


def linear(node: Node) -> Made:
    """Weight [out, in] times the last axis, plus bias [out]."""
    *others, inputs = node.input()
    weight = node.weight(None, inputs).T
    bias = node.array("bias", weight.shape[1])
    return (*others, len(bias)), lambda x: x @ weight + bias


def relu(node: Node) -> Made:
    """max(x, 0)."""
    return node.input(), lambda x: np.maximum(x, np.float32(0))


def tanh(node: Node) -> Made:
    """tanh(x)."""
    return node.input(), np.tanh


def layer_norm(node: Node) -> Made:
    """(x - mean) / sqrt(variance + eps) over the last axis."""
    shape = node.input()
    eps = np.float32(node.number("eps"))
    if not eps > 0 or not shape[-1]:
        raise ValueError("'eps' must be positive, and the last axis not empty")

    def compute(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        variance = np.square(centred).mean(-1, keepdims=True)
        return centred / np.sqrt(variance + eps)

    return shape, compute


def affine(node: Node) -> Made:
    """Each number of the last axis times its own weight plus bias, [D] both."""
    shape = node.input()
    weight = node.array("weight", shape[-1])
    bias = node.array("bias", shape[-1])
    return shape, lambda x: x * weight + bias


def conv2d(node: Node) -> Made:
    """Convolution of pictures [in, H, W] by weight [out, in, h, w] plus bias [out]."""
    channels, *size = node.input(3)
    weight = node.weight(None, channels, None, None)
    bias = node.array("bias", len(weight))
    windows, sides = _windows(node, size, weight.shape[2:], 0)
    _bounded(channels * math.prod(sides) * math.prod(weight.shape[2:]))
    kernels = weight.reshape(len(weight), -1).T  # [in * h * w, out]

    def compute(x: np.ndarray) -> np.ndarray:
        seen = windows(x).transpose(0, 2, 3, 1, 4, 5)  # [n, H', W', in, h, w]
        flat = seen.reshape(-1, len(kernels))
        found = (flat @ kernels + bias).reshape(len(x), *sides, len(bias))
        return found.transpose(0, 3, 1, 2)

    return (len(bias), *sides), compute


def max_pool2d(node: Node) -> Made:
    """The largest number of every window of `size` in pictures [channels, H, W]."""
    channels, *size = node.input(3)
    windows, sides = _windows(node, size, node.two("size", 1), -np.inf)
    return (channels, *sides), lambda x: windows(x).max((-1, -2))


def _windows(
    node: Node, size: list[int], window: Shape, filling: float
) -> tuple[Callable[[np.ndarray], np.ndarray], Shape]:
    """What cuts pictures [n, C, H, W] into windows [n, C, H', W', h, w], and H', W'."""
    if len(size) != 2:
        raise ValueError(f"pictures of size {size} do not fit")
    rows, columns = node.two("stride", 1)
    vertical, horizontal = node.two("padding", 0)
    padded = (size[0] + 2 * vertical, size[1] + 2 * horizontal)
    if not all(0 < w <= p for w, p in zip(window, padded, strict=True)):
        raise ValueError(f"windows {window} do not fit into pictures {padded}")
    _bounded(node.input()[0] * math.prod(padded))
    sides = tuple(
        (p - w) // stride + 1
        for p, w, stride in zip(padded, window, (rows, columns), strict=True)
    )
    margins = ((0, 0), (0, 0), (vertical, vertical), (horizontal, horizontal))

    def cut(x: np.ndarray) -> np.ndarray:
        if vertical or horizontal:
            x = np.pad(x, margins, constant_values=filling)
        found = sliding_window_view(x, window, (2, 3))
        return found[:, :, ::rows, ::columns]

    return cut, sides


def flatten(node: Node) -> Made:
    """All axes as one."""
    size = math.prod(node.input())
    return (size,), lambda x: x.reshape(len(x), size)


def add(node: Node) -> Made:
    """The sum of two values."""
    shape, _ = node.pair(lambda one, other: one == other)
    return shape, np.add


def columns(node: Node) -> Made:
    """The first `count` numbers of the last axis."""
    *others, size = node.input()
    count = min(node.whole("count"), size)
    return (*others, count), lambda x: x[..., :count]


def mean(node: Node) -> Made:
    """The means of `groups` equal parts of the last axis."""
    *others, size = node.input()
    groups = node.whole("groups")
    if not size or size % groups:
        raise ValueError(f"{size} numbers are not {groups} equal parts")
    shape = (*others, groups)
    parts = (*shape, size // groups)
    return shape, lambda x: x.reshape(len(x), *parts).mean(-1)


def join(node: Node) -> Made:
    """Features [D] in front of each of N vectors: those of an input [N, E], or of the
    array `latents` [N, E]."""
    if len(node.shapes) == 1:
        latents = node.array("latents", None, None)
        size, other = node.input(), latents.shape
    else:
        latents = None
        size, other = node.pair(lambda one, other: len(other) == 2)
    if len(size) != 1:
        raise ValueError(f"features of shape {size} do not fit")

    def compute(features: np.ndarray, vectors: np.ndarray | None = None) -> np.ndarray:
        if vectors is None:
            assert latents is not None
            vectors = np.broadcast_to(latents, (len(features), *other))
        repeated = np.broadcast_to(features[:, None], (*vectors.shape[:2], size[0]))
        return np.concatenate([repeated, vectors], -1)

    return (other[0], size[0] + other[1]), compute


def move(node: Node) -> Made:
    """Box actions plus `reach` times directions, clipped to [-1, 1]."""
    shape, _ = node.pair(lambda one, other: one == other)
    reach = np.float32(node.number("reach"))
    return shape, lambda action, by: np.clip(action + reach * by, -1, 1)


def best(node: Node) -> Made:
    """That of N candidates [N, A] which has the largest of values [N, 1]."""
    shape, _ = node.pair(lambda one, other: len(one) == 2 and other == (one[0], 1))
    if not shape[0]:
        raise ValueError("there are no candidates")

    def compute(candidates: np.ndarray, values: np.ndarray) -> np.ndarray:
        index = values[..., 0].argmax(-1)
        return candidates[np.arange(len(candidates)), index]

    return shape[1:], compute


def admit(node: Node) -> Made:
    """Scores of the actions whose probability, by logits, is at least `threshold` times
    the largest; EXCLUDED for the others."""
    shape, _ = node.pair(lambda one, other: one == other and len(one) == 1)
    threshold = np.float32(node.number("threshold"))

    def compute(scores: np.ndarray, logits: np.ndarray) -> np.ndarray:
        relative = np.exp(logits - logits.max(-1, keepdims=True))
        # what is not a number is not excluded, so that it is found
        return np.where(relative < threshold, np.float32(EXCLUDED), scores)

    return shape, compute


OPERATIONS: dict[str, Callable[[Node], Made]] = {
    make.__name__: make
    for make in (
        *(normalise, pixels, rounded, linear, relu, tanh, layer_norm, affine, conv2d),
        *(max_pool2d, flatten, add, columns, mean, join, move, best, admit),
    )
}


def _steps(operations: list, arrays: Arrays, obs: Shape) -> tuple[list[Step], int]:
    """The operations, ready to compute, and the number of scores."""
    if not 0 < len(operations) <= MOST_OPERATIONS:
        raise ValueError(
            f"it has {len(operations):,} operations, it must have 1 to "
            f"{MOST_OPERATIONS:,}"
        )
    steps: list[Step] = []
    shapes = [obs]
    unused = dict(arrays)
    for number, about in enumerate(operations, 1):
        try:
            steps.append(_step(about, unused, shapes))
        except ValueError as error:
            raise ValueError(f"operation {number}: {error}") from None
        shapes.append(steps[-1].shape)
        _bounded(sum(map(math.prod, shapes)))
    if unused:
        raise ValueError(f"no operation uses array {_shown(next(iter(unused)))}")
    if len(shapes[-1]) != 1 or not shapes[-1][0]:
        raise ValueError(f"its scores have shape {shapes[-1]}, not one axis")
    return steps, shapes[-1][0]


def _step(about: Any, unused: Arrays, shapes: list[Shape]) -> Step:
    if type(about) is not dict:
        raise ValueError(f"{_shown(about)} is no object")
    name = about.get("op")
    if type(name) is not str or name not in OPERATIONS:
        listed = ", ".join(OPERATIONS)
        raise ValueError(f"{_shown(name)} is not an operation; there are: {listed}")
    inputs = _wholes(about, "inputs")
    if any(index >= len(shapes) for index in inputs):
        raise ValueError(f"inputs {list(inputs)} come after it")
    node = Node(about, unused, [shapes[index] for index in inputs])
    shape, compute = OPERATIONS[name](node)
    return Step(inputs, shape, compute)


def _bounded(numbers: int) -> None:
    if numbers > MOST_NUMBERS:
        raise ValueError(
            f"it computes {numbers:,} numbers for one observation, at most "
            f"{MOST_NUMBERS:,} are possible"
        )


# --- one observation of a dense policy ---


def _is_dense(operations: list, dtype: np.dtype) -> bool:
    names = [about["op"] for about in operations]
    is_chain = all(about["inputs"] == [k] for k, about in enumerate(operations))
    is_exact = np.result_type(dtype, np.float32) == np.float32
    return is_chain and is_exact and DENSE.fullmatch(" ".join(names)) is not None


def _single(
    operations: list, arrays: Arrays, shape: Shape
) -> Callable[[np.ndarray], np.ndarray]:
    """What computes the scores of one observation, in memory that the next call
    overwrites.

    Almost all of its time is that of the matrix products: see `_layers`."""
    # looking a name up takes as long as a tenth of a product
    subtract, maximum, minimum = np.subtract, np.maximum, np.minimum
    first = operations[0]
    mean = arrays[first["mean"]].reshape(shape)
    is_clipped = bool(first["limit"])
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.float32(first["limit"]) / np.abs(arrays[first["scale"]])
    highest = limits.reshape(shape)
    lowest = -highest
    # where the squares add up to no more, no number is clipped
    harmless = float(limits.min(initial=np.inf)) ** 2
    shift = mean.ravel() * arrays[first["scale"]]
    # biases of the first layer take the means where that loses no digits
    is_shifted = is_clipped or np.abs(shift).max(initial=0) > NEAR
    layers = _layers(operations, arrays, np.zeros_like(shift) if is_shifted else shift)
    vectors = [np.ones(len(weight), np.float32) for weight, _ in layers]
    flat = vectors[0][:-1]
    centred = flat.reshape(shape)
    hidden = []
    *before, (last_weight, _) = layers
    for index, (weight, eps) in enumerate(before):
        out = vectors[index + 1][:-1]
        hidden.append((vectors[index].dot, weight, out, np.zeros_like(out), eps))
    last_dot = vectors[-1].dot
    last = np.empty(last_weight.shape[1], np.float32)
    is_squashed = operations[-1]["op"] == "tanh"

    def scores(obs: np.ndarray) -> np.ndarray:
        if not is_shifted:
            centred[...] = obs
        else:
            subtract(obs, mean, out=centred)
            if is_clipped and not flat.dot(flat) <= harmless:
                minimum(centred, highest, out=centred)
                maximum(centred, lowest, out=centred)
        for dot, weight, out, zeros, eps in hidden:
            dot(weight, out)
            if eps:
                out /= math.sqrt(out.dot(out) / len(out) + eps)
            maximum(out, zeros, out=out)
        last_dot(last_weight, last)
        if is_squashed:
            np.tanh(last, out=last)
        return last

    return scores


def _layers(
    operations: list, arrays: Arrays, shift: np.ndarray
) -> list[tuple[np.ndarray, float]]:
    """Weights [in + 1, out] of the dense layers, and the eps of the layer norm behind
    each, 0 where there is none; `shift` [in] is subtracted from scaled observations.

    The last row holds the biases: the weights of a 1 behind every vector. The first
    weights hold the scale of observations. Those in front of a layer norm subtract the
    mean over their outputs."""
    layers: list[tuple[np.ndarray, float]] = []
    scale = arrays[operations[0]["scale"]]
    for about in operations:
        if about["op"] == "linear":
            weight = arrays[about["weight"]]
            if weight.dtype == np.int8:
                weight = restored(weight, arrays[about["weight_scale"]])
            bias = arrays[about["bias"]] - weight @ shift
            weight = weight * scale
            shift = np.zeros(len(bias), np.float32)
            rows = np.vstack([weight.T, bias])
            layers.append((np.ascontiguousarray(rows), 0.0))
            scale = np.ones(len(bias), np.float32)
        elif about["op"] == "layer_norm":
            weight, _ = layers.pop()
            mean = weight.mean(1, np.float64, keepdims=True)
            layers.append(((weight - mean).astype(np.float32), about["eps"]))
    return layers
