"""Stable-Baselines3's DQN alone on one of our worlds: a finished run that
`curriculum.compare --with` sets beside ours.

    python benchmarks/sb3_dqn.py --seeds 0 1 2 3 4 --steps 20000
    python benchmarks/sb3_dqn.py --env pointmass --env.maze hard --steps 30000

Flags that are not listed by `--help` are those of `curriculum.train`, for the world and
the planner whose return scores 1.

As a random start of `curriculum.train`, the first `--start-size` steps are random play
without learning (SB3's `learning_starts`) and step 0 of the curves comes after them.
Shared with our learner: network 128x128, batch 128, learning rate 1e-3, one update for
four steps, exploration 0.05, evaluation episodes. SB3's own: one environment,
unnormalised observations, targets copied (every 500 steps, not 10,000: the run is
short).
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback

from curriculum.envs._base.spec import spec_of
from curriculum.listeners.table import Table
from curriculum.planners._expert.vec_env import RowsEnv
from curriculum.run import folders
from curriculum.run.evaluation import (
    Episodes,
    Scale,
    evaluation_door,
    final_episodes,
    play,
    play_planner,
    summary,
)
from curriculum.setting import flags, plugins
from curriculum.setting.config import Config, flat
from curriculum.types import Planner, Record, World, stream

EPISODES = 50


class Evaluate(BaseCallback):
    """Score the greedy policy every `every` steps; training time leaves evaluation
    out."""

    def __init__(self, world: World, start_size: int, every: int):
        super().__init__()
        self.world = world
        self.start_size = start_size
        self.every = every
        self.curve: list[Episodes] = []
        self.seconds = 0.0

    def _on_training_start(self) -> None:
        self.curve.append(greedy(self.model, self.world, range(EPISODES)))
        self.began = time.perf_counter()

    def _on_step(self) -> bool:
        step = self.num_timesteps - self.start_size
        if step > 0 and step % self.every == 0:
            self.seconds += time.perf_counter() - self.began
            self.curve.append(greedy(self.model, self.world, range(EPISODES)))
            self.began = time.perf_counter()
        return True


def greedy(model: DQN, world: World, episodes: range) -> Episodes:
    """Play the greedy policy on our evaluation episodes."""

    def act(obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model.q_net(torch.from_numpy(obs)).argmax(-1).numpy()

    with evaluation_door(world, episodes) as door:
        return play(act, door)


def measure_scale(world: World, planner: Planner, episodes: range) -> Scale:
    """Returns of random play and of the planner on these episodes."""
    spec = spec_of(world)
    random = plugins.make("planner", "random")
    return Scale(
        floor=play_planner(random, world, spec, episodes).reward.mean(),
        ceiling=play_planner(planner, world, spec, episodes).reward.mean(),
    )


def stacked(played: list[Episodes]) -> Episodes:
    """Episodes of several seeds as [P, N]."""
    counted = {
        name: np.stack([episodes.counts[name] for episodes in played])
        for name in played[0].counts
    }
    numbers = zip(*(episodes._replace(counts={}) for episodes in played), strict=True)
    *stacks, _ = numbers
    return Episodes(*map(np.stack, stacks), counted)


def main() -> None:
    """Train one seed after the other and write a run folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--start-size", type=int, default=10_000)
    parser.add_argument("--eval-every", type=int, default=2_000)
    parser.add_argument("--runs-dir", default="runs")
    options, words = parser.parse_known_args()
    torch.set_num_threads(1)
    config = flags.parse(words, "sb3_dqn.py").config
    world = plugins.make("env", config.env)
    planner = plugins.make("planner", config.planner)
    settings = settings_of(config) | {
        "learner": "stable_baselines3 DQN",
        "seeds": options.seeds,
        "steps": options.steps,
        "eval_every": options.eval_every,
    }
    parent = Path(options.runs_dir) / (world.title or settings["env"])
    folder = folders.create(parent, "sb3-dqn", settings).folder
    scale = measure_scale(world, planner, range(EPISODES))
    final_scale = measure_scale(world, planner, final_episodes(EPISODES))
    watched, finals = [], []
    for seed in options.seeds:
        env = RowsEnv(world.rows([stream(seed, "environment")]))
        model = DQN(
            "MlpPolicy",
            env,
            seed=seed,
            learning_rate=1e-3,
            batch_size=128,
            buffer_size=100_000,
            learning_starts=options.start_size,
            target_update_interval=500,
            exploration_fraction=1e-6,
            exploration_final_eps=0.05,
            policy_kwargs={"net_arch": [128, 128]},
        )
        callback = Evaluate(world, options.start_size, options.eval_every)
        model.learn(options.start_size + options.steps, callback=callback)
        watched.append(callback)
        finals.append(greedy(model, world, final_episodes(EPISODES)))
        final_return = finals[-1].reward.mean()
        seconds = callback.seconds
        print(
            f"seed {seed}: final return {final_return:.2f}, {seconds:.0f} s of training"
        )
    write(folder, settings, watched, stacked(finals), scale, final_scale)
    print(folder)


def settings_of(config: Config) -> dict:
    """The settings of the world."""
    return {
        name: value
        for name, value in flat(config).items()
        if name.partition(".")[0] in ("env", "planner")
    }


def write(
    folder: Path,
    settings: dict,
    watched: list[Evaluate],
    final: Episodes,
    scale: Scale,
    final_scale: Scale,
) -> None:
    """The records that `curriculum.compare` reads."""
    none = np.zeros(len(watched), np.int64)
    seconds = np.full(len(watched), sum(callback.seconds for callback in watched))
    records = [
        Record(
            "baseline",
            0,
            {
                "eval/random_reward": none + scale.floor,
                "eval/planner_reward": none + scale.ceiling,
            },
        )
    ]
    for i, played in enumerate(
        zip(*(callback.curve for callback in watched), strict=True)
    ):
        values = {
            f"eval/{name}": value
            for name, value in summary(stacked(list(played)), scale).items()
        }
        records.append(
            Record(
                "evaluate",
                i * settings["eval_every"],
                values | {"planner/calls_total": none},
            )
        )
    records.append(Record("time", settings["steps"], {"time/time_elapsed": seconds}))
    last = {
        f"final/last_{name}": value
        for name, value in summary(final, final_scale).items()
    }
    last |= {
        "final/planner_calls": none,
        "final/random_reward": none + final_scale.floor,
        "final/planner_reward": none + final_scale.ceiling,
        "final/planner_episodes": none + EPISODES,
        "final/episodes": none + EPISODES,
    }
    records.append(Record("final", settings["steps"], last))
    table = Table().open(folder, settings, [])
    for record in records:
        table(record)
    table.close()
    folders.finish(
        folder,
        settings,
        {r.kind: {t: v.tolist() for t, v in r.values.items()} for r in records},
    )


if __name__ == "__main__":
    main()
