"""Phases as bars on a terminal; nested phases stand below one another."""

from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from curriculum.activity import Phase
from curriculum.listeners._phases.display import Display
from curriculum.listeners._phases.lines import FIRST, SETUP
from curriculum.listeners._phases.pace import Pace, advice, amount, duration

BAR_WIDTH = 30


class Bars(Display):
    """Shows a bar for each phase that is running, and a line for each that took long.

    A phase of unknown length has no bar, so that a question can be asked during it."""

    period = 0.25

    def __init__(self, console: Console | None = None, **settings: Any):
        super().__init__(**settings)
        self.console = console or Console(stderr=True)
        self.live: Live | None = None
        self.figures = ""
        self.announced: set[Phase] = set()  # of unknown length

    def begin(self, phase: Phase) -> None:
        if not phase.total or self.live:
            return
        self.live = Live(
            console=self.console,
            get_renderable=self._render,
            auto_refresh=False,
            transient=True,
            redirect_stdout=self.console.is_terminal,
        )
        self.live.start()

    def end(self, pace: Pace) -> None:
        phase = pace.phase
        elapsed = pace.elapsed(self.clock())
        if phase.total and elapsed >= FIRST and len(self.running) < 2:
            parts = [f"{phase.name}: {amount(phase)} in {duration(elapsed)}"]
            if phase.detail:
                parts.append(phase.detail)
            self.say(", ".join(parts))
        if self.live and not any(other.total for other in self.running):
            self.live.stop()
            self.live = None

    def refresh(self, now: float) -> None:
        live = self.live
        if live:
            live.refresh()
            return
        for pace in list(self.running.values()):
            new = pace.phase not in self.announced
            if new and pace.elapsed(now) >= SETUP:
                self.announced.add(pace.phase)
                self.say(f"{pace.phase.name}: {pace.phase.detail}")

    def say(self, line: str) -> None:
        self.console.print(Text(line))

    def report(self, text: str) -> None:
        self.figures = text

    def close(self) -> None:
        super().close()
        if self.live:
            self.live.stop()
            self.live = None

    def _render(self) -> RenderableType:
        now = self.clock()
        table = Table.grid(padding=(0, 1))
        advices = []
        for pace in list(self.running.values()):
            phase = pace.phase
            if not phase.total:
                continue
            table.add_row(*_cells(pace, now))
            hint = advice(pace, now)
            if hint:
                advices.append(Text(f"{phase.name}{hint}", style="dim"))
        if self.figures:
            advices.append(Text(self.figures))
        return Group(table, *advices)


def _cells(pace: Pace, now: float) -> list[RenderableType]:
    """One row: name, bar, what is done, newest figures, elapsed time and estimate."""
    phase = pace.phase
    left = pace.left(now)
    estimate = "" if left is None else f"about {duration(left)} left"
    bar = ProgressBar(total=1.0, completed=phase.share, width=BAR_WIDTH)
    return [
        Text(phase.name),
        bar,
        Text(amount(phase)),
        Text(duration(pace.elapsed(now))),
        Text(estimate),
        Text(phase.detail),
    ]
