"""A loop that keeps its rate."""

import time
from collections.abc import Callable

MOST_BEHIND = 0.5  # seconds that are caught up; after more, the schedule begins anew


class Pace:
    """Waits for the next of evenly spaced deadlines.

    They are multiples of the period since the beginning, so that late frames do not add
    up: the frames after one catch up with the schedule."""

    def __init__(
        self,
        fps: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.period = 1 / fps
        self.clock = clock
        self.sleep = sleep
        self.began = clock()
        self.frames = 0

    def wait(self) -> None:
        """Sleep until the next frame is due."""
        self.frames += 1
        left = self.began + self.frames * self.period - self.clock()
        if left > 0:
            self.sleep(left)
        elif left < -MOST_BEHIND:
            self.began = self.clock()
            self.frames = 0


class NoPace:
    """Never waits: for pictures that are written to a file."""

    def wait(self) -> None:
        """Return at once."""
