"""The random generators of a planner: one for each seed, saved and restored with it."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from curriculum.envs._base.streams import RowStreams
from curriculum.types import stream


class SeedGenerators:
    """One generator for each seed, shared by the rows of that seed.

    Rows are numbered in order of seeds, `rows_per_seed` each. What a seed draws does
    not depend on the other seeds."""

    def __init__(self, seeds: Sequence[int], purpose: str, rows_per_seed: int):
        self.of_seed = [stream(seed, purpose) for seed in seeds]
        self.rows_per_seed = rows_per_seed

    def seed_of(self, rows: np.ndarray) -> np.ndarray:
        """Index [n] of the seed that each row belongs to."""
        return rows // self.rows_per_seed

    def streams(self, rows: np.ndarray) -> RowStreams:
        """Uniform draws for these rows, which are in ascending order."""
        return RowStreams(self.of_seed, self._rows_of_each(rows))

    def standard_normal(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Normal draws [n, *shape] for n > 0 rows in ascending order."""
        counts = self._rows_of_each(rows)
        drawn = [
            generator.standard_normal((count, *shape))
            for generator, count in zip(self.of_seed, counts, strict=True)
        ]
        return np.concatenate(drawn)

    def by_seed(
        self, rows: np.ndarray
    ) -> Iterator[tuple[np.random.Generator, np.ndarray]]:
        """Each generator with a mask [n] of the rows that draw from it."""
        seed_of = self.seed_of(rows)
        for seed, generator in enumerate(self.of_seed):
            yield generator, seed_of == seed

    def state(self) -> list[Any]:
        """Return everything `load` needs to continue exactly from here."""
        return [generator.bit_generator.state for generator in self.of_seed]

    def load(self, saved: list[Any]) -> None:
        """Restore what `state` returned."""
        for generator, state in zip(self.of_seed, saved, strict=True):
            generator.bit_generator.state = state

    def _rows_of_each(self, rows: np.ndarray) -> np.ndarray:
        return np.bincount(self.seed_of(rows), minlength=len(self.of_seed))
