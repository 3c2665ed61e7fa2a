"""The arrays of a policy as a file: how they are written, checked and read back.

Compressed policies are such files, and so are the policies of runs before version 0.3;
later ones are policy files (see `curriculum.shipping.standalone`).

A file holds named arrays (see `curriculum.types.Deployable`) as safetensors. Numpy
alone runs dense policies; all others (convolutions, a search among candidate actions)
need torch, and their file holds their state_dict.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from curriculum.files import replacing
from curriculum.shipping.int8 import (
    dequantized,
    quantized,  # noqa: F401 - found here by its name of version 0.1
    scale_name,
)
from curriculum.shipping.layers import Layer, Unsupported, array_of, dense
from curriculum.shipping.numpy_runner import Forward, runner
from curriculum.types import Deployable

if TYPE_CHECKING:
    from torch import nn

Arrays = dict[str, np.ndarray]
Expected = dict[str, tuple[str, tuple[int, ...]]]  # name -> type and shape
MARK = np.ones(1, np.uint8)  # an array whose presence is the information


def deployable(policy: nn.Module) -> Deployable:
    """Collect everything that the file of `policy` will hold.

    Raises ValueError where a number is not finite."""
    try:
        layers = dense(policy)
    except Unsupported:
        arrays = _state_dict(policy)
        arrays["torch"] = MARK
    else:
        normaliser: Any = next(policy.children())
        arrays = {"mean": array_of(normaliser.mean)}
        arrays["scale"] = array_of(normaliser.scale)
        if normaliser.limit:
            arrays["limit"] = np.array([normaliser.limit], np.float32)
        for index, layer in enumerate(layers):
            arrays |= _arrays_of(index, layer)
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise ValueError(
            "a policy with numbers that are not finite cannot be deployed; "
            f"they are in {', '.join(broken)}"
        )
    return Deployable(policy, arrays)


def save(policy: Deployable, path: Path) -> None:
    """Write the arrays of `policy` to `path`; at any time the file is complete, the old
    one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # safetensors writes memory as it lies
    ordered = {name: np.asarray(a, order="C") for name, a in policy.arrays.items()}
    with replacing(path) as draft:
        draft.write_bytes(safetensors.save(ordered))


def load(path: Path) -> Forward:
    """Read a dense policy as a function: observations [*O] or [n, *O] -> scores
    [actions] or [n, actions], or box actions [A] or [n, A] in [-1, 1], float32.

    Needs no torch. int8 weights become float32 here, once. Raises ValueError where the
    file is not a complete policy, or one that only torch can run."""
    path = Path(path)
    arrays = _read(path)
    if "torch" in arrays:
        raise ValueError(
            f"{path} is a policy that only torch can run: load the run's checkpoint; "
            "its learner's export(seed) is the module, into which "
            "curriculum.shipping.artefact.fill(module, path) puts the weights of this "
            "file"
        )
    _check(path, arrays, _expected_dense(arrays))
    _check_values(path, arrays)
    limit = arrays["limit"][0] if "limit" in arrays else 0
    layers = _layers_in(arrays)
    return runner(arrays["mean"], arrays["scale"], layers, float(limit))


def fill(module: nn.Module, path: Path) -> None:
    """Load the weights of a file that `load` refuses into `module`, which must be built
    as that policy was.

    int8 weights become float32 here. Raises ValueError where the file is not complete
    or belongs to another module."""
    import torch

    arrays = _read(path)
    state = {name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()}
    _check(path, arrays, _expected_of(state, arrays))
    weights = {name: torch.tensor(dequantized(arrays, name)) for name in state}
    module.load_state_dict(weights)


def _state_dict(policy: nn.Module) -> Arrays:
    arrays = {}
    for name, tensor in policy.state_dict().items():
        arrays[name] = tensor.detach().cpu().numpy().copy()
    return arrays


def _arrays_of(index: int, layer: Layer) -> Arrays:
    arrays = {f"{index}.weight": layer.weight, f"{index}.bias": layer.bias}
    if layer.eps:
        arrays[f"{index}.eps"] = np.array([layer.eps], np.float32)
    if layer.tanh:
        arrays["tanh"] = MARK
    return arrays


def _layers_in(arrays: Arrays) -> list[Layer]:
    """The layers in the arrays of a dense policy, the inverse of `_arrays_of`."""
    depth = sum(name.endswith(".bias") for name in arrays)
    layers = []
    for index in range(depth):
        weight = dequantized(arrays, f"{index}.weight")
        layer = Layer(weight, arrays[f"{index}.bias"])
        if f"{index}.eps" in arrays:
            layer = layer._replace(eps=float(arrays[f"{index}.eps"][0]))
        layers.append(layer)
    layers[-1] = layers[-1]._replace(tanh="tanh" in arrays)
    return layers


def _read(path: Path) -> Arrays:
    if not path.is_file():
        raise ValueError(f"{path} is not a policy: there is no such file")
    try:
        return safetensors.load(path.read_bytes())
    # KeyError: a type that numpy does not have
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def _check(path: Path, arrays: Arrays, expected: Expected) -> None:
    """Raise ValueError unless the arrays are those expected and finite."""
    found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    names = expected | found
    # absent arrays first: they decide what is expected of the others
    for name in sorted(names, key=found.__contains__):
        if expected.get(name) != found.get(name):
            should = expected.get(name, "absent")
            raise _not_a_policy(
                path, name, f"should be {should}, it is {found.get(name, 'absent')}"
            )
        if not np.isfinite(arrays[name]).all():
            raise _not_a_policy(path, name, "holds numbers that are not finite")


def _check_values(path: Path, arrays: Arrays) -> None:
    """Raise ValueError where the mark of a dense policy is not 1, or an eps or the
    limit of observations is not positive."""
    for name, array in arrays.items():
        if name == "tanh" and array != MARK:
            raise _not_a_policy(path, name, f"should be 1, it is {array[0]}")
        if (name == "limit" or name.endswith(".eps")) and array <= 0:
            raise _not_a_policy(path, name, f"should be positive, it is {array[0]}")


def _not_a_policy(path: Path, name: str, reason: str) -> ValueError:
    return ValueError(f"{path} is not a policy: array {name!r} {reason}")


def _expected_dense(arrays: Arrays) -> Expected:
    """Type and shape that each array of a dense policy must have, given the length of
    the mean and of every bias."""
    indices = {name.split(".")[0] for name in arrays if name[:1].isdigit()}
    depth = len(indices | {"0"})
    names = ["mean", *(f"{index}.bias" for index in range(depth))]
    widths = [arrays[name].size if name in arrays else 0 for name in names]
    expected: Expected = {}
    if "tanh" in arrays:
        expected["tanh"] = ("uint8", (1,))
    expected["mean"] = ("float32", (widths[0],))
    expected["scale"] = ("float32", (widths[0],))
    if "limit" in arrays:
        expected["limit"] = ("float32", (1,))
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        weight = f"{index}.weight"
        rounded = scale_name(weight) in arrays
        expected[weight] = ("int8" if rounded else "float32", (outputs, inputs))
        expected[f"{index}.bias"] = ("float32", (outputs,))
        if rounded:
            expected[scale_name(weight)] = ("float32", (outputs,))
        if f"{index}.eps" in arrays and index < depth - 1:
            expected[f"{index}.eps"] = ("float32", (1,))
    return expected


def _expected_of(state: Arrays, arrays: Arrays) -> Expected:
    """Type and shape that each array in the file of a module with this state must
    have."""
    expected: Expected = {"torch": ("uint8", (1,))}
    for name, array in state.items():
        rounded = scale_name(name) in arrays and array.ndim > 1
        expected[name] = ("int8" if rounded else str(array.dtype), array.shape)
        if rounded:
            expected[scale_name(name)] = ("float32", array.shape[:1])
    return expected
