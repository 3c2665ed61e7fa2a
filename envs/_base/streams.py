"""Random draws for the rows of several seeds, each from the seed's own generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Streams:
    """Several seeds' generators behind one draw: rows in order of seeds, `rows_each` a
    seed.

    A seed's rows get the numbers they would get if the seed were alone."""

    def __init__(self, generators: Sequence[np.random.Generator], rows_each: int):
        self.generators, self.rows_each = list(generators), rows_each

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers [N, ...]: every seed draws for its own rows."""
        rest = size[1:]
        return np.concatenate(
            [g.random((self.rows_each, *rest)) for g in self.generators]
        )

    def of(self, rows: np.ndarray) -> RowStreams:
        """The draw for a few of the rows, given by sorted index."""
        return RowStreams(
            self.generators,
            np.bincount(rows // self.rows_each, minlength=len(self.generators)),
        )


class RowStreams:
    """Draws for `counts[p]` rows of each generator p."""

    def __init__(self, generators: Sequence[np.random.Generator], counts: np.ndarray):
        self.generators, self.counts = generators, counts

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        """Uniform numbers [sum(counts), ...]."""
        rest = size[1:]
        return np.concatenate(
            [
                g.random((n, *rest))
                for g, n in zip(self.generators, self.counts, strict=True)
                if n
            ]
        )
