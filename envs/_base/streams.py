"""Random numbers for the rows of several seeds, each from its own seed's generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Random(Protocol):
    """The random source of a world's dynamics: a `numpy.random.Generator`, or `Streams`
    where rows belong to different seeds."""

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers in [0, 1); the first axis of `size` counts rows."""
        ...


class Streams:
    """One random source for all rows, in order of seeds, `rows_per_seed` each.

    The rows of a seed get the same numbers as if the seed ran alone."""

    def __init__(self, generators: Sequence[np.random.Generator], rows_per_seed: int):
        self.generators = list(generators)
        self.rows_per_seed = rows_per_seed

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers [N, ...]: every seed draws for its own rows."""
        shape = (self.rows_per_seed, *size[1:])
        return np.concatenate([g.random(shape) for g in self.generators])

    def of(self, rows: np.ndarray) -> Random:
        """The random source of a subset of the rows, given by sorted indices."""
        if len(self.generators) == 1:
            return self.generators[0]
        owner = rows // self.rows_per_seed
        counts = np.bincount(owner, minlength=len(self.generators))
        return RowStreams(self.generators, counts)


class RowStreams:
    """The random source of a subset of the rows: `counts[p]` rows of seed p."""

    def __init__(self, generators: Sequence[np.random.Generator], counts: np.ndarray):
        self.generators = generators
        self.counts = counts

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers [sum(counts), ...]."""
        shape = size[1:]
        pairs = zip(self.generators, self.counts, strict=True)
        return np.concatenate([g.random((n, *shape)) for g, n in pairs if n])
