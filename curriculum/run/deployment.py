"""Policies leave a run: written as files, compressed, and measured."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from curriculum.activity import phase
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import Buffer
from curriculum.run.evaluation import Episodes, evaluation_door, play
from curriculum.shipping.artefact import deployable, save
from curriculum.shipping.compression import Act, measure
from curriculum.types import Spec, Technique, World

OBSERVATIONS = 4_096  # on which compressed policies are compared with the original
HINT = "--techniques or --eval-episodes"


def write_policies(learner: Learner, folder: Path, name: str) -> None:
    """Write the policy of every seed as `seed<k>/<name>.safetensors`."""
    for index, seed in enumerate(learner.seeds):
        policy = deployable(learner.export(index))
        save(policy, folder / f"seed{seed}" / f"{name}.safetensors")


def measure_compressed(
    learner: Learner,
    buffer: Buffer,
    techniques: Sequence[Technique],
    world: World,
    spec: Spec,
    episodes: Sequence[int],
    folder: Path | None,
) -> dict[str, np.ndarray]:
    """Compress the policy of every seed and measure all variants, [P] each.

    The files of the variants go to `folder`, by default a temporary one."""
    folder = folder or Path(tempfile.mkdtemp())

    def play_episodes(act: Act) -> Episodes:
        owners = ("compressed policy",)
        with evaluation_door(world, episodes, owners, _announce) as door:
            return play(act, door)

    results = []
    with phase("compression", len(learner.seeds), "seeds", HINT) as current:
        for index, obs in enumerate(buffer.distinct_obs(OBSERVATIONS)):
            seed = learner.seeds[index]
            result = measure(
                learner.export(index),
                torch.from_numpy(obs),
                techniques,
                spec,
                play_episodes,
                folder / f"seed{seed}",
                seed,
            )
            results.append(result)
            current.advance()
    values = {}
    for variant, row in results[0].items():
        for name in row:
            column = [result[variant][name] for result in results]
            values[f"compress/{variant}/{name}"] = np.array(column)
    return values


def _announce(owner: int, problem: str) -> None:
    """Print why the return of a compressed policy is nan."""
    print(problem, file=sys.stderr)
