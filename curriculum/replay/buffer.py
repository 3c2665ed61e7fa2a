"""The replay buffer: one ring per seed, every transition tagged with who chose it and
at what planning rate."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
import torch

from curriculum.replay import episodes, frames, shared
from curriculum.replay.episodes import Episodes
from curriculum.replay.frames import Frames
from curriculum.replay.layout import Transition, layout_of
from curriculum.replay.ring import Ring, Stored, origins
from curriculum.replay.sampling import SAMPLINGS, Sampler, Sources
from curriculum.replay.storage import Storage
from curriculum.replay.workspace import Sizes, Workspace
from curriculum.types import SOURCES, Batch, SharedData, Spec, State, within

SOURCE = {name: index for index, name in enumerate(SOURCES)}
# fields of a transition that are stored beside those in batches
TRACKED = ("reward", "terminated", "truncated", "source", "planning_rate")
# observations of shared data among which different ones are sought, for each wanted one
SEARCHED = 10
# numbers of observations of shared data that are handed out at once: larger arrays, one
# for every seed, would leave much memory that is not given back
OBSERVED = 1 << 15
# transitions that are held out together, and of how many blocks one is
BLOCK = 100
BLOCKS = 5


class Split(NamedTuple):
    """Observations of one seed."""

    used: np.ndarray  # [n, *O] float32 (uint8 for images)
    held_out: np.ndarray  # [m, *O], of other transitions

    @property
    def unseen(self) -> float:
        """Share of held-out observations that are not among those used."""
        seen = {obs.tobytes() for obs in self.used}
        return float(np.mean([obs.tobytes() not in seen for obs in self.held_out]))


@dataclass(kw_only=True)
class Buffer:
    """Rings of `capacity` transitions per seed, sampled in n-step windows that never
    cross the border of an episode."""

    capacity: int = 100_000
    sampling: str = "uniform"  # one of SAMPLINGS
    # weight of each source, for sampling "fixed"
    shares: dict[str, float] = field(default_factory=dict)
    reward_shift: float = 0.0  # added to every reward

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
        data: SharedData | None = None,
    ) -> Self:
        """Allocate the rings for `rows_per_seed` environment rows per seed; the columns
        of batches are on `device`.

        `needs` names the optional columns of `Batch` to store; `discount` is that of
        "mc_return". All seeds draw from `data` as well, of which there is one copy."""
        if self.capacity < 2 * rows_per_seed:
            raise ValueError(
                "capacity must be at least two steps of all rows "
                f"({2 * rows_per_seed}), got {self.capacity}"
            )
        if data:
            shared.require_fit(data, spec)
            if self.reward_shift:
                data = data._replace(reward=data.reward + self.reward_shift)
        self.data = data
        self.spec = spec
        self.seeds = seeds
        self.device = device
        self.layout = layout_of(spec, needs, discount)
        self.ring = Ring(len(seeds), self.capacity, evicts_early=spec.frames > 0)
        self.storage = Storage(self.layout, self.ring, device, data)
        self.episodes = Episodes(self.ring, rows_per_seed, data)
        self.frames: Frames | None = None
        if spec.frames:
            self.frames = Frames(spec, self.ring, rows_per_seed, device, data)
        self.sources = Sources(self.ring, queued=self.sampling != "uniform")
        self.sampler = Sampler(
            self.sampling,
            self.shares,
            seeds,
            self.ring,
            self.sources,
            shared.count(data),
        )
        self.workspace: Workspace | None = None
        self.origins = origins(len(seeds), rows_per_seed, self.capacity)
        self.own_rows = np.arange(rows_per_seed)  # [E]
        stored = {*TRACKED, *self.layout.columns}
        self.fields = [name for name in Transition._fields if name in stored]
        return self

    @property
    def size(self) -> np.ndarray:
        """Transitions that each seed draws from, shared ones included, [P]."""
        return self.ring.size + shared.count(self.data)

    @property
    def count(self) -> np.ndarray:
        """Transitions of each source that each seed draws from, [P, S]."""
        return self.sampler.held

    @property
    def memory_bytes(self) -> int:
        """Memory of the rings, full or not, and of shared data, without its file."""
        frames_bytes = self.frames.memory_bytes if self.frames else 0
        return (
            self.storage.flat.nbytes
            + self.episodes.memory_bytes
            + self.sources.memory_bytes
            + frames_bytes
        )

    def add(self, step: Transition, keep: np.ndarray | None = None) -> None:
        """Store one step of all rows, or of those in mask `keep` [P, E]."""
        if self.reward_shift:
            step = step._replace(reward=step.reward + np.float32(self.reward_shift))
        stored, values = self._choose(step, keep)
        if self.ring.reuses_slots:
            self.sampler.count_drawn()
            self._evict(self.ring.added - self.capacity)
        if self.frames:
            self._evict(self.frames.add(step, stored))
        self.sources.add(stored, values["source"], values["planning_rate"])
        self.episodes.add(stored, values, step.terminated | step.truncated)
        self.storage.add(stored, values)
        for column, correction in self.layout.corrections(step, stored, self.episodes):
            self.storage.correct(column, correction)

    def _evict(self, oldest: np.ndarray) -> None:
        """Evict the transitions before number `oldest` [P] of each seed."""
        self.sources.evict(*self.ring.evict(oldest))

    def _choose(
        self, step: Transition, keep: np.ndarray | None
    ) -> tuple[Stored, dict[str, np.ndarray]]:
        """Give the transitions in mask `keep` [P, E] their numbers and slots; also
        returns what is stored of their fields, [n, ...] by name."""
        if keep is None:
            chosen = self.origins
            number = self.ring.append_all(self.own_rows).reshape(-1)
            values = step.of_rows(self.fields, None)
        else:
            chosen = self.origins.chosen(keep)
            number = self.ring.append(keep).reshape(-1)[chosen.position]
            values = step.of_rows(self.fields, chosen.position)
        slot = number % self.capacity
        stored = Stored(
            position=chosen.position,
            seed=chosen.seed,
            row=chosen.row,
            number=number,
            slot=slot,
            place=chosen.ring + slot,
            previous=self.episodes.latest.reshape(-1)[chosen.position],
            over=values["terminated"] | values["truncated"],
        )
        return stored, values

    def sample(
        self,
        batch_size: int,
        discount: float,
        n_step: int = 1,
        progress: float = 0.0,
        batches: int = 1,
    ) -> list[Batch]:
        """Draw `batches` batches [P, B] with n-step rewards.

        The next call reuses their tensors; clone what you keep. Do not change them in
        place: with stacked frames, `obs` and `next_obs` share memory. A seed that holds
        nothing gets zeros, which its learner must ignore. `progress` in [0, 1] is the
        share of the run that is over, for sampling "annealed"."""
        workspace = self.workspace
        if workspace is None or not workspace.fits(batches, batch_size, n_step):
            workspace = self._new_workspace(batches, batch_size, n_step)
        if discount != self.storage.discount:
            self.storage.set_discount(discount, self.episodes.followed.terminated)
        self.sampler.draw(workspace, progress)
        if n_step == 1:
            if self.layout.has_windows:
                workspace.gather_windows(self.storage, [workspace.index])
            return workspace.gather(self.storage, self.frames, None)
        windows = self.episodes.windows(workspace.index, discount, n_step)
        found = workspace.gather(self.storage, self.frames, windows.last)
        if self.layout.has_windows:
            workspace.gather_windows(self.storage, windows.steps)
        workspace.reward.copy_(torch.from_numpy(windows.reward))
        workspace.discount.copy_(torch.from_numpy(windows.discount))
        return found

    def drawn_apart(self, name: str) -> Self:
        """The same transitions, drawn uniformly and from random streams of this name:
        what is drawn here does not change."""
        apart = copy.copy(self)
        apart.workspace = None
        apart.sampler = Sampler(
            "uniform",
            {},
            self.seeds,
            self.ring,
            self.sources,
            shared.count(self.data),
            name,
        )
        return apart

    def sampled_sources(self) -> np.ndarray:
        """Indices into SOURCES of what `sample` drew last, [batches, P, B]."""
        assert self.workspace is not None
        return self.sampler.sources_at(self.workspace.index)

    def _new_workspace(self, batches: int, batch_size: int, n_step: int) -> Workspace:
        self.workspace = Workspace(
            self.spec,
            self.layout,
            Sizes(batches, len(self.size), batch_size),
            self.sampler.coins,
            n_step,
            self.device,
        )
        return self.workspace

    def read_shares(self) -> np.ndarray:
        """Share of each source [P, S] in what was sampled since the last call, nan
        where nothing was."""
        return self.sampler.read_shares()

    def recent_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` of the newest observations of every seed, [n, *O] each, newest
        first; shared ones are older than all that a seed collected."""
        found = []
        for p in range(len(self.size)):
            newest = self._places(p)[::-1][:n]
            found.append(self._obs(newest))
        return found

    def distinct_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` different observations of every seed, [n, *O] each, spread evenly
        over all that it draws from.

        It reads only `n` of stacked frames, and only ten times as many of shared data,
        so duplicates among these make it fewer."""
        return [self._distinct(self._places(p), n) for p in range(len(self.size))]

    def _distinct(self, places: np.ndarray, n: int) -> np.ndarray:
        """Up to `n` different observations [n, *O], spread evenly over places."""
        if self.frames:
            places = places[_spread(len(places), n)]
        elif self.data:
            places = places[_spread(len(places), SEARCHED * n)]
        obs = self._obs(places)
        # equal observations keep the last one's index, in the order of the first
        last_index = {o.tobytes(): i for i, o in enumerate(obs)}
        distinct = np.array(list(last_index.values()), int)
        return obs[distinct[_spread(len(distinct), n)]]

    def split_obs(
        self,
        n: int,
        held_out: int,
        generators: Sequence[np.random.Generator],
        shares: Mapping[str, float] | None = None,
    ) -> list[Split]:
        """Observations of every seed for two purposes.

        Transitions, in their order, are cut into blocks, of which a fifth is held out.
        Without `shares`, weights of sources, up to `n` observations that differ are
        used; with them, `n` as they come. ValueError where a seed has none of a
        source."""
        found = []
        for p, generator in enumerate(generators):
            places = self._places(p)
            size = min(BLOCK, -(-len(places) // BLOCKS))
            block = np.arange(len(places)) // size
            order = generator.permutation(block[-1] + 1)
            is_held_out = order[block] < max(len(order) // BLOCKS, 1)
            others = generator.permutation(places[is_held_out])[:held_out]
            used = places[~is_held_out]
            if shares:
                used = self._drawn(used, n, shares, generator)
                obs = self._obs(used)
            else:
                obs = self._distinct(used, n)
            found.append(Split(obs, self._obs(others)))
        return found

    def _drawn(
        self,
        places: np.ndarray,
        n: int,
        shares: Mapping[str, float],
        generator: np.random.Generator,
    ) -> np.ndarray:
        """About `n` places, of every source as many as its share; each place at most
        once."""
        source = np.full(len(places), SOURCE["dataset"])
        is_own = places < self.ring.places
        source[is_own] = self.sources.at(places[is_own])
        total = sum(shares.values())
        parts = []
        for name, weight in shares.items():
            own = places[source == SOURCE[name]]
            if weight and not len(own):
                held = ", ".join(SOURCES[index] for index in np.unique(source))
                raise ValueError(
                    f"the buffer holds no observations of source {name}; it has: {held}"
                )
            wanted = round(n * weight / total)
            parts.append(generator.permutation(own)[:wanted])
        return np.concatenate(parts)

    def first_obs(self, n: int) -> list[np.ndarray]:
        """Up to `n` first observations of the episodes of every seed, [n, *O] each,
        spread evenly over all whose first step it holds."""
        found = []
        for p in range(len(self.size)):
            places = self._places(p)
            begins = places[self.episodes.begins(p)]
            found.append(self._obs(begins[_spread(len(begins), n)]))
        return found

    def shared_obs(self) -> Iterator[np.ndarray]:
        """All observations of shared data but the last ones of episodes, [n, *O] at a
        time; none of stacked frames."""
        if self.data and not self.frames:
            for _, values in shared.chunks(self.data, OBSERVED):
                yield values["obs"]

    def _places(self, p: int) -> np.ndarray:
        """Places of all that one seed draws from: shared data, then what it has
        collected, oldest first."""
        places = self.ring.places
        in_shared = np.arange(places, places + shared.count(self.data))
        in_ring = self.ring.offset[p, 0] + self.ring.slots(p)
        return np.concatenate([in_shared, in_ring])

    def _obs(self, places: np.ndarray) -> np.ndarray:
        """Observations [n, *O] at these places."""
        if self.frames:
            return self.frames.obs(places)
        return self.storage.obs(places).reshape(-1, *self.spec.obs_shape)

    def episode_returns(self) -> list[np.ndarray]:
        """Undiscounted returns of the shared episodes that are over, and of those that
        each seed holds from their first step to their end."""
        return [self.episodes.complete_returns(p) for p in range(len(self.size))]

    def state(self) -> State:
        """Return the filled part of every ring, all counters and generators; of shared
        data only what it is known by."""
        return {
            "data": shared.identity(self.data),
            "ring": self.ring.state(),
            "storage": self.storage.state(),
            "episodes": self.episodes.state(),
            "frames": self.frames.state() if self.frames else {},
            "sources": self.sources.state(),
            "sampler": self.sampler.state(),
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned; ValueError if the shared data are others."""
        shared.require_same(self.data, state.get("data", {}))
        self.ring.load(state["ring"])
        self.storage.load(state["storage"])
        self.episodes.load(state["episodes"])
        if self.frames:
            self.frames.load(state["frames"])
        self.sources.load(state["sources"])
        self.sampler.load(state["sampler"])
        if self.data:
            terminated = self.episodes.followed.terminated
            self.storage.set_discount(self.storage.discount, terminated)


def estimate_bytes(
    spec: Spec,
    seeds: int,
    capacity: int,
    rows_per_seed: int = 1,
    sampling: str = "uniform",
    needs: tuple[str, ...] = (),
    data: SharedData | None = None,
) -> int:
    """Memory that a buffer will allocate; `rows_per_seed` has a small effect, and only
    on stacked frames."""
    packed = 4 * layout_of(spec, needs).width
    columns = episodes.Columns.empty(1, 1).nbytes
    source = 1
    planning_rate = 4
    queues = 0 if sampling == "uniform" else 4 * len(SOURCES)
    per_transition = packed + columns + source + planning_rate + queues
    total = capacity * per_transition
    if spec.frames:
        total += frames.bytes_per_seed(spec, capacity, rows_per_seed)
    first_row = 8 if spec.frames else 0
    per_shared = packed + episodes.FOLLOWED_BYTES + first_row
    return seeds * total + shared.count(data) * per_shared


def _spread(size: int, n: int) -> np.ndarray:
    """Up to `n` indices spread evenly over `size`."""
    return np.linspace(0, size - 1, min(n, size), dtype=int)
