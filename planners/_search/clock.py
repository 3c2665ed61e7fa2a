"""How long a search is in the simulator."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up wall time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of what happens inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started
