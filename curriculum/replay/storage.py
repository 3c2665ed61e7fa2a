"""The packed transitions of all seeds in one tensor."""

import numpy as np
import torch

from curriculum.replay.layout import Correction, Layout, Transition
from curriculum.replay.ring import Ring, Stored
from curriculum.types import State


class Storage:
    """The ring of packed transitions of every seed, on `device`.

    The column "discount" holds the discount of one step, which `set_discount` changes
    for all transitions: batches need not be multiplied by it."""

    def __init__(self, layout: Layout, ring: Ring, device: str) -> None:
        self.layout = layout
        self.ring = ring
        self.device = device
        self.discount = 1.0
        shape = (len(ring.added), ring.capacity, layout.width)
        # allocated by numpy, which asks for huge pages; torch does not
        packed = np.zeros(shape, np.float32)
        self.packed = torch.from_numpy(packed).to(device)  # [P, capacity, W]
        self.flat = self.packed.view(-1, layout.width)  # [P * capacity, W]

    def add(self, step: Transition, stored: Stored) -> None:
        """Store those transitions of a step that are kept."""
        values = step._asdict()
        values["discount"] = ~step.terminated * self.discount
        kept = {}
        for name in self.layout.columns:
            if name in values:
                kept[name] = values[name][stored.seed, stored.row]
        packed = self.layout.pack(kept, len(stored.seed))
        places = self.ring.offset[stored.seed, 0] + stored.slot
        there = torch.from_numpy(places).to(self.device)
        self.flat.index_copy_(0, there, torch.from_numpy(packed).to(self.device))

    def correct(self, name: str, correction: Correction) -> None:
        """Overwrite values of column `name`."""
        values = torch.tensor(
            correction.values, dtype=torch.float32, device=self.device
        )
        column = self.packed[correction.seed, :, self.layout.column(name)]
        column[correction.slots] = values.view(len(correction.slots), -1)

    def set_discount(self, discount: float, terminated: np.ndarray) -> None:
        """Change the discount of one step in all transitions, of which those in mask
        `terminated` [P, capacity] have none."""
        filled = self.ring.filled
        continues = ~terminated[:, :filled]
        values = (discount * continues).astype(np.float32)
        column = self.packed[:, :filled, self.layout.column("discount")]
        column.copy_(torch.from_numpy(values[:, :, None]))
        self.discount = discount

    def obs(self, p: int, slots: np.ndarray) -> np.ndarray:
        """Flat observations [n, width] of one seed."""
        column = self.packed[p, :, self.layout.column("obs")]
        places = torch.from_numpy(slots.copy()).to(self.device)
        return column[places].cpu().numpy()

    def state(self) -> State:
        """Return the filled slots."""
        return {
            "packed": self.packed[:, : self.ring.filled],
            "discount": self.discount,
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        packed = torch.as_tensor(state["packed"], device=self.device)
        self.packed[:, : self.ring.filled] = packed
        self.discount = state["discount"]
