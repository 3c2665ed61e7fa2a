"""Stacked networks: P seeds x K members of one architecture, computed as batched matrix
products."""

import ctypes
import os
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

Precision = Literal["fp32", "bf32", "bf16"]
WIDE = 64  # a product pays for lower precision where both of its sides are so wide


class Layout:
    """Blocks of these shapes, one after the other in a vector."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]):
        self.shapes = list(shapes)
        self.sizes = [int(np.prod(s)) for s in self.shapes]
        self.size = sum(self.sizes)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of `vector`, one a block."""
        parts = vector[: self.size].split(self.sizes)
        return [
            part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]


class Stack(Layout):
    """Blocks [P, K, ...] of all seeds in one contiguous vector, so that an optimiser
    touches a single tensor."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], device: str = "cpu"):
        super().__init__(shapes)
        # whole vector registers: what a register cannot take rounds differently, and a
        # seed may lie anywhere
        self.vector = torch.zeros(-(-self.size // 64) * 64, device=device)
        self.blocks = self.split(self.vector)

    def copy_seeds(self, vector: Tensor, seeds: Tensor) -> None:
        """Take over the blocks of the seeds in mask [P] from another vector of this
        layout."""
        for mine, other in zip(self.blocks, self.split(vector), strict=True):
            mine[seeds] = other[seeds]


class Network:
    """What an optimiser can move: weights in one `Stack`, and the `leaves` through
    which gradients reach them."""

    # the network whose weights a running backward pass is for; None: all
    mover: ClassVar["Network | None"] = None
    precision: Precision = "fp32"
    room: tuple[Tensor, list[Tensor]] | None = None  # memory for its gradient
    taken = False  # whether that is in use

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """Shapes of the blocks, [P, ...] each."""
        raise NotImplementedError

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """Fill the blocks of one seed."""
        raise NotImplementedError

    def bind(self, weights: Stack, trains: bool) -> Self:
        """Use `weights`; where it `trains`, gradients are recorded."""
        self.weights = weights
        self.leaves = [weights.vector.detach().requires_grad_(trains)]
        # leaves for a compiler
        self.pieces = [
            block.detach().requires_grad_(trains) for block in weights.blocks
        ]
        return self

    def setup(
        self, generators: Sequence[np.random.Generator], device: str = "cpu"
    ) -> Self:
        """Draw every seed's weights from its own generator."""
        self.bind(Stack(self.shapes(len(generators)), device), trains=True)
        for p, generator in enumerate(generators):
            self.draw(p, generator)
        return self

    def twin(self) -> Self:
        """A copy with weights of its own, which no gradient moves."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        weights = Stack(self.weights.shapes, str(self.weights.vector.device))
        weights.vector.copy_(self.weights.vector)
        return twin.bind(weights, trains=False)


class Scalar(Network):
    """One number for each seed, [P]."""

    def __init__(self, initial: float):
        self.initial = initial

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """See `Network`."""
        return [(seeds,)]

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """See `Network`."""
        self.weights.blocks[0][seed] = self.initial

    def __call__(self) -> Tensor:
        return (
            self.pieces[0]
            if torch.compiler.is_compiling()
            else self.leaves[0][: self.weights.size]
        )


class MLP(Network):
    """Multilayer perceptrons with ReLU, one for every seed and member: [P, B, inputs]
    -> [P, K, B, outputs].

    `layer_norm` normalises every hidden layer before its ReLU, without learnt scale and
    shift."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        members: int = 1,
        layer_norm: bool = False,
    ):
        self.sizes, self.members, self.layer_norm = (
            (inputs, *hidden, outputs),
            members,
            layer_norm,
        )

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """Weight [P, K, in, out] and bias [P, K, 1, out] of every layer."""
        lead = (seeds, self.members)
        return [
            (*lead, *s)
            for i, o in zip(self.sizes, self.sizes[1:], strict=False)
            for s in ((i, o), (1, o))
        ]

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """Uniform in +-1/sqrt(inputs), as `torch.nn.Linear`."""
        for layer, fan_in in enumerate(self.sizes[:-1]):
            for block in self.weights.blocks[2 * layer : 2 * layer + 2]:
                drawn = generator.uniform(-1, 1, block.shape[1:]) / np.sqrt(fan_in)
                block[seed] = torch.as_tensor(drawn, dtype=torch.float32)

    def bind(self, weights: Stack, trains: bool) -> Self:
        """See `Network`."""
        super().bind(weights, trains)
        self.dense = Layout(weights.shapes[: 2 * len(self.sizes) - 2])
        flat = [
            block.flatten(0, 1) for block in weights.blocks[: len(self.dense.shapes)]
        ]
        # views [P * K, in, out] and [P * K, 1, out]
        self.layers = list(zip(flat[::2], flat[1::2], strict=True))
        self.transposed = [weight.transpose(-1, -2) for weight in flat[::2]]
        self.room, self.taken = None, False
        return self

    def gradient_room(self) -> tuple[Tensor, list[Tensor]]:
        """A vector for a gradient, laid out as the first leaf, and views of its blocks.

        The first taken in a backward pass that is for this network is kept, and filled
        anew by the next pass."""
        if Network.mover is self and not self.taken:
            self.room, self.taken = self.room or self._new_room(), True
            return self.room
        return self._new_room()

    def _new_room(self) -> tuple[Tensor, list[Tensor]]:
        vector = torch.zeros_like(self.leaves[0], requires_grad=False)
        return vector, [block.flatten(0, 1) for block in self.dense.split(vector)]

    def encode(self, obs: Tensor) -> Tensor:
        """What `body` takes in of observations [P, B, O]: themselves."""
        return obs

    def body(self, x: Tensor) -> Tensor:
        """Outputs [P, K, B, outputs] for inputs [P, B, inputs]."""
        if torch.compiler.is_compiling():  # a compiler writes the backward pass itself
            out = self.activations(self.stacked(x), self.traced())[1]
        else:
            out = _Forward.apply(x, self.leaves[0], self)
        return out.view(x.shape[0], self.members, x.shape[-2], -1)

    def traced(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of every layer, so that gradients follow."""
        blocks = (
            self.pieces
            if torch.compiler.is_compiling()
            else self.dense.split(self.leaves[0])
        )
        flat = [block.flatten(0, 1) for block in blocks[: len(self.dense.shapes)]]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def __call__(self, obs: Tensor) -> Tensor:
        return self.body(self.encode(obs))

    def slope(self, x: Tensor, columns: int) -> Tensor:
        """Gradient of the single output with respect to the last `columns` inputs, [P,
        K, B, columns].

        Written out, so that it can be differentiated once more; ReLU's own kinks count
        as constant."""
        if self.layer_norm:
            raise ValueError(
                "this learner needs the slope of its critics, which is written for layer_norm False"
            )
        layers = self.traced()
        with torch.no_grad():
            inner = self.activations(self.stacked(x), layers)[0][1:]
        # [P * K, B, width]
        slope = layers[-1][0].transpose(-1, -2).expand(-1, x.shape[-2], -1)
        for h, (weight, _) in zip(reversed(inner), reversed(layers[:-1]), strict=True):
            slope = (slope * (h > 0)) @ weight.transpose(-1, -2)
        return slope[..., -columns:].unflatten(0, (x.shape[0], self.members))

    def stacked(self, x: Tensor) -> Tensor:
        """The input [P, B, inputs] repeated for every member, [P * K, B, inputs]."""
        return (
            x
            if self.members == 1
            else x.unsqueeze(1).expand(-1, self.members, -1, -1).flatten(0, 1)
        )

    def activations(
        self, h: Tensor, layers: list[tuple[Tensor, Tensor]]
    ) -> tuple[list[Tensor], Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
        """Inputs of all layers, the output, and what the layers' normalisation needs on
        its way back."""
        inner, norms = [h], []
        for weight, bias in layers[:-1]:
            # baddbmm takes longer over the bias
            h = product(h, weight, self.precision).add_(bias)
            if self.layer_norm:
                z = h
                h, mean, deviation = torch.native_layer_norm(
                    z, z.shape[-1:], None, None, 1e-5
                )
                norms.append((z, mean, deviation))
            h = h.relu_()
            inner.append(h)
        weight, bias = layers[-1]
        if weight.shape[-1] > 1:
            return inner, product(h, weight, self.precision).add_(bias), norms
        # one column takes another kernel where seeds are stacked; seven more, of zeros,
        # keep it the same
        return (
            inner,
            torch.bmm(h, nn.functional.pad(weight, (0, 7)))[..., :1] + bias,
            norms,
        )

    def export(self, seed: int, member: int = 0) -> list[nn.Module]:
        """The layers of one seed and member as plain modules."""
        return [*self.export_encoder(seed), *self.export_body(seed, member)]

    def export_encoder(self, seed: int) -> list[nn.Module]:
        """What comes before the dense layers: nothing."""
        return []

    def export_body(self, seed: int, member: int = 0) -> list[nn.Module]:
        """The dense layers as plain modules."""
        layers: list[nn.Module] = []
        for weight, bias in self.layers:
            linear = nn.Linear(*weight.shape[1:])
            at = seed * self.members + member
            linear.weight.data, linear.bias.data = (
                weight[at].T.detach().cpu().clone(),
                bias[at, 0].detach().cpu().clone(),
            )
            norm = (
                [nn.LayerNorm(linear.out_features, elementwise_affine=False)]
                if self.layer_norm
                else []
            )
            layers += [linear, *norm, nn.ReLU()]
        return layers[: -2 if self.layer_norm else -1]


class _Forward(torch.autograd.Function):
    """An MLP's forward and backward pass written out: fewer, larger operations, and
    none that nobody asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, leaf: Tensor, net: MLP) -> Tensor:
        inner, out, norms = net.activations(net.stacked(x), net.layers)
        ctx.net, ctx.inner, ctx.norms = net, inner, norms
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a network's backward pass cannot be differentiated again; MLP.slope can"
            )
        net, inner, precision = ctx.net, ctx.inner, ctx.net.precision
        trains = ctx.needs_input_grad[1] and (
            Network.mover is None or Network.mover is net
        )
        gradient, blocks = net.gradient_room() if trains else (None, [])
        for i in range(len(net.layers) - 1, -1, -1):
            h = inner[i]
            if trains:
                product(h.transpose(-1, -2), slope, precision, out=blocks[2 * i])
                torch.sum(slope, -2, keepdim=True, out=blocks[2 * i + 1])
            if i == 0 and not ctx.needs_input_grad[0]:
                return None, gradient, None
            slope = product(slope, net.transposed[i], precision)
            if i > 0:
                torch.ops.aten.threshold_backward.grad_input(
                    slope, h, 0, grad_input=slope
                )
                if net.layer_norm:
                    z, mean, deviation = ctx.norms[i - 1]
                    wanted = (
                        slope,
                        z,
                        z.shape[-1:],
                        mean,
                        deviation,
                        None,
                        None,
                        [True, False, False],
                    )
                    slope = torch.ops.aten.native_layer_norm_backward(*wanted)[0]
        if net.members > 1:
            slope = slope.unflatten(0, (-1, net.members)).sum(1)
        return slope, gradient, None


def product(
    a: Tensor, b: Tensor, precision: Precision, out: Tensor | None = None
) -> Tensor:
    """Batched matrix product [N, i, j] x [N, j, k]."""
    if precision == "fp32" or min(a.shape[-2], a.shape[-1], b.shape[-1]) < WIDE:
        return torch.bmm(a, b, out=out)
    if precision == "bf32":
        with bf32():
            return torch.bmm(a, b, out=out)
    c = torch.bmm(a.bfloat16(), b.bfloat16())
    return c.float() if out is None else out.copy_(c)


@contextmanager
def bf32():
    """Multiply float32 matrices from bfloat16 roundings of their numbers, for as long
    as this lasts."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def keep_freed_memory() -> None:
    """Have glibc keep freed memory instead of handing it back: activations come and go
    thousands of times a second.

    Where there is no glibc, nothing happens."""
    mallopt = (
        getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    )
    if mallopt:
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD, bytes
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD, bytes


class Normalize(nn.Module):
    """(x - mean) * scale, as the first layer of an exported policy."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """Observations [n, *O] -> [n, O]."""
        return (x.float().flatten(1) - self.mean) * self.scale
