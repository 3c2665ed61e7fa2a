"""Wall time of a run, across interruptions."""

import time

import numpy as np

from curriculum.types import State


class Stopwatch:
    """Runs from its creation on."""

    def __init__(self) -> None:
        self.earlier = 0.0  # seconds before the run was resumed
        self.started = time.perf_counter()
        # where the last report was made
        self.last_step = 0
        self.last_moment = self.started

    def values(self, step: int, seeds: int) -> dict[str, np.ndarray]:
        """Environment steps of all seeds a second since the last report, and seconds in
        all."""
        now = time.perf_counter()
        steps = (step - self.last_step) * seeds
        speed = steps / (now - self.last_moment)
        elapsed = self.earlier + now - self.started
        self.last_step = step
        self.last_moment = now
        return {
            "time/fps": np.full(seeds, speed),
            "time/time_elapsed": np.full(seeds, elapsed),
        }

    def state(self) -> State:
        return {"elapsed": self.earlier + time.perf_counter() - self.started}

    def load(self, state: State, step: int) -> None:
        """Continue from environment step `step`."""
        self.earlier = state["elapsed"]
        self.last_step = step
        self.last_moment = time.perf_counter()
