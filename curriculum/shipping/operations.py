"""What an exported policy computes, as a list of operations on named arrays.

`curriculum.shipping.standalone` runs such a list and says which operations there are;
this module makes the list from modules of torch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.behaviour import (
    ClonedBehaviourPolicy,
    GeneratedBehaviourPolicy,
    TwoInputs,
)
from curriculum.learning.modules import FirstColumns, MeanOfQuantiles
from curriculum.learning.normalizer import Normalize, Scale
from curriculum.learning.parts import ResidualModule
from curriculum.learning.pixels import ConvolutionalResidual
from curriculum.shipping.compact import Compact
from curriculum.shipping.graph import Graph, Operation
from curriculum.shipping.layers import Unsupported, array_of


@dataclass
class Program:
    """Operations in order, and the arrays that they name.

    Value 0 is the observation, value k the output of the k-th operation."""

    operations: list[dict[str, Any]] = field(default_factory=list)
    # float32, or weights as float16 or int8; beside int8 ones their scale
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, op: str, *inputs: int, **settings: Any) -> int:
        """Append an operation and return its value; tensors become arrays that are
        named after it."""
        number = len(self.operations) + 1
        about: dict[str, Any] = {"op": op, "inputs": list(inputs)}
        for name, setting in settings.items():
            about[name] = setting
            if isinstance(setting, Tensor):
                about[name] = f"{number}.{name}"
                self.arrays[about[name]] = array_of(setting)
        self.operations.append(about)
        return number

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The arrays of weights, biases and scales, without the normaliser's."""
        return {
            about[name]: self.arrays[about[name]]
            for about in self.operations
            for name in ("weight", "weight_scale", "bias")
            if name in about
        }

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return sum(
            array.size
            for name, array in self.weights.items()
            if not name.endswith("_scale")
        )


def program_of(policy: nn.Module) -> Program:
    """The operations of an exported policy.

    Raises Unsupported where it has modules that no operation describes, and ValueError
    where a number is not finite."""
    program = Program()
    _append(program, policy, 0)
    arrays = program.arrays.items()
    broken = [name for name, array in arrays if not np.isfinite(array).all()]
    if broken:
        raise ValueError(
            "a policy with numbers that are not finite cannot be exported; "
            f"they are in {', '.join(broken)}"
        )
    return program


def _append(program: Program, module: nn.Module, *values: int) -> int:
    """Append what a module computes of values; returns the value of its output."""
    # the exact type: a subclass may compute something else
    append = APPENDERS.get(type(module))
    if append is None:
        raise Unsupported(
            f"no operation of a policy file describes {type(module).__name__}"
        )
    return append(program, module, *values)


def _sequential(program: Program, module: nn.Sequential, value: int) -> int:
    for part in module:
        value = _append(program, part, value)
    return value


def _identity(program: Program, module: nn.Module, value: int) -> int:
    return value


def _normalize(program: Program, module: Normalize, value: int) -> int:
    return program.add(
        "normalise",
        value,
        mean=module.mean,
        scale=module.scale,
        limit=float(module.limit),
    )


def _pixels(program: Program, module: Scale, value: int) -> int:
    if not module.center:
        return program.add("pixels", value)
    return program.add("pixels", value, center=float(module.center))


def _linear(program: Program, module: nn.Linear, value: int) -> int:
    bias = _bias(module.bias, module.out_features)
    return program.add("linear", value, weight=module.weight, bias=bias)


def _bias(bias: Tensor | None, size: int) -> Tensor:
    return torch.zeros(size) if bias is None else bias


def _compact(program: Program, module: Compact, value: int) -> int:
    if module.step is not None:
        value = program.add("rounded", value, step=module.step)
    value = _append(program, module.layer, value)
    about = program.operations[-1]
    program.arrays[about["weight"]] = module.stored
    if module.scale is not None:
        about["weight_scale"] = f"{about['weight']}_scale"
        program.arrays[about["weight_scale"]] = module.scale
    return value


def _relu(program: Program, module: nn.Module, value: int) -> int:
    return program.add("relu", value)


def _tanh(program: Program, module: nn.Module, value: int) -> int:
    return program.add("tanh", value)


def _layer_norm(program: Program, module: nn.LayerNorm, value: int) -> int:
    if len(module.normalized_shape) != 1:
        raise Unsupported("a policy file holds layer norms over one axis")
    value = program.add("layer_norm", value, eps=module.eps)
    if not module.elementwise_affine:
        return value
    bias = _bias(module.bias, len(module.weight))
    return program.add("affine", value, weight=module.weight, bias=bias)


def _conv2d(program: Program, module: nn.Conv2d, value: int) -> int:
    is_plain = module.groups == 1 and module.dilation == (1, 1)
    if not (is_plain and module.padding_mode == "zeros"):
        raise Unsupported(f"no operation of a policy file describes {module}")
    return program.add(
        "conv2d",
        value,
        weight=module.weight,
        bias=_bias(module.bias, module.out_channels),
        stride=list(module.stride),
        padding=_two(module.padding),
    )


def _max_pool2d(program: Program, module: nn.MaxPool2d, value: int) -> int:
    if _two(module.dilation) != [1, 1] or module.ceil_mode:
        raise Unsupported(f"no operation of a policy file describes {module}")
    return program.add(
        "max_pool2d",
        value,
        size=_two(module.kernel_size),
        stride=_two(module.stride),
        padding=_two(module.padding),
    )


def _two(number: Any) -> list[int]:
    """The numbers for rows and columns; "same" and "valid" of torch are refused."""
    if isinstance(number, str):
        raise Unsupported(f"no operation of a policy file describes padding {number!r}")
    return [number, number] if isinstance(number, int) else list(number)


def _flatten(program: Program, module: nn.Flatten, value: int) -> int:
    if (module.start_dim, module.end_dim) != (1, -1):
        raise Unsupported(f"no operation of a policy file describes {module}")
    return program.add("flatten", value)


def _residual(program: Program, module: ResidualModule, value: int) -> int:
    return program.add("add", value, _append(program, module.layers, value))


def _convolutional_residual(
    program: Program, module: ConvolutionalResidual, value: int
) -> int:
    inner = _append(program, module.first, program.add("relu", value))
    inner = _append(program, module.second, program.add("relu", inner))
    return program.add("add", value, inner)


def _first_columns(program: Program, module: FirstColumns, value: int) -> int:
    return program.add("columns", value, count=module.count)


def _mean_of_quantiles(program: Program, module: MeanOfQuantiles, value: int) -> int:
    return program.add("mean", value, groups=module.actions)


def _cloned_behaviour(
    program: Program, module: ClonedBehaviourPolicy, value: int
) -> int:
    logits = _append(program, module.imitator, value)
    scores = _append(program, module.critic, value)
    return program.add("admit", scores, logits, threshold=module.threshold)


def _generated_behaviour(
    program: Program, module: GeneratedBehaviourPolicy, value: int
) -> int:
    features = _append(program, module.decoder.encoder, value)
    joined = program.add("join", features, latents=module.latents)
    action = program.add("tanh", _append(program, module.decoder.body, joined))
    output = _of_two(program, module.perturbation, value, action)
    direction = program.add("tanh", output)
    moved = program.add("move", action, direction, reach=module.reach)
    values = _of_two(program, module.critic, value, moved)
    return program.add("best", moved, values)


def _of_two(program: Program, module: TwoInputs, value: int, extra: int) -> int:
    features = _append(program, module.encoder, value)
    return _append(program, module.body, program.add("join", features, extra))


def _operation(program: Program, module: Operation, *values: int) -> int:
    return program.add(module.op, *values, **module.settings)


def _graph(program: Program, module: Graph, value: int) -> int:
    values = [value]
    for step, inputs in zip(module.steps, module.inputs, strict=True):
        given = [values[index] for index in inputs]
        values.append(_append(program, step, *given))
    return values[-1]


APPENDERS: dict[type[nn.Module], Callable[..., int]] = {
    nn.Sequential: _sequential,
    Operation: _operation,
    Graph: _graph,
    nn.Identity: _identity,
    Normalize: _normalize,
    Scale: _pixels,
    nn.Linear: _linear,
    Compact: _compact,
    nn.ReLU: _relu,
    nn.Tanh: _tanh,
    nn.LayerNorm: _layer_norm,
    nn.Conv2d: _conv2d,
    nn.MaxPool2d: _max_pool2d,
    nn.Flatten: _flatten,
    ResidualModule: _residual,
    ConvolutionalResidual: _convolutional_residual,
    FirstColumns: _first_columns,
    MeanOfQuantiles: _mean_of_quantiles,
    ClonedBehaviourPolicy: _cloned_behaviour,
    GeneratedBehaviourPolicy: _generated_behaviour,
}
