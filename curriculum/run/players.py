"""Whoever can be evaluated: something that acts, in a world that it is given.

Letters: P seeds, N episodes of each.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from curriculum.run.evaluation import (
    Episodes,
    Scale,
    play_mixed,
    play_planner,
    play_policies,
)
from curriculum.run.opened import OpenedRun, Which
from curriculum.run.planner_use import PlannerUse
from curriculum.run.trained import Trained
from curriculum.shipping.artefact import deployable
from curriculum.shipping.compression import actions_of, forward_of
from curriculum.shipping.standalone import load_policy
from curriculum.types import Planner, Spec, World

Act = Callable[[np.ndarray], np.ndarray]  # observations [n, *O] -> actions
POLICIES = "policies"  # folder of the policies that a run keeps
FOLDERS = {"update": "updates", "step": "steps"}  # in it: the clock that they name


class Played(NamedTuple):
    """What somebody played."""

    episodes: Episodes  # [P, N]
    use: PlannerUse | None = None  # of the planner, if one was asked


class Player(NamedTuple):
    """Somebody who acts."""

    name: str
    seeds: tuple[int, ...]  # of its P policies; empty: it is one, and has no seed
    scale: Scale  # of its scores
    play: Callable[[World, Sequence[int]], Played]
    is_privileged: bool = False  # whether a planner sees the true state
    run: str = ""  # whose policies of several moments these are
    clock: str = ""  # updates or steps, of which `position` is a number
    position: int = 0


def alone(
    name: str, trained: Trained, which: Which, scale: Scale, epsilon: float = 0.0
) -> Player:
    """The policy of every seed, alone but for a share `epsilon` of random actions, in
    its own world."""

    def play_alone(world: World, episodes: Sequence[int]) -> Played:
        return Played(trained.play(episodes, which, epsilon))

    return Player(name, trained.seeds, scale, play_alone)


def mixed(name: str, run: OpenedRun, which: Which, rate: float, scale: Scale) -> Player:
    """Learner and planner of a run at a planning rate, as its mixed evaluations."""
    chosen = run.config.plugged()

    def play_both(world: World, episodes: Sequence[int]) -> Played:
        with run.using(which):
            played, use = play_mixed(
                run.learner,
                chosen["planner"],
                chosen["gate"],
                np.full(len(run.seeds), rate),
                world,
                run.spec,
                episodes,
                run.step,
                run.config.planner_deadline_ms,
                run.config.planner_budget,
            )
        return Played(played, use)

    is_privileged = chosen["planner"].needs == "state"
    return Player(name, run.seeds, scale, play_both, is_privileged)


def planner(name: str, planner: Planner, spec: Spec, scale: Scale) -> Player:
    """A planner, alone."""

    def play_it(world: World, episodes: Sequence[int]) -> Played:
        use = PlannerUse(1)
        played = play_planner(planner, world, spec, episodes, name, use=use)
        return Played(played.reshape(1, -1), use)

    return Player(name, (), scale, play_it, planner.needs == "state")


def policies(
    name: str,
    acts: Sequence[Act],
    seeds: tuple[int, ...],
    scale: Scale,
    epsilon: float = 0.0,
) -> Player:
    """Policies that are functions, one for each seed, with a share `epsilon` of random
    actions."""

    def play_all(world: World, episodes: Sequence[int]) -> Played:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(episodes[0])  # of policies that draw
            return Played(play_policies(acts, world, episodes, seeds, epsilon))

    return Player(name, seeds, scale, play_all)


def kept(name: str, run: OpenedRun, scale: Scale, epsilon: float = 0.0) -> list[Player]:
    """All policies that a run kept, from the first to the last; the name of the run is
    part of theirs.

    ValueError if it kept none, or a file is missing or damaged."""
    found = []
    for start, clock in FOLDERS.items():
        for folder in sorted((run.folder / POLICIES).glob(f"{start}-*")):
            acts = [_act_of(run, index, folder) for index in range(len(run.seeds))]
            position = int(folder.name.removeprefix(f"{start}-"))
            label = f"{start} {position:,}"
            if name:
                label = f"{name}, {label}"
            player = policies(label, acts, run.seeds, scale, epsilon)
            found.append(player._replace(run=name, clock=clock, position=position))
    if not found:
        raise ValueError(
            f"{run.folder} kept no policies but the last and the best (--keep-policies "
            f"{run.config.keep_policies}); give --policy last or best, or train with "
            "--keep-policies all"
        )
    return found


def _act_of(run: OpenedRun, index: int, folder: Path) -> Act:
    """The policy of a seed, given by its index, in a folder of kept ones."""
    own = folder / f"seed{run.seeds[index]}"
    arrays = own / "policy.safetensors"  # of a policy that no policy file describes
    if arrays.is_file():
        forward = forward_of(deployable(run.learner.export(index)), arrays)
    else:
        forward = load_policy(own / "policy.cur").scores
    return lambda obs: actions_of(forward(obs), run.spec)
