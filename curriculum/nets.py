"""Stacked networks: P seeds x K members of one architecture, computed as batched matrix products."""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn


class Stack:
    """Blocks [P, K, ...] of all seeds in one contiguous vector, so that an optimiser touches a single tensor."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], device: str = "cpu"):
        self.shapes = list(shapes)
        size = sum(int(np.prod(s)) for s in self.shapes)
        # whole vector registers: what a register cannot take rounds differently, and a seed may lie anywhere
        self.vector = torch.zeros(-(-size // 64) * 64, device=device)
        self.blocks = self.split(self.vector)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of `vector`, one a block."""
        sizes = [int(np.prod(s)) for s in self.shapes]
        parts = vector[: sum(sizes)].split(sizes)
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def copy_seeds(self, vector: Tensor, seeds: Tensor) -> None:
        """Take over the blocks of the seeds in mask [P] from another vector of this layout."""
        for mine, other in zip(self.blocks, self.split(vector), strict=True):
            mine[seeds] = other[seeds]


class MLP:
    """Multilayer perceptrons with ReLU, one for every seed and member: [P, B, inputs] -> [P, K, B, outputs]."""

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int], members: int = 1):
        self.sizes, self.members = (inputs, *hidden, outputs), members

    def setup(self, generators: Sequence[np.random.Generator], device: str = "cpu") -> Self:
        """Draw every seed's weights from its own generator (uniform in +-1/sqrt(inputs), as `torch.nn.Linear`)."""
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        lead = (len(generators), self.members)
        self.weights = Stack([(*lead, *s) for i, o in pairs for s in ((i, o), (1, o))], device)
        for p, generator in enumerate(generators):
            for layer, (fan_in, _) in enumerate(pairs):
                for block in self.weights.blocks[2 * layer : 2 * layer + 2]:
                    drawn = generator.uniform(-1, 1, block.shape[1:]) / np.sqrt(fan_in)
                    block[p] = torch.as_tensor(drawn, dtype=torch.float32)
        self._track()
        return self

    def twin(self) -> "MLP":
        """A copy with weights of its own, which no gradient moves."""
        twin = MLP(self.sizes[0], self.sizes[-1], self.sizes[1:-1], self.members)
        twin.weights = Stack(self.weights.shapes, str(self.weights.vector.device))
        twin.weights.vector.copy_(self.weights.vector)
        twin.parameters = twin.weights.blocks
        return twin

    def _track(self) -> None:
        # leaves that share the vector's storage: gradients come a block each, the optimiser moves the vector
        self.parameters = [block.detach().requires_grad_() for block in self.weights.blocks]

    def __call__(self, x: Tensor) -> Tensor:
        seeds, batch = x.shape[0], x.shape[-2]
        h = x.unsqueeze(1).expand(-1, self.members, -1, -1).reshape(seeds * self.members, batch, -1)
        flat = [p.flatten(0, 1) for p in self.parameters]
        layers = list(zip(flat[::2], flat[1::2], strict=True))
        for weight, bias in layers[:-1]:
            h = torch.baddbmm(bias, h, weight).relu_()
        weight, bias = layers[-1]
        if weight.shape[-1] > 1:
            out = torch.baddbmm(bias, h, weight)
        else:  # a product with one column runs in another kernel when seeds are stacked, so sum it by hand
            out = (h * weight.transpose(-1, -2)).sum(-1, keepdim=True) + bias
        return out.view(seeds, self.members, batch, -1)

    def export(self, seed: int, member: int = 0) -> list[nn.Module]:
        """The layers of one seed and member as plain modules."""
        layers: list[nn.Module] = []
        blocks = [b[seed, member].detach().cpu() for b in self.weights.blocks]
        for weight, bias in zip(blocks[::2], blocks[1::2], strict=True):
            linear = nn.Linear(*weight.shape)
            linear.weight.data, linear.bias.data = weight.T.clone(), bias[0].clone()
            layers += [linear, nn.ReLU()]
        return layers[:-1]


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
