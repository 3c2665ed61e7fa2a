"""Compress the policies of a run, and measure every variant.

Letters: P seeds, N episodes of each.
"""

import copy
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from curriculum.activity import phase
from curriculum.envs._base.door import Stop
from curriculum.files import write_text
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import Buffer, Split
from curriculum.report.compression_table import Variant
from curriculum.report.evaluation_table import Row
from curriculum.run import checkpoint
from curriculum.run.assembly import allocate_buffer
from curriculum.run.deployment import contracts_of
from curriculum.run.evaluation import Episodes, evaluation_door, play
from curriculum.run.opened import OpenedRun, Which
from curriculum.setting import techniques as names
from curriculum.shipping import policy_file
from curriculum.shipping.compression import (
    REFERENCE,
    Results,
    Timing,
    actions_of,
    measure,
)
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program, program_of
from curriculum.shipping.standalone import load_policy
from curriculum.types import Spec, Technique, World, stream

OBSERVATIONS = 4_096  # that techniques train and calibrate on
HELD_OUT = 1_024  # on which variants are compared with the original
IN_TRAINING = Timing(rounds=10, calls=20)
HINT = "--techniques or --eval-episodes"
SLOW = "--techniques or --episodes"
REFUSED = "refused.json"  # beside the variants: techniques left out, and why


class Task(NamedTuple):
    """What is to be compressed and measured."""

    run: OpenedRun
    which: Which
    techniques: list[Technique]
    shares: dict[str, float]  # weights of sources; empty: all that differ
    episodes: range


class Outcome(NamedTuple):
    """What came of it."""

    variants: list[Variant]  # the original first
    floor: float  # return of random play
    refused: dict[str, str]  # why a technique is left out, by its name
    files: dict[int, dict[str, Path]]  # of each seed, by variant
    remark: str  # about the observations that were held out


class Written(NamedTuple):
    """The variants of one policy."""

    files: dict[str, Path]  # by name, the original first
    refused: dict[str, str]  # why a technique is left out, by its name


class Measured(NamedTuple):
    """What was measured of the variants of one seed."""

    files: dict[str, Path]  # by variant, the original first
    figures: Results  # variant -> figure -> value
    episodes: dict[str, Episodes]  # [N] of each variant
    refused: dict[str, str]  # why a technique is left out, by its name
    unseen: float  # share of held-out observations that no technique had seen


def open_buffer(run: OpenedRun) -> Buffer:
    """The replay buffer of a run, at its checkpoint."""
    config = copy.copy(run.config)
    config.device = "cpu"
    start = config.plugged()["start"]
    buffer = allocate_buffer(config, run.learner, run.spec, start)
    buffer.load(checkpoint.read(run.checkpoint, only=["buffer"])["buffer"])
    return buffer


def split(
    buffer: Buffer, seeds: Sequence[int], shares: Mapping[str, float] | None = None
) -> list[Split]:
    """Observations for the techniques, and others to compare on, of every seed."""
    generators = [stream(seed, "compression") for seed in seeds]
    return buffer.split_obs(OBSERVATIONS, HELD_OUT, generators, shares)


def write_variants(
    policy: nn.Module,
    contract: dict[str, Any],
    obs: np.ndarray,
    techniques: Sequence[Technique],
    folder: Path,
    seed: int,
) -> Written:
    """Write a policy and all its variants, as `folder/<variant>.cur`.

    Unsupported where a policy file cannot hold the policy itself."""
    written = {REFERENCE: program_of(policy)}
    files = {REFERENCE: folder / f"{REFERENCE}.cur"}
    policy_file.save(written[REFERENCE], contract, files[REFERENCE])
    refused = {}
    with phase("compress", len(techniques), "techniques", "--techniques") as current:
        for technique in techniques:
            name = names.name_of(technique)
            current.report(current.done, name)
            try:
                made = technique.compress(policy, torch.from_numpy(obs), seed)
            except Unsupported as reason:
                refused[name] = str(reason)
                made = {}
            about = {**contract, "compressed": {"technique": name, "variant": ""}}
            for variant, module in made.items():
                program = program_of(module)
                if variant in written:
                    _require_equal(variant, program, written[variant])
                    continue
                about["compressed"]["variant"] = variant
                files[variant] = folder / f"{variant}.cur"
                written[variant] = program
                policy_file.save(program, about, files[variant])
            current.advance()
    (folder / REFUSED).unlink(missing_ok=True)
    if refused:
        write_text(folder / REFUSED, json.dumps(refused, indent=1))
    return Written(files, refused)


def _require_equal(name: str, one: Program, other: Program) -> None:
    """Raise ValueError unless two variants of a name are the same, as those at the
    beginning of two chains are."""
    is_equal = one.arrays.keys() == other.arrays.keys() and all(
        np.array_equal(array, other.arrays[key]) for key, array in one.arrays.items()
    )
    if not is_equal:
        raise ValueError(
            f"two variants are called {name}; measure one technique of a kind at a time"
        )


def play_variants(
    files: Mapping[str, Path],
    world: World,
    spec: Spec,
    episodes: Sequence[int],
    stop: Stop | None = None,
) -> dict[str, Episodes]:
    """Let every variant play the same episodes, from its file."""
    found = {}
    for name, file in files.items():
        policy = load_policy(file)

        def act(obs: np.ndarray, _: np.ndarray, policy: Any = policy) -> np.ndarray:
            return actions_of(policy.scores(obs), spec)

        with evaluation_door(world, episodes, ("compressed policy",), stop) as door:
            found[name] = play(act, door)
    return found


def measure_policy(
    policy: nn.Module,
    contract: dict[str, Any],
    obs: Split,
    techniques: Sequence[Technique],
    world: World,
    spec: Spec,
    episodes: Sequence[int],
    folder: Path,
    seed: int,
    timing: Timing,
    stop: Stop | None = None,
) -> Measured:
    """Compress the policy of one seed into `folder`, let every variant play, and
    measure its file.

    Unsupported where a policy file cannot hold the policy itself."""
    written = write_variants(policy, contract, obs.used, techniques, folder, seed)
    played = play_variants(written.files, world, spec, episodes, stop)
    with phase("latency", timing.rounds, "rounds", "--techniques") as current:
        figures = measure(written.files, obs.held_out, timing, current.update)
    for name, own in played.items():
        figures[name]["return"] = float(own.reward.mean())
        figures[name]["success"] = float(own.success.mean())
    return Measured(written.files, figures, played, written.refused, obs.unseen)


def measure_compressed(
    learner: Learner,
    buffer: Buffer,
    techniques: Sequence[Technique],
    world: World,
    spec: Spec,
    contracts: Sequence[dict[str, Any]],
    episodes: Sequence[int],
    folder: Path | None,
) -> dict[str, np.ndarray]:
    """Compress the policy of every seed and measure all variants, [P] each, as a run
    does while it trains; nothing where a policy file cannot hold the policies.

    The files of the variants go to `folder`, by default a temporary one."""
    if folder is None:
        with tempfile.TemporaryDirectory() as name:
            return measure_compressed(
                learner,
                buffer,
                techniques,
                world,
                spec,
                contracts,
                episodes,
                Path(name),
            )
    measured = []
    with phase("compression", len(learner.seeds), "seeds", HINT) as current:
        for index, obs in enumerate(split(buffer, learner.seeds)):
            seed = learner.seeds[index]
            try:
                found = measure_policy(
                    learner.export(index),
                    contracts[index],
                    obs,
                    techniques,
                    world,
                    spec,
                    episodes,
                    folder / f"seed{seed}",
                    seed,
                    IN_TRAINING,
                    _announce,
                )
            except Unsupported as reason:
                print(f"nothing is compressed: {reason}", file=sys.stderr)
                return {}
            measured.append(found)
            current.advance()
    return _values([each.figures for each in measured])


def _values(results: Sequence[Results]) -> dict[str, np.ndarray]:
    values = {}
    for variant, row in results[0].items():
        for name in row:
            column = [result[variant][name] for result in results]
            values[f"compress/{variant}/{name}"] = np.array(column)
    return values


def _announce(owner: int, problem: str) -> None:
    """Print why the return of a compressed policy is nan."""
    print(problem, file=sys.stderr)


def refusals(folder: Path) -> dict[str, str]:
    """Techniques that were left out of what lies in and below `folder`, each with the
    sentence that says why."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob(REFUSED)):
        found |= json.loads(path.read_text())
    return found


def compress(task: Task, folder: Path) -> Outcome:
    """Compress and measure the policy of every seed of a run; all files go to
    `folder`.

    ValueError where a policy file cannot hold them."""
    run = task.run
    contracts = contracts_of(
        run.config, run.world, task.which, *run.moments[task.which]
    )
    buffer = open_buffer(run)
    splits = split(buffer, run.seeds, task.shares)
    measured = []
    with phase("compression", len(run.seeds), "seeds", SLOW) as current:
        for index, seed in enumerate(run.seeds):
            try:
                found = measure_policy(
                    run.policy(seed, task.which).module,
                    contracts[index],
                    splits[index],
                    task.techniques,
                    run.world,
                    run.spec,
                    task.episodes,
                    folder / f"seed{seed}",
                    seed,
                    Timing(),
                )
            except Unsupported as reason:
                raise ValueError(
                    f"{run.folder} cannot be compressed: {reason}"
                ) from None
            measured.append(found)
            current.advance()
    return Outcome(
        variants=_variants(run.seeds, measured),
        floor=float(run.scale_of(task.episodes).floor),
        refused=measured[0].refused,
        files={
            seed: each.files for seed, each in zip(run.seeds, measured, strict=True)
        },
        remark=_remark(measured),
    )


def numpy_threads() -> str:
    """With how many threads numpy computes, as far as the environment says."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if name in os.environ:
            return f"{name}={os.environ[name]}"
    return "with as many threads as its BLAS takes; set OMP_NUM_THREADS=1 for one"


def _variants(seeds: tuple[int, ...], measured: Sequence[Measured]) -> list[Variant]:
    found = []
    for name in measured[0].figures:
        episodes = [each.episodes[name] for each in measured]
        played = {
            "return": np.stack([own.reward for own in episodes]),
            "success": np.stack([own.success for own in episodes]),
        }
        figures = {
            figure: np.array([each.figures[name][figure] for each in measured])
            for figure in measured[0].figures[name]
        }
        found.append(Variant(Row(name, seeds, played), figures))
    return found


def _remark(measured: Sequence[Measured]) -> str:
    unseen = np.mean([each.unseen for each in measured])
    return (
        f"Of the held-out observations, {unseen:.3f} were not among those that the "
        "techniques saw."
    )
