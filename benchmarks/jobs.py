"""Seconds of whole jobs, from the command to its end: ours beside scripts of
Stable-Baselines3 and d3rlpy.

    python benchmarks/jobs.py
    python benchmarks/jobs.py --jobs main five --against ../before --rounds 7

`main` is `python -m curriculum.train --decay exponential`: the gridworld, 10,000 steps
of start, 20,000 steps and 5,000 updates of a double DQN, eleven evaluations of 50
episodes, TensorBoard, checkpoints, policies and figures. `five` is the same with five
seeds, `torch` and `five-torch` are the same with `--engine torch`. `sb3` is a script
with SB3's DQN in the same world: as many random steps, steps, updates and evaluations,
the same network and batch, TensorBoard, and the best model kept. `offline` and `d3rlpy`
are 5,000 updates of discrete CQL on 10,000 transitions, with an evaluation of 50
episodes each thousand updates.

Every job has its own process and one thread; every round runs each job once. Wall
clock is what the command takes; processor seconds are those of its process and all of
its children, user and system together. Printed are medians with the least and the
largest, and ratios of processor seconds within one round. Unless the user's cache
folder has it, the first round of ours makes the native code that later ones find there.

`--against PATH` runs our jobs also with another checkout, such as the previous release,
by the same interpreter; these are called `main@PATH` and so on.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
TRAIN = ("-m", "curriculum.train")
MAIN = (*TRAIN, "--decay", "exponential")
FIVE = (*MAIN, "--seeds", "0", "1", "2", "3", "4")
TORCH = ("--engine", "torch")
OFFLINE = (
    *(*TRAIN, "--env", "gridworld", "--learner", "cql", "--start", "dataset"),
    *("--start.path", "data", "--steps", "0", "--offline-updates", "5000"),
    *("--eval-every", "1000"),
)
OURS = {
    "main": MAIN,
    "torch": (*MAIN, *TORCH),
    "five": FIVE,
    "five-torch": (*FIVE, *TORCH),
    "offline": OFFLINE,
    "offline-torch": (*OFFLINE, *TORCH),
}
PEERS = {"sb3": "stable_baselines3", "d3rlpy": "d3rlpy"}
JOBS = [*OURS, *PEERS]
# what a job is compared with, if that runs too
BASELINES = {
    "main": ("torch", "sb3"),
    "five": ("five-torch", "main"),
    "offline": ("offline-torch", "d3rlpy"),
}
HIDDEN, BATCH = [128, 128], 128
START, STEPS, EPISODES = 10_000, 20_000, 50
UPDATES, TRANSITIONS = 5_000, 10_000


class Job(NamedTuple):
    """A command, and the checkout that it belongs to."""

    words: tuple[str, ...]
    root: Path


class Cost(NamedTuple):
    """What one job took, in seconds, and the mean return that it reached."""

    wall: float
    processor: float
    final: float


# --- scripts of the peers, as their users write them ---


def sb3() -> float:
    """DQN in the gridworld; returns the last evaluation's mean return."""
    import gymnasium as gym
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.monitor import Monitor

    import curriculum.envs  # noqa: F401, registers the world

    torch.set_num_threads(1)
    evaluate = EvalCallback(
        Monitor(gym.make("curriculum/Gridworld-v0")),
        n_eval_episodes=EPISODES,
        eval_freq=2_000,
        best_model_save_path="sb3",
        verbose=0,
    )
    model = DQN(
        "MlpPolicy",
        gym.make("curriculum/Gridworld-v0"),
        learning_rate=1e-3,
        batch_size=BATCH,
        buffer_size=100_000,
        learning_starts=START,
        train_freq=4,
        target_update_interval=500,
        exploration_fraction=1e-6,
        policy_kwargs={"net_arch": HIDDEN},
        tensorboard_log="sb3",
        seed=0,
    )
    model.learn(START)
    model.learn(STEPS, callback=evaluate, reset_num_timesteps=False)
    return float(evaluate.last_mean_reward)


def d3rlpy() -> float:
    """Discrete CQL on the data set; returns the last evaluation's mean return."""
    import d3rlpy
    import gymnasium as gym
    import numpy as np
    import torch

    import curriculum.envs  # noqa: F401, registers the world

    torch.set_num_threads(1)
    arrays = np.load("data.npz")
    dataset = d3rlpy.dataset.MDPDataset(
        arrays["observation"],
        arrays["action"],
        arrays["reward"],
        arrays["terminated"],
        arrays["truncated"],
    )
    encoder = d3rlpy.models.VectorEncoderFactory(HIDDEN)
    config = d3rlpy.algos.DiscreteCQLConfig(
        batch_size=BATCH,
        learning_rate=1e-3,
        encoder_factory=encoder,
        target_update_interval=100,  # its default, 8,000, exceeds this job
    )
    env = gym.make("curriculum/Gridworld-v0")
    returns = d3rlpy.metrics.EnvironmentEvaluator(env, n_trials=EPISODES)
    epochs = config.create().fit(
        dataset,
        n_steps=UPDATES,
        n_steps_per_epoch=1_000,
        evaluators={"return": returns},
        show_progress=False,
    )
    return float(epochs[-1][1]["return"])


SCRIPTS: dict[str, Callable[[], float]] = {"sb3": sb3, "d3rlpy": d3rlpy}


# --- measuring ---


def make_data(folder: Path) -> None:
    """A data set of the gridworld, as ours reads it and as arrays for d3rlpy."""
    words = ["-m", "curriculum.collect"]
    made = ["make", "data", "--env", "gridworld", "--tier", "medium"]
    for step in (
        [*made, "--transitions", str(TRANSITIONS)],
        ["convert", "data", "data.npz"],
    ):
        run(Job((*words, *step), ROOT), folder)


def run(job: Job, folder: Path) -> str:
    """Run a command in a folder; returns what it printed."""
    paths = [str(job.root), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, *job.words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(job.words)} failed:\n{done.stderr[-2_000:]}")
    return done.stdout


def measure(job: Job, folder: Path) -> Cost:
    """Run a job once, in a new folder of its own beside the data set."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        for name in ("data", "data.npz"):
            (Path(own) / name).symlink_to(folder / name)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        printed = run(job, Path(own))
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        user = after.ru_utime - before.ru_utime
        system = after.ru_stime - before.ru_stime
        return Cost(wall, user + system, final_return(Path(own), printed))


def final_return(folder: Path, printed: str) -> float:
    """The mean over seeds from our run's result, or the last line of a peer."""
    for path in folder.glob("runs/*/*/result.json"):
        values = json.loads(path.read_text())["values"]
        return statistics.mean(values["final/last_mean_reward"])
    return float(printed.split()[-1])


# --- the table ---


def spread(values: list[float], digits: int) -> str:
    """Median, and the least and the largest."""
    middle = f"{statistics.median(values):.{digits}f}"
    return f"{middle} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def ratios(name: str, costs: dict[str, list[Cost]], against: str) -> str:
    """Processor seconds of a job as a share of those of others, within a round."""
    baselines = [*BASELINES.get(name, ()), f"{name}@{against}"]
    found = []
    for other in baselines:
        if other in costs:
            # peers may have taken part in fewer rounds
            pairs = zip(costs[name], costs[other], strict=False)
            shares = [mine.processor / theirs.processor for mine, theirs in pairs]
            found.append(f"{spread(shares, 2)} of {other}")
    return "; ".join(found)


def line(name: str, costs: dict[str, list[Cost]], against: str) -> str:
    """A line of the table."""
    own = costs[name]
    cells = [
        name,
        spread([cost.processor for cost in own], 1),
        spread([cost.wall for cost in own], 1),
        ratios(name, costs, against),
        f"{statistics.median([cost.final for cost in own]):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def jobs_of(options: argparse.Namespace) -> dict[str, Job]:
    """Commands by name."""
    found = {}
    for name in options.jobs:
        if name in OURS:
            found[name] = Job(OURS[name], ROOT)
            if options.against:
                root = Path(options.against).resolve()
                found[f"{name}@{options.against}"] = Job(OURS[name], root)
        elif importlib.util.find_spec(PEERS[name]):
            script = str(Path(__file__).resolve())
            found[name] = Job((script, "--script", name), ROOT)
        else:
            print(f"{name} is not installed, so it is left out", file=sys.stderr)
    return found


def parse() -> argparse.Namespace:
    """Read the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flag: Any = parser.add_argument
    flag("--jobs", nargs="+", choices=JOBS, default=JOBS, metavar="NAME")
    flag("--rounds", type=int, default=5)
    helped = "rounds in which the peers take part; default: all"
    flag("--peer-rounds", type=int, default=0, help=helped)
    flag("--against", default="", metavar="PATH", help="another checkout of ours")
    flag("--script", choices=SCRIPTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print a Markdown table."""
    options = parse()
    if options.script:
        print(SCRIPTS[options.script]())
        return
    jobs = jobs_of(options)
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        make_data(folder)
        for number in range(options.rounds):
            for name, job in jobs.items():
                limit = options.peer_rounds if name in PEERS else 0
                if number < (limit or options.rounds):
                    cost = measure(job, folder)
                    costs[name].append(cost)
                    print(f"round {number}: {name} {cost}", file=sys.stderr, flush=True)
    print("| job | processor seconds | wall seconds | share of processor | return |")
    print("|:--|--:|--:|:--|--:|")
    for name in jobs:
        print(line(name, costs, options.against))
    of_peers = options.peer_rounds or options.rounds
    print(f"\nOne thread, {options.rounds} rounds, {of_peers} of the peers.")


if __name__ == "__main__":
    main()
