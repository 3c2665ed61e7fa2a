"""Which seeds are healthy: one that meets a non-finite number stops, others go on."""

import sys
from collections.abc import Sequence

import numpy as np

from curriculum.types import State


class Health:
    """Follows P seeds, and remembers why some of them were stopped."""

    def __init__(self, seeds: Sequence[int]):
        self.seeds = tuple(seeds)
        self.healthy = np.ones(len(self.seeds), bool)  # [P]
        self.problems: dict[int, str] = {}  # seed -> why it was stopped

    def stop(self, index: int, problem: str) -> None:
        """Stop the seed with this index, and say why; only the first problem counts."""
        if not self.healthy[index]:
            return
        self.healthy[index] = False
        seed = self.seeds[index]
        self.problems[seed] = problem
        print(f"seed {seed} was stopped: {problem}", file=sys.stderr)

    def require_any(self) -> None:
        """Raise ValueError if every seed was stopped."""
        if self.healthy.any():
            return
        first = self.seeds[0]
        raise ValueError(
            f"every seed was stopped; seed {first}: {self.problems[first]}"
        )

    def state(self) -> State:
        return {"healthy": self.healthy, "problems": list(self.problems.items())}

    def load(self, state: State) -> None:
        self.healthy[:] = state["healthy"]
        self.problems = dict(state["problems"])
