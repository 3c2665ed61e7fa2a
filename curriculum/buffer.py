"""The replay buffer: one ring per seed, every transition tagged with who chose it and at what planning rate."""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import torch

from curriculum.types import SOURCES, Batch, Spec, State, stream, within

SOURCE = {name: index for index, name in enumerate(SOURCES)}
SAMPLINGS = ("uniform", "fixed", "symmetric", "annealed")
OFFLINE = np.isin(SOURCES, ("expert", "random", "dataset"))  # sources that fill the buffer before training


class Transition(NamedTuple):
    """One step of every environment row of every seed."""

    obs: np.ndarray  # [P, E, *O]
    action: np.ndarray  # [P, E]
    reward: np.ndarray  # [P, E], the environment's alone
    terminated: np.ndarray  # [P, E] bool
    truncated: np.ndarray  # [P, E] bool
    next_obs: np.ndarray  # [P, E, *O], the true last observation where the episode is over
    source: np.ndarray  # [P, E] index into SOURCES
    planning_rate: np.ndarray  # [P, E]


@dataclass(kw_only=True)
class Buffer:
    """Rings of `capacity` transitions per seed, with n-step windows that never cross an episode's border."""

    capacity: int = 100_000
    sampling: str = "uniform"  # one of SAMPLINGS
    shares: dict[str, float] = field(default_factory=dict)  # source -> weight, for "fixed"

    def __post_init__(self) -> None:
        within(self, 1, float("inf"), "capacity")
        if self.sampling not in SAMPLINGS:
            raise ValueError(f"no sampling {self.sampling!r}; there are: {', '.join(SAMPLINGS)}")

    def setup(self, spec: Spec, seeds: tuple[int, ...], rows_each: int) -> Self:
        """Allocate the rings for `rows_each` environment rows per seed."""
        if self.capacity < 2 * rows_each:
            raise ValueError(f"capacity must be at least two steps of all rows ({2 * rows_each}), got {self.capacity}")
        lead, obs = (len(seeds), self.capacity), (spec.obs_shape, spec.obs_dtype)
        self.columns = {
            "obs": np.zeros((*lead, *obs[0]), obs[1]),
            "action": np.zeros(lead, np.int64) if spec.actions else np.zeros((*lead, spec.action_size), np.float32),
            "reward": np.zeros(lead, np.float32),
            "terminated": np.zeros(lead, bool),
            "truncated": np.zeros(lead, bool),
            "next_obs": np.zeros((*lead, *obs[0]), obs[1]),
            "source": np.zeros(lead, np.uint8),
            "planning_rate": np.zeros(lead, np.float32),
            "episode": np.zeros(lead, np.int32),
            "successor": np.full(lead, -1, np.int32),  # slot of the same episode's next transition, -1 for none (yet)
        }
        self.added = np.zeros(len(seeds), np.int64)  # transitions ever stored; modulo capacity the next slot
        self.open_slot = np.full((len(seeds), rows_each), -1, np.int64)  # where a row's running episode was stored last
        self.episode = np.tile(np.arange(rows_each), (len(seeds), 1))  # id of each row's running episode
        self.queue = np.zeros((len(seeds), len(SOURCES), self.capacity), np.int32)  # each source's slots, oldest first
        self.head = np.zeros((len(seeds), len(SOURCES)), np.int64)
        self.count = np.zeros((len(seeds), len(SOURCES)), np.int64)
        self.drawn = np.zeros((len(seeds), len(SOURCES)), np.int64)  # sampled since the shares were last read
        self.generators = [stream(seed, "batch") for seed in seeds]
        return self

    @property
    def size(self) -> np.ndarray:
        """Transitions held by each seed, [P]."""
        return np.minimum(self.added, self.capacity)

    @property
    def memory_bytes(self) -> int:
        """What the rings occupy, full or not."""
        return sum(c.nbytes for c in self.columns.values()) + self.queue.nbytes

    def add(self, step: Transition, keep: np.ndarray | None = None) -> None:
        """Append one step of all rows, or those in mask `keep` [P, E]."""
        over = step.terminated | step.truncated
        keep = np.ones(over.shape, bool) if keep is None else keep
        for p in range(len(over)):
            rows = np.flatnonzero(keep[p])
            slots = (self.added[p] + np.arange(rows.size)) % self.capacity
            self._retire(p, slots)
            for name, values in zip(Transition._fields, step, strict=True):
                self.columns[name][p, slots] = values[p, rows]
            self.columns["episode"][p, slots] = self.episode[p, rows]
            self.columns["successor"][p, slots] = -1
            before = self.open_slot[p, rows]
            self.columns["successor"][p, before[before >= 0]] = slots[before >= 0]
            self.open_slot[p] = -1  # a step that is not kept breaks its episode's chain
            self.open_slot[p, rows] = np.where(over[p, rows], -1, slots)
            self._enqueue(p, slots, step.source[p, rows])
            self.added[p] += rows.size
        self.episode += over * self.episode.shape[1]

    def _retire(self, p: int, slots: np.ndarray) -> None:
        # the oldest transition of the ring is also the oldest of its source, so it stands at its queue's head
        old = slots[self.added[p] + np.arange(slots.size) >= self.capacity]
        gone = np.bincount(self.columns["source"][p, old], minlength=len(SOURCES))
        self.head[p] = (self.head[p] + gone) % self.capacity
        self.count[p] -= gone

    def _enqueue(self, p: int, slots: np.ndarray, source: np.ndarray) -> None:
        for s in np.unique(source):
            mine = slots[source == s]
            end = self.head[p, s] + self.count[p, s]
            self.queue[p, s, (end + np.arange(mine.size)) % self.capacity] = mine
            self.count[p, s] += mine.size

    def sample(self, batch_size: int, discount: float, n_step: int = 1, progress: float = 0.0) -> Batch:
        """Draw [P, B] transitions with n-step rewards; every seed draws from its own generator.

        A seed that holds nothing yet gets rows of zeros, which its learner must leave aside.
        `progress` in [0, 1] is the share of the run that is over, for annealed sampling."""
        coins = np.stack([g.random((2, batch_size)) for g in self.generators], axis=1)  # [2, P, B]
        if self.sampling == "uniform":
            slot = (coins[1] * self.size[:, None]).astype(np.int64)
        else:
            slot = self._by_source(coins, self._weights(progress))
        seed = np.arange(len(slot))[:, None]
        sources = self.columns["source"][seed, slot]
        for p in np.flatnonzero(self.size):
            self.drawn[p] += np.bincount(sources[p], minlength=len(SOURCES))
        return self._window(seed, slot, discount, n_step)

    def _weights(self, progress: float) -> np.ndarray:
        """Probability of each source [P, S], never of one that is empty."""
        if self.sampling == "fixed":
            wanted = np.array([self.shares.get(name, 0.0) for name in SOURCES]) * (self.count > 0)
        else:  # a share for all that was there before training, in proportion to what is held
            offline = 0.5 if self.sampling == "symmetric" else 1 - progress
            group = np.where(
                OFFLINE, (self.count * OFFLINE).sum(-1, keepdims=True), (self.count * ~OFFLINE).sum(-1, keepdims=True)
            )
            wanted = np.where(OFFLINE, offline, 1 - offline) * self.count / np.maximum(group, 1)
        total = wanted.sum(-1, keepdims=True)
        held = np.maximum(self.count.sum(-1, keepdims=True), 1)
        return np.where(total > 0, wanted, self.count) / np.where(total > 0, total, held)

    def _by_source(self, coins: np.ndarray, weights: np.ndarray) -> np.ndarray:
        bounds = weights.cumsum(-1)
        bounds[:, -1] = 1.0
        seed = np.arange(len(weights))[:, None]
        source = (coins[0][..., None] >= bounds[:, None]).sum(-1)  # [P, B]
        source = np.where(self.count[seed, source] > 0, source, weights.argmax(-1)[:, None])  # rounding at a bound
        place = self.head[seed, source] + (coins[1] * self.count[seed, source]).astype(np.int64)
        return self.queue[seed, source, place % self.capacity]

    def _window(self, seed: np.ndarray, slot: np.ndarray, discount: float, n_step: int) -> Batch:
        columns = self.columns
        reward, last, factor = columns["reward"][seed, slot], slot, np.full(slot.shape, discount, np.float32)
        for _ in range(n_step - 1):
            following = columns["successor"][seed, last]
            goes_on = following >= 0
            last = np.where(goes_on, following, last)
            reward = reward + np.where(goes_on, factor * columns["reward"][seed, last], np.float32(0))
            factor = np.where(goes_on, factor * np.float32(discount), factor)
        return Batch(
            torch.from_numpy(columns["obs"][seed, slot]),
            torch.from_numpy(columns["action"][seed, slot]),
            torch.from_numpy(reward),
            torch.from_numpy(factor * ~columns["terminated"][seed, last]),
            torch.from_numpy(columns["next_obs"][seed, last]),
        )

    def recent_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` of the newest observations of every seed, [n, *O] each."""
        newest = [
            (added - 1 - np.arange(min(n, size))) % self.capacity
            for added, size in zip(self.added, self.size, strict=True)
        ]
        return [self.columns["obs"][p, slots] for p, slots in enumerate(newest)]

    def distinct_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` different observations of every seed, [n, *O] each, spread over all that it holds."""
        held = [np.unique(self.columns["obs"][p, :size], axis=0) for p, size in enumerate(self.size)]
        return [obs[np.linspace(0, len(obs) - 1, min(n, len(obs)), dtype=int)] for obs in held]

    def read_shares(self) -> np.ndarray:
        """Share of each source [P, S] in what was sampled since this was last asked; nan where nothing was."""
        total = self.drawn.sum(-1, keepdims=True)
        shares = np.where(total > 0, self.drawn / np.maximum(total, 1), np.nan)
        self.drawn[:] = 0
        return shares

    def state(self) -> State:
        """The filled part of every ring and all counters."""
        filled = int(self.size.max(initial=0))
        return {
            "columns": {name: column[:, :filled] for name, column in self.columns.items()},
            "queue": self.queue[..., :filled],
            **{name: getattr(self, name) for name in ("added", "open_slot", "episode", "head", "count", "drawn")},
            "generators": [g.bit_generator.state for g in self.generators],
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        for name, column in self.columns.items():
            column[:, : state["columns"][name].shape[1]] = state["columns"][name]
        self.queue[..., : state["queue"].shape[-1]] = state["queue"]
        for name in ("added", "open_slot", "episode", "head", "count", "drawn"):
            getattr(self, name)[:] = state[name]
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved


def estimate_bytes(spec: Spec, seeds: int, capacity: int) -> int:
    """Memory that the buffer of a run will take."""
    obs = int(np.prod(spec.obs_shape)) * np.dtype(spec.obs_dtype).itemsize
    action = 8 if spec.actions else 4 * spec.action_size
    return seeds * capacity * (2 * obs + action + 4 + 1 + 1 + 1 + 4 + 4 + 4 + 4 * len(SOURCES))
