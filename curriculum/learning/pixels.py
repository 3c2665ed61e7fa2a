"""Convolutional encoders of stacked images, in front of a dense network."""

import copy
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.networks import MLP
from curriculum.learning.weights import Layout, Weights

Encoder = Literal["nips", "nature", "nature-same", "impala"]
Initialization = Literal["torch", "xavier"]


class Pixels(MLP):
    """An MLP over features of images, uint8 [P, B, F, H, W] -> [P, K, B, outputs].

    The K members of a network share one encoder. Seeds have different kernels, which no
    single convolution can apply, so they are encoded one after the other. Kernels are
    stored with their input channels last, as convolutions read them fastest."""

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        hidden: tuple[int, ...],
        members: int = 1,
        extra: int = 0,
        layer_norm: bool = False,
        encoder: Encoder = "nature",
        initialization: Initialization = "torch",
        center: float = 0.0,
    ):
        """`center` is subtracted from pixels in [0, 1]."""
        with torch.device("meta"):  # layers with shapes, without memory
            self.encoder = ENCODERS[encoder](shape[0])
        features = _features(self.encoder, shape)
        super().__init__(features + extra, outputs, hidden, members, layer_norm)
        self.initialization = initialization
        self.center = center
        self.parameters = dict(self.encoder.named_parameters())

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """Blocks of the dense layers, then of the encoder."""
        found = super().shapes(seeds)
        for parameter in self.parameters.values():
            outputs, *rest = parameter.shape
            inputs_last = [*rest[1:], *rest[:1]]
            found.append((seeds, outputs, *inputs_last))
        return found

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """Uniform in +-1/sqrt(inputs), as `torch.nn.Conv2d`, or as Glorot & Bengio
        (2010) do."""
        if self.initialization == "xavier":
            self._draw_xavier(seed, generator)
            return
        super().draw(seed, generator)
        inputs = 1
        for block in self.weights.blocks[len(self.body_blocks) :]:
            if block.dim() > 2:  # a kernel; its bias follows
                inputs = int(np.prod(block.shape[2:]))
            uniform = generator.uniform(-1, 1, block.shape[1:])
            block[seed] = torch.as_tensor(uniform / np.sqrt(inputs))

    def _draw_xavier(self, seed: int, generator: np.random.Generator) -> None:
        """Weights uniform in +-sqrt(6 / (inputs + outputs)), kernels counted with their
        area; biases 0 (eq. 16)."""
        blocks = self.weights.blocks  # of dense layers, then kernels
        for weight, bias in zip(blocks[::2], blocks[1::2], strict=True):
            shape = weight.shape[1:]
            inputs, outputs = shape[-2], shape[-1]
            area = 1
            if len(shape) == 4:  # a kernel
                outputs, height, width, inputs = shape
                area = height * width
            limit = np.sqrt(6 / (area * (inputs + outputs)))
            weight[seed] = torch.as_tensor(generator.uniform(-limit, limit, shape))
            bias[seed] = 0

    def split_leaves(self, weights: Weights) -> list[Tensor]:
        """The dense layers and the encoder: the former's gradient is written out."""
        count = len(self.chain.shapes())
        self.kernel_layout = Layout(weights.shapes[count:])
        dense = sum(weights.sizes[:count])
        vector = weights.vector.detach()
        return [vector[:dense], vector[dense:]]

    def encode(self, obs: Tensor) -> Tensor:
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        if torch.compiler.is_compiling():
            blocks = self.block_leaves[len(self.body_blocks) :]
        else:
            blocks = self.kernel_layout.split(self.leaves[1])
        features = []
        for seed, images in enumerate(obs):
            parameters = {
                name: _inputs_first(block[seed]).to(dtype)
                for name, block in zip(self.parameters, blocks, strict=True)
            }
            x = images.to(dtype, memory_format=torch.channels_last) / 255
            if self.center:
                x = x - self.center
            encoded = torch.func.functional_call(self.encoder, parameters, x)
            features.append(encoded.float())
        return torch.stack(features)

    def export_encoder(self, seed: int) -> list[nn.Module]:
        """The convolutions, for images that `Scale` has made numbers of."""
        encoder = copy.deepcopy(self.encoder).to_empty(device="cpu")
        blocks = self.weights.blocks[len(self.body_blocks) :]
        for parameter, block in zip(encoder.parameters(), blocks, strict=True):
            weight = _inputs_first(block[seed].detach().cpu())
            parameter.data = weight.contiguous()
        return [*encoder]


def _features(encoder: nn.Module, shape: tuple[int, ...]) -> int:
    """Numbers that an encoder makes of an image. Without memory, torch would ask its
    compiler, which takes a second to import."""
    blank = copy.deepcopy(encoder).to_empty(device="cpu")
    with torch.no_grad():
        return blank(torch.zeros(1, *shape)).shape[-1]


def _inputs_first(weight: Tensor) -> Tensor:
    """A kernel [outputs, H, W, inputs] as [outputs, inputs, H, W]; biases as they
    are."""
    if weight.dim() == 1:
        return weight
    return weight.movedim(-1, 1)


class ConvolutionalResidual(nn.Module):
    """x + conv(relu(conv(relu(x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [n, channels, H, W] of the same shape."""
        inner = self.first(x.relu())
        return x + self.second(inner.relu())


def nips(frames: int) -> nn.Sequential:
    """The network of Mnih et al. 2013 (arXiv 1312.5602): a third of the work of
    `nature`."""
    return nn.Sequential(
        nn.Conv2d(frames, 16, 8, 4),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, 2),
        nn.ReLU(),
        nn.Flatten(),
    )


def nature(frames: int) -> nn.Sequential:
    """The network of Mnih et al. 2015 (Nature 518)."""
    return nn.Sequential(
        nn.Conv2d(frames, 32, 8, 4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
    )


def nature_same(frames: int) -> nn.Sequential:
    """The same with padded inputs, so that outputs are as large as their strides allow:
    84 x 84 pixels become 21, 11 and 11 wide instead of 20, 9 and 7.

    All sides are padded alike; where "SAME" of other libraries pads one more at the end
    than at the beginning, both get the larger number."""
    return nn.Sequential(
        nn.Conv2d(frames, 32, 8, 4, padding=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2, padding=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )


def impala(frames: int) -> nn.Sequential:
    """The large network of Espeholt et al. 2018 (arXiv 1802.01561, figure 3), without
    its LSTM."""
    layers: list[nn.Module] = []
    inputs = frames
    for outputs in (16, 32, 32):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1))
        layers.append(nn.MaxPool2d(3, 2, 1))
        layers.append(ConvolutionalResidual(outputs))
        layers.append(ConvolutionalResidual(outputs))
        inputs = outputs
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten())


ENCODERS: dict[str, Callable[[int], nn.Sequential]] = {
    "nips": nips,
    "nature": nature,
    "nature-same": nature_same,
    "impala": impala,
}
