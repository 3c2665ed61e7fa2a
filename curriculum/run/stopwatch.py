"""Wall time of a run, across interruptions."""

import time

import numpy as np

from curriculum.types import State


class Stopwatch:
    """Runs from its creation on."""

    def __init__(self) -> None:
        self.earlier = 0.0  # seconds before the run was resumed
        self.started = time.perf_counter()
        # where the last report was made, in environment steps or offline updates
        self.last_count = 0
        self.last_moment = self.started

    def values(self, step: int, seeds: int) -> dict[str, np.ndarray]:
        """Environment steps of all seeds a second since the last report, and seconds in
        all."""
        return {
            "time/fps": np.full(seeds, self._speed(step) * seeds),
            "time/time_elapsed": np.full(seeds, self._elapsed()),
        }

    def offline_values(self, updates: int, seeds: int) -> dict[str, np.ndarray]:
        """Offline updates of each seed a second since the last report, and seconds in
        all."""
        return {
            "time/updates_per_second": np.full(seeds, self._speed(updates)),
            "time/time_elapsed": np.full(seeds, self._elapsed()),
        }

    def begin(self, count: int = 0) -> None:
        """Begin to count, from `count` on, what is done in a second."""
        self.last_count = count
        self.last_moment = time.perf_counter()

    def _speed(self, count: int) -> float:
        before = self.last_count
        began = self.last_moment
        self.begin(count)
        return (count - before) / (self.last_moment - began)

    def _elapsed(self) -> float:
        return self.earlier + time.perf_counter() - self.started

    def state(self) -> State:
        return {"elapsed": self._elapsed()}

    def load(self, state: State, count: int) -> None:
        """Continue from environment step or offline update `count`."""
        self.earlier = state["elapsed"]
        self.begin(count)
