"""Uniformly random actions: the floor that every score starts from."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.types import Spec, State, stream


@dataclass(kw_only=True)
class Random:
    """Every seed draws for its own rows."""

    needs: ClassVar[str] = "observation"

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Give every seed its generator."""
        self.spec, self.rows_each = spec, env.count // len(seeds)
        self.generators = [stream(seed, "random planner") for seed in seeds]
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Actions [n] int64, or [n, A] float32 in [-1, 1]."""
        drawn = np.empty(
            (len(rows), *(() if self.spec.actions else (self.spec.action_size,)))
        )
        for seed, generator in enumerate(self.generators):
            own = rows // self.rows_each == seed
            drawn[own] = generator.random(drawn[own].shape)
        return (
            (drawn * self.spec.actions).astype(np.int64)
            if self.spec.actions
            else (2 * drawn - 1).astype(np.float32)
        )

    def state(self) -> State:
        """All that is needed to draw on exactly from here."""
        return {
            "generators": [
                generator.bit_generator.state for generator in self.generators
            ]
        }

    def load(self, state: State) -> None:
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
