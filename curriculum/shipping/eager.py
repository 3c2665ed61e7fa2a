"""The operations of a policy file as a module of torch, the inverse of `program_of`.

Chains of operations become nn.Sequential, of the modules that learners' policies have:
so techniques work on policies from files as on those of a run.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.modules import FirstColumns, MeanOfQuantiles
from curriculum.learning.normalizer import Normalize, Scale
from curriculum.shipping import compact
from curriculum.shipping.graph import Graph, Operation
from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import EXCLUDED

# operations whose output has the shape of their first input
ELEMENTWISE = ("relu", "tanh", "rounded", "layer_norm", "affine", "add")


class Node:
    """One operation, with the arrays and the place that it has in a program."""

    def __init__(self, program: Program, about: dict[str, Any]):
        self.program = program
        self.about = about

    def array(self, name: str) -> np.ndarray:
        """An array as it is stored."""
        return self.program.arrays[self.about[name]]

    def tensor(self, name: str) -> Tensor:
        """An array as float32."""
        return torch.tensor(self.array(name).astype(np.float32))

    @property
    def width(self) -> int | None:
        """The last axis of its input, where a dense layer sets it."""
        value = self.about["inputs"][0]
        while value:
            about = self.program.operations[value - 1]
            if about["op"] == "linear":
                return len(self.program.arrays[about["bias"]])
            if about["op"] not in ELEMENTWISE:
                return None
            value = about["inputs"][0]
        return None

    def operation(self, compute: Callable[..., Tensor]) -> Operation:
        """A module for an operation that has none; `compute` takes its inputs, then its
        arrays in their order."""
        settings: dict[str, Any] = {}
        for name, setting in self.about.items():
            if name not in ("op", "inputs"):
                is_array = isinstance(setting, str)
                settings[name] = self.tensor(name) if is_array else setting
        tensors = [each for each in settings.values() if isinstance(each, Tensor)]
        return Operation(
            self.about["op"], settings, lambda *values: compute(*values, *tensors)
        )


def module_of(program: Program) -> nn.Module:
    """The module that computes what the program does; `program_of` makes the same
    program of it."""
    steps = [MODULES[about["op"]](Node(program, about)) for about in program.operations]
    inputs = [about["inputs"] for about in program.operations]
    if all(given == [index] for index, given in enumerate(inputs)):
        return nn.Sequential(*steps)
    return Graph(steps, inputs)


# --- operations ---


def _normalise(node: Node) -> nn.Module:
    return Normalize(node.tensor("mean"), node.tensor("scale"), node.about["limit"])


def _linear(node: Node) -> nn.Module:
    outputs, inputs = node.array("weight").shape
    return _filled(nn.Linear(inputs, outputs, device="meta"), node)


def _conv2d(node: Node) -> nn.Module:
    outputs, inputs, height, width = node.array("weight").shape
    layer = nn.Conv2d(
        inputs,
        outputs,
        (height, width),
        node.about["stride"],
        node.about["padding"],
        device="meta",
    )
    return _filled(layer, node)


def _filled(layer: compact.Layer, node: Node) -> nn.Module:
    """The layer with the weights of the file, as few bits as they have there."""
    stored = node.array("weight")
    layer.weight = nn.Parameter(node.tensor("weight"))
    layer.bias = nn.Parameter(node.tensor("bias"))
    if stored.dtype == np.float32:
        return layer
    scale = node.array("weight_scale") if "weight_scale" in node.about else None
    return compact.Compact(layer, stored, scale)


def _layer_norm(node: Node) -> nn.Module:
    eps = node.about["eps"]
    if node.width:
        return nn.LayerNorm(node.width, eps=eps, elementwise_affine=False)
    return node.operation(
        lambda x: nn.functional.layer_norm(x, x.shape[-1:], eps=eps),
    )


def _max_pool2d(node: Node) -> nn.Module:
    size, stride, padding = (
        tuple(node.about[name]) for name in ("size", "stride", "padding")
    )
    return nn.MaxPool2d(size, stride, padding)


def _join(node: Node) -> nn.Module:
    if "latents" not in node.about:
        return node.operation(_joined)
    return node.operation(
        lambda features, latents: _joined(
            features, latents.expand(len(features), -1, -1)
        )
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


MODULES: dict[str, Callable[[Node], nn.Module]] = {
    "normalise": _normalise,
    "pixels": lambda node: Scale(node.about.get("center", 0.0)),
    "rounded": lambda node: node.operation(
        lambda x: compact.rounded(x, node.about["step"])
    ),
    "linear": _linear,
    "relu": lambda node: nn.ReLU(),
    "tanh": lambda node: nn.Tanh(),
    "layer_norm": _layer_norm,
    "affine": lambda node: node.operation(lambda x, weight, bias: x * weight + bias),
    "conv2d": _conv2d,
    "max_pool2d": _max_pool2d,
    "flatten": lambda node: nn.Flatten(),
    "add": lambda node: node.operation(torch.add),
    "columns": lambda node: FirstColumns(node.about["count"]),
    "mean": lambda node: MeanOfQuantiles(node.about["groups"]),
    "join": _join,
    "move": lambda node: node.operation(
        lambda action, by: (action + node.about["reach"] * by).clamp(-1, 1)
    ),
    "best": lambda node: node.operation(_best),
    "admit": lambda node: node.operation(
        lambda scores, logits: _admitted(scores, logits, node.about["threshold"])
    ),
}
