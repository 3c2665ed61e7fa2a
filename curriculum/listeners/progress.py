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
from curriculum.report.handover import TOLERANCE
from curriculum.types import Listener, Record

RATE = "eval/planning_rate"
REWARD = "eval/mean_reward"
SUCCESS = "eval/success_rate"
CALLS = "planner/calls_total"
DIP = "handover/dip_depth"


@dataclass(kw_only=True)
class Progress(Listener):
    """Shows the phases of a run, and its planning rate, return, success, deepest dip
    and planner calls.

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
        self.totals = {
            "steps": int(settings["steps"]),
            "updates": int(settings.get("offline_updates", 0)),
        }
        # of the newest evaluation
        self.means = dict.fromkeys((RATE, REWARD, SUCCESS, CALLS, DIP), np.nan)
        # line about each phase that was printed last, of `lines`
        self.printed = {"steps": -1, "updates": -1}
        return self

    def __call__(self, record: Record) -> None:
        if record.kind != "evaluate":
            return
        is_offline = record.updates is not None
        for tag in self.means:
            logged = tag.replace("eval/", "offline/") if is_offline else tag
            if logged in record.values:
                self.means[tag] = float(np.mean(record.values[logged]))
        text = self._offline_text() if is_offline else self._text()
        self.display.report(text)
        if record.updates is not None:
            self._print("offline", "updates", record.updates, text)
        elif self.totals["steps"]:
            self._print("online", "steps", record.step, text)

    def _text(self) -> str:
        dip = ""
        if self.means[DIP] > TOLERANCE:
            dip = f", deepest dip {self.means[DIP]:.2f}"
        return (
            f"rate {self.means[RATE]:.2f}  "
            f"learner alone: {self._offline_text()}{dip}  "
            f"planner calls {self.means[CALLS]:,.0f}"
        )

    def _offline_text(self) -> str:
        success = ""
        if np.isfinite(self.means[SUCCESS]):
            success = f", success {self.means[SUCCESS]:.0%}"
        return f"return {self.means[REWARD]:.2f}{success}"

    def _print(self, phase: str, unit: str, done: int, text: str) -> None:
        """Print a line if the phase has come far enough for the next one."""
        total = self.totals[unit]
        line = done * self.lines // total
        if line <= self.printed[unit]:
            return
        self.printed[unit] = line
        position = f"{done:>9,}/{total:,} {unit}"
        left = self.display.left(phase)
        remaining = f"  about {duration(left)} left" if left else ""
        self.display.say(f"{position}  {text}{remaining}")


def _make_display() -> Display:
    is_dumb = os.environ.get("TERM") in ("dumb", "unknown")
    if is_dumb or not sys.stderr.isatty():
        return Lines()
    from curriculum.listeners._phases.bars import Bars

    return Bars()
