"""How much of a planner's play is decided, and whether a clone learns that part.

    python benchmarks/undecided.py play data/shooting --planner shooting undecided=keep
    python -m curriculum.train --learner bc --start.path data/shooting ... --name clone
    python benchmarks/undecided.py agree data/shooting runs/ALE-Pong/clone

`play` lets a planner play games of an Atari world side by side, each cut after
`--steps`. All but the last become a data set; the last is held out, in a file beside
it, with what was at stake in every step. `agree` compares policies with the planner's
actions in that game: where something was at stake, and where nothing was. An action is
undecided if all plans that the planner compared promised the same.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curriculum.data.manifest import Manifest
from curriculum.data.writer import Writer
from curriculum.envs._base.spec import spec_of
from curriculum.envs.atari import Atari
from curriculum.run.recorder import Tape
from curriculum.run.run import Run
from curriculum.setting import inner
from curriculum.types import Decision, Episode, Planner, stream


class Game(NamedTuple):
    """One game of T steps and what its planner knew of them."""

    episode: Episode
    stake: np.ndarray  # [T] nan where the planner does not say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    playing = tasks.add_parser("play")
    playing.add_argument("out", type=Path)
    playing.add_argument("--planner", nargs="+", required=True)
    playing.add_argument("--game", default="Pong")
    playing.add_argument("--frames", type=int, default=2)
    playing.add_argument("--games", type=int, default=3)
    playing.add_argument("--steps", type=int, default=800)
    playing.add_argument("--seed", type=int, default=0)
    agreeing = tasks.add_parser("agree")
    agreeing.add_argument("data", type=Path)
    agreeing.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args()
    if given.task == "agree":
        for run in given.runs:
            agree(held_out(given.data), run)
        return
    world = Atari(game=given.game, frames=given.frames, max_steps=given.steps)
    name, *settings = given.planner
    planner = inner.make_inner("planner", name, settings)
    played = play(world, planner, given.games, given.seed)
    for game in played:
        describe(game)
    write(given.out, world, name, played)


def play(world: Atari, planner: Planner, games: int, seed: int) -> list[Game]:
    """Let a planner play games side by side, one of each row."""
    seeds = tuple(stream(seed, "undecided").integers(2**31, size=games).tolist())
    rows = world.rows([stream(own, "recording") for own in seeds])
    spec = spec_of(world)
    acting = planner.setup(rows, spec, seeds)
    tapes = [Tape(spec) for _ in seeds]
    stakes: list[list[float]] = [[] for _ in seeds]
    found: dict[int, Game] = {}
    obs = rows.reset()
    action = np.zeros(games, np.int64)
    while len(found) < games:
        now = np.array([row for row in range(games) if row not in found])
        answer = acting.act(obs[now], now)
        if not isinstance(answer, Decision):
            answer = Decision(answer)
        action[now] = answer.action
        stake = np.full(games, np.nan)
        if answer.stake is not None:
            stake[now] = answer.stake
        step = rows.step(action)
        for row in now.tolist():
            tapes[row].add(obs, action, np.zeros(games, np.uint8), step, row)
            stakes[row].append(stake[row])
            if step.terminated[row] or step.truncated[row]:
                found[row] = Game(tapes[row].take(step, row), np.array(stakes[row]))
        obs = step.obs
    return [found[row] for row in range(games)]


def describe(game: Game) -> None:
    """Print how a game went."""
    action = game.episode.action
    undecided = np.mean(game.stake == 0)
    repeated = np.mean(action[1:] == action[:-1])
    shares = np.bincount(action) / len(action)
    print(
        f"return {game.episode.reward.sum():+.0f}  steps {len(action)}  "
        f"undecided {undecided:.2f}  repeated {repeated:.2f}  "
        f"actions {shares.round(2).tolist()}",
        flush=True,
    )


def write(out: Path, world: Atari, planner: str, games: list[Game]) -> None:
    """Write the data set, and the game that is held out."""
    manifest = Manifest(
        spec=spec_of(world),
        env="atari",
        env_settings={"game": world.game, "frames": world.frames},
        sources=(planner,),
        reward="as the world gives it",
    )
    with Writer(out, manifest) as writer:
        for game in games[:-1]:
            writer.add(game.episode)
    last = games[-1]
    np.savez_compressed(
        held_out(out),
        obs=last.episode.observation,
        action=last.episode.action,
        stake=last.stake,
    )


def held_out(data: Path) -> Path:
    """The file of the game that is not in a data set."""
    return data.with_name(f"{data.name}-held-out.npz")


def agree(file: Path, folder: Path) -> None:
    """Print how often the policies of a run choose as the planner did."""
    run = Run.open(folder)
    with np.load(file) as held:
        obs, action, stake = held["obs"], held["action"], held["stake"]
    changes = np.append(True, action[1:] != action[:-1])
    parts = {
        "all": np.full(len(action), True),
        "decided": ~(stake == 0),
        "undecided": stake == 0,
        "changes": changes,
    }
    same = [run.policy(seed).act(obs) == action for seed in run.seeds]
    for name, part in parts.items():
        share = np.array([own[part].mean() for own in same])
        print(f"{folder.name}  {name} {part.sum()}  {share.round(2).tolist()}")


if __name__ == "__main__":
    main()
