"""The sampling law: how many transitions of each source a seed holds, and which share
of a batch each source gets."""

import numpy as np

from curriculum.types import SOURCES, State

SAMPLINGS = ("uniform", "fixed", "symmetric", "annealed")
# sources that fill the buffer before training
OFFLINE = np.isin(SOURCES, ("expert", "random", "dataset"))


class Law:
    """Counts by source; under any law but "uniform" also a queue of each source's
    slots, 20 bytes a transition."""

    def __init__(
        self, sampling: str, shares: dict[str, float], seeds: int, capacity: int
    ):
        self.sampling, self.shares, self.capacity = sampling, shares, capacity
        # random numbers that one draw takes
        self.coins = 1 if sampling == "uniform" else 2
        queued = 0 if sampling == "uniform" else capacity
        # each source's slots, oldest first
        self.queue = np.zeros((seeds, len(SOURCES), queued), np.int32)
        self.head = np.zeros((seeds, len(SOURCES)), np.int64)
        self.count = np.zeros((seeds, len(SOURCES)), np.int64)
        # sampled since the shares were last read
        self.drawn = np.zeros((seeds, len(SOURCES)), np.int64)

    def by_source(self, seed: np.ndarray, source: np.ndarray) -> np.ndarray:
        """How many [P, S] of the transitions [n], each of a seed and a source, fall to
        each pair."""
        return np.bincount(
            seed * len(SOURCES) + source, minlength=self.count.size
        ).reshape(self.count.shape)

    def add(self, seed: np.ndarray, source: np.ndarray, slot: np.ndarray) -> None:
        """Take in transitions [n], in the order in which they were stored."""
        if self.sampling != "uniform":
            queue = seed * len(SOURCES) + source
            order = queue.argsort(kind="stable")
            queue = queue[order]
            end = (
                (self.head + self.count).reshape(-1)[queue]
                + np.arange(queue.size)
                - np.searchsorted(queue, queue)
            )
            self.queue.reshape(-1, self.capacity)[queue, end % self.capacity] = slot[
                order
            ]
        self.count += self.by_source(seed, source)

    def retire(self, seed: np.ndarray, source: np.ndarray) -> None:
        """Let go of transitions [n], the oldest of their seeds: they stand at the heads
        of their sources' queues."""
        lost = self.by_source(seed, source)
        self.head = (self.head + lost) % self.capacity
        self.count -= lost

    def draw(self, coins: np.ndarray, progress: float) -> np.ndarray:
        """Slots [batches, P, B] for `coins` [batches, P, 2, B], uniform in [0, 1)."""
        weights = self._weights(progress)
        bounds = weights.cumsum(-1)
        bounds[:, -1] = 1.0
        seed = np.arange(len(weights))[:, None]
        source = (coins[:, :, 0, :, None] >= bounds[:, None]).sum(-1)  # [batches, P, B]
        # rounding at a bound
        source = np.where(
            self.count[seed, source] > 0, source, weights.argmax(-1)[:, None]
        )
        place = self.head[seed, source] + (
            coins[:, :, 1] * self.count[seed, source]
        ).astype(np.int64)
        return self.queue[seed, source, place % self.capacity]

    def _weights(self, progress: float) -> np.ndarray:
        """Probability of each source [P, S], never of one that is empty."""
        if self.sampling == "fixed":
            wanted = np.array([self.shares.get(name, 0.0) for name in SOURCES]) * (
                self.count > 0
            )
        # a share for all that was there before training, in proportion to what is held
        else:
            offline = 0.5 if self.sampling == "symmetric" else 1 - progress
            group = np.where(
                OFFLINE,
                (self.count * OFFLINE).sum(-1, keepdims=True),
                (self.count * ~OFFLINE).sum(-1, keepdims=True),
            )
            wanted = (
                np.where(OFFLINE, offline, 1 - offline)
                * self.count
                / np.maximum(group, 1)
            )
        total = wanted.sum(-1, keepdims=True)
        held = np.maximum(self.count.sum(-1, keepdims=True), 1)
        return np.where(total > 0, wanted, self.count) / np.where(
            total > 0, total, held
        )

    def read_shares(self) -> np.ndarray:
        """Share of each source [P, S] in what was sampled since this was last asked;
        nan where nothing was."""
        total = self.drawn.sum(-1, keepdims=True)
        shares = np.where(total > 0, self.drawn / np.maximum(total, 1), np.nan)
        self.drawn[:] = 0
        return shares

    def state(self, filled: int) -> State:
        """All counters and the part of the queues that `filled` slots can have
        reached."""
        return {
            "queue": self.queue[..., :filled],
            "head": self.head,
            "count": self.count,
            "drawn": self.drawn,
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.queue[..., : state["queue"].shape[-1]] = state["queue"]
        for name in ("head", "count", "drawn"):
            getattr(self, name)[:] = state[name]
