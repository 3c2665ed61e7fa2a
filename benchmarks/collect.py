"""Environment steps per second with the policy in the loop: our collecting beside
Stable-Baselines3's.

    python benchmarks/collect.py --rows 64 --rounds 7 --seconds 1

Both act with a 128x128 network and 5 % random actions, step the same 64 worlds and
store every transition; neither updates. Ours is `Run.collect` of the training loop,
with planner and gate in place at a planning rate of 0; SB3's is `DQN.collect_rollouts`
on `make_vec_env` (a DummyVecEnv) over the same gridworld under its Gymnasium name. One
thread, seconds of the processor; rounds alternate, the ratio is that of one round, and
what is printed are medians with the least and the largest.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

import curriculum.envs  # registers the world
import curriculum.learners.dqn
from curriculum.decays.constant import Constant
from curriculum.run.run import Run
from curriculum.setting.config import Config

HIDDEN, EXPLORATION, CAPACITY, CHUNK = (128, 128), 0.05, 100_000, 50


def ours(rows: int) -> Callable[[], None]:
    """`CHUNK` steps of every row in our loop."""
    learner = curriculum.learners.dqn.DQN(hidden=HIDDEN, exploration=EXPLORATION)
    run = Run(
        Config(learner=learner, decay=Constant(value=0.0), rows=rows, capacity=CAPACITY)
    )
    run.collector.reset()

    def collect() -> None:
        for _ in range(CHUNK):
            rate = run.planning_rate()
            run.step += rows
            run.collector.collect(rate, run.step)

    return collect


def theirs(rows: int) -> Callable[[], None]:
    """`CHUNK` steps of every row in SB3's."""
    model: Any = DQN(
        "MlpPolicy",
        make_vec_env("curriculum/Gridworld-v0", n_envs=rows),
        buffer_size=CAPACITY,
        learning_starts=0,
        exploration_initial_eps=EXPLORATION,
        exploration_final_eps=EXPLORATION,
        target_update_interval=10**9,
        policy_kwargs={"net_arch": list(HIDDEN)},
    )
    _, callback = model._setup_learn(10**9, CallbackList([]))
    frequency, settings = (
        TrainFreq(CHUNK, TrainFrequencyUnit.STEP),
        {"learning_starts": 0, "log_interval": None},
    )
    return lambda: (
        model.collect_rollouts(
            model.env, callback, frequency, model.replay_buffer, **settings
        )
        and None
    )


def rate(collect: Callable[[], None], rows: int, seconds: float) -> float:
    """Environment steps per second of processor time, which others on the machine
    disturb less than the wall's."""
    began, done = time.process_time(), 0
    while time.process_time() - began < seconds:
        collect()
        done += CHUNK * rows
    return done / (time.process_time() - began)


def spread(values: Sequence[float], digits: int) -> str:
    """Median, minimum and maximum."""
    middle = f"{statistics.median(values):,.{digits}f}"
    lowest = f"{min(values):,.{digits}f}"
    highest = f"{max(values):,.{digits}f}"
    return f"{middle} ({lowest}..{highest})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[64])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="of either in every round"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| rows | ours, steps/s | SB3, steps/s | ratio |\n|--:|--:|--:|--:|", flush=True
    )
    for rows in options.rows:
        mine, other = ours(rows), theirs(rows)
        pairs = [
            [rate(collect, rows, options.seconds) for collect in (mine, other)]
            for _ in range(options.rounds + 1)
        ]
        us, them = zip(*pairs[1:], strict=True)  # the first round warms up
        ratio = spread([u / t for u, t in zip(us, them, strict=True)], 2)
        print(f"| {rows} | {spread(us, 0)} | {spread(them, 0)} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
