"""Pictures of stacked observations, each stored once: one ring of uint8 frames per
seed."""

import numpy as np
import torch

from curriculum.replay.workspace import words
from curriculum.types import Spec, State


class Frames:
    """The pictures that the transitions of a buffer refer to by running number, oldest
    first.

    A transition refers to F + 1 of them: the first F are its observation, the last F
    its next observation."""

    def __init__(
        self, spec: Spec, seeds: int, capacity: int, rows_each: int, device: str
    ):
        self.depth, self.picture, self.device = spec.frames, spec.obs_shape[1:], device
        self.ring = ring_length(spec.frames, capacity, rows_each)
        # numpy asks for huge pages, torch does not
        pictures = np.zeros((seeds * self.ring, *self.picture), np.uint8)
        self.pictures = torch.from_numpy(pictures).to(device)
        self.words = words(self.pictures)
        # number of the last transition that shows a picture
        self.used_by = np.full((seeds, self.ring), -1, np.int64)
        # pictures ever stored; modulo ring the next place
        self.written = np.zeros(seeds, np.int64)

    @property
    def memory_bytes(self) -> int:
        """What the rings occupy, full or not."""
        return self.pictures.nbytes + self.used_by.nbytes

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        at: tuple[np.ndarray, np.ndarray],
        before: np.ndarray,
        goes_on: np.ndarray,
        number: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Store what transitions `number` [n], taken in (seed, row) `at`, show and no
        picture held shows yet.

        `obs` and `next_obs` are [P, E, F, H, W]. A transition that `goes_on` shares
        what the one before it in its episode refers to, `before` [n, F + 1]. Returns
        the pictures' numbers [n, F + 1], and for each seed the first transition [P]
        whose pictures are all still there."""
        if (obs[:, :, 1:] != next_obs[:, :, :-1]).any():
            raise ValueError(
                f"observations must stack {self.depth} consecutive pictures: next_obs is not obs moved on"
            )
        seed, row = at
        fresh = np.flatnonzero(~goes_on)
        stack = obs[seed[fresh], row[fresh]]
        new = np.zeros((len(seed), self.depth + 1), bool)
        new[fresh, 0] = new[:, -1] = True
        # a reset that repeats its picture keeps one
        new[fresh, 1:-1] = (stack[:, 1:] != stack[:, :-1]).any((-2, -1))
        # [P]
        stored = np.bincount(seed, new.sum(1), len(self.written)).astype(np.int64)
        first = self.written - (stored.cumsum() - stored)
        numbers = first[seed][:, None] + new.cumsum().reshape(new.shape) - 1
        numbers[goes_on, :-1] = before[goes_on, 1:]
        self._write(
            self.places(numbers[fresh, :-1], seed[fresh, None])[new[fresh, :-1]],
            stack[new[fresh, :-1]],
        )
        self._write(self.places(numbers[:, -1], seed), next_obs[seed, row, -1])
        self.written += stored
        owner, place = seed.repeat(new.sum(1)), numbers[new] % self.ring
        held_from = np.zeros_like(self.written)
        np.maximum.at(held_from, owner, self.used_by[owner, place] + 1)
        self.used_by[seed[:, None], numbers % self.ring] = number[:, None]
        return numbers, held_from

    def _write(self, places: np.ndarray, pictures: np.ndarray) -> None:
        self.pictures.index_copy_(
            0,
            torch.from_numpy(places).to(self.device),
            torch.from_numpy(pictures).to(self.device),
        )

    def places(self, numbers: np.ndarray, seed: np.ndarray | int) -> np.ndarray:
        """Where in `pictures` the `numbers` stand; `seed` is broadcast against them."""
        return numbers % self.ring + seed * self.ring

    def stacks(self, numbers: np.ndarray, seed: int) -> np.ndarray:
        """The stacks [n, F, H, W] of one seed's `numbers` [n, F]."""
        places = torch.from_numpy(self.places(numbers, seed).reshape(-1)).to(
            self.device
        )
        return (
            self.pictures.index_select(0, places)
            .cpu()
            .numpy()
            .reshape(*numbers.shape, *self.picture)
        )

    def state(self) -> State:
        """The filled part of every ring."""
        filled = min(int(self.written.max(initial=0)), self.ring)
        pictures = self.pictures.view(len(self.written), self.ring, *self.picture)[
            :, :filled
        ]
        return {
            "pictures": pictures,
            "used_by": self.used_by[:, :filled],
            "written": self.written,
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        filled = state["used_by"].shape[1]
        self.pictures.view(len(self.written), self.ring, *self.picture)[:, :filled] = (
            state["pictures"]
        )
        self.used_by[:, :filled] = state["used_by"]
        self.written[:] = state["written"]


def ring_length(depth: int, capacity: int, rows_each: int) -> int:
    """Pictures that serve `capacity` transitions in episodes of 20 steps or more, each
    beginning with `depth` new ones.

    Whatever the episodes, what one row's running episode refers to was among the last
    (depth + 1)^2 per row."""
    return capacity + -(-depth * capacity // 20) + rows_each * (depth + 1) ** 2


def ring_bytes(spec: Spec, capacity: int, rows_each: int) -> int:
    """Memory that one seed's pictures take."""
    return ring_length(spec.frames, capacity, rows_each) * (
        int(np.prod(spec.obs_shape[1:])) + 8
    )
