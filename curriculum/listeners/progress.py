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

from curriculum.types import Record


@dataclass(kw_only=True)
class Progress:
    """Shows steps, planning rate, return, success, planner calls and the time that is
    left."""

    lines: int = 10  # lines in all where there is no terminal

    def open(
        self, folder: Path, config: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        """Begin to show a run."""
        self.steps, self.shown, self.first = config["steps"], -1, (-1, 0.0)
        self.seen = {"rate": 1.0, "reward": np.nan, "success": np.nan, "calls": 0.0}
        self.console = Console(stderr=True)
        self.bar = None
        if sys.stderr.isatty():
            columns = (
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} steps"),
                BarColumn(),
                TextColumn("{task.description}"),
            )
            self.bar = Bar(
                *columns,
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self.task = self.bar.add_task("", total=self.steps)
            self.bar.start()
        return self

    def __call__(self, record: Record) -> None:
        """Take in one record."""
        tags = {
            "rate": "curriculum/planning_rate",
            "reward": "eval/mean_reward",
            "success": "eval/success_rate",
            "calls": "planner/calls_total",
        }
        self.seen |= {
            name: float(np.mean(record.values[tag]))
            for name, tag in tags.items()
            if tag in record.values
        }
        told = (
            f", success {self.seen['success']:.0%}"
            if np.isfinite(self.seen["success"])
            else ""
        )
        text = (
            f"rate {self.seen['rate']:.2f}  learner alone: return {self.seen['reward']:.2f}{told}  "
            f"planner calls {self.seen['calls']:,.0f}"
        )
        if self.bar:
            self.bar.update(self.task, completed=record.step, description=text)
        elif (
            record.kind == "evaluate"
            and record.step * self.lines // self.steps > self.shown
        ):
            self.shown = record.step * self.lines // self.steps
            print(
                f"{record.step:>9,}/{self.steps:,} steps  {text}  {self._left(record.step)}",
                file=sys.stderr,
                flush=True,
            )

    def _left(self, step: int) -> str:
        if self.first[0] < 0:
            self.first = (step, time.monotonic())
            return ""
        (step0, moment0), now = self.first, time.monotonic()
        return (
            f"{(self.steps - step) * (now - moment0) / max(step - step0, 1):.0f} s left"
            if step < self.steps
            else ""
        )

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.bar:
            self.bar.stop()
