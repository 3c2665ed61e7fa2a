"""Stacked networks: P seeds x K members of one architecture, computed together."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.learning.kernels import Precision
from curriculum.learning.parts import Arranged, Chain, Dense, Part, mlp
from curriculum.learning.weights import Layout, Weights


class Network:
    """The weights of all seeds, and the tensors through which autograd reaches them.

    Autograd's leaves are few and large in eager mode, where the backward pass is
    written out. Compiled code differentiates single blocks, so that the compiler can
    fuse what is done to each."""

    weights: Weights
    leaves: list[Tensor]  # together they cover the vector of weights
    block_leaves: list[Tensor]  # one for each block of weights
    precision: Precision = "fp32"

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """Shapes of the blocks, [P, ...] each."""
        raise NotImplementedError

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """Fill the blocks of the seed with this index."""
        raise NotImplementedError

    def setup(
        self,
        generators: Sequence[np.random.Generator],
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> Self:
        """Draw the weights of every seed from its own generator and return self."""
        self.precision = precision
        self.bind(Weights(self.shapes(len(generators)), device), trains=True)
        for seed, generator in enumerate(generators):
            self.draw(seed, generator)
        return self

    def bind(self, weights: Weights, trains: bool) -> Self:
        """Use these weights and return self; `trains`: record operations on them."""
        self.weights = weights
        self.leaves = [
            part.requires_grad_(trains) for part in self.split_leaves(weights)
        ]
        self.block_leaves = [
            block.detach().requires_grad_(trains) for block in weights.blocks
        ]
        return self

    def split_leaves(self, weights: Weights) -> list[Tensor]:
        """Views of the vector, in order, that become autograd's leaves."""
        return [weights.vector.detach()]

    def frozen_copy(self) -> Self:
        """A network with a copy of the weights, which autograd does not follow."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        device = str(self.weights.vector.device)
        weights = Weights(self.weights.shapes, device)
        weights.vector.copy_(self.weights.vector)
        return copied.bind(weights, trains=False)

    def current_leaves(self) -> list[Tensor]:
        """The leaves that the running code differentiates: compiled or eager."""
        if torch.compiler.is_compiling():
            return self.block_leaves
        return self.leaves

    def differentiable_blocks(self) -> list[Tensor]:
        """All blocks as autograd follows them."""
        if torch.compiler.is_compiling():
            return self.block_leaves
        return self.weights.split(self.leaves[0])


class Scalar(Network):
    """One number for each seed, [P]."""

    def __init__(self, initial: float):
        self.initial = initial

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        return [(seeds,)]

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        self.weights.blocks[0][seed] = self.initial

    def __call__(self) -> Tensor:
        return self.differentiable_blocks()[0]


class ObsNetwork(Network):
    """A network over observations, which may take actions or other numbers beside
    them: `body(torch.cat([encode(obs), action], -1))`."""

    members: int = 1  # K

    def encode(self, obs: Tensor) -> Tensor:
        """Turn observations [P, B, *O] into features [P, B, D]."""
        return obs

    def body(self, features: Tensor) -> Tensor:
        """Compute outputs [P, K, B, outputs] from features [P, B, D]."""
        raise NotImplementedError

    def __call__(self, obs: Tensor) -> Tensor:
        return self.body(self.encode(obs))

    def input_gradient(self, features: Tensor, columns: int) -> Tensor:
        """Gradient [P, K, B, columns] of a single output with respect to the last
        columns of the features; can be differentiated once more."""
        raise ValueError(
            f"this learner needs the gradient of its critics with respect to actions, "
            f"which {type(self).__name__} does not offer"
        )

    def export_encoder(self, seed: int) -> list[nn.Module]:
        """`encode` as modules of torch, for one seed."""
        return []

    def export_body(self, seed: int, member: int = 0) -> list[nn.Module]:
        """`body` as modules of torch, for one seed and member."""
        raise NotImplementedError

    def export(self, seed: int, member: int = 0) -> list[nn.Module]:
        """The network of one seed and member as modules of torch on the CPU."""
        return [*self.export_encoder(seed), *self.export_body(seed, member)]


class Gradient(NamedTuple):
    """Memory for the gradient of a body."""

    vector: Tensor  # laid out as the network's first leaf
    arranged: Arranged  # views of it, as the parts take them


class GradientMemory:
    """What a network's backward pass does with the gradient of its own weights.

    "fresh": writes it to new memory, as autograd would. "reused": writes it to the same
    memory in every update; a second pass through the network gets fresh memory. "skip":
    computes none, since another network's gradient is asked for."""

    mode: Literal["fresh", "reused", "skip"] = "fresh"

    def __init__(self, leaf: Tensor, layout: Layout, chain: Chain):
        self.leaf = leaf
        self.layout = layout
        self.chain = chain
        self.kept: Gradient | None = None

    def take(self) -> Gradient | None:
        """Memory for one backward pass."""
        if self.mode == "skip":
            return None
        if self.mode == "fresh":
            return self._allocate()
        self.mode = "fresh"
        if self.kept is None:
            self.kept = self._allocate()
        return self.kept

    def clear(self) -> None:
        """Zero the memory that is written in every update."""
        if self.kept is not None:
            self.kept.vector.zero_()

    def _allocate(self) -> Gradient:
        # the padding behind the blocks stays zero
        vector = torch.zeros_like(self.leaf, requires_grad=False)
        blocks = [block.flatten(0, 1) for block in self.layout.split(vector)]
        return Gradient(vector, self.chain.arrange(blocks))


@contextmanager
def gradient_of(network: Network, networks: Iterable[Network]) -> Iterator[None]:
    """Make backward passes inside the context compute the gradient of `network` alone.

    Autograd cannot tell a written backward pass which inputs it was asked for. The
    gradient lies in memory that the next such context overwrites."""
    memories = {
        other: other.gradient_memory for other in networks if isinstance(other, Stacked)
    }
    for other, memory in memories.items():
        memory.mode = "reused" if other is network else "skip"
    try:
        yield
    finally:
        for memory in memories.values():
            memory.mode = "fresh"


class Stacked(ObsNetwork):
    """Networks made of parts, one for every seed and member, with a written backward
    pass."""

    def __init__(self, parts: Sequence[Part], members: int = 1):
        self.chain = Chain(parts)
        self.members = members

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """[P, K, ...] for every block of the parts."""
        return [(seeds, self.members, *shape) for shape in self.chain.shapes()]

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        drawn = self.chain.draw(self.members, generator)
        for block, numbers in zip(self.body_blocks, drawn, strict=True):
            block[seed] = torch.as_tensor(numbers, dtype=torch.float32)

    def setup(
        self,
        generators: Sequence[np.random.Generator],
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> Self:
        self.chain.set_precision(precision)
        return super().setup(generators, device, precision)

    def bind(self, weights: Weights, trains: bool) -> Self:
        super().bind(weights, trains)
        count = len(self.chain.shapes())
        self.body_layout = Layout(weights.shapes[:count])
        self.body_blocks = weights.blocks[:count]
        self.body_weights = self._arrange(self.body_blocks)
        self.gradient_memory = GradientMemory(
            self.leaves[0], self.body_layout, self.chain
        )
        return self

    def _arrange(self, blocks: Sequence[Tensor]) -> Arranged:
        """Blocks [P, K, ...] as [P * K, ...] in the form that the parts take."""
        return self.chain.arrange([block.flatten(0, 1) for block in blocks])

    def body(self, features: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            # the compiler writes the backward pass itself
            repeated = self.repeat(features)
            out, _ = self.chain.forward(repeated, self.differentiable_weights())
        else:
            out = _WrittenBackward.apply(features, self.leaves[0], self)
        seeds, batch, _ = features.shape
        return out.view(seeds, self.members, batch, -1)

    def repeat(self, features: Tensor) -> Tensor:
        """Features [P, B, D] for every member, [P * K, B, D]."""
        if self.members == 1:
            return features
        repeated = features.unsqueeze(1).expand(-1, self.members, -1, -1)
        return repeated.flatten(0, 1)

    def differentiable_weights(self) -> Arranged:
        """The weights of the parts as autograd follows them."""
        if torch.compiler.is_compiling():
            blocks = self.block_leaves[: len(self.body_blocks)]
        else:
            blocks = self.body_layout.split(self.leaves[0])
        return self._arrange(blocks)

    def input_gradient(self, features: Tensor, columns: int) -> Tensor:
        *parts, last = self.chain.parts
        assert isinstance(last, Dense)
        assert last.outputs == 1
        weights = self.differentiable_weights()
        with torch.no_grad():
            _, saved = self.chain.forward(self.repeat(features), weights)
        # gradient of the output with respect to the last part's input, [P * K, B, in]
        grad = weights[-1].transposed.expand(-1, features.shape[-2], -1)
        for i in range(len(parts) - 1, -1, -1):
            grad = parts[i].input_gradient(grad, saved[i], weights[i])
        of_columns = grad[..., -columns:]
        return of_columns.unflatten(0, (features.shape[0], self.members))

    def export_body(self, seed: int, member: int = 0) -> list[nn.Module]:
        return self.chain.export([block[seed, member] for block in self.body_blocks])


class MLP(Stacked):
    """Multilayer perceptrons with ReLU, [P, B, inputs] -> [P, K, B, outputs].

    With `layer_norm` every hidden layer is normalised before its ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: Sequence[int],
        members: int = 1,
        layer_norm: bool = False,
    ):
        super().__init__(mlp(inputs, outputs, hidden, layer_norm), members)
        self.inputs = inputs


class _WrittenBackward(torch.autograd.Function):
    """The body of a stacked network, with the backward pass of its parts."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, leaf: Tensor, network: Stacked) -> Tensor:
        repeated = network.repeat(features)
        out, ctx.saved = network.chain.forward(repeated, network.body_weights)
        ctx.network = network
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a network's backward pass cannot be differentiated again; "
                "Stacked.input_gradient can"
            )
        network: Stacked = ctx.network
        needs_input, trains, _ = ctx.needs_input_grad
        gradient = network.gradient_memory.take() if trains else None
        of_input = network.chain.backward(
            grad,
            ctx.saved,
            network.body_weights,
            None if gradient is None else gradient.arranged,
            needs_input,
        )
        if of_input is not None and network.members > 1:
            of_input = of_input.unflatten(0, (-1, network.members)).sum(1)
        of_weights = None if gradient is None else gradient.vector
        return of_input, of_weights, None
