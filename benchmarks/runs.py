"""Seconds that `python -m curriculum.runs` takes to list many run folders.

    python benchmarks/runs.py --runs 2000

Makes the folders of runs in a temporary folder: settings as `train` writes them, with
other learners, decays and seeds from run to run, some hundred records of five seeds, and
a checkpoint of 64 MiB without content. Half of the runs are finished, one in a hundred
is damaged. Every round starts the command anew, with the files in the cache of the
operating system. Printed are medians with the least and the largest, and the seconds of
an interpreter that imports the command and ends.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curriculum.run.folders import finish, write
from curriculum.setting.config import Config, flat

LEARNERS = ("dqn", "iql", "cql", "bc")
DECAYS = ("exponential", "linear", "constant")
SEEDS = tuple(range(5))
RECORDS = 160  # of each run
CHECKPOINT = 64 * 1024 * 1024  # bytes
DAMAGED = 100  # one run in so many
TAGS = {  # kind of a record -> its tags
    "collect": [f"rollout/tag_{number}" for number in range(12)],
    "update": [f"train/tag_{number}" for number in range(20)],
    "time": ["time/fps", "time/time_elapsed"],
    "evaluate": ["eval/score", "eval/mean_reward", *(f"eval/t{n}" for n in range(12))],
}


class Cost(NamedTuple):
    """What one command took, in seconds."""

    wall: float
    processor: float


# --- folders ---


def make(parent: Path, runs: int) -> None:
    """Make the folders of so many runs."""
    for number in range(runs):
        learner = LEARNERS[number % len(LEARNERS)]
        decay = DECAYS[number // len(LEARNERS) % len(DECAYS)]
        config = Config(learner=learner, decay=decay, seeds=SEEDS, steps=20_000)
        settings = flat(config) | {"learner.learning_rate": 0.0001 * (number % 50 + 1)}
        make_run(parent / "gridworld" / f"run-{number}", settings, number)


def make_run(folder: Path, settings: dict[str, Any], number: int) -> None:
    """Make the folder of one run."""
    checkpoint = folder / "checkpoints" / "step-000020000" / "arrays.safetensors"
    checkpoint.parent.mkdir(parents=True)
    with checkpoint.open("wb") as file:
        file.truncate(CHECKPOINT)
    write(folder / "config.yaml", settings)
    (folder / ".lock").touch()
    kinds = list(TAGS)
    lines = []
    for index in range(RECORDS):
        kind = kinds[index % len(kinds)]
        values = {tag: [number + seed / 7 for seed in SEEDS] for tag in TAGS[kind]}
        record = {"kind": kind, "step": 125 * index, "time": 0.0, "values": values}
        lines.append(json.dumps(record) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    if number % 2:
        final = {f"final/tag_{tag}": list(SEEDS) for tag in range(40)}
        finish(folder, settings, {"final": final})
    if number % DAMAGED == 0:
        (folder / "config.yaml").write_text("learner: [")


# --- measuring ---


def cost(words: Sequence[str]) -> Cost:
    """Run Python with these words."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user = after.ru_utime - before.ru_utime
    return Cost(wall, user + after.ru_stime - before.ru_stime)


def text(seconds: Sequence[float]) -> str:
    """The median, the least and the largest."""
    median = statistics.median(seconds)
    return f"{median:.2f} ({min(seconds):.2f}..{max(seconds):.2f})"


def main() -> None:
    """Make the folders and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    command = ["-m", "curriculum.runs", "--runs-dir"]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.runs)
        jobs = {
            f"{options.runs:,} runs": [*command, folder],
            "sorted, with CSV": [
                *(*command, folder, "--where", "learner=iql", "--sort", "eval/score"),
                *("--csv", f"{folder}/runs.csv"),
            ],
            "import alone": ["-c", "import curriculum.runs"],
        }
        costs: dict[str, list[Cost]] = {name: [] for name in jobs}
        for _ in range(options.rounds):
            for name, words in jobs.items():
                costs[name].append(cost(words))
    print("| command | s, wall clock | s of the processor |\n|:--|--:|--:|")
    for name, found in costs.items():
        wall = text([each.wall for each in found])
        processor = text([each.processor for each in found])
        print(f"| {name} | {wall} | {processor} |")


if __name__ == "__main__":
    main()
