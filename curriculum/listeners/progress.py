"""Progress: a live line on a terminal, plain lines elsewhere."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from curriculum.types import Listener, Record

RATE = "curriculum/planning_rate"
REWARD = "eval/mean_reward"
SUCCESS = "eval/success_rate"
CALLS = "planner/calls_total"


@dataclass(kw_only=True)
class Progress(Listener):
    """Shows steps, planning rate, return, success, planner calls and remaining time."""

    lines: int = 10  # number of lines without a terminal

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        self.steps: int = settings["steps"]
        self.means = {RATE: 1.0, REWARD: np.nan, SUCCESS: np.nan, CALLS: 0.0}
        self.printed = -1  # line that was printed last, of `lines`
        self.first: tuple[int, float] | None = None  # step and time of the first line
        self.bar: Bar | None = None
        if sys.stderr.isatty():
            self.bar = _make_bar()
            self.task = self.bar.add_task("", total=self.steps)
            self.bar.start()
        return self

    def __call__(self, record: Record) -> None:
        for tag in self.means:
            if tag in record.values:
                self.means[tag] = float(np.mean(record.values[tag]))
        text = self._text()
        if self.bar:
            self.bar.update(self.task, completed=record.step, description=text)
        elif record.kind == "evaluate":
            self._print(record.step, text)

    def close(self) -> None:
        if self.bar:
            self.bar.stop()

    def _text(self) -> str:
        success = ""
        if np.isfinite(self.means[SUCCESS]):
            success = f", success {self.means[SUCCESS]:.0%}"
        return (
            f"rate {self.means[RATE]:.2f}  "
            f"learner alone: return {self.means[REWARD]:.2f}{success}  "
            f"planner calls {self.means[CALLS]:,.0f}"
        )

    def _print(self, step: int, text: str) -> None:
        """Print a line if the run has come far enough for the next one."""
        line = step * self.lines // self.steps
        if line <= self.printed:
            return
        self.printed = line
        position = f"{step:>9,}/{self.steps:,} steps"
        remaining = self._remaining(step)
        print(f"{position}  {text}  {remaining}", file=sys.stderr, flush=True)

    def _remaining(self, step: int) -> str:
        now = time.monotonic()
        if self.first is None:
            self.first = (step, now)
            return ""
        if step >= self.steps:
            return ""
        first_step, first_time = self.first
        seconds_per_step = (now - first_time) / max(step - first_step, 1)
        return f"{(self.steps - step) * seconds_per_step:.0f} s left"


def _make_bar() -> Bar:
    return Bar(
        TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
        BarColumn(),
        TextColumn("{task.description}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
