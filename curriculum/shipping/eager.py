"""The operations of a policy file as a module of torch: what `program_of` takes apart.

Chains of operations become nn.Sequential, as an exported policy is one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.modules import FirstColumns, MeanOfQuantiles
from curriculum.learning.normalizer import Normalize, Scale
from curriculum.shipping import compact
from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import EXCLUDED, restored

About = dict[str, Any]
Arrays = dict[str, Tensor]


class Graph(nn.Module):
    """Operations that take values of others: value 0 is the observation."""

    def __init__(self, steps: list[nn.Module], inputs: list[list[int]]):
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.inputs = inputs

    def forward(self, obs: Tensor) -> Tensor:
        """Observations [n, *O] -> scores."""
        values = [obs]
        for step, inputs in zip(self.steps, self.inputs, strict=True):
            values.append(step(*(values[index] for index in inputs)))
        return values[-1]


class Function(nn.Module):
    """An operation that has no module of its own, and the arrays that it takes."""

    def __init__(self, compute: Callable[..., Tensor], *arrays: Tensor):
        super().__init__()
        self.compute = compute
        self.arrays = arrays

    def forward(self, *values: Tensor) -> Tensor:
        """What the operation computes of its inputs and its arrays."""
        return self.compute(*values, *self.arrays)


def module_of(program: Program) -> nn.Module:
    """The module that computes what the program does; weights are float32."""
    arrays = {
        name: torch.tensor(array.astype(np.float32))
        for name, array in _restored(program).items()
    }
    steps = [MODULES[about["op"]](about, arrays) for about in program.operations]
    inputs = [about["inputs"] for about in program.operations]
    if all(given == [index] for index, given in enumerate(inputs)):
        return nn.Sequential(*steps)
    return Graph(steps, inputs)


def _restored(program: Program) -> dict[str, np.ndarray]:
    arrays = dict(program.arrays)
    for about in program.operations:
        if "weight_scale" in about:
            name = about["weight"]
            arrays[name] = restored(arrays[name], arrays[about["weight_scale"]])
    return arrays


# --- operations ---


def _normalise(about: About, arrays: Arrays) -> nn.Module:
    mean = arrays[about["mean"]]
    return Normalize(mean, arrays[about["scale"]], about["limit"])


def _linear(about: About, arrays: Arrays) -> nn.Module:
    outputs, inputs = arrays[about["weight"]].shape
    return _filled(nn.Linear(inputs, outputs, device="meta"), about, arrays)


def _conv2d(about: About, arrays: Arrays) -> nn.Module:
    outputs, inputs, height, width = arrays[about["weight"]].shape
    layer = nn.Conv2d(
        inputs,
        outputs,
        (height, width),
        about["stride"],
        about["padding"],
        device="meta",
    )
    return _filled(layer, about, arrays)


def _filled(layer: compact.Layer, about: About, arrays: Arrays) -> nn.Module:
    layer.weight = nn.Parameter(arrays[about["weight"]])
    layer.bias = nn.Parameter(arrays[about["bias"]])
    return layer


def _layer_norm(about: About, arrays: Arrays) -> nn.Module:
    eps = about["eps"]
    return Function(lambda x: nn.functional.layer_norm(x, x.shape[-1:], eps=eps))


def _affine(about: About, arrays: Arrays) -> nn.Module:
    return Function(
        lambda x, weight, bias: x * weight + bias,
        arrays[about["weight"]],
        arrays[about["bias"]],
    )


def _max_pool2d(about: About, arrays: Arrays) -> nn.Module:
    size, stride, padding = (
        tuple(about[name]) for name in ("size", "stride", "padding")
    )
    return nn.MaxPool2d(size, stride, padding)


def _join(about: About, arrays: Arrays) -> nn.Module:
    if "latents" not in about:
        return Function(_joined)
    return Function(
        lambda features, latents: _joined(
            features, latents.expand(len(features), -1, -1)
        ),
        arrays[about["latents"]],
    )


def _joined(features: Tensor, vectors: Tensor) -> Tensor:
    repeated = features.unsqueeze(1).expand(-1, vectors.shape[1], -1)
    return torch.cat([repeated, vectors], -1)


def _best(candidates: Tensor, values: Tensor) -> Tensor:
    index = values.argmax(1, keepdim=True).expand(-1, -1, candidates.shape[-1])
    return candidates.gather(1, index).squeeze(1)


def _admitted(scores: Tensor, logits: Tensor, threshold: float) -> Tensor:
    relative = (logits - logits.amax(-1, keepdim=True)).exp()
    return scores.masked_fill(relative < threshold, EXCLUDED)


MODULES: dict[str, Callable[[About, Arrays], nn.Module]] = {
    "normalise": _normalise,
    "pixels": lambda about, arrays: Scale(),
    "rounded": lambda about, arrays: Function(
        lambda x: compact.rounded(x, about["step"])
    ),
    "linear": _linear,
    "relu": lambda about, arrays: nn.ReLU(),
    "tanh": lambda about, arrays: nn.Tanh(),
    "layer_norm": _layer_norm,
    "affine": _affine,
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "flatten": lambda about, arrays: nn.Flatten(),
    "add": lambda about, arrays: Function(torch.add),
    "columns": lambda about, arrays: FirstColumns(about["count"]),
    "mean": lambda about, arrays: MeanOfQuantiles(about["groups"]),
    "join": _join,
    "move": lambda about, arrays: Function(
        lambda action, by: (action + about["reach"] * by).clamp(-1, 1)
    ),
    "best": lambda about, arrays: Function(_best),
    "admit": lambda about, arrays: Function(
        lambda scores, logits: _admitted(scores, logits, about["threshold"])
    ),
}
