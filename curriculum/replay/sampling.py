"""Sampling: how many transitions of each source a seed holds, and which of them are
drawn.

Each seed draws from its own generator. A batch does not depend on how many batches one
call draws.
"""

import numpy as np

from curriculum.replay.ring import Ring, Stored
from curriculum.replay.workspace import Workspace
from curriculum.types import SOURCES, State, stream

SAMPLINGS = ("uniform", "fixed", "symmetric", "annealed")
# mask of the sources that fill the buffer before training
DATASET = SOURCES.index("dataset")
OFFLINE = np.isin(SOURCES, ("expert", "random", "dataset"))
COUNT_AFTER = 32_768  # transitions drawn whose sources are counted at once


class Sources:
    """Who chose every stored transition, and at what planning rate.

    If `queued`, every source also has a queue of its slots, 20 bytes per transition in
    all."""

    def __init__(self, ring: Ring, queued: bool) -> None:
        seeds = len(ring.added)
        counters = (seeds, len(SOURCES))
        self.ring = ring
        self.queued = queued
        self.source = np.zeros((seeds, ring.capacity), np.uint8)  # index into SOURCES
        self.planning_rate = np.zeros((seeds, ring.capacity), np.float32)
        self.count = np.zeros(counters, np.int64)  # [P, S] transitions held
        # slots of each source, oldest first, beginning at `head`
        queue_length = ring.capacity if queued else 0
        self.queue = np.zeros((*counters, queue_length), np.int32)
        self.head = np.zeros(counters, np.int64)

    @property
    def memory_bytes(self) -> int:
        """Memory of the arrays that grow with the capacity."""
        return self.source.nbytes + self.planning_rate.nbytes + self.queue.nbytes

    def add(
        self, stored: Stored, source: np.ndarray, planning_rate: np.ndarray
    ) -> None:
        """Add transitions with their sources and planning rates, [n] each."""
        self.source.reshape(-1)[stored.place] = source
        self.planning_rate.reshape(-1)[stored.place] = planning_rate
        if self.queued:
            self._enqueue(stored, source)
        self.count += self.tally(stored.seed, source)

    def _enqueue(self, stored: Stored, source: np.ndarray) -> None:
        """Append the slots to the queues of their sources."""
        capacity = self.ring.capacity
        queue = stored.seed * len(SOURCES) + source
        order = queue.argsort(kind="stable")
        queue = queue[order]
        first = np.searchsorted(queue, queue)  # of the same queue
        rank = np.arange(queue.size) - first
        end = (self.head + self.count).reshape(-1)
        place = end[queue] + rank
        queues = self.queue.reshape(-1, capacity)
        queues[queue, place % capacity] = stored.slot[order]

    def evict(self, seed: np.ndarray, slot: np.ndarray) -> None:
        """Remove transitions [n], the oldest of their seeds and so the heads of their
        queues."""
        evicted = self.tally(seed, self.source[seed, slot])
        self.head = (self.head + evicted) % self.ring.capacity
        self.count -= evicted

    def tally(self, seed: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Count transitions [n] by seed and source, [P, S]."""
        queue = seed * len(SOURCES) + source
        counts = np.bincount(queue, minlength=self.count.size)
        return counts.reshape(self.count.shape)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Sources of the transitions at places in all rings, flattened."""
        return self.source.reshape(-1)[places]

    def state(self) -> State:
        """Return the counters and the filled part of the arrays."""
        filled = self.ring.filled
        return {
            "source": self.source[:, :filled],
            "planning_rate": self.planning_rate[:, :filled],
            "count": self.count,
            "queue": self.queue[..., :filled],
            "head": self.head,
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.source[:, : self.ring.filled] = state["source"]
        self.planning_rate[:, : self.ring.filled] = state["planning_rate"]
        self.count[:] = state["count"]
        self.queue[..., : state["queue"].shape[-1]] = state["queue"]
        self.head[:] = state["head"]


class Sampler:
    """Draws transitions: uniformly, or first a source by its share and then one of its
    transitions.

    Shared data comes before what a seed has collected: its transitions have the ranks
    0 .. N - 1, among all transitions and among those of the source "dataset"."""

    def __init__(
        self,
        sampling: str,
        shares: dict[str, float],
        seeds: tuple[int, ...],
        ring: Ring,
        sources: Sources,
        shared: int = 0,
        name: str = "batch",  # of the random stream of each seed
    ) -> None:
        self.sampling = sampling
        self.weights = np.array([shares.get(name, 0.0) for name in SOURCES])
        self.ring = ring
        self.sources = sources
        self.shared = shared  # transitions N of the data that all seeds share
        self.generators = [stream(seed, name) for seed in seeds]
        # random numbers that one draw takes
        self.coins = 1 if sampling == "uniform" else 2
        # [P, S] transitions drawn since the shares were last read
        self.drawn = np.zeros_like(sources.count)
        # places drawn that `drawn` does not include yet
        self.uncounted: list[np.ndarray] = []

    def draw(self, workspace: Workspace, progress: float) -> None:
        """Draw the places of all batches into `workspace.index`."""
        for generator, coins in zip(self.generators, workspace.coins, strict=True):
            generator.random(out=coins)
        index = workspace.index
        if self.sampling == "uniform":
            self._draw_uniformly(workspace.coins_by_batch[:, :, 0], index)
        else:
            index[:] = self._draw_by_source(workspace.coins_by_batch, progress)
        self.uncounted.append(index.copy())
        is_much = len(self.uncounted) * index.size > COUNT_AFTER
        # what a seed without transitions draws does not count, also once it has some
        if is_much or not self.ring.size.all():
            self.count_drawn()

    def _draw_uniformly(self, coins: np.ndarray, places: np.ndarray) -> None:
        """Turn `coins` [batches, P, B], uniform in [0, 1), into places."""
        size = self.ring.size + self.shared
        np.multiply(coins, size[:, None], out=places, casting="unsafe")
        rank = places.copy() if self.shared else None
        places -= self.shared
        # otherwise the first `size` slots hold the transitions
        if self.ring.evicts_early:
            places += self.ring.evicted[:, None]
            places %= self.ring.capacity
        if len(self.generators) > 1:
            places += self.ring.offset
        if rank is not None:
            in_shared = self.ring.places + rank
            np.copyto(places, in_shared, where=rank < self.shared)

    def _draw_by_source(self, coins: np.ndarray, progress: float) -> np.ndarray:
        """Places [batches, P, B] for `coins` [batches, P, 2, B], uniform in [0, 1)."""
        count = self.held
        probability = self.probabilities(progress)
        bounds = probability.cumsum(-1)
        bounds[:, -1] = 1.0
        seed = np.arange(len(count))[:, None]
        source_coins = coins[:, :, 0, :, None]
        source = (source_coins >= bounds[:, None]).sum(-1)  # [batches, P, B]
        # rounding of a bound may have chosen a source of which nothing is held
        likeliest = probability.argmax(-1)[:, None]
        source = np.where(count[seed, source] > 0, source, likeliest)
        rank = (coins[:, :, 1] * count[seed, source]).astype(np.int64)
        shared = np.where(source == DATASET, self.shared, 0)
        queued = self.sources.head[seed, source] + rank - shared
        queued %= self.ring.capacity
        slot = self.sources.queue[seed, source, queued]
        in_shared = self.ring.places + rank
        return np.where(rank < shared, in_shared, self.ring.offset + slot)

    @property
    def held(self) -> np.ndarray:
        """Transitions of each source that a seed draws from, [P, S]."""
        held = self.sources.count.copy()
        held[:, DATASET] += self.shared
        return held

    def probabilities(self, progress: float) -> np.ndarray:
        """Probability of each source [P, S], 0 if nothing of it is held."""
        count = self.held
        if self.sampling == "fixed":
            wanted = self.weights * (count > 0)
        elif self.sampling == "symmetric":
            wanted = self._split_offline(0.5)
        else:
            wanted = self._split_offline(1 - progress)
        total = wanted.sum(-1, keepdims=True)
        size = np.maximum(count.sum(-1, keepdims=True), 1)
        # in proportion to what is held if nothing that is wanted is held
        possible = total > 0
        weights = np.where(possible, wanted, count)
        return weights / np.where(possible, total, size)

    def _split_offline(self, share: float) -> np.ndarray:
        """Weights [P, S] that give `share` to the sources that fill the buffer before
        training and the rest to the others, in proportion to what is held."""
        count = self.held
        offline = (count * OFFLINE).sum(-1, keepdims=True)
        online = (count * ~OFFLINE).sum(-1, keepdims=True)
        group_size = np.where(OFFLINE, offline, online)
        group_share = np.where(OFFLINE, share, 1 - share)
        return group_share * count / np.maximum(group_size, 1)

    def sources_at(self, places: np.ndarray) -> np.ndarray:
        """Sources of transitions, as indices into SOURCES."""
        in_ring = places < self.ring.places
        own = self.sources.at(np.where(in_ring, places, 0))
        return np.where(in_ring, own, DATASET)

    def count_drawn(self) -> None:
        """Count what was drawn by source; due before any slot gets another
        transition."""
        if not self.uncounted:
            return
        if self.shared:
            self._count_shared()
        places = np.concatenate([index.reshape(-1) for index in self.uncounted])
        seed = places // self.ring.capacity
        source = self.sources.at(places)
        drawn = self.sources.tally(seed, source)
        # a seed that holds nothing drew nothing
        holds = self.ring.size > 0
        self.drawn += drawn * holds[:, None]
        self.uncounted.clear()

    def _count_shared(self) -> None:
        """Count what was drawn from shared data, and leave the rest."""
        rest = []
        for index in self.uncounted:
            is_shared = index >= self.ring.places
            self.drawn[:, DATASET] += is_shared.sum((0, 2))
            rest.append(index[~is_shared])
        self.uncounted = rest

    def read_shares(self) -> np.ndarray:
        """Share of each source [P, S] in what was drawn since the last call, nan where
        nothing was."""
        self.count_drawn()
        total = self.drawn.sum(-1, keepdims=True)
        shares = np.where(total > 0, self.drawn / np.maximum(total, 1), np.nan)
        self.drawn[:] = 0
        return shares

    def state(self) -> State:
        """Return the counts and the generators."""
        self.count_drawn()
        generators = [generator.bit_generator.state for generator in self.generators]
        return {"drawn": self.drawn, "generators": generators}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.drawn[:] = state["drawn"]
        self.uncounted.clear()
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
