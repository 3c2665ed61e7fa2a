"""Environment steps per second of the worlds alone, without a policy, beside the usual
way to step many of them.

    python benchmarks/worlds.py --rounds 7 --seconds 0.5

Ours are rows of one seed in one batch of arrays, as a run steps them. Beside them
stands Gymnasium's `SyncVectorEnv`: the same dynamics one environment at a time, under
their Gymnasium name, with the same restart in the step that ends an episode. Where a
world has kernels (the extra `[fast]`), both sides are stepped by numpy and by kernels.
Actions are random and drawn beforehand. One thread, seconds of the processor; rounds
alternate, ratios are those of one round, and what is printed are medians with the least
and the largest.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from curriculum.compiled import SWITCH
from curriculum.envs.atari import Atari
from curriculum.envs.botevade import BotEvade
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pointmass import Pointmass
from curriculum.planners.tlppo import TLPPO
from curriculum.types import Rows, Spec, World, action_of

CHUNK = 50  # steps between two looks at the clock


class Side(NamedTuple):
    """One way to step a world."""

    name: str
    rows: int
    chunk: Callable[[], None]  # `CHUNK` steps of every row
    has_kernels: bool = False


class Contest(NamedTuple):
    """What is compared: ours, by one number of rows or several, and the other side
    last, if there is one."""

    name: str
    sides: tuple[Side, ...]
    has_peer: bool = True


def gridworld() -> list[Contest]:
    """The gridworld from random starts."""
    return [
        Contest(
            "gridworld",
            (*_ours(Gridworld(), 64, 1_024), _gymnasium("curriculum/Gridworld-v0", 64)),
        )
    ]


def pointmass() -> list[Contest]:
    """A narrow maze and an open one."""
    mazes = {"Medium": Pointmass(maze="medium"), "Hard": Pointmass(maze="hard")}
    return [
        Contest(
            world.title,
            (
                *_ours(world, 8, 64, 1_024, has_kernels=True),
                _gymnasium(f"curriculum/Pointmass{name}-v0", 64, has_kernels=True),
            ),
        )
        for name, world in mazes.items()
    ]


def atari() -> list[Contest]:
    """Pong by both engines, beside ale-py's vector environment on its own, set
    alike."""
    from ale_py import AtariVectorEnv  # here, not above: the other worlds do without it

    world = Atari()
    env = AtariVectorEnv(
        "pong",
        8,
        max_num_frames_per_episode=world.max_steps * world.frame_skip,
        repeat_action_probability=world.sticky,
        noop_max=world.noop_max,
        use_fire_reset=world.fire_reset,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    env.reset(seed=0)
    bare = Side("AtariVectorEnv", 8, _chunk(env.step, env.single_action_space, 8))
    worlds = {"Pong": world, "Pong, single engine": Atari(engine="single")}
    return [Contest(name, (*_ours(each, 8), bare)) for name, each in worlds.items()]


def botevade() -> list[Contest]:
    """BotEvade with the corrected dynamics and with the original ones."""
    worlds = {
        "BotEvade": BotEvade(),
        "BotEvadeOriginal": BotEvade(dynamics="original", hide_distance=False),
    }
    return [
        Contest(
            name,
            (
                *_ours(world, 1, 64, 256, has_kernels=True),
                _gymnasium(f"curriculum/{name}-v0", 4, has_kernels=True),
            ),
        )
        for name, world in worlds.items()
    ]


def tlppo() -> list[Contest]:
    """Decisions of the planner TLPPO in one row, with the steps between them."""
    contests = []
    for predator in ("slow", "equal"):
        rows = BotEvade(predator=predator).rows([np.random.default_rng(0)], 1)
        rows.reset()
        chunk = _play(TLPPO(), rows)
        side = Side("ours", 1, chunk, has_kernels=True)
        contests.append(Contest(f"TLPPO, {predator} predator", (side,), has_peer=False))
    return contests


def hopper() -> list[Contest]:
    """Hopper as a run steps it, beside as many environments made by `gym.make` and
    stepped in a loop."""
    return [
        Contest("Hopper-v5", (*_ours(Gym(id="Hopper-v5"), 8), _loop("Hopper-v5", 8)))
    ]


WORLDS = {  # name -> what is measured of it
    "atari": atari,
    "botevade": botevade,
    "tlppo": tlppo,
    "gridworld": gridworld,
    "pointmass": pointmass,
    "hopper": hopper,
}


def _ours(world: World, *counts: int, has_kernels: bool = False) -> list[Side]:
    sides = []
    for count in counts:
        rows = world.rows([np.random.default_rng(0)], count)
        rows.reset()
        chunk = _chunk(rows.step, rows.single_action_space, count)
        sides.append(Side("ours", count, chunk, has_kernels))
    return sides


def _play(planner: TLPPO, rows: Rows) -> Callable[[], None]:
    space = rows.single_observation_space
    actions = int(rows.single_action_space.n)
    spec = Spec(space.shape, "float32", space.low, space.high, actions, 0)
    planner.setup(rows, spec, (0,))

    def chunk() -> None:
        for _ in range(CHUNK):
            rows.step(action_of(planner.act(rows.obs, np.arange(1))))

    return chunk


def _gymnasium(name: str, count: int, has_kernels: bool = False) -> Side:
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    env = gym.make_vec(name, count, "sync", vector_kwargs=same_step)
    env.reset(seed=0)
    chunk = _chunk(env.step, env.single_action_space, count)
    return Side("SyncVectorEnv", count, chunk, has_kernels)


def _loop(name: str, count: int) -> Side:
    envs = [gym.make(name) for _ in range(count)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)

    def step(actions: np.ndarray) -> None:
        for env, action in zip(envs, actions, strict=True):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return Side("gym.make", count, _chunk(step, envs[0].action_space, count))


def _chunk(
    step: Callable[[Any], Any], space: gym.Space, count: int
) -> Callable[[], None]:
    several = gym.vector.utils.batch_space(space, count)
    several.seed(0)
    actions = [several.sample() for _ in range(CHUNK)]

    def chunk() -> None:
        for action in actions:
            step(action)

    return chunk


def rates(side: Side, seconds: float) -> tuple[float, float]:
    """Steps per second by numpy and by kernels, the latter NaN where there are none."""
    os.environ[SWITCH] = "off"
    by_numpy = rate(side, seconds)
    if not side.has_kernels or find_spec("numba") is None:
        return by_numpy, np.nan
    os.environ[SWITCH] = "on"
    return by_numpy, rate(side, seconds)


def rate(side: Side, seconds: float) -> float:
    """Environment steps per second of processor time, which others on the machine
    disturb less than the wall's."""
    began, done = time.process_time(), 0
    while time.process_time() - began < seconds:
        side.chunk()
        done += CHUNK * side.rows
    return done / (time.process_time() - began)


def spread(values: np.ndarray, digits: int = 0) -> str:
    """Median, minimum and maximum."""
    middle = f"{np.median(values):,.{digits}f}"
    lowest = f"{values.min():,.{digits}f}"
    highest = f"{values.max():,.{digits}f}"
    return f"{middle} ({lowest}..{highest})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="of every side in every round"
    )
    options = parser.parse_args()
    print(
        "| world | who | rows | numpy, steps/s | kernels, steps/s | kernels over numpy "
        "| ours over theirs |\n|:--|:--|--:|--:|--:|--:|--:|",
        flush=True,
    )
    for contest in (c for world in options.worlds for c in WORLDS[world]()):
        rounds = [
            [rates(side, options.seconds) for side in contest.sides]
            for _ in range(options.rounds + 1)
        ]
        # the first round warms up
        for line in table(contest, np.array(rounds[1:])):
            print(f"| {' | '.join(line)} |", flush=True)


def table(contest: Contest, measured: np.ndarray) -> Iterator[list[str]]:
    """The lines of a contest from its rates [rounds, sides, 2]."""
    by_numpy, by_kernels = np.moveaxis(measured, -1, 0)
    best = np.where(np.isnan(by_kernels), by_numpy, by_kernels)
    for n, side in enumerate(contest.sides):
        cells = [contest.name, side.name, str(side.rows), spread(by_numpy[:, n])]
        cells += ["", "", ""]
        if not np.isnan(by_kernels[:, n]).any():
            cells[4] = spread(by_kernels[:, n])
            cells[5] = spread(by_kernels[:, n] / by_numpy[:, n], 1)
        if contest.has_peer and side is not contest.sides[-1]:
            cells[6] = spread(best[:, n] / best[:, -1], 1)
        yield cells


if __name__ == "__main__":
    main()
