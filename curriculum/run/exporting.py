"""Write a policy for other programs, and check what was written."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.files import replacing
from curriculum.run.evaluation import evaluation_door
from curriculum.run.opened import Which
from curriculum.run.trained import Policy, Trained, is_playable
from curriculum.shipping import c_header, onnx_model, policy_file
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program
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


def export(trained: Trained, seed: int, which: Which, out: Path) -> str:
    """Write a policy in the format that the name of `out` ends in; returns in a
    sentence how well it agrees with the original.

    ValueError, and nothing is written, where it does not, or where this kind of policy
    has no such form."""
    policy = trained.policy(seed, which)
    written = FORMATS[out.suffix]
    try:
        program = trained.program(seed, which)
        contract = trained.contract(seed, which)
        tried = _observations(trained, policy, program, contract, seed)
        expected = policy.scores(tried.obs)
        with replacing(out) as draft:
            written.write(program, contract, draft)
            found = written.scores(draft, tried.obs)
            chooses = any(about["op"] in CHOOSING for about in program.operations)
            agreement = _agreement(found, expected, TIES if chooses else 0.0)
    except Unsupported as reason:
        raise ValueError(f"{out} cannot be written: {reason}") from None
    return f"{agreement}; {tried.origin}"


class Tried(NamedTuple):
    """Observations on which a file is compared with the original."""

    obs: np.ndarray  # [n, *O]
    origin: str


def _observations(
    trained: Trained,
    policy: Policy,
    program: Program,
    contract: dict[str, Any],
    seed: int,
) -> Tried:
    """Observations of a few episodes that the policy plays; random ones where the world
    cannot be played, or is not installed."""
    try:
        if is_playable(trained):
            obs = _played(trained.world, policy)
            return Tried(obs, f"they are of its own episodes 0 to {ROWS - 1}")
        reason = f"{name_of(trained.world)} cannot be played"
    except ValueError as error:
        reason = str(error)
    obs = _random(program, contract["observation"], stream(seed, "export"))
    return Tried(obs, f"they are random, as its world is not at hand: {reason}")


def _played(world: World, policy: Policy) -> np.ndarray:
    found = []
    with evaluation_door(world, range(ROWS)) as door:
        obs = door.reset()
        for _ in range(STEPS):
            found.append(obs.copy())
            obs = door.step(policy.act(obs)).obs
    return np.concatenate(found)


def _random(
    program: Program, about: dict[str, Any], generator: np.random.Generator
) -> np.ndarray:
    """Normal numbers in the units of the normaliser, or random pictures."""
    count = ROWS * STEPS
    shape = (count, *about["shape"])
    first = program.operations[0]
    if first["op"] == "pixels":
        return generator.integers(0, 256, shape, np.uint8)
    normal = generator.standard_normal((math.prod(about["shape"]), count)).T
    if first["op"] == "normalise":
        mean, scale = (program.arrays[first[name]] for name in ("mean", "scale"))
        spread = np.divide(1, scale, where=scale != 0, out=np.zeros_like(scale))
        normal = mean + spread * normal
    return normal.reshape(shape).astype(about["dtype"])


def _agreement(found: np.ndarray, expected: np.ndarray, ties: float) -> str:
    """How well scores agree; ValueError where they do not."""
    count = len(expected)
    if found.shape != expected.shape:
        raise ValueError(
            f"it gives scores of shape {found.shape} for {count:,} observations, "
            f"the original {expected.shape}: nothing was written"
        )
    sizes = np.where(expected > HOPELESS, np.abs(expected), 0).max(-1, keepdims=True)
    differences = np.abs(found - expected) / np.maximum(sizes, 1)
    difference = differences.max(-1)  # [n]
    others = int((~(difference <= TOLERANCE)).sum())  # nan is not agreement
    if others > ties * count:
        raise ValueError(
            f"it differs from the original by more than {TOLERANCE:g} on "
            f"{others:,} of {count:,} observations: nothing was written"
        )
    sentence = f"agrees with the original on {count - others:,} of {count:,} "
    return f"{sentence}observations, largest difference {difference.max():.1e}"
