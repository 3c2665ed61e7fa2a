"""How networks move: gradients, clipping, Adam and target networks.

An update has two forms with the same arithmetic up to rounding:

- eager: written backward passes, then one fused Adam on whole vectors. A CUDA graph
  captures these very operations (`engine.Captured`).
- compiled: autograd and Adam block by block, which a compiler fuses with the losses
  (`engine.Compiled`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from curriculum.learning.networks import Network, gradient_of
from curriculum.learning.weights import Weights
from curriculum.types import State

# of Adam (Kingma & Ba 2015, arXiv 1412.6980)
MEAN_DECAY = 0.9
SQUARE_DECAY = 0.999


class Moments:
    """Adam's running averages for one network."""

    def __init__(self, network: Network):
        device = str(network.weights.vector.device)
        self.mean = Weights(network.weights.shapes, device)
        self.square = Weights(network.weights.shapes, device)
        self.steps = torch.zeros((), device=device)
        # for the fused Adam: views that match the network's leaves
        self.sizes = [leaf.numel() for leaf in network.leaves]
        self.mean_parts = list(self.mean.vector.split(self.sizes))
        self.square_parts = list(self.square.vector.split(self.sizes))
        self.steps_of_parts = [self.steps] * len(self.sizes)


class Optimizer:
    """Adam for all networks of a learner, with gradients clipped for every network and
    seed."""

    def __init__(
        self, networks: Mapping[str, Network], grad_clip: float, epsilon: float = 1e-8
    ):
        self.networks = networks
        self.grad_clip = grad_clip  # largest norm, 0: no limit
        self.epsilon = epsilon  # of Adam
        self.moments = {name: Moments(network) for name, network in networks.items()}

    def step(
        self,
        losses: Mapping[str, Tensor],
        seed_weights: Tensor,
        learning_rate: float | Tensor,
    ) -> None:
        """Move every network that has a loss [P] down the gradient of that loss.

        All gradients are computed before any network moves. The losses of seeds count
        `seed_weights` [P] times."""
        if torch.compiler.is_compiling():
            self._step_compiled(losses, seed_weights, learning_rate)
        else:
            self._step_eager(losses, seed_weights, learning_rate)

    def reset(self) -> None:
        """Forget the running averages of all networks and seeds."""
        for moments in self.moments.values():
            moments.mean.vector.zero_()
            moments.square.vector.zero_()
            moments.steps.zero_()

    def gradient(self, name: str, loss: Tensor, seed_weights: Tensor) -> Tensor:
        """Gradient of `loss` [P] for the network `name`, laid out as its vector of
        weights.

        The next call overwrites it."""
        network = self.networks[name]
        several = len(self.networks) > 1  # whose losses may share parts of the graph
        with gradient_of(network, self.networks.values()):
            # the dot product, not `grad_outputs`: for these torch imports sympy
            gradients = torch.autograd.grad(
                loss.dot(seed_weights), network.leaves, retain_graph=several
            )
        if len(gradients) == 1:
            return gradients[0]
        return torch.cat(gradients)

    def _step_eager(
        self,
        losses: Mapping[str, Tensor],
        seed_weights: Tensor,
        learning_rate: float | Tensor,
    ) -> None:
        gradients = {
            name: self.gradient(name, loss, seed_weights)
            for name, loss in losses.items()
        }
        with torch.no_grad():
            for name, gradient in gradients.items():
                self._clip(self.networks[name].weights.split_seeds(gradient))
                self._adam_fused(name, gradient, learning_rate)

    def _adam_fused(
        self, name: str, gradient: Tensor, learning_rate: float | Tensor
    ) -> None:
        moments = self.moments[name]
        moments.steps.add_(1)
        adam: Any = torch._fused_adam_  # what torch.optim.Adam(fused=True) calls
        adam(
            self.networks[name].leaves,
            list(gradient.split(moments.sizes)),
            moments.mean_parts,
            moments.square_parts,
            [],
            moments.steps_of_parts,
            lr=learning_rate,
            beta1=MEAN_DECAY,
            beta2=SQUARE_DECAY,
            eps=self.epsilon,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )

    def _step_compiled(
        self,
        losses: Mapping[str, Tensor],
        seed_weights: Tensor,
        learning_rate: float | Tensor,
    ) -> None:
        gradients = {}
        for name, loss in losses.items():
            blocks = self.networks[name].block_leaves
            found = torch.autograd.grad(loss, blocks, seed_weights, retain_graph=True)
            gradients[name] = list(found)
        with torch.no_grad():
            for name, blocks in gradients.items():
                self._clip(blocks)
                self._adam_by_blocks(name, blocks, learning_rate)

    def _adam_by_blocks(
        self, name: str, gradients: Sequence[Tensor], learning_rate: float | Tensor
    ) -> None:
        moments = self.moments[name]
        moments.steps.add_(1)
        mean_correction = 1 - MEAN_DECAY**moments.steps
        square_correction = 1 - SQUARE_DECAY**moments.steps
        for block, gradient, mean, square in zip(
            self.networks[name].block_leaves,
            gradients,
            moments.mean.blocks,
            moments.square.blocks,
            strict=True,
        ):
            mean.lerp_(gradient, 1 - MEAN_DECAY)
            square.mul_(SQUARE_DECAY)
            square.addcmul_(gradient, gradient, value=1 - SQUARE_DECAY)
            deviation = (square / square_correction).sqrt() + self.epsilon
            block.sub_(learning_rate / mean_correction * mean / deviation)

    def _clip(self, blocks: Sequence[Tensor]) -> None:
        if self.grad_clip:
            clip(blocks, self.grad_clip)

    def weights(self) -> dict[str, Weights]:
        """The running averages, by a name for each."""
        found = {}
        for name, moments in self.moments.items():
            found[f"adam_mean/{name}"] = moments.mean
            found[f"adam_square/{name}"] = moments.square
        return found

    def state(self) -> State:
        """Return the counts of steps; `weights` holds the rest."""
        return {name: moments.steps.clone() for name, moments in self.moments.items()}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        for name, steps in state.items():
            self.moments[name].steps.copy_(steps)


def clip(blocks: Sequence[Tensor], limit: float) -> None:
    """Shorten the gradient [P, ...] of every seed whose norm over all blocks exceeds
    `limit`."""
    flat = [block.reshape(len(block), -1) for block in blocks]
    gradient = flat[0] if len(flat) == 1 else torch.cat(flat, 1)
    norm = torch.linalg.vector_norm(gradient, dim=1)  # [P]
    factor = (limit / norm.clamp(min=1e-12)).clamp(max=1)
    for block in blocks:
        block.mul_(factor.view(-1, *[1] * (block.dim() - 1)))


class Targets:
    """Slow copies of networks, which losses bootstrap from."""

    def __init__(self, networks: Mapping[str, Network], names: Iterable[str]):
        self.networks = networks
        self.copies = {
            name: network.frozen_copy()
            for name, network in networks.items()
            if name in names
        }

    @torch.no_grad()
    def update(self, share: float) -> None:
        """Move the copies by a share of their distance to the networks, 1 copies."""
        for name, copied in self.copies.items():
            pairs = zip(
                copied.current_leaves(),
                self.networks[name].current_leaves(),
                strict=True,
            )
            for slow, fast in pairs:
                slow.lerp_(fast, share)

    def weights(self) -> dict[str, Weights]:
        """The weights of the copies, by a name for each."""
        return {f"target/{name}": net.weights for name, net in self.copies.items()}
