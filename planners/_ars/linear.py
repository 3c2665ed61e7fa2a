"""Linear policies of normalised observations."""

from typing import NamedTuple, Self

import numpy as np

SMALLEST_SCALE = 1e-6  # a number that varies less is not divided by its deviation


class Statistics(NamedTuple):
    """Mean and spread of all observations so far, [O] float64."""

    total: int  # observations
    mean: np.ndarray
    squares: np.ndarray  # sum of squared distances to the mean

    @classmethod
    def empty(cls, size: int) -> Self:
        """Statistics of no observation."""
        return cls(0, np.zeros(size), np.zeros(size))

    def including(self, obs: np.ndarray) -> "Statistics":
        """The statistics with more observations [n, O]."""
        seen = obs.astype(np.float64)
        total = self.total + len(seen)
        mean = seen.mean(0)
        squares = np.square(seen - mean).sum(0)
        distance = mean - self.mean
        between = np.square(distance) * self.total * len(seen) / total
        return Statistics(
            total,
            self.mean + distance * len(seen) / total,
            self.squares + squares + between,
        )

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviations [O], 1 where observations do not vary."""
        if not self.total:
            return np.ones_like(self.mean)
        deviation = np.sqrt(self.squares / self.total)
        return np.where(deviation < SMALLEST_SCALE, 1.0, deviation)


class Linear(NamedTuple):
    """A policy: a matrix times the normalised observation. A box action is clipped to
    [-1, 1]; of discrete actions the one with the highest number is taken."""

    matrix: np.ndarray  # [A, O] float64, or [n, A, O]: one for each observation
    mean: np.ndarray  # [O] float64
    deviation: np.ndarray  # [O] float64
    discrete: bool
    bias: np.ndarray | float = 0.0  # [A]

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions [n] int64 or [n, A] float32 for observations [n, O].

        The action for an observation does not depend on the others."""
        normalised = (obs - self.mean) / self.deviation
        # not a matrix product: its rounding depends on n
        output = (self.matrix * normalised[:, None, :]).sum(-1) + self.bias
        if self.discrete:
            return output.argmax(-1)
        return output.clip(-1, 1).astype(np.float32)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """What the policy's file holds, float32: the arrays of a dense policy (see
        `curriculum.types.Deployable`) with one layer."""
        return {
            "mean": self.mean.astype(np.float32),
            "scale": (1 / self.deviation).astype(np.float32),
            "0.weight": self.matrix.astype(np.float32),
            "0.bias": np.zeros(len(self.matrix), np.float32) + np.float32(self.bias),
        }


def policy_of(weights: dict[str, np.ndarray], discrete: bool) -> Linear:
    """The policy with the weights of a file."""
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    return Linear(
        exact["0.weight"],
        exact["mean"],
        1 / exact["scale"],
        discrete,
        exact["0.bias"],
    )
