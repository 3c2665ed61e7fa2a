"""Policies leave a run: written as files that say where they come from."""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.data.manifest import package_version
from curriculum.envs._base.actions import describe_actions
from curriculum.envs.gym import Gym
from curriculum.learning.learner import Learner
from curriculum.setting import plugins
from curriculum.setting.config import Config, settings_of
from curriculum.shipping import artefact, policy_file
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import program_of
from curriculum.types import World


def write_policies(
    learner: Learner, folder: Path, name: str, contracts: Sequence[dict[str, Any]]
) -> None:
    """Write the policy of every seed as `seed<k>/<name>.cur`.

    A policy with modules that no policy file describes is written as its state_dict,
    `seed<k>/<name>.safetensors`."""
    for index, seed in enumerate(learner.seeds):
        module = learner.export(index)
        path = folder / f"seed{seed}" / f"{name}.cur"
        try:
            program = program_of(module)
        except Unsupported as reason:
            print(f"{path} is not written, only its weights: {reason}", file=sys.stderr)
            arrays = artefact.deployable(module)
            artefact.save(arrays, path.with_suffix(".safetensors"))
            continue
        policy_file.save(program, contracts[index], path)


def contracts_of(
    config: Config,
    world: World,
    policy: str,
    step: np.ndarray | int,
    updates: np.ndarray | int,
) -> list[dict[str, Any]]:
    """What the policy files of all seeds say of their origin and their spaces.

    `policy` is "last" or "best"; `step` and `updates` of the offline phase, one or [P],
    say when it was trained."""
    env_space = world.facts.actions.env_space if isinstance(world, Gym) else None
    observations = world.observation_space
    shared = {
        "observation": {
            "shape": list(observations.shape),
            "dtype": str(observations.dtype),
            "low": _bounds(observations.low),
            "high": _bounds(observations.high),
        },
        "action": describe_actions(world.action_space, env_space or world.action_space),
        "world": {
            "name": plugins.name_of("env", config.env),
            "settings": _plain(settings_of(config, "env")),
        },
    }
    trained = {
        "learner": plugins.name_of("learner", config.learner),
        "settings": _plain(settings_of(config, "learner")),
        "policy": policy,
        "version": package_version(),
        "commit": _commit(),
    }
    seeds = len(config.seeds)
    steps = np.broadcast_to(step, seeds).tolist()
    all_updates = np.broadcast_to(updates, seeds).tolist()
    moments = zip(config.seeds, steps, all_updates, strict=True)
    return [
        {**shared, "trained": {**trained, "seed": seed, "step": at, "updates": after}}
        for seed, at, after in moments
    ]


def _bounds(bounds: np.ndarray) -> list[float | None] | float | None:
    """Bounds as JSON holds them: one number where all are the same, None for none."""
    numbers = [
        number if np.isfinite(number) else None for number in bounds.ravel().tolist()
    ]
    return numbers[0] if len(set(numbers)) == 1 else numbers


def _plain(value: Any) -> Any:
    """Settings as JSON holds them; as text where it cannot."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    is_number = isinstance(value, int | float) and np.isfinite(value)
    if value is None or is_number or isinstance(value, str):
        return value
    return str(value)


@cache
def _commit() -> str:
    """The commit of the checkout that this package lies in; empty elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    words = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
