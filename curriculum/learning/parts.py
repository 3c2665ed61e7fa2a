"""Parts of network bodies, each with its forward pass, derivative and export.

A body is a list of parts: `mlp` builds the usual one, and residual blocks with layer
norm (SimBa: Lee et al. 2024, arXiv 2410.09754) are

    [Dense(inputs, width), Residual([LayerNorm(width), Dense(width, 4 * width), ReLU(),
     Dense(4 * width, width)]), LayerNorm(width), Dense(width, outputs)]

Every part computes N = P * K networks (seeds times members) at once: inputs and outputs
are [N, B, features], weights [N, ...].
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curriculum.learning.kernels import Precision, product

EPSILON = 1e-5  # of layer norm, added to the variance
# every part has its own form of these
Saved = Any  # what the forward pass keeps for the backward pass
Arranged = Any  # weights, or their gradients, as the passes take them


class Part:
    """One step of a body.

    The backward pass is written out: it takes fewer and larger operations than
    autograd, and computes only the gradients that are asked for."""

    # whether both passes overwrite the tensor they are given, to save memory; such a
    # part can neither be the first nor the last one
    in_place = False
    precision: Precision = "fp32"  # of matrix products

    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights of one network."""
        return []

    def draw(self, members: int, generator: np.random.Generator) -> list[np.ndarray]:
        """Draw initial weights [members, ...] of one seed."""
        return []

    def arrange(self, blocks: Sequence[Tensor]) -> Arranged:
        """Weights, or their gradients, in the form in which the passes take them."""
        return ()

    def forward(self, x: Tensor, weights: Arranged) -> tuple[Tensor, Saved]:
        """Compute the output, and whatever the backward pass needs."""
        raise NotImplementedError

    def backward(
        self,
        grad: Tensor,
        saved: Saved,
        weights: Arranged,
        gradients: Arranged,
        needs_input: bool,
    ) -> Tensor | None:
        """Turn the gradient of the output into that of the input, None unless
        `needs_input`.

        Gradients of the weights are written to `gradients`; None: they are not
        needed."""
        raise NotImplementedError

    def input_gradient(self, grad: Tensor, saved: Saved, weights: Arranged) -> Tensor:
        """Gradient of the input by operations that autograd can differentiate."""
        raise NotImplementedError

    def export(self, blocks: Sequence[Tensor]) -> list[nn.Module]:
        """Copy the weights of one network into modules of torch."""
        raise NotImplementedError

    def set_precision(self, precision: Precision) -> None:
        """Choose the precision of matrix products."""
        self.precision = precision


class DenseWeights(NamedTuple):
    """Weights of a dense layer, or their gradients."""

    weight: Tensor  # [N, in, out]
    bias: Tensor  # [N, 1, out]
    transposed: Tensor  # [N, out, in], a view of `weight`


class Dense(Part):
    """Affine layer, weight [in, out] and bias [1, out]."""

    def __init__(self, inputs: int, outputs: int):
        self.inputs = inputs
        self.outputs = outputs

    def shapes(self) -> list[tuple[int, ...]]:
        return [(self.inputs, self.outputs), (1, self.outputs)]

    def draw(self, members: int, generator: np.random.Generator) -> list[np.ndarray]:
        """Uniform in +-1/sqrt(inputs), as `torch.nn.Linear`."""
        drawn = []
        for shape in self.shapes():
            uniform = generator.uniform(-1, 1, (members, *shape))
            drawn.append(uniform / np.sqrt(self.inputs))
        return drawn

    def arrange(self, blocks: Sequence[Tensor]) -> DenseWeights:
        weight, bias = blocks
        return DenseWeights(weight, bias, weight.transpose(-1, -2))

    def forward(self, x: Tensor, weights: DenseWeights) -> tuple[Tensor, Tensor]:
        if self.outputs > 1:
            # faster than baddbmm
            return product(x, weights.weight, self.precision).add_(weights.bias), x
        # a single column takes another kernel where seeds are stacked; seven more
        # columns of zeros make it the same kernel everywhere
        padded = functional.pad(weights.weight, (0, 7))
        return torch.bmm(x, padded)[..., :1] + weights.bias, x

    def backward(
        self,
        grad: Tensor,
        saved: Tensor,
        weights: DenseWeights,
        gradients: DenseWeights | None,
        needs_input: bool,
    ) -> Tensor | None:
        if gradients is not None:
            x = saved.transpose(-1, -2)
            product(x, grad, self.precision, out=gradients.weight)
            torch.sum(grad, -2, keepdim=True, out=gradients.bias)
        if not needs_input:
            return None
        return product(grad, weights.transposed, self.precision)

    def input_gradient(
        self, grad: Tensor, saved: Tensor, weights: DenseWeights
    ) -> Tensor:
        return grad @ weights.transposed

    def export(self, blocks: Sequence[Tensor]) -> list[nn.Module]:
        weight, bias = (block.detach().cpu() for block in blocks)
        linear = nn.Linear(self.inputs, self.outputs, device="meta")
        linear.weight = nn.Parameter(weight.T.clone())
        linear.bias = nn.Parameter(bias[0].clone())
        return [linear]


class ReLU(Part):
    """Rectifier."""

    in_place = True

    def forward(self, x: Tensor, weights: Arranged) -> tuple[Tensor, Tensor]:
        out = x.relu_()
        return out, out

    def backward(
        self,
        grad: Tensor,
        saved: Tensor,
        weights: Arranged,
        gradients: Arranged,
        needs_input: bool,
    ) -> Tensor | None:
        return torch.ops.aten.threshold_backward.grad_input(
            grad, saved, 0, grad_input=grad
        )

    def input_gradient(self, grad: Tensor, saved: Tensor, weights: Arranged) -> Tensor:
        """The kink itself counts as constant."""
        return grad * (saved > 0)

    def export(self, blocks: Sequence[Tensor]) -> list[nn.Module]:
        return [nn.ReLU()]


class LayerNorm(Part):
    """Layer norm without learnt scale and shift."""

    def __init__(self, width: int):
        self.width = width

    def forward(self, x: Tensor, weights: Arranged) -> tuple[Tensor, Saved]:
        out, mean, deviation = torch.native_layer_norm(
            x, (self.width,), None, None, EPSILON
        )
        return out, (x, mean, deviation)

    def backward(
        self,
        grad: Tensor,
        saved: Saved,
        weights: Arranged,
        gradients: Arranged,
        needs_input: bool,
    ) -> Tensor | None:
        x, mean, deviation = saved
        wanted = [True, False, False]  # gradients of input, scale and shift
        grad_input, _, _ = torch.ops.aten.native_layer_norm_backward(
            grad, x, (self.width,), mean, deviation, None, None, wanted
        )
        return grad_input

    def input_gradient(self, grad: Tensor, saved: Saved, weights: Arranged) -> Tensor:
        raise ValueError(
            "this learner needs the gradient of its critics with respect to actions, "
            "which is written for layer_norm False"
        )

    def export(self, blocks: Sequence[Tensor]) -> list[nn.Module]:
        return [nn.LayerNorm(self.width, eps=EPSILON, elementwise_affine=False)]


class Chain(Part):
    """Parts one after the other."""

    def __init__(self, parts: Sequence[Part]):
        if not parts or parts[0].in_place or parts[-1].in_place:
            raise ValueError(
                "a chain must begin and end with parts that do not work in place, such "
                "as Dense or LayerNorm"
            )
        self.parts = list(parts)
        self.counts = [len(part.shapes()) for part in self.parts]

    def shapes(self) -> list[tuple[int, ...]]:
        return [shape for part in self.parts for shape in part.shapes()]

    def draw(self, members: int, generator: np.random.Generator) -> list[np.ndarray]:
        return [drawn for part in self.parts for drawn in part.draw(members, generator)]

    def set_precision(self, precision: Precision) -> None:
        for part in self.parts:
            part.set_precision(precision)

    def arrange(self, blocks: Sequence[Tensor]) -> list[Arranged]:
        parts = zip(self.parts, self.split(blocks), strict=True)
        return [part.arrange(own_blocks) for part, own_blocks in parts]

    def split(self, blocks: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The blocks of every part."""
        found = []
        start = 0
        for count in self.counts:
            found.append(blocks[start : start + count])
            start += count
        return found

    def forward(self, x: Tensor, weights: Arranged) -> tuple[Tensor, Saved]:
        saved = []
        for part, own_weights in zip(self.parts, weights, strict=True):
            x, own_saved = part.forward(x, own_weights)
            saved.append(own_saved)
        return x, saved

    def backward(
        self,
        grad: Tensor,
        saved: Saved,
        weights: Arranged,
        gradients: Arranged,
        needs_input: bool,
    ) -> Tensor | None:
        passed: Any = grad  # None only after the first part
        for i in range(len(self.parts) - 1, -1, -1):
            own_gradients = None if gradients is None else gradients[i]
            passed = self.parts[i].backward(
                passed, saved[i], weights[i], own_gradients, needs_input or i > 0
            )
        return passed

    def input_gradient(self, grad: Tensor, saved: Saved, weights: Arranged) -> Tensor:
        steps = list(zip(self.parts, saved, weights, strict=True))
        for part, own_saved, own_weights in reversed(steps):
            grad = part.input_gradient(grad, own_saved, own_weights)
        return grad

    def export(self, blocks: Sequence[Tensor]) -> list[nn.Module]:
        modules: list[nn.Module] = []
        for part, own_blocks in zip(self.parts, self.split(blocks), strict=True):
            modules += part.export(own_blocks)
        return modules


class Residual(Chain):
    """x + parts(x)."""

    def forward(self, x: Tensor, weights: Arranged) -> tuple[Tensor, Saved]:
        out, saved = super().forward(x, weights)
        return x + out, saved

    def backward(
        self,
        grad: Tensor,
        saved: Saved,
        weights: Arranged,
        gradients: Arranged,
        needs_input: bool,
    ) -> Tensor | None:
        through = super().backward(grad, saved, weights, gradients, needs_input)
        if through is None:
            return None
        return grad + through

    def input_gradient(self, grad: Tensor, saved: Saved, weights: Arranged) -> Tensor:
        return grad + super().input_gradient(grad, saved, weights)

    def export(self, blocks: Sequence[Tensor]) -> list[nn.Module]:
        return [ResidualModule(super().export(blocks))]


class ResidualModule(nn.Module):
    """x + layers(x), as a module of torch."""

    def __init__(self, layers: Sequence[nn.Module]):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def mlp(
    inputs: int, outputs: int, hidden: Sequence[int], layer_norm: bool = False
) -> list[Part]:
    """Parts of a multilayer perceptron: Dense and ReLU for every hidden layer, then
    Dense.

    With `layer_norm` every hidden layer is normalised before its ReLU."""
    parts: list[Part] = []
    for width in hidden:
        parts.append(Dense(inputs, width))
        if layer_norm:
            parts.append(LayerNorm(width))
        parts.append(ReLU())
        inputs = width
    return [*parts, Dense(inputs, outputs)]
