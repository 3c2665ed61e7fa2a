"""Convolutional encoders for stacked pictures, in front of a dense network."""

import copy
from collections.abc import Callable
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.networks import MLP, Layout, Stack

Encoder = Literal["nature", "impala"]


class Pixels(MLP):
    """An MLP over what convolutions make of pictures: uint8 [P, B, F, H, W] -> [P, K,
    B, outputs].

    All K members share the convolutions of their network. Seeds cannot share one
    convolution, so they take turns: many seeds cost what they would cost alone."""

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        hidden: tuple[int, ...],
        members: int = 1,
        extra: int = 0,
        layer_norm: bool = False,
        encoder: Encoder = "nature",
    ):
        with torch.device("meta"):  # the layers and their shapes, without weights
            self.template = ENCODERS[encoder](shape[0])
            features = self.template(torch.empty(1, *shape)).shape[-1]
        super().__init__(features + extra, outputs, hidden, members, layer_norm)
        self.parameters = dict(self.template.named_parameters())

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """Of the dense layers, then of the convolutions with their inputs last."""
        kernels = [tuple(p.shape) for p in self.parameters.values()]
        return super().shapes(seeds) + [
            (seeds, *(s[:1] + s[2:] + s[1:2])) for s in kernels
        ]

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """See `MLP`."""
        super().draw(seed, generator)
        fan_in = 1
        for block in self.weights.blocks[2 * len(self.layers) :]:
            # a bias follows its kernel
            fan_in = int(np.prod(block.shape[2:])) if block.dim() > 2 else fan_in
            block[seed] = torch.as_tensor(
                generator.uniform(-1, 1, block.shape[1:]) / np.sqrt(fan_in)
            )

    def bind(self, weights: Stack, trains: bool) -> Self:
        """See `Network`."""
        dense = sum(weights.sizes[: 2 * len(self.sizes) - 2])
        parts = weights.vector.detach()
        super().bind(weights, trains)
        self.leaves = [
            part.requires_grad_(trains) for part in (parts[:dense], parts[dense:])
        ]
        self.kernels = Layout(weights.shapes[2 * len(self.layers) :])
        return self

    def encode(self, obs: Tensor) -> Tensor:
        """Features [P, B, D] of pictures [P, B, F, H, W]."""
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float32
        compiling = torch.compiler.is_compiling()
        blocks = (
            self.pieces[len(self.dense.shapes) :]
            if compiling
            else self.kernels.split(self.leaves[1])
        )
        features = []
        for p, pictures in enumerate(obs):
            # inputs last in memory alone
            own = [b[p].movedim(-1, 1) if b.dim() > 2 else b[p] for b in blocks]
            weights = dict(zip(self.parameters, (w.to(kind) for w in own), strict=True))
            x = pictures.to(kind, memory_format=torch.channels_last) / 255
            features.append(
                torch.func.functional_call(self.template, weights, x).float()
            )
        return torch.stack(features)

    def export_encoder(self, seed: int) -> list[nn.Module]:
        """The convolutions as plain modules, for pictures with values in [0, 1]."""
        encoder = copy.deepcopy(self.template).to_empty(device="cpu")
        for own, block in zip(
            encoder.parameters(),
            self.weights.blocks[2 * len(self.layers) :],
            strict=True,
        ):
            weight = block[seed].detach().cpu()
            own.data = (
                weight.movedim(-1, 1) if weight.dim() > 1 else weight
            ).contiguous()
        return [*encoder]


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, channels, H, W] of the same shape."""
        return x + self.second(self.first(x.relu()).relu())


def nature(frames: int) -> nn.Sequential:
    """The network of Mnih et al. 2015 (Nature 518)."""
    first, second, third = (
        nn.Conv2d(frames, 32, 8, 4),
        nn.Conv2d(32, 64, 4, 2),
        nn.Conv2d(64, 64, 3),
    )
    return nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), nn.Flatten()
    )


def impala(frames: int) -> nn.Sequential:
    """The large network of Espeholt et al. 2018 (arXiv 1802.01561, figure 3), without
    its LSTM."""
    layers: list[nn.Module] = []
    for before, after in ((frames, 16), (16, 32), (32, 32)):
        layers += [
            nn.Conv2d(before, after, 3, padding=1),
            nn.MaxPool2d(3, 2, 1),
            Residual(after),
            Residual(after),
        ]
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten())


ENCODERS: dict[str, Callable[[int], nn.Sequential]] = {
    "nature": nature,
    "impala": impala,
}


class Scale(nn.Module):
    """Pictures with values 0 .. 255 to [0, 1], as the first layer of an exported
    policy."""

    def forward(self, x: Tensor) -> Tensor:
        """Pictures [n, F, H, W] of the same shape."""
        return x.float() / 255
