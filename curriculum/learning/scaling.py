"""How observations are scaled, feature by feature: by declared bounds or by data."""

import numpy as np

from curriculum.types import Spec, State

WIDEST = 1e6  # bounds further apart say nothing about the observations
USED = 0.05  # share of the width that data must span for bounds to be useful
ENOUGH = 500  # observations after which bounds may be found useless
# smallest deviation of a feature, as a share of its largest absolute value
LEAST_DEVIATION = 0.01
SMALLEST = 1e-30  # its inverse is still a number in float32
# observations after which scales are computed anew, then again after twice as many more
FIRST_INTERVAL = 64
UNDECIDED, BOUNDS, DATA = range(3)  # how a feature is scaled


class Statistics:
    """Running statistics of observations, for each of P seeds on its own."""

    def __init__(self, seeds: int, size: int):
        self.count = np.zeros((seeds, 1), np.int64)
        # an observation that the sums are relative to, so that they stay precise
        self.origin = np.zeros((seeds, size))
        self.sums = np.zeros((seeds, size))
        self.squares = np.zeros((seeds, size))
        self.low = np.full((seeds, size), np.inf)
        self.high = np.full((seeds, size), -np.inf)

    def add(self, obs: np.ndarray, present: np.ndarray) -> None:
        """Add observations [P, n, O] of the seeds in mask `present` [P, 1]."""
        if not self.count.all():
            first = present & (self.count == 0)
            self.origin = np.where(first, obs[:, 0], self.origin)
        difference = obs - self.origin[:, None]  # float64
        self.count += present * obs.shape[1]
        self.sums += present * difference.sum(1)
        self.squares += present * np.square(difference).sum(1)
        np.minimum(self.low, obs.min(1), out=self.low, where=present)
        np.maximum(self.high, obs.max(1), out=self.high, where=present)

    def mean(self) -> np.ndarray:
        """Means [P, O]."""
        return self.origin + self.sums / np.maximum(self.count, 1)

    def deviation(self) -> np.ndarray:
        """Standard deviations [P, O]."""
        offset = self.sums / np.maximum(self.count, 1)
        total = self.squares - offset * self.sums
        variance = total / np.maximum(self.count - 1, 1)
        return np.sqrt(np.maximum(variance, 0))

    def magnitude(self) -> np.ndarray:
        """Largest absolute values [P, O]."""
        return np.maximum(np.abs(self.low), np.abs(self.high))


class ObsScale:
    """Mean and scale of every feature of P seeds: (obs - mean) * scale is about in
    [-1, 1].

    A feature is scaled by its bounds where the data use a good part of their width,
    else by the mean and deviation of all data so far. A feature that has not varied yet
    keeps its bounds, or is only centred. The data are looked at again whenever they
    have grown by a number that doubles each time, so scales change ever less often."""

    def __init__(self, spec: Spec, seeds: int):
        low = np.ravel(spec.obs_low).astype(np.float64)
        high = np.ravel(spec.obs_high).astype(np.float64)
        bounded = np.isfinite(low) & np.isfinite(high)
        low = np.where(bounded, low, 0)
        self.width = np.where(bounded, high, np.inf) - low  # [O]
        narrow = self.width <= WIDEST
        self.usable = narrow & (self.width > 0)
        self.statistics = Statistics(seeds, low.size)
        self.mode = np.full((seeds, low.size), UNDECIDED, np.int8)
        self.centred = ~narrow  # by data, while a feature does not vary
        centre = np.where(narrow, low + self.width / 2, 0)
        self.mean = np.tile(centre, (seeds, 1))
        scale = np.divide(2, self.width, out=np.ones(low.size), where=self.usable)
        self.scale = np.tile(scale, (seeds, 1))
        # in observations: between computations, and when the next one is due
        self.interval = np.full(seeds, FIRST_INTERVAL)
        self.due_at = np.full(seeds, 2)

    def add(self, obs: np.ndarray, present: np.ndarray | None = None) -> np.ndarray:
        """Add observations [P, n, O] of the seeds in mask `present` [P]; returns the
        mask of seeds whose scales were computed anew."""
        if present is None:
            present = np.ones(len(self.mean), bool)
        self.statistics.add(obs, present[:, None])
        due = self.statistics.count[:, 0] >= self.due_at
        if due.any():
            self._compute(due)
            self.due_at[due] = self.statistics.count[due, 0] + self.interval[due]
            self.interval[due] *= 2
        return due

    @property
    def unseen(self) -> np.ndarray:
        """Seeds without any observation so far, [P] bool."""
        return self.statistics.count[:, 0] == 0

    def refresh(self) -> None:
        """Compute scales anew, and soon again."""
        self._compute(np.ones(len(self.mean), bool))
        self.due_at[:] = self.statistics.count[:, 0] + FIRST_INTERVAL
        self.interval[:] = 2 * FIRST_INTERVAL

    def _compute(self, seeds: np.ndarray) -> None:
        """Decide, and compute scales from all data so far, for seeds in a mask [P]."""
        data = self.statistics
        mean = data.mean()
        magnitude = data.magnitude()
        least = np.maximum(LEAST_DEVIATION * magnitude, SMALLEST)
        deviation = np.maximum(data.deviation(), least)
        known = seeds[:, None] & (data.count > 1) & np.isfinite(deviation)
        self._decide(known)
        by_data = known & (self.mode == DATA)
        centred = known & (self.mode == UNDECIDED) & self.centred
        self.mean = np.where(by_data | centred, mean, self.mean)
        self.scale[by_data] = 1 / deviation[by_data]
        self.scale[centred] = 1 / np.maximum(magnitude[centred], 1)

    def _decide(self, known: np.ndarray) -> None:
        """Decide how features in mask `known` [P, O] that vary are scaled for good."""
        data = self.statistics
        span = data.high - data.low
        undecided = known & (self.mode == UNDECIDED) & (span > 0)
        useful = self.usable & (span >= USED * self.width)
        enough = ~self.usable | (data.count >= ENOUGH)
        self.mode[undecided & useful] = BOUNDS
        self.mode[undecided & ~useful & enough] = DATA

    @property
    def settled(self) -> bool:
        """Whether no data can change anything any more."""
        return bool((self.mode == BOUNDS).all())

    def describe(self, seed: int) -> str:
        """How many features of the seed with this index are scaled in which way."""
        known = self.statistics.count[seed] > 1
        mode = self.mode[seed]
        waiting = (mode == UNDECIDED) & ~self.usable
        masks = {
            "by bounds": (mode != DATA) & self.usable,
            "by data": mode == DATA,
            "constant": waiting & known,
            "by data once there are some": waiting & ~known,
        }
        return ", ".join(
            f"{mask.sum()} {how}" for how, mask in masks.items() if mask.any()
        )

    def _arrays(self) -> State:
        return {
            "mode": self.mode,
            "mean": self.mean,
            "scale": self.scale,
            "interval": self.interval,
            "due_at": self.due_at,
            **vars(self.statistics),
        }

    def state(self) -> State:
        """Return everything that `load` restores."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        for name, array in self._arrays().items():
            array[...] = state[name]
