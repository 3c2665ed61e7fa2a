"""A policy on its way out: rounded, written to a file, and run from that file by numpy
alone.

A policy that is not made of dense layers (convolutions, a search among candidate
actions) runs in torch alone; its file holds its state_dict.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from curriculum.shipping.layers import Layer, Unsupported, array_of, dense
from curriculum.types import Deployable

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, np.ndarray]
Expected = dict[str, tuple[str, tuple[int, ...]]]  # name -> type and shape
MARK = np.ones(1, np.uint8)  # an array whose presence says something


def deployable(policy: nn.Module) -> Deployable:
    """Take down everything the file of `policy` will hold; ValueError where a number is
    not finite."""
    try:
        layers = dense(policy)
    except Unsupported:
        arrays = {
            name: tensor.detach().cpu().numpy().copy()
            for name, tensor in policy.state_dict().items()
        }
        arrays["torch"] = MARK
    else:
        first: Any = next(policy.children())
        arrays = {"mean": array_of(first.mean), "scale": array_of(first.scale)}
        for i, (weight, bias, eps, tanh) in enumerate(layers):
            arrays |= {f"{i}.weight": weight, f"{i}.bias": bias}
            arrays |= {f"{i}.eps": np.array([eps], np.float32)} if eps else {}
            arrays |= {"tanh": MARK} if tanh else {}
    if broken := [
        name for name, array in arrays.items() if not np.isfinite(array).all()
    ]:
        raise ValueError(
            f"a policy with numbers that are not finite cannot be deployed; they are in {', '.join(broken)}"
        )
    return Deployable(policy, arrays)


def quantized(policy: Deployable) -> Deployable:
    """Round the weights of Linear and Conv2d to int8: symmetric, one scale per output
    channel, its largest over 127."""
    import torch
    from torch import nn

    arrays, module = dict(policy.arrays), copy.deepcopy(policy.module)
    # a file holds a layer used twice under both its names
    found = module.named_modules(remove_duplicate=False)
    layers = [
        (name, layer)
        for name, layer in found
        if isinstance(layer, nn.Linear | nn.Conv2d)
    ]
    for i, (name, layer) in enumerate(layers):
        key = f"{name if 'torch' in arrays else i}.weight".removeprefix(".")
        if key not in arrays:  # a weight that the module computes from others
            continue
        weight = arrays[key]
        scale = np.abs(weight).reshape(len(weight), -1).max(-1) / 127  # [out]
        scale[scale == 0] = 1  # a channel of zeros stays zero
        arrays[key] = np.rint(weight / _broad(scale, weight)).astype(np.int8)
        arrays[f"{key}_scale"] = scale
        layer.weight.data = torch.tensor(_whole(arrays, key))
    return Deployable(module, arrays)


def _broad(scale: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return scale.reshape(-1, *[1] * (weight.ndim - 1))  # [out, 1, ...]


def _whole(arrays: Arrays, name: str) -> np.ndarray:
    scale = arrays.get(f"{name}_scale")
    return (
        arrays[name]
        if scale is None
        else arrays[name].astype(np.float32) * _broad(scale, arrays[name])
    )


def save(policy: Deployable, path: Path) -> None:
    """Write the arrays of `policy` to `path`, which holds the old file or the new one
    and never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(
        safetensors.save(
            {k: np.asarray(v, order="C") for k, v in policy.arrays.items()}
        )
    )
    temporary.replace(path)


def load(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Read a dense policy back as a function: observations [*O] or [n, *O] -> scores
    [actions] or [n, actions], or box actions [A] or [n, A] in [-1, 1], float32.

    Needs no torch; raises ValueError where the file is not a whole policy or one that
    only torch can run. int8 weights become float32 here, once. Preallocated buffers
    were measured to save nothing here, so calls share no memory."""
    arrays = _read(path := Path(path))
    if "torch" in arrays:
        raise ValueError(
            f"{path} is a policy that only torch can run: load the run's checkpoint; its learner's export(seed) is the "
            f"module, into which curriculum.shipping.artefact.fill(module, path) puts the weights of this file"
        )
    _check(path, arrays, _expected(arrays))
    for name, array in arrays.items():
        if (name == "tanh" and array != MARK) or (name.endswith(".eps") and array <= 0):
            should = 1 if name == "tanh" else "positive"
            raise ValueError(
                f"{path} is not a policy: array {name!r} should be {should}, it is {array[0]}"
            )
    mean, scale = arrays["mean"], arrays["scale"]
    *hidden, (last_weight, last_bias, _, tanh) = [
        _ready(layer) for layer in _layers(arrays)
    ]
    zero = np.float32(0)  # a Python 0 costs 0.3 us more, each time

    def forward(obs: np.ndarray) -> np.ndarray:
        x = np.asarray(obs, np.float32)
        many = x.ndim > 1 and prod(x.shape[1:]) == mean.size
        x = (x.reshape((-1, mean.size) if many else mean.size) - mean) * scale
        for weight, bias, eps, _ in hidden:
            x = x.dot(weight)
            x += bias
            if eps:
                x /= np.sqrt(np.vecdot(x, x) / len(bias) + eps)[..., None]
            np.maximum(x, zero, out=x)
        x = x.dot(last_weight) + last_bias
        return np.tanh(x) if tanh else x

    return forward


def _layers(arrays: Arrays) -> list[Layer]:
    layers = []
    for i in range(sum(name.endswith(".bias") for name in arrays)):
        eps = float(arrays[f"{i}.eps"][0]) if f"{i}.eps" in arrays else 0.0
        layers.append(Layer(_whole(arrays, f"{i}.weight"), arrays[f"{i}.bias"], eps))
    layers[-1] = layers[-1]._replace(tanh="tanh" in arrays)
    return layers


def _ready(layer: Layer) -> Layer:
    weight, bias, eps, tanh = layer
    if eps:  # LayerNorm's subtraction of the mean is linear: done once, here
        weight, bias = (
            weight - weight.mean(0, np.float64),
            bias - bias.mean(dtype=np.float64),
        )
    return Layer(weight.astype(np.float32).T, bias.astype(np.float32), eps, tanh)


def fill(module: nn.Module, path: Path) -> None:
    """Give `module` the weights of a file that `load` refuses; it must be built as that
    policy was.

    int8 weights become float32 here. Raises ValueError where the file is not whole or
    of another module."""
    import torch

    arrays = _read(path)
    expected: Expected = {"torch": ("uint8", (1,))}
    state = {name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()}
    for name, array in state.items():
        rounded = f"{name}_scale" in arrays and array.ndim > 1
        expected[name] = ("int8" if rounded else str(array.dtype), array.shape)
        expected |= {f"{name}_scale": ("float32", array.shape[:1])} if rounded else {}
    _check(path, arrays, expected)
    module.load_state_dict({name: torch.tensor(_whole(arrays, name)) for name in state})


def _read(path: Path) -> Arrays:
    try:
        return safetensors.load(path.read_bytes())
    # KeyError: a type that numpy does not have
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def _check(path: Path, arrays: Arrays, expected: Expected) -> None:
    found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    # absent arrays first: others' shapes depend on them
    for name in sorted(expected | found, key=found.__contains__):
        if expected.get(name) != found.get(name):
            should, found_here = expected.get(name, "absent"), found.get(name, "absent")
            raise ValueError(
                f"{path} is not a policy: array {name!r} should be {should}, it is {found_here}"
            )
        if not np.isfinite(arrays[name]).all():
            raise ValueError(
                f"{path} is not a policy: array {name!r} holds numbers that are not finite"
            )


def _expected(arrays: Arrays) -> Expected:
    """Type and shape that each array of a dense policy must have, given the length of
    the mean and of every bias."""
    depth = len({"0"} | {name.split(".")[0] for name in arrays if name[:1].isdigit()})
    widths = [
        arrays[name].size if name in arrays else 0
        for name in ("mean", *(f"{i}.bias" for i in range(depth)))
    ]
    expected: Expected = {"tanh": ("uint8", (1,))} if "tanh" in arrays else {}
    expected["mean"] = expected["scale"] = ("float32", (widths[0],))
    for i, (fan_in, fan_out) in enumerate(pairwise(widths)):
        rounded = f"{i}.weight_scale" in arrays
        expected[f"{i}.weight"] = ("int8" if rounded else "float32", (fan_out, fan_in))
        expected[f"{i}.bias"] = ("float32", (fan_out,))
        if rounded:
            expected[f"{i}.weight_scale"] = ("float32", (fan_out,))
        if f"{i}.eps" in arrays and i < depth - 1:
            expected[f"{i}.eps"] = ("float32", (1,))
    return expected
