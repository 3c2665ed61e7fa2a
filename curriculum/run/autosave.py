"""When a run writes a checkpoint between those that its settings ask for."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PAUSE = 60.0  # seconds between two checkpoints, at least
LARGEST_SHARE = 0.02  # of the time may go into writing them


class Autosave:
    """Calls `save`, which writes a checkpoint, when the last one is old enough."""

    def __init__(self, save: Callable[[], object]):
        self.save = save
        self.next = time.monotonic() + PAUSE

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old enough."""
        return time.monotonic() >= self.next

    def save_if_due(self) -> None:
        """Write a checkpoint if the last one is old enough."""
        if self.is_due:
            self.save()

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure how long it takes to write a checkpoint."""
        began = time.monotonic()
        yield
        now = time.monotonic()
        self.next = now + max(PAUSE, (now - began) / LARGEST_SHARE)
