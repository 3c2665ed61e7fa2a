"""Uniformly random actions: the floor that every score starts from."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from curriculum.planners._generators import SeedGenerators
from curriculum.types import Planner, Rows, Spec, State


@dataclass(kw_only=True)
class Random(Planner):
    """Every seed draws for its own rows."""

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.spec = spec
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "random planner", rows_per_seed)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        discrete = self.spec.actions > 0
        shape = () if discrete else (self.spec.action_size,)
        drawn = np.empty((len(rows), *shape))
        for generator, own in self.generators.by_seed(rows):
            drawn[own] = generator.random(drawn[own].shape)
        if discrete:
            return (drawn * self.spec.actions).astype(np.int64)
        return (2 * drawn - 1).astype(np.float32)

    def state(self) -> State:
        return {"generators": self.generators.state()}

    def load(self, state: State) -> None:
        self.generators.load(state["generators"])
