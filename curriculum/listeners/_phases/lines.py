"""Phases as plain lines, for pipes and logs: few of them, at growing intervals."""

import sys
from dataclasses import dataclass
from typing import Any, TextIO

from curriculum.activity import Phase
from curriculum.listeners._phases.display import Display
from curriculum.listeners._phases.pace import Pace, describe

FIRST = 2.0  # seconds after which a phase is shown
SETUP = 1.0  # the same for one of unknown length
ESTIMATE = 5.0  # seconds after which its first estimate is
NEXT = (15.0, 30.0, 60.0)  # seconds after which it is shown again
GROWTH = 1.6  # of the interval afterwards
# lines about one phase that are printed whatever was printed before
PROMPT = 3
# share of the time since the beginning that passes between other lines: 10 hours need
# about 40 of them
GAP = 1 / 6


@dataclass
class _Schedule:
    """When a phase is shown next."""

    due: float  # seconds since it began
    estimated: bool = False  # whether an estimate was shown
    lines: int = 0  # so far


class Lines(Display):
    """Prints a line about each phase soon after it began, one with an estimate, and
    then fewer and fewer."""

    def __init__(self, stream: TextIO | None = None, **settings: Any):
        super().__init__(**settings)
        # `sys.stderr` is replaced for a while where messages of others are suppressed
        self.stream = stream or sys.stderr
        self.began = self.clock()
        self.last_line = self.began
        self.schedules: dict[Phase, _Schedule] = {}
        self.names: set[str] = set()  # of phases that were shown

    def begin(self, phase: Phase) -> None:
        again = phase.name in self.names
        first = FIRST if phase.total else SETUP
        due = NEXT[0] if again else first
        lines = PROMPT if again else 0
        self.schedules[phase] = _Schedule(due=due, lines=lines)

    def end(self, pace: Pace) -> None:
        self.schedules.pop(pace.phase, None)

    def refresh(self, now: float) -> None:
        paces = list(self.running.values())
        for pace in paces:
            schedule = self.schedules.get(pace.phase)
            if schedule is None or not self._is_due(pace, schedule, now):
                continue
            if not pace.phase.total and pace is not paces[-1]:
                continue  # what happens in it is shown instead
            self.names.add(pace.phase.name)
            schedule.lines += 1
            schedule.due = _next_due(pace.elapsed(now))
            schedule.estimated |= pace.left(now) is not None
            self.say(describe(pace, now))

    def _is_due(self, pace: Pace, schedule: _Schedule, now: float) -> bool:
        elapsed = pace.elapsed(now)
        is_first_estimate = (
            schedule.lines < PROMPT
            and not schedule.estimated
            and elapsed >= ESTIMATE
            and pace.left(now) is not None
        )
        if is_first_estimate and schedule.lines:
            return True
        if elapsed < schedule.due:
            return False
        gap = GAP * (now - self.began)
        return schedule.lines < PROMPT or now - self.last_line >= gap

    def say(self, line: str) -> None:
        self.last_line = self.clock()
        print(line, file=self.stream, flush=True)


def _next_due(elapsed: float) -> float:
    """When a phase that is shown now is shown again, in seconds since it began."""
    for due in NEXT:
        if elapsed + FIRST < due:
            return due
    return elapsed * GROWTH
