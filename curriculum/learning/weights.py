"""Weights of all seeds in one contiguous vector, and copies of them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

# vectors are padded to whole vector registers: processors round the remainder
# differently, and any seed may lie there
PADDING = 64
Snapshot = dict[str, Tensor]


class Layout:
    """Blocks of given shapes, one after the other in a vector."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]):
        self.shapes = list(shapes)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.size = sum(self.sizes)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of `vector`, one for each block."""
        parts = vector[: self.size].split(self.sizes)
        pairs = zip(parts, self.shapes, strict=True)
        return [part.view(shape) for part, shape in pairs]

    def split_seeds(self, vector: Tensor) -> list[Tensor]:
        """Views [P, n] of `vector` that cover it: few of them, since each takes time.

        Where there is one seed, the vector is its only row."""
        seeds = self.shapes[0][0]
        if seeds == 1:
            return [vector.unsqueeze(0)]
        parts = vector[: self.size].split(self.sizes)
        return [part.view(seeds, -1) for part in parts]


class Weights(Layout):
    """Blocks [P, ...] in one vector, so that an optimiser handles a single tensor."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], device: str = "cpu"):
        super().__init__(shapes)
        padded = math.ceil(self.size / PADDING) * PADDING
        self.vector = torch.zeros(padded, device=device)
        self.blocks = self.split(self.vector)
        self._arrays: list[np.ndarray] = []
        self._arrays_at = 0  # address of the vector that they are views of

    @property
    def arrays(self) -> list[np.ndarray]:
        """The blocks on the CPU as arrays that share their memory."""
        address = self.vector.data_ptr()
        if self._arrays_at != address:  # a deep copy lies elsewhere
            self._arrays = [block.numpy() for block in self.blocks]
            self._arrays_at = address
        return self._arrays

    def read_seeds(self, vector: Tensor, seeds: Tensor) -> None:
        """Overwrite the seeds in mask [P] by those of another vector of this layout."""
        for own, other in zip(self.blocks, self.split(vector), strict=True):
            own[seeds] = other[seeds]

    def write_seeds(self, vector: Tensor, seeds: Tensor) -> None:
        """Overwrite the seeds in mask [P] of another vector of this layout."""
        for own, other in zip(self.blocks, self.split(vector), strict=True):
            other[seeds] = own[seeds]


class WeightCollection:
    """Named weights that are copied and restored together."""

    def __init__(self, members: Mapping[str, Weights]):
        self.members = members

    def snapshot(self) -> Snapshot:
        """Copy everything."""
        return {name: own.vector.clone() for name, own in self.members.items()}

    def restore(self, snapshot: Snapshot, seeds: Tensor) -> None:
        """Return the seeds in mask [P] to a snapshot."""
        for name, own in self.members.items():
            own.read_seeds(snapshot[name], seeds)

    def update_snapshot(self, snapshot: Snapshot, seeds: Tensor) -> None:
        """Overwrite the seeds in mask [P] of a snapshot by their current weights."""
        for name, own in self.members.items():
            own.write_seeds(snapshot[name], seeds)
