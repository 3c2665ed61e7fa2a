"""Measure whether a long run takes more and more memory or keeps files open.

    python tests/campaigns/memory.py --steps 200000

The default run on the gridworld, with evaluations, checkpoints, tables and TensorBoard;
its buffer is full after the warm-up. Right are a growth of at most 2 % after the
warm-up, and no more open files at the end than after it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

WARM_UP = 30_000  # steps
LIMIT = 0.02  # growth after the warm-up
TRAIN = "-m curriculum.train --capacity 20000 --name run --no-eval-mixed"


class Sample(NamedTuple):
    """A process at one moment."""

    step: int
    memory_bytes: int  # resident
    files: int  # open


def main() -> None:
    """Train in a process of its own and watch it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = watch(Path(folder), WARM_UP + options.steps)
    warm = [sample for sample in samples if sample.step >= WARM_UP]
    for sample in warm[:: max(len(warm) // 20, 1)]:
        megabytes = sample.memory_bytes / 1e6
        print(f"{sample.step:>9,} steps  {megabytes:.1f} MB  {sample.files} files")
    # medians of the first and the last tenth: single samples meet a checkpoint
    tenth = max(len(warm) // 10, 1)
    growth = _median(warm[-tenth:]) / _median(warm[:tenth]) - 1
    more_files = warm[-1].files - warm[0].files
    print(f"growth {growth:+.2%} in {options.steps:,} steps, {more_files:+} open files")
    if growth > LIMIT or more_files > 0:
        raise SystemExit(1)


def watch(folder: Path, steps: int) -> list[Sample]:
    """Sample a run every second, from its first record on."""
    words = f"{TRAIN} --steps {steps} --runs-dir {folder}".split()
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL)
    samples: list[Sample] = []
    records = folder / "gridworld" / "run" / "metrics.jsonl"
    system = Path("/proc") / str(process.pid)
    while process.poll() is None:
        time.sleep(1)
        if not records.is_file():
            continue
        try:
            pages = int((system / "statm").read_text().split()[1])
            files = len(list((system / "fd").iterdir()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            break
        memory = pages * os.sysconf("SC_PAGE_SIZE")
        samples.append(Sample(_newest_step(records), memory, files))
    if process.wait():
        raise SystemExit(f"the run ended with status {process.returncode}")
    return samples


def _newest_step(records: Path) -> int:
    """The step of the last complete record."""
    tail = records.read_bytes()[-20_000:].splitlines()
    for line in reversed(tail):
        if line.startswith(b'{"kind"') and line.endswith(b"}"):
            return int(line.split(b'"step": ')[1].split(b",")[0])
    return 0


def _median(samples: list[Sample]) -> float:
    ordered = sorted(sample.memory_bytes for sample in samples)
    return ordered[len(ordered) // 2]


if __name__ == "__main__":
    main()
