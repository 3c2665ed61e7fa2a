"""The packed transitions of all seeds, and of the data that they share, in one
tensor."""

import numpy as np
import torch

from curriculum.replay import shared
from curriculum.replay.layout import Correction, Layout
from curriculum.replay.ring import Ring, Stored
from curriculum.types import SharedData, State


class Storage:
    """The ring of packed transitions of every seed, and behind all rings the shared
    data, on `device`.

    The column "discount" holds the discount of one step, which `set_discount` changes
    for all transitions: batches need not be multiplied by it."""

    def __init__(
        self, layout: Layout, ring: Ring, device: str, data: SharedData | None = None
    ) -> None:
        self.layout = layout
        self.ring = ring
        self.device = device
        self.discount = 1.0
        count = shared.count(data)
        # allocated by numpy, which asks for huge pages; torch does not
        flat = np.zeros((ring.places + count, layout.width), np.float32)
        if data:
            self._pack(data, flat[ring.places :])
        self.flat = torch.from_numpy(flat).to(device)  # [P * capacity + N, W]
        if device == "cpu":
            self.array = flat  # the same memory
        in_rings = self.flat[: ring.places]
        # [P, capacity, W]
        self.packed = in_rings.view(len(ring.added), ring.capacity, layout.width)

    def _pack(self, data: SharedData, packed: np.ndarray) -> None:
        """Pack shared data into `packed` [N, W]."""
        derived = {}
        for name, column in self.layout.columns.items():
            if column.of_shared:
                derived[name] = column.of_shared(data)
        for steps, values in shared.chunks(data):
            values["discount"] = ~values.pop("terminated") * self.discount
            for name, value in derived.items():
                values[name] = value[steps]
            packed[steps] = self.layout.pack(values, steps.stop - steps.start)

    def add(self, stored: Stored, values: dict[str, np.ndarray]) -> None:
        """Store transitions, fields [n, ...] by name."""
        discount = ~values["terminated"] * self.discount
        values = values | {"discount": discount}
        packed = self.layout.pack(values, len(stored.place))
        if self.device == "cpu":
            self.array[stored.place] = packed
            return
        there = torch.from_numpy(stored.place).to(self.device)
        self.flat.index_copy_(0, there, torch.from_numpy(packed).to(self.device))

    def correct(self, name: str, correction: Correction) -> None:
        """Overwrite values of column `name`."""
        values = np.asarray(correction.values, np.float32)
        column = self.packed[correction.seed, :, self.layout.column(name)]
        there = torch.tensor(correction.slots, device=self.device)
        sent = torch.from_numpy(values.reshape(len(there), -1)).to(self.device)
        column.index_copy_(0, there, sent)

    def set_discount(self, discount: float, terminated: np.ndarray) -> None:
        """Change the discount of one step in all transitions, of which those in mask
        `terminated` [P * capacity + N] have none."""
        places = self.ring.places
        in_rings = terminated[:places].reshape(self.packed.shape[:2])
        filled = self.ring.filled
        self._write_discount(self.packed[:, :filled], discount, in_rings[:, :filled])
        self._write_discount(self.flat[places:], discount, terminated[places:])
        self.discount = discount

    def _write_discount(
        self, packed: torch.Tensor, discount: float, terminated: np.ndarray
    ) -> None:
        values = (discount * ~terminated).astype(np.float32)
        column = packed[..., self.layout.column("discount")]
        column.copy_(torch.from_numpy(values[..., None]))

    def obs(self, places: np.ndarray) -> np.ndarray:
        """Flat observations [n, width] at these places."""
        return self.at("obs", places).cpu().numpy()

    def at(self, name: str, places: np.ndarray) -> torch.Tensor:
        """Values [n, width] of a column at places [n]."""
        column = self.flat[:, self.layout.column(name)]
        there = torch.from_numpy(places.copy()).to(self.device)
        return column[there]

    def state(self) -> State:
        """Return the filled slots of the rings."""
        return {
            "packed": self.packed[:, : self.ring.filled],
            "discount": self.discount,
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned; the discounts of shared data follow from
        `set_discount`."""
        packed = torch.as_tensor(state["packed"], device=self.device)
        self.packed[:, : self.ring.filled] = packed
        self.discount = state["discount"]
