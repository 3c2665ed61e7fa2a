"""Seconds that `python -m curriculum.runs` takes to list many run folders.

    python benchmarks/runs.py --runs 2000

Makes the folders of runs in a temporary folder: settings as `train` writes them, with
other learners, decays and learning rates from run to run, 160 records of five seeds,
and a checkpoint of 64 MiB without content. Half of the runs are finished, one in a
hundred is damaged. Every round starts the command anew, with the files in the cache of
the operating system. Printed are medians with the least and the largest, and the
seconds of an interpreter that imports the command and ends.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from curriculum.setting.config import Config, flat

LEARNERS = ("dqn", "iql", "cql", "bc")
DECAYS = ("exponential", "linear", "constant")
SEEDS = tuple(range(5))
RATE = re.compile(r"learner\.learning_rate: \S+")
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
    kinds = [
        flat(Config(learner=learner, decay=decay, seeds=SEEDS, steps=20_000))
        for learner in LEARNERS
        for decay in DECAYS
    ]
    texts = [yaml.safe_dump(settings, sort_keys=False) for settings in kinds]
    result = _result()
    for number in range(runs):
        rate = f"learner.learning_rate: {0.0001 * (number % 50 + 1):g}"
        settings = RATE.sub(rate, texts[number % len(texts)])
        folder = parent / "gridworld" / f"run-{number}"
        make_run(folder, settings if number % DAMAGED else "learner: [", number)
        if number % 2:
            (folder / "result.json").write_text(result)


def make_run(folder: Path, settings: str, number: int) -> None:
    """Make the folder of one run that is not finished."""
    checkpoint = folder / "checkpoints" / "step-000020000" / "arrays.safetensors"
    checkpoint.parent.mkdir(parents=True)
    with checkpoint.open("wb") as file:
        file.truncate(CHECKPOINT)
    (folder / "config.yaml").write_text(settings)
    (folder / ".lock").touch()
    lines = []
    for kind, tags in TAGS.items():
        values = {tag: [number + seed / 7 for seed in SEEDS] for tag in tags}
        record = {"kind": kind, "step": 20_000, "time": 0.0, "values": values}
        lines.append(json.dumps(record) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines) * (RECORDS // len(TAGS)))


def _result() -> str:
    values = {f"final/tag_{tag}": list(SEEDS) for tag in range(40)}
    content = {"finished": 0.0, "seeds": SEEDS, "steps": 20_000, "values": values}
    return json.dumps(content, indent=1)


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
