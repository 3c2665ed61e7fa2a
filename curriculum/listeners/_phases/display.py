"""What all displays of phases share: they follow what is running."""

import threading
import time
from collections.abc import Callable

from curriculum.activity import Phase
from curriculum.listeners._phases.pace import Pace


class Display:
    """Follows the phases that are running, outermost first.

    A thread calls `tick` regularly: a phase must be visible even while the work in it
    does not advance."""

    period = 0.5  # seconds between ticks

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock = clock
        self.running: dict[Phase, Pace] = {}
        self.closing = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Tick until `close`."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.closing.wait(self.period):
            try:
                self.tick()
            except (OSError, ValueError):  # nobody reads any more
                return

    def show(self, phase: Phase) -> None:
        """Follow a phase. It is called at every step: everything costly is left to
        `tick`."""
        if phase.finished:
            pace = self.running.pop(phase, None)
            if pace:
                self.end(pace)
        elif phase not in self.running:
            self.running[phase] = Pace(phase, self.clock())
            self.begin(phase)

    def tick(self) -> None:
        """Show how far all phases are."""
        now = self.clock()
        for pace in list(self.running.values()):
            pace.measure(now)
        self.refresh(now)

    def left(self, name: str) -> float | None:
        """The seconds that are left of the running phase with this name, if known."""
        for pace in list(self.running.values()):
            if pace.phase.name == name:
                return pace.left(self.clock())
        return None

    def close(self) -> None:
        """End the display; nothing is shown afterwards."""
        self.closing.set()
        if self.thread:
            self.thread.join()
        self.running.clear()

    # --- what a display shows ---

    def begin(self, phase: Phase) -> None:
        """A phase has begun."""

    def end(self, pace: Pace) -> None:
        """A phase has ended."""

    def refresh(self, now: float) -> None:
        """Show the phases that are running."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def report(self, text: str) -> None:
        """Show the newest figures of the run."""
