"""Start foreign worlds with no other flag, and time what a user sees first.

    python tests/campaigns/first_minutes.py
    python tests/campaigns/first_minutes.py --only FrozenLake --seconds 60

Each command runs in an empty folder, with a pipe for its output, until its first
evaluation is shown. Right are a first line within 5 seconds, an estimate soon after,
and the evaluation within 3 minutes on two idle cores. On a busy machine, look at
the CPU time.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORLDS = (
    "MiniGrid-DoorKey-5x5-v0",
    "LunarLander-v3",
    "LunarLander-v3 --env.options continuous=true",
    "PointMaze_Medium-v3",
    "ALE/Breakout-v5",
    "CarRacing-v3",
    "FrozenLake-v1",
)
ESTIMATE = re.compile(r"about [\d.]+ (s|min|h|days) left")
EVALUATION = re.compile(r"^\s*[\d,]+/[\d,]+ steps .*return")


@dataclass
class Watched:
    """What a command printed, and when."""

    command: list[str]
    seconds: float  # after which it is stopped
    lines: list[tuple[float, str]] = field(default_factory=list)
    status: int | None = None  # None: it was stopped
    cpu_seconds: float = 0.0  # of all its threads

    def run(self) -> None:
        """Run the command until its first evaluation, its end, or its time is up."""
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            cpu_before = _cpu_of_children()
            process = subprocess.Popen(
                self.command,
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            timer = threading.Timer(self.seconds, process.kill)
            timer.start()
            assert process.stdout is not None
            for line in process.stdout:
                self.lines.append((time.monotonic() - began, line.rstrip()))
                if EVALUATION.search(line):
                    process.kill()
            timer.cancel()
            status = process.wait()
            self.cpu_seconds = _cpu_of_children() - cpu_before
        self.status = status if status >= 0 else None

    def first(self, pattern: re.Pattern[str] | str) -> float | None:
        """When the first line that matches was printed, in seconds."""
        for seconds, line in self.lines:
            if re.search(pattern, line):
                return seconds
        return None


def main() -> None:
    """Run the commands one after another and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="worlds whose name contains this")
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--verbose", action="store_true", help="print all lines")
    options = parser.parse_args()
    rows = ["| world | first line | first estimate | first evaluation | CPU | lines |"]
    rows.append("|:--|--:|--:|--:|--:|--:|")
    for world in WORLDS:
        if options.only not in world:
            continue
        words = [sys.executable, "-m", "curriculum.train", "--env", *world.split()]
        watched = Watched(words, options.seconds)
        watched.run()
        moments = [watched.first(r"\S"), watched.first(ESTIMATE)]
        moments.append(watched.first(EVALUATION))
        cells = [_seconds(moment) for moment in (*moments, watched.cpu_seconds)]
        rows.append(f"| {world} | {' | '.join(cells)} | {len(watched.lines)} |")
        print(rows[-1], file=sys.stderr, flush=True)
        shown = watched.lines if options.verbose or watched.status else []
        for seconds, line in shown:
            print(f"    {seconds:6.1f}  {line}", file=sys.stderr, flush=True)
    print("\n".join(rows))


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds(moment: float | None) -> str:
    return "-" if moment is None else f"{moment:.1f} s"


if __name__ == "__main__":
    main()
