"""Compress the policies of a run, and measure every variant.

Letters: P seeds, N episodes of each.
"""

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from curriculum.activity import phase
from curriculum.envs._base.door import Stop
from curriculum.files import write_text
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import Buffer, Split
from curriculum.report.compression_table import Variant
from curriculum.report.evaluation_table import Row
from curriculum.run import checkpoint
from curriculum.run.assembly import allocate_buffer
from curriculum.run.evaluation import (
    Episodes,
    evaluation_door,
    play,
    play_planner,
)
from curriculum.run.opened import OpenedRun, Which
from curriculum.run.trained import Trained
from curriculum.setting import plugins
from curriculum.setting import techniques as names
from curriculum.shipping import policy_file
from curriculum.shipping.compression import (
    REFERENCE,
    Results,
    Timing,
    actions_of,
    measure,
)
from curriculum.shipping.eager import module_of
from curriculum.shipping.layers import Unsupported
from curriculum.shipping.operations import Program, program_of
from curriculum.shipping.standalone import load_policy
from curriculum.shipping.threads import one_thread
from curriculum.types import Spec, Technique, World, stream

OBSERVATIONS = 4_096  # that techniques train and calibrate on
HELD_OUT = 1_024  # on which variants are compared with the original
IN_TRAINING = Timing(rounds=10, calls=20)
SLOW = "--techniques or --episodes"
# of a policy file, whose policy plays for them
ROWS = 5
FIRST_EPISODE = 2_000_000
REFUSED = "refused.json"  # beside the variants: techniques left out, and why


class Task(NamedTuple):
    """What is to be compressed and measured."""

    trained: Trained
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
    remark: str  # about the observations


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
    original: Path,
    obs: np.ndarray,
    techniques: Sequence[Technique],
    seed: int,
) -> Written:
    """Write all variants of the policy in a file beside it, as `<variant>.cur`."""
    policy = load_policy(original)
    contract = policy.contract
    written = {REFERENCE: Program(policy.operations, policy.arrays)}
    files = {REFERENCE: original}
    module = module_of(written[REFERENCE])
    refused = {}
    with phase("compress", len(techniques), "techniques", "--techniques") as current:
        for technique in techniques:
            name = names.name_of(technique)
            current.report(current.done, name)
            try:
                made = technique.compress(module, torch.from_numpy(obs), seed)
            except Unsupported as reason:
                refused[name] = str(reason)
                made = {}
            about = {**contract, "compressed": {"technique": name, "variant": ""}}
            for variant, smaller in made.items():
                program = program_of(smaller)
                if variant in written:
                    _require_equal(variant, program, written[variant])
                    continue
                about["compressed"]["variant"] = variant
                files[variant] = original.with_name(f"{variant}.cur")
                written[variant] = program
                policy_file.save(program, about, files[variant])
            current.advance()
    note = original.with_name(REFUSED)
    note.unlink(missing_ok=True)
    if refused:
        write_text(note, json.dumps(refused, indent=1))
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


@one_thread()
def measure_policy(
    original: Path,
    obs: Split,
    techniques: Sequence[Technique],
    world: World,
    spec: Spec,
    episodes: Sequence[int],
    seed: int,
    timing: Timing,
    stop: Stop | None = None,
) -> Measured:
    """Compress the policy in the file of one seed, let every variant play, and measure
    its file, which is written beside."""
    written = write_variants(original, obs.used, techniques, seed)
    played = play_variants(written.files, world, spec, episodes, stop)
    with phase("latency", timing.rounds, "rounds", "--techniques") as current:
        figures = measure(written.files, obs.held_out, timing, current.update)
    for name, own in played.items():
        figures[name]["return"] = float(own.reward.mean())
        figures[name]["success"] = float(own.success.mean())
    return Measured(written.files, figures, played, written.refused, obs.unseen)


def originals_of(
    learner: Learner, contracts: Sequence[dict[str, Any]], folder: Path
) -> list[Path]:
    """Write the policy of every seed as `folder/seed<k>/fp32.cur`.

    Raises Unsupported where a policy file cannot hold it."""
    files = []
    for index, seed in enumerate(learner.seeds):
        program = program_of(learner.export(index))
        files.append(folder / f"seed{seed}" / f"{REFERENCE}.cur")
        policy_file.save(program, contracts[index], files[-1])
    return files


def values_of(results: Sequence[Results]) -> dict[str, np.ndarray]:
    """The values of a record of compression, [P] each, from the results of all
    seeds."""
    values = {}
    for variant, row in results[0].items():
        for name in row:
            column = [result[variant][name] for result in results]
            values[f"compress/{variant}/{name}"] = np.array(column)
    return values


def refusals(folder: Path) -> dict[str, str]:
    """Techniques that were left out of what lies in and below `folder`, each with the
    sentence that says why."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob(REFUSED)):
        found |= json.loads(path.read_text())
    return found


def compress(task: Task, folder: Path) -> Outcome:
    """Compress and measure the policy of every seed; all files go to `folder`.

    ValueError where a policy file cannot hold them, or they are compressed already."""
    trained = task.trained
    originals = [_write_original(task, seed, folder) for seed in trained.seeds]
    observations = _observations(task)
    measured = []
    with phase("compression", len(trained.seeds), "seeds", SLOW) as current:
        for index, seed in enumerate(trained.seeds):
            found = measure_policy(
                originals[index],
                observations.splits[index],
                task.techniques,
                trained.world,
                trained.spec,
                task.episodes,
                seed,
                Timing(),
            )
            measured.append(found)
            current.advance()
    files = [each.files for each in measured]
    return Outcome(
        variants=_variants(trained.seeds, measured),
        floor=_floor(task),
        refused=measured[0].refused,
        files=dict(zip(trained.seeds, files, strict=True)),
        remark=f"{observations.origin} {_remark(measured)}",
    )


def _write_original(task: Task, seed: int, folder: Path) -> Path:
    """Write the file of a policy that is to be compressed."""
    path = task.trained.path
    try:
        program = task.trained.program(seed, task.which)
    except Unsupported as reason:
        raise ValueError(f"{path} cannot be compressed: {reason}") from None
    kinds = {str(array.dtype) for array in program.weights.values()} - {"float32"}
    if kinds:
        raise ValueError(
            f"{path} holds {' and '.join(sorted(kinds))} weights already; give the "
            "policy that it was made from, and a chain such as prune+quantize"
        )
    original = folder / f"seed{seed}" / f"{REFERENCE}.cur"
    policy_file.save(program, task.trained.contract(seed, task.which), original)
    return original


class _Observations(NamedTuple):
    """Observations of every seed, and where they are from, in a sentence."""

    splits: list[Split]
    origin: str


def _observations(task: Task) -> _Observations:
    """Observations of the buffer of a run; a policy file has none, so its policy
    plays."""
    trained = task.trained
    if isinstance(trained, OpenedRun):
        splits = split(open_buffer(trained), trained.seeds, task.shares)
        return _Observations(splits, "Observations are of the buffer of the run.")
    splits = [_played(task, seed) for seed in trained.seeds]
    origin = (
        "Observations are of episodes that the policy itself played, as a policy file "
        "has no buffer."
    )
    return _Observations(splits, origin)


def _played(task: Task, seed: int) -> Split:
    """Observations of a policy's own episodes, which are not those that its variants
    are measured on; a fifth of the rows is held out.

    Those for the techniques differ."""
    trained = task.trained
    policy = trained.policy(seed, task.which)
    steps = OBSERVATIONS // (ROWS - 1)
    found = []
    episodes = range(FIRST_EPISODE, FIRST_EPISODE + ROWS)
    with (
        phase("observations", steps, "steps") as current,
        evaluation_door(trained.world, episodes, ("the policy",)) as door,
    ):
        obs = door.reset()
        for _ in range(steps):
            found.append(obs.copy())
            obs = door.step(policy.act(obs)).obs
            current.advance()
    everything = np.stack(found, 1)  # [rows, steps, *O]
    used = everything[1:].reshape(-1, *trained.spec.obs_shape)
    distinct = {each.tobytes(): number for number, each in enumerate(used)}
    return Split(used[sorted(distinct.values())], everything[0])


def _floor(task: Task) -> float:
    """The return of random play, which a policy file does not know."""
    floor = float(task.trained.scale_of(task.episodes).floor)
    if np.isfinite(floor) or isinstance(task.trained, OpenedRun):
        return floor
    played = play_planner(
        plugins.make("planner", "random"),
        task.trained.world,
        task.trained.spec,
        task.episodes,
        name="random play",
        hint="--episodes",
    )
    return float(played.reward.mean())


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
