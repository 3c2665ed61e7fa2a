"""The promises of techniques."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.contract.batches import random_obs
from curriculum.contract.promises import calling, checking, equal, require
from curriculum.envs._base.spec import spec_of
from curriculum.setting import plugins
from curriculum.shipping import eager
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program, program_of
from curriculum.types import Technique, World

TOLERANCE = 1e-3  # of float32 sums in another order


@dataclass(frozen=True)
class TechniqueReport:
    """The variants that a technique which keeps its promises makes."""

    technique: str
    variants: dict[str, int]  # name -> bytes of its file's arrays
    original: int

    def __str__(self) -> str:
        made = [f"{name} {size:,} bytes" for name, size in self.variants.items()]
        return (
            f"technique {self.technique} keeps its contract; original "
            f"{self.original:,} bytes, {', '.join(made)}"
        )


def check_technique(
    technique: Technique | str, env: World | str = "gridworld"
) -> TechniqueReport:
    """Compress a small policy with random weights.

    Each variant must return finite outputs of the original's shape, and the same ones
    from its policy file; the original must not be changed; the same seed must bring the
    same variants."""
    plugin = plugins.make("technique", technique)
    spec = spec_of(plugins.make("env", env))
    learner = plugins.make("learner", "iql", hidden=(16,)).setup(spec, (0,))
    policy = learner.export(0)
    obs = torch.as_tensor(random_obs(spec, (0,), "contract technique")[0])
    with checking("technique", plugin):
        variants = _compress(plugin, policy, obs)
        programs = {
            name: _checked(name, variant, policy, obs)
            for name, variant in variants.items()
        }
        again = _compress(plugin, policy, obs)
        for name, program in programs.items():
            same = name in again and equal(
                program.arrays, program_of(again[name]).arrays
            )
            require(same, "the same seed must bring the same variants")
    sizes = {name: _bytes(program) for name, program in programs.items()}
    original = _bytes(program_of(policy))
    return TechniqueReport(plugins.name_of("technique", plugin), sizes, original)


def _compress(
    technique: Technique, policy: nn.Module, obs: Tensor
) -> dict[str, nn.Module]:
    weights = copy.deepcopy(policy.state_dict())
    before = obs.clone()
    with calling("compress"):
        try:
            variants: Any = technique.compress(policy, obs, 0)
        except Unsupported:
            return {}
    same = equal(weights, dict(policy.state_dict())) and equal(before, obs)
    require(same, "compress must not change the policy or the observations")
    is_dict = isinstance(variants, dict) and bool(variants)
    require(is_dict, "compress must return at least one variant by name")
    return variants


def _checked(name: str, variant: Any, policy: nn.Module, obs: Tensor) -> Program:
    """What the file of a variant will hold."""
    require(
        isinstance(variant, nn.Module),
        f"variant {name} must be a module of torch, got {type(variant).__name__}",
    )
    with torch.inference_mode():
        expected = policy(obs).shape
        with calling(f"the module of variant {name}"):
            output = variant(obs)
    require(
        output.shape == expected and bool(output.isfinite().all()),
        f"variant {name} must return finite numbers of shape {tuple(expected)}, "
        f"got shape {tuple(output.shape)}",
    )
    with calling(f"the file of variant {name}"):
        program = program_of(variant)
        file = eager.module_of(program)
    with torch.inference_mode():
        restored = file(obs).numpy()
    same = np.allclose(restored, output.numpy(), TOLERANCE, TOLERANCE)
    require(same, f"the file of variant {name} must act like its module")
    return program


def _bytes(program: Program) -> int:
    return sum(array.nbytes for array in program.arrays.values())
