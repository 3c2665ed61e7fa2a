"""The replay buffer: one ring per seed, every transition tagged with who chose it and
at what planning rate.

What a batch needs of a transition is one packed float32 row, so that a call gathers it
in one go: observation, action, reward, discount, next observation, return. Observations
of uint8 that are no stacks of pictures are float32 there, four times their size. What
no batch needs stands in numpy columns.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import torch

from curriculum.replay import episodes
from curriculum.replay.episodes import Chains
from curriculum.replay.frames import Frames, ring_bytes
from curriculum.replay.sampling import SAMPLINGS, Law
from curriculum.replay.workspace import Batches, widths
from curriculum.types import SOURCES, Batch, Spec, State, stream, within

SOURCE = {name: index for index, name in enumerate(SOURCES)}
TAGS = {"source": np.uint8, "planning_rate": np.float32}
COUNT_AFTER = 32_768  # rows drawn whose sources are counted at once


class Transition(NamedTuple):
    """One step of every environment row of every seed."""

    obs: np.ndarray  # [P, E, *O]
    action: np.ndarray  # [P, E], or [P, E, A]
    reward: np.ndarray  # [P, E], the environment's alone
    terminated: np.ndarray  # [P, E] bool
    truncated: np.ndarray  # [P, E] bool
    # [P, E, *O], the true last observation where the episode is over
    next_obs: np.ndarray
    source: np.ndarray  # [P, E] index into SOURCES
    planning_rate: np.ndarray  # [P, E]


@dataclass(kw_only=True)
class Buffer:
    """Rings of `capacity` transitions per seed, with n-step windows that never cross an
    episode's border."""

    capacity: int = 100_000
    sampling: str = "uniform"  # one of SAMPLINGS
    # source -> weight, for "fixed"
    shares: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        within(self, 1, float("inf"), "capacity")
        if self.sampling not in SAMPLINGS:
            raise ValueError(
                f"no sampling {self.sampling!r}; there are: {', '.join(SAMPLINGS)}"
            )

    def setup(
        self,
        spec: Spec,
        seeds: tuple[int, ...],
        rows_per_seed: int,
        device: str = "cpu",
        needs: tuple[str, ...] = (),
        discount: float = 1.0,
    ) -> Self:
        """Allocate the rings for `rows_per_seed` environment rows per seed; the columns
        of batches lie on `device`.

        `needs` names the optional columns of `Batch` to store; `discount` is that of
        "mc_return"."""
        if self.capacity < 2 * rows_per_seed:
            raise ValueError(
                f"capacity must be at least two steps of all rows ({2 * rows_per_seed}), got {self.capacity}"
            )
        lead, self.spec, self.device, self.discount = (
            (len(seeds), self.capacity),
            spec,
            device,
            discount,
        )
        self.widths = widths(spec, needs)
        # numpy asks for huge pages, torch does not
        rows = np.zeros((*lead, sum(self.widths.values())), np.float32)
        self.rows = torch.from_numpy(rows).to(device)  # [P, capacity, W]
        self.flat = self.rows.view(-1, self.rows.shape[-1])
        # [P, 1], where each ring begins in `flat`
        self.first = np.arange(len(seeds))[:, None] * self.capacity
        self.row_discount = 1.0  # what the rows state as the discount of one step
        self.chains = Chains(*lead, rows_per_seed)
        self.columns = self.chains.columns | {
            name: np.zeros(lead, dtype) for name, dtype in TAGS.items()
        }
        self.frames = (
            Frames(spec, *lead, rows_per_seed, device) if spec.frames else None
        )
        if self.frames:
            # numbers of the pictures it shows
            self.columns["frames"] = np.zeros((*lead, spec.frames + 1), np.int64)
        self.law = Law(self.sampling, self.shares, *lead)
        # transitions ever stored; modulo capacity the next slot
        self.added = np.zeros(len(seeds), np.int64)
        # the first so many of them are no longer held
        self.gone = np.zeros(len(seeds), np.int64)
        self.held = np.zeros((len(seeds), 1), np.int64)  # the others
        # rows drawn whose sources the law has not counted yet
        self.uncounted: list[np.ndarray] = []
        self.generators = [stream(seed, "batch") for seed in seeds]
        self.room: Batches | None = None
        return self

    @property
    def size(self) -> np.ndarray:
        """Transitions held by each seed, [P]."""
        return self.held[:, 0]

    @property
    def count(self) -> np.ndarray:
        """Transitions of each source held by each seed, [P, S]."""
        return self.law.count

    @property
    def memory_bytes(self) -> int:
        """What the rings occupy, full or not."""
        pictures = self.frames.memory_bytes if self.frames else 0
        return (
            self.rows.nbytes
            + sum(c.nbytes for c in self.columns.values())
            + self.law.queue.nbytes
            + pictures
        )

    def add(self, step: Transition, keep: np.ndarray | None = None) -> None:
        """Append one step of all rows, or those in mask `keep` [P, E]."""
        self._count_drawn()
        over = step.terminated | step.truncated
        keep = np.ones(over.shape, bool) if keep is None else keep
        seed, row = at = np.nonzero(keep)  # [n] each, seed by seed
        number = self.added[seed] + keep.cumsum(1)[at] - 1
        slot = number % self.capacity
        self.added = self.added + keep.sum(1)
        oldest = self.added - self.capacity
        if self.frames:
            before = self.chains.open_number[at]
            shown = self.columns["frames"][seed, before % self.capacity]
            shown, intact = self.frames.add(
                step.obs, step.next_obs, (seed, row), shown, before >= 0, number
            )
            oldest = np.maximum(oldest, intact)
        self._retire(np.maximum(oldest, self.gone))
        values = step._asdict()
        for name in TAGS:
            self.columns[name][seed, slot] = values[name][at]
        if self.frames:
            self.columns["frames"][seed, slot] = shown
        self.law.add(seed, step.source[at], slot)
        self.chains.add(seed, row, number, values)
        values |= {
            "discount": ~step.terminated * self.row_discount,
            "mc_return": np.full(over.shape, -np.inf),
        }
        parts = [
            values[name][at].reshape(len(seed), width)
            for name, width in self.widths.items()
            if width
        ]
        packed = torch.from_numpy(
            np.concatenate(parts, 1, dtype=np.float32, casting="unsafe")
        )
        places = torch.from_numpy(self.first[seed, 0] + slot)
        self.flat.index_copy_(0, places.to(self.device), packed.to(self.device))
        if "mc_return" in self.widths:
            for p, last in zip(
                seed[over[at]].tolist(), number[over[at]].tolist(), strict=True
            ):
                slots, returns = self.chains.returns(
                    p, last, int(self.gone[p]), self.discount
                )
                self.rows[p, slots, -1] = torch.tensor(returns, device=self.device)

    def _retire(self, oldest: np.ndarray) -> None:
        """Let go of what every seed stored before transition `oldest` [P]."""
        n = oldest - self.gone
        seed = np.arange(len(n)).repeat(n)
        number = (self.gone - n.cumsum() + n)[seed] + np.arange(n.sum())
        self.law.retire(seed, self.columns["source"][seed, number % self.capacity])
        self.gone, self.held = oldest, (self.added - oldest)[:, None]

    def sample(
        self,
        batch_size: int,
        discount: float,
        n_step: int = 1,
        progress: float = 0.0,
        batches: int = 1,
    ) -> list[Batch]:
        """Draw `batches` batches [P, B] with n-step rewards; every seed draws from its
        own generator.

        Their tensors are filled anew by the next call: copy what shall outlive it.
        Change none in place: stacked pictures share memory between `obs` and
        `next_obs`. A seed that holds nothing yet gets rows of zeros, which its learner
        must leave aside. `progress` in [0, 1] is the share of the run that is over, for
        annealed sampling."""
        room, sizes, far = self.room, (batches, len(self.held), batch_size), n_step > 1
        if room is None or room.sizes != sizes or room.far != far:
            room = self.room = Batches(
                self.spec, self.widths, sizes, self.law.coins, far, self.device
            )
        if discount != self.row_discount:
            self._rewrite_discounts(discount)
        self._draw(room, progress)
        last = room.index
        if far:
            last, reward, factor = self.chains.windows(
                room.index, self.first, discount, n_step
            )
        if self.frames:
            found = room.gather(
                self.flat, self.frames.words, self._shown(room.index, last)
            )
        else:
            found = room.gather(self.flat, self.flat, last if far else None)
        if far:
            room.reward.copy_(torch.from_numpy(reward))
            room.discount.copy_(torch.from_numpy(factor))
        return found

    def _draw(self, room: Batches, progress: float) -> None:
        """Choose the rows of `flat`; a batch is the same however many are drawn at
        once."""
        for generator, coins in zip(self.generators, room.coins, strict=True):
            generator.random(out=coins)
        if self.sampling != "uniform":
            room.index[:] = self.law.draw(room.turned, progress)
        else:
            np.multiply(
                room.turned[:, :, 0], self.held, out=room.index, casting="unsafe"
            )
            if self.frames:  # elsewhere the slots that are held begin at 0
                room.index[:] = (room.index + self.gone[:, None]) % self.capacity
        if len(self.first) > 1:
            room.index += self.first
        self.uncounted.append(room.index.copy())
        if len(self.uncounted) * room.index.size > COUNT_AFTER:
            self._count_drawn()

    def _rewrite_discounts(self, discount: float) -> None:
        """State another discount of one step in all rows, so that no batch must be
        multiplied by it."""
        filled = self.filled
        column = sum(list(self.widths.values())[: list(self.widths).index("discount")])
        stated = (discount * ~self.columns["terminated"][:, :filled]).astype(np.float32)
        self.rows[:, :filled, column] = torch.from_numpy(stated).to(self.device)
        self.row_discount = discount

    def _shown(self, index: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Where the pictures of windows from rows `index` to rows `last` stand,
        [batches, P, B, F + 1 or 2F]."""
        assert self.frames
        frames = self.columns["frames"].reshape(-1, self.spec.frames + 1)
        numbers = frames[index]
        if last is not index:
            numbers = np.concatenate((numbers[..., :-1], frames[last][..., 1:]), -1)
        return self.frames.places(numbers, np.arange(len(self.held))[:, None, None])

    def _count_drawn(self) -> None:
        """Count the sources of what was drawn, before any slot gets another one."""
        if self.uncounted:
            drawn = np.concatenate([index.reshape(-1) for index in self.uncounted])
            counted = self.law.by_source(
                drawn // self.capacity, self.columns["source"].reshape(-1)[drawn]
            )
            self.law.drawn += counted * (self.held > 0)
            self.uncounted.clear()

    def read_shares(self) -> np.ndarray:
        """Share of each source [P, S] in what was sampled since this was last asked;
        nan where nothing was."""
        self._count_drawn()
        return self.law.read_shares()

    def recent_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` of the newest observations of every seed, [n, *O] each."""
        return [self._obs(p, slots[::-1][:n]) for p, slots in enumerate(self._slots())]

    def distinct_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` different observations of every seed, [n, *O] each, spread over all
        that it holds.

        Of stacked pictures only `n` are looked at, and those among them that are equal
        make it fewer."""
        found = []
        for p, slots in enumerate(self._slots()):
            obs = self._obs(p, slots[_spread(len(slots), n)] if self.frames else slots)
            different = np.array(
                list({o.tobytes(): i for i, o in enumerate(obs)}.values()), int
            )
            found.append(obs[different[_spread(len(different), n)]])
        return found

    def episode_returns(self) -> list[np.ndarray]:
        """Undiscounted returns of the episodes that each seed holds from their first
        step to their end."""
        return [
            self.chains.whole_returns(p, slots) for p, slots in enumerate(self._slots())
        ]

    def _slots(self) -> list[np.ndarray]:
        """The slots that each seed holds, oldest first."""
        return [
            np.arange(gone, added) % self.capacity
            for gone, added in zip(self.gone, self.added, strict=True)
        ]

    def _obs(self, p: int, slots: np.ndarray) -> np.ndarray:
        if self.frames:
            return self.frames.stacks(self.columns["frames"][p, slots, :-1], p)
        rows = self.rows[p, :, : self.widths["obs"]][
            torch.from_numpy(slots.copy()).to(self.device)
        ]
        return rows.cpu().numpy().reshape(-1, *self.spec.obs_shape)

    @property
    def filled(self) -> int:
        """Slots that any seed ever wrote to."""
        return min(int(self.added.max(initial=0)), self.capacity)

    def state(self) -> State:
        """The filled part of every ring and all counters."""
        self._count_drawn()
        return {
            "rows": self.rows[:, : self.filled],
            "columns": {
                name: column[:, : self.filled] for name, column in self.columns.items()
            },
            "chains": self.chains.state(),
            "frames": self.frames.state() if self.frames else {},
            "law": self.law.state(self.filled),
            **{name: getattr(self, name) for name in ("added", "gone", "row_discount")},
            "generators": [g.bit_generator.state for g in self.generators],
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.added[:], self.gone[:], self.row_discount = (
            state["added"],
            state["gone"],
            state["row_discount"],
        )
        self.held = (self.added - self.gone)[:, None]
        self.rows[:, : self.filled] = torch.as_tensor(state["rows"], device=self.device)
        for name, column in self.columns.items():
            column[:, : self.filled] = state["columns"][name]
        self.chains.load(state["chains"])
        if self.frames:
            self.frames.load(state["frames"])
        self.law.load(state["law"])
        self.uncounted.clear()
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved


def estimate_bytes(
    spec: Spec,
    seeds: int,
    capacity: int,
    rows_per_seed: int = 1,
    sampling: str = "uniform",
    needs: tuple[str, ...] = (),
) -> int:
    """Memory that the buffer of a run will take; `rows_per_seed` matters to stacked
    pictures alone, and there little."""
    each = 4 * sum(widths(spec, needs).values())
    each += sum(
        np.dtype(dtype).itemsize
        for dtype in (*episodes.COLUMNS.values(), *TAGS.values())
    )
    each += 0 if sampling == "uniform" else 4 * len(SOURCES)
    if not spec.frames:
        return seeds * capacity * each
    return seeds * (
        capacity * (each + 8 * (spec.frames + 1))
        + ring_bytes(spec, capacity, rows_per_seed)
    )


def _spread(size: int, n: int) -> np.ndarray:
    """Up to `n` places spread evenly over `size`."""
    return np.linspace(0, size - 1, min(n, size), dtype=int)
