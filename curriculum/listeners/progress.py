"""Progress: bars on a terminal, plain lines elsewhere."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from curriculum.activity import listening
from curriculum.listeners._phases.display import Display
from curriculum.listeners._phases.lines import Lines
from curriculum.listeners._phases.pace import duration
from curriculum.types import Listener, Record

RATE = "eval/planning_rate"
REWARD = "eval/mean_reward"
SUCCESS = "eval/success_rate"
CALLS = "planner/calls_total"


@dataclass(kw_only=True)
class Progress(Listener):
    """Shows the phases of a run, and its planning rate, return, success and planner
    calls.

    It follows the phases of all work inside `following`, also before a run has its
    first record:

        with Progress().following() as progress:
            ...
    """

    lines: int = 10  # number of lines about evaluations

    def __post_init__(self) -> None:
        self.display: Display = Lines()

    @contextmanager
    def following(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Self]:
        """Show the phases of the work inside this context; interrupt them once `stop()`
        is true."""
        self.display = _make_display()
        self.display.start()
        try:
            with listening(self.display.show, stop, self.display.say):
                yield self
        finally:
            self.display.close()

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        self.steps: int = settings["steps"]
        # of the newest evaluation
        self.means = {RATE: np.nan, REWARD: np.nan, SUCCESS: np.nan, CALLS: np.nan}
        self.printed = -1  # line that was printed last, of `lines`
        return self

    def __call__(self, record: Record) -> None:
        if record.kind != "evaluate":
            return
        for tag in self.means:
            self.means[tag] = float(np.mean(record.values[tag]))
        text = self._text()
        self.display.report(text)
        self._print(record.step, text)

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
        left = self.display.left("online")
        remaining = f"  about {duration(left)} left" if left else ""
        self.display.say(f"{position}  {text}{remaining}")


def _make_display() -> Display:
    is_dumb = os.environ.get("TERM") in ("dumb", "unknown")
    if is_dumb or not sys.stderr.isatty():
        return Lines()
    from curriculum.listeners._phases.bars import Bars

    return Bars()
