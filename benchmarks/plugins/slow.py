"""A planner that is slow for no reason: it waits, then takes the shortest path."""

import time
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from curriculum.planners.shortest_path import ShortestPath
from curriculum.types import Decision, Planner, Rows, Spec


@dataclass(kw_only=True)
class Slow(Planner):
    """Waits `ms` milliseconds for the action of every row."""

    ms: float = 50.0
    needs: ClassVar[str] = "state"
    gives: ClassVar[tuple[str, ...]] = ShortestPath.gives

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.quick = ShortestPath().setup(rows, spec, seeds)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        time.sleep(self.ms / 1000 * len(rows))
        return self.quick.act(obs, rows)
