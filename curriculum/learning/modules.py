"""Modules of torch as networks of a learner.

Whatever `build` may return becomes a network here: `nn.Sequential`, a transformer, a
module from another package.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from curriculum.learning.networks import Network, ObsNetwork
from curriculum.types import stream

Built = Mapping[str, Network | nn.Module]


class ModuleNetwork(ObsNetwork):
    """A module of torch for every seed, each [B, inputs] -> [B, outputs].

    A `nn.ModuleList` holds the K members of an ensemble. Modules run in evaluation
    mode, so dropout is off, and in full precision. Seeds are computed one after the
    other."""

    def __init__(self, modules: Sequence[nn.Module], pixel_center: float = 0.0):
        self.pixel_center = pixel_center
        self.modules = [_members(module) for module in modules]  # [P][K]
        self.members = len(self.modules[0])
        self.names = [list(_trained(module)) for module in self.modules[0]]
        for members in self.modules:
            for module in members:
                _refuse_running_statistics(module)
                module.eval()

    def shapes(self, seeds: int) -> list[tuple[int, ...]]:
        """Blocks of every member, in order of members."""
        return [
            (seeds, *parameter.shape)
            for module in self.modules[0]
            for parameter in _trained(module).values()
        ]

    def draw(self, seed: int, generator: np.random.Generator) -> None:
        """Take the parameters that the module's constructor drew."""
        blocks = self.by_member(self.weights.blocks)
        for module, own_blocks in zip(self.modules[seed], blocks, strict=True):
            module.to(self.weights.vector.device)
            parameters = _trained(module)
            for name, block in own_blocks.items():
                block[seed] = parameters[name].detach()

    def by_member(self, blocks: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Blocks [P, ...] of every member by the names of its parameters."""
        remaining = iter(blocks)
        return [{name: next(remaining) for name in names} for names in self.names]

    def encode(self, obs: Tensor) -> Tensor:
        """Images with values in [0, 1], less `pixel_center`; other observations as
        they are."""
        if obs.is_floating_point():
            return obs
        return obs.float() / 255 - self.pixel_center

    def body(self, features: Tensor) -> Tensor:
        blocks = self.by_member(self.differentiable_blocks())
        outputs = []
        for seed, members in enumerate(self.modules):
            for module, own_blocks in zip(members, blocks, strict=True):
                parameters = {name: block[seed] for name, block in own_blocks.items()}
                output = torch.func.functional_call(module, parameters, features[seed])
                outputs.append(output)
        if outputs[0].dim() != 2:
            raise ValueError(
                f"a network must turn [batch, inputs] into [batch, outputs], "
                f"{type(self.modules[0][0]).__name__} turned "
                f"{list(features.shape[1:])} into {list(outputs[0].shape)}"
            )
        return torch.stack(outputs).unflatten(0, (-1, self.members))

    def export_body(self, seed: int, member: int = 0) -> list[nn.Module]:
        module = copy.deepcopy(self.modules[seed][member]).cpu()
        blocks = self.by_member(self.weights.blocks)[member]
        for name, parameter in _trained(module).items():
            parameter.data = blocks[name][seed].detach().cpu().clone()
        if isinstance(module, nn.Sequential):
            return [*module]
        return [module]


def _members(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, nn.ModuleList):
        return [*module]
    return [module]


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that want a gradient, by name."""
    named = module.named_parameters()
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def _refuse_running_statistics(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, _NormBase) and part.track_running_stats:
            raise ValueError(
                f"{type(part).__name__} keeps running statistics, which no gradient "
                "moves; use nn.LayerNorm"
            )


class FirstColumns(nn.Module):
    """The first outputs of an exported module: the location of a policy."""

    def __init__(self, count: int):
        super().__init__()
        self.count = count

    def forward(self, outputs: Tensor) -> Tensor:
        """[n, outputs] -> [n, count]."""
        return outputs[..., : self.count]


class MeanOfQuantiles(nn.Module):
    """The mean over the quantiles that an exported module gives of every action."""

    def __init__(self, actions: int):
        super().__init__()
        self.actions = actions

    def forward(self, outputs: Tensor) -> Tensor:
        """[n, actions * quantiles] -> [n, actions]."""
        return outputs.unflatten(-1, (self.actions, -1)).mean(-1)


def build_for_seeds(build: Callable[[], Built], seeds: Sequence[int]) -> list[Built]:
    """What `build` returns, once or, if there are modules of torch in it, for every
    seed: their constructors draw from the stream of that seed."""
    builds: list[Built] = []
    for seed in seeds:
        with seeded(stream(seed, "init modules")):
            builds.append(build())
        has_modules = any(isinstance(net, nn.Module) for net in builds[0].values())
        if not has_modules:
            break
    return builds


def adapt(builds: Sequence[Built], pixel_center: float = 0.0) -> dict[str, Network]:
    """Turn modules of torch into networks; `pixel_center` is subtracted from pixels in
    [0, 1]."""
    networks: dict[str, Network] = {}
    for name, network in builds[0].items():
        if isinstance(network, Network):
            networks[name] = network
        else:
            modules = [built[name] for built in builds]
            networks[name] = ModuleNetwork(modules, pixel_center)  # type: ignore[arg-type]
    return networks


@contextmanager
def seeded(generator: np.random.Generator) -> Iterator[None]:
    """Seed torch's global generator of the CPU inside the context; afterwards it is as
    before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(generator.integers(2**62)))
        yield
