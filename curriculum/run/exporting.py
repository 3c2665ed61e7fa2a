"""Write the policy of a run for other programs, and check what was written."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from curriculum.envs._base.door import name_of
from curriculum.envs.recorded import Recorded
from curriculum.files import replacing
from curriculum.run.deployment import contracts_of
from curriculum.run.evaluation import evaluation_door
from curriculum.run.opened import ActingPolicy, OpenedRun, Which
from curriculum.shipping import c_header, onnx_model, policy_file
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program, program_of
from curriculum.shipping.standalone import load_policy
from curriculum.types import World, stream

ROWS = 4  # episodes that are played at once
STEPS = 250  # of every row
TOLERANCE = 1e-5  # of scores, relative to the largest of an observation from 1 on
# these choose among candidates: at a tie, rounding decides
CHOOSING = ("admit", "best")
TIES = 0.01  # share of observations that may be ties
HOPELESS = -1e29  # scores below are those of actions that are not admitted


class Format(NamedTuple):
    """A kind of file that a policy is written to."""

    write: Callable[[Program, dict[str, Any], Path], None]
    # what the file computes for observations [n, *O]
    scores: Callable[[Path, np.ndarray], np.ndarray]


def _scores_of_file(path: Path, obs: np.ndarray) -> np.ndarray:
    """One observation after the other, as a robot asks."""
    policy = load_policy(path)
    return np.stack([policy.scores(own) for own in obs])


FORMATS = {
    ".cur": Format(policy_file.write, _scores_of_file),
    ".onnx": Format(onnx_model.write, onnx_model.scores),
    ".h": Format(c_header.write, c_header.scores),
}


def export(run: OpenedRun, seed: int, which: Which, out: Path) -> str:
    """Write a policy in the format that the name of `out` ends in; returns in a
    sentence how well it agrees with the run's own.

    ValueError, and nothing is written, where it does not, or where this kind of policy
    has no such form."""
    policy = run.policy(seed, which)
    contracts = contracts_of(run.config, run.world, which, *run.moments[which])
    contract = contracts[run.seeds.index(seed)]
    written = FORMATS[out.suffix]
    obs = _observations(run.world, policy, seed)
    with torch.inference_mode():
        expected = policy.module(torch.from_numpy(obs)).numpy()
    try:
        program = program_of(policy.module)
        with replacing(out) as draft:
            written.write(program, contract, draft)
            found = written.scores(draft, obs)
            chooses = any(about["op"] in CHOOSING for about in program.operations)
            return _agreement(found, expected, TIES if chooses else 0.0)
    except Unsupported as reason:
        raise ValueError(f"{out} cannot be written: {reason}") from None


def _observations(world: World, policy: ActingPolicy, seed: int) -> np.ndarray:
    """Observations of a few episodes that the policy plays, [n, *O]; random ones where
    the world cannot be played."""
    if isinstance(world, Recorded):
        print(
            f"{name_of(world)} cannot be played: its policy is checked on random "
            "observations",
            file=sys.stderr,
        )
        return _random_observations(policy, stream(seed, "export"))
    found = []
    with evaluation_door(world, range(ROWS)) as door:
        obs = door.reset()
        for _ in range(STEPS):
            found.append(obs.copy())
            obs = door.step(policy.act(obs)).obs
    return np.concatenate(found)


def _random_observations(
    policy: ActingPolicy, generator: np.random.Generator
) -> np.ndarray:
    """Normal numbers in the units of the normaliser, or random pictures."""
    spec = policy.spec
    shape = (ROWS * STEPS, *spec.obs_shape)
    if spec.frames:
        return generator.integers(0, 256, shape, np.uint8)
    normaliser = policy.module.get_submodule("0")
    mean, scale = (normaliser.get_buffer(name).numpy() for name in ("mean", "scale"))
    normal = generator.standard_normal((len(mean), ROWS * STEPS)).T
    spread = np.divide(1, scale, where=scale != 0, out=np.zeros_like(scale))
    return (mean + spread * normal).reshape(shape).astype(spec.obs_dtype)


def _agreement(found: np.ndarray, expected: np.ndarray, ties: float) -> str:
    """How well scores agree; ValueError where they do not."""
    count = len(expected)
    if found.shape != expected.shape:
        raise ValueError(
            f"it gives scores of shape {found.shape} for {count:,} observations, "
            f"the run's policy {expected.shape}: nothing was written"
        )
    sizes = np.where(expected > HOPELESS, np.abs(expected), 0).max(-1, keepdims=True)
    differences = np.abs(found - expected) / np.maximum(sizes, 1)
    difference = differences.max(-1)  # [n]
    others = int((~(difference <= TOLERANCE)).sum())  # nan is not agreement
    if others > ties * count:
        raise ValueError(
            f"it differs from the run's policy by more than {TOLERANCE:g} on "
            f"{others:,} of {count:,} observations: nothing was written"
        )
    sentence = f"agrees with the run's policy on {count - others:,} of {count:,} "
    return f"{sentence}observations, largest difference {difference.max():.1e}"
