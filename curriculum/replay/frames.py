"""Frames of stacked observations: one ring of uint8 images per seed, each image stored
once."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from curriculum.replay import shared
from curriculum.replay.layout import Transition
from curriculum.replay.ring import Ring, Stored
from curriculum.types import SharedData, Spec, State

SHORT_EPISODE = 50  # steps; shorter episodes use more frames than are reserved


class SharedFrames(NamedTuple):
    """The frames of shared data."""

    first_row: np.ndarray  # [N] of the first of the F + 1 that a transition shows
    words: np.ndarray  # [R, words] memory-mapped


class Frames:
    """The frames that the stored transitions show.

    Each seed numbers its frames in the order in which it stores them. A transition of
    depth F shows F + 1 of them: the first F are its observation, the last F its next
    observation.

    Frames of shared data stay in its file, on the CPU. Places count those of all rings
    and then the rows of the file."""

    def __init__(
        self,
        spec: Spec,
        ring: Ring,
        rows_per_seed: int,
        device: str,
        data: SharedData | None = None,
    ) -> None:
        seeds = len(ring.added)
        self.ring = ring  # of the transitions
        self.depth = spec.frames
        self.device = device
        self.image_shape = spec.obs_shape[1:]
        self.capacity = capacity(self.depth, ring.capacity, rows_per_seed)
        # allocated by numpy, which asks for huge pages; torch does not
        pixels = np.zeros((seeds * self.capacity, *self.image_shape), np.uint8)
        self.pixels = torch.from_numpy(pixels).to(device)
        self.words = as_words(self.pixels)
        # [P, capacity of the transitions, F + 1] numbers of the frames that each shows
        self.shown = np.zeros((seeds, ring.capacity, self.depth + 1), np.int64)
        # [P, capacity] number of the last transition that shows a frame
        self.last_use = np.full((seeds, self.capacity), -1, np.int64)
        self.added = np.zeros(seeds, np.int64)  # [P] frames ever stored
        self.shared: SharedFrames | None = None
        if data:
            images = np.asarray(data.obs).reshape(len(data.obs), -1)
            self.shared = SharedFrames(shared.rows(data), _as_words(images))

    @property
    def memory_bytes(self) -> int:
        """Memory of all arrays."""
        first_row = self.shared.first_row.nbytes if self.shared else 0
        rings = self.pixels.nbytes + self.last_use.nbytes + self.shown.nbytes
        return rings + first_row

    def add(self, step: Transition, stored: Stored) -> np.ndarray:
        """Store the frames of a step that no transition shows yet.

        Returns the oldest transition [P] of each seed whose frames are all still
        stored."""
        if (step.obs[:, :, 1:] != step.next_obs[:, :, :-1]).any():
            raise ValueError(
                f"observations must stack {self.depth} consecutive frames: next_obs "
                "must be obs without its oldest frame, followed by one new frame"
            )
        seed = stored.seed
        continues = stored.previous >= 0
        begins = np.flatnonzero(~continues)
        begin_seed = seed[begins]
        first_obs = step.obs[begin_seed, stored.row[begins]]  # [m, F, H, W]
        new = self._new_frames(len(seed), begins, first_obs)
        numbers = self._number(seed, new)
        previous_slot = stored.previous % self.ring.capacity
        previous = self.shown[seed, previous_slot]
        numbers[continues, :-1] = previous[continues, 1:]
        self.shown[seed, stored.slot] = numbers

        new_first = new[begins, :-1]
        first_numbers = numbers[begins, :-1]
        first_places = self.places(first_numbers, begin_seed[:, None])
        self._write(first_places[new_first], first_obs[new_first])

        last_frame = step.next_obs[seed, stored.row, -1]
        last_places = self.places(numbers[:, -1], seed)
        self._write(last_places, last_frame)
        return self._use(stored, numbers, new)

    def _new_frames(
        self, count: int, begins: np.ndarray, first_obs: np.ndarray
    ) -> np.ndarray:
        """Mask [n, F + 1] of the frames to store: the last one of every transition, and
        of transitions `begins` [m], which share nothing with an earlier one, also those
        that differ from the frame before them."""
        new = np.zeros((count, self.depth + 1), bool)
        new[:, -1] = True
        new[begins, 0] = True
        # a reset often repeats its first frame
        differs = first_obs[:, 1:] != first_obs[:, :-1]
        new[begins, 1:-1] = differs.any((-2, -1))
        return new

    def _number(self, seed: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Number the frames in mask `new` [n, F + 1], the others as the one before
        them."""
        seeds = len(self.added)
        added = np.bincount(seed, new.sum(1), seeds).astype(np.int64)
        # the frames of one seed are consecutive, and follow those of the seed before
        added_before = added.cumsum() - added
        start = self.added - added_before
        self.added += added
        count = new.cumsum().reshape(new.shape)
        return start[seed][:, None] + count - 1

    def _use(self, stored: Stored, numbers: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Note which transitions show which frames; returns the oldest transition [P]
        of each seed whose frames were not overwritten by new ones."""
        slots = numbers % self.capacity
        owner = stored.seed.repeat(new.sum(1))
        overwritten = self.last_use[owner, slots[new]]
        oldest = np.zeros_like(self.added)
        np.maximum.at(oldest, owner, overwritten + 1)
        self.last_use[stored.seed[:, None], slots] = stored.number[:, None]
        return oldest

    def _write(self, places: np.ndarray, images: np.ndarray) -> None:
        there = torch.from_numpy(places).to(self.device)
        pixels = torch.from_numpy(images).to(self.device)
        self.pixels.index_copy_(0, there, pixels)

    def places(self, numbers: np.ndarray, seed: np.ndarray | int) -> np.ndarray:
        """Where frames `numbers` are in `pixels`; `seed` is broadcast against them."""
        return numbers % self.capacity + seed * self.capacity

    def window_places(self, first: np.ndarray, last: np.ndarray | None) -> np.ndarray:
        """Where the frames of windows are: in `pixels`, and behind them in the rows of
        shared data.

        `first` and `last` [batches, P, B] are places of transitions. Without `last`
        returns the F + 1 frames that each transition shows, otherwise the F of the
        first transition's observation and the F of the last one's next
        observation."""
        places = self._shown_places(first)
        if last is None:
            return places
        obs = places[..., :-1]
        next_obs = self._shown_places(last)[..., 1:]
        return np.concatenate((obs, next_obs), -1)

    def _shown_places(self, transitions: np.ndarray) -> np.ndarray:
        """Where the F + 1 frames of transitions [...] are."""
        shown = self.shown.reshape(-1, self.depth + 1)
        step = transitions - self.ring.places
        slots = np.where(step < 0, transitions, 0) if self.shared else transitions
        seed = slots // self.ring.capacity
        in_rings = self.places(shown[slots], seed[..., None])
        if self.shared is None:
            return in_rings
        first_row = self.shared.first_row[np.maximum(step, 0)]
        first_place = len(self.pixels) + first_row
        in_file = first_place[..., None] + np.arange(self.depth + 1)
        return np.where(step[..., None] < 0, in_rings, in_file)

    def copy_shared(self, places: np.ndarray, target: Tensor) -> None:
        """Copy those frames of `places` [n] that are shared data into `target` [n,
        words]."""
        if self.shared is None:
            return
        words = self.shared.words
        row = places - len(self.pixels)
        chosen = np.flatnonzero(row >= 0)
        if len(chosen) == len(row) and self.device == "cpu":
            np.take(words, row, 0, target.numpy(), "clip")
        elif len(chosen):
            images = torch.from_numpy(words[row[chosen]]).to(self.device)
            target.index_copy_(0, torch.from_numpy(chosen).to(self.device), images)

    def obs(self, transitions: np.ndarray, after: bool = False) -> np.ndarray:
        """Observations [n, F, H, W] of transitions at these places, or those `after`
        them."""
        shape = (len(transitions), self.depth, *self.image_shape)
        shown = self._shown_places(transitions)
        places = (shown[:, 1:] if after else shown[:, :-1]).reshape(-1)
        in_rings = np.where(places < len(self.pixels), places, 0)
        there = torch.from_numpy(in_rings).to(self.device)
        words = self.words.index_select(0, there)
        self.copy_shared(places, words)
        return words.view(torch.uint8).reshape(shape).cpu().numpy()

    def state(self) -> State:
        """Return the filled part of all arrays."""
        filled = min(int(self.added.max(initial=0)), self.capacity)
        return {
            "pixels": self._by_seed()[:, :filled],
            "last_use": self.last_use[:, :filled],
            "shown": self.shown[:, : self.ring.filled],
            "added": self.added,
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        filled = state["last_use"].shape[1]
        self._by_seed()[:, :filled] = state["pixels"]
        self.last_use[:, :filled] = state["last_use"]
        self.shown[:, : self.ring.filled] = state["shown"]
        self.added[:] = state["added"]

    def _by_seed(self) -> Tensor:
        """The pixels [P, capacity, H, W]."""
        return self.pixels.view(len(self.added), self.capacity, *self.image_shape)


def capacity(depth: int, transitions: int, rows_per_seed: int) -> int:
    """Frames of one seed that suffice for so many transitions, in episodes of 50 steps
    or more whose first observations stack `depth` different frames; of shorter ones,
    fewer transitions are held.

    However short the episodes, the frames of a row's running episode are among the last
    (depth + 1)^2 of that row."""
    first_frames = math.ceil(depth * transitions / SHORT_EPISODE)
    running_frames = rows_per_seed * (depth + 1) ** 2
    return transitions + first_frames + running_frames


def bytes_per_seed(spec: Spec, transitions: int, rows_per_seed: int) -> int:
    """Memory of one seed's frames."""
    frames = capacity(spec.frames, transitions, rows_per_seed)
    pixel_bytes = math.prod(spec.obs_shape[1:])
    last_use_bytes = 8
    frame_bytes = pixel_bytes + last_use_bytes
    shown_bytes = 8 * (spec.frames + 1)  # of each transition
    return frames * frame_bytes + transitions * shown_bytes


def as_words(pixels: Tensor) -> Tensor:
    """View frames [n, H, W] uint8 as vectors, of int64 where possible: these are copied
    a third faster."""
    flat = pixels.view(len(pixels), -1)
    if flat.shape[1] % 8:
        return flat
    return flat.view(torch.int64)


def _as_words(flat: np.ndarray) -> np.ndarray:
    """As `as_words`, of an array [n, pixels]."""
    return flat if flat.shape[1] % 8 else flat.view(np.int64)
