"""Memory for the batches of one call, and the gathering of transitions into it."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from curriculum.replay.frames import Frames, as_words
from curriculum.replay.layout import Column, Layout
from curriculum.replay.storage import Storage
from curriculum.types import Batch, Spec


class Sizes(NamedTuple):
    """How much one call draws."""

    batches: int
    seeds: int
    batch_size: int


# a tensor [m, width], n places in it and the tensor [n, width] to gather them into
_Copy = tuple[Tensor, np.ndarray, Tensor]


class Workspace:
    """Tensors of `sizes.batches` batches [P, B], which every `gather` overwrites."""

    def __init__(
        self,
        spec: Spec,
        layout: Layout,
        sizes: Sizes,
        coins_per_draw: int,
        n_step: int,
        device: str,
    ) -> None:
        self.sizes = sizes
        self.n_step = n_step  # of windows
        self.multi_step = n_step > 1
        self.device = device
        # uniform random numbers [P, batches, coins, B], contiguous for each seed
        self.coins = np.zeros(
            (sizes.seeds, sizes.batches, coins_per_draw, sizes.batch_size)
        )
        self.coins_by_batch = self.coins.swapaxes(0, 1)  # [batches, P, coins, B]
        # places of the transitions drawn, [batches, P, B]
        self.index = np.zeros(sizes, np.int64)
        self.packed = self._allocate_packed(layout)
        columns = self._split(layout, self.packed)
        # the last transitions of the windows, where a column is taken from them
        self.last_packed: Tensor | None = None
        from_last = [c.name for c in layout.columns.values() if c.from_last]
        if self.multi_step and from_last:
            self.last_packed = self._allocate_packed(layout)
            last_columns = self._split(layout, self.last_packed)
            columns |= {name: last_columns[name] for name in from_last}
        self.frame_words: Tensor | None = None
        if spec.frames:
            frames = self._allocate_frames(spec)
            columns |= self._split_frames(spec, frames)
            self.frame_words = as_words(frames)
        if layout.has_windows:
            columns |= self._allocate_windows(layout.columns["action"])
        self.action_window = columns.get("action_window")
        self.window_taken = columns.get("window_taken")
        self.reward = columns["reward"]  # [batches, P, B]
        self.discount = columns["discount"]
        # tensors of another type than float32, and the packed floats they come from;
        # arrays on the CPU, where numpy begins sooner
        self.casts: list[tuple[Any, Any]] = []
        for column in layout.columns.values():
            if column.dtype != torch.float32:
                floats = columns[column.name]
                integers = floats.to(column.dtype)
                columns[column.name] = integers
                if device == "cpu":
                    self.casts.append((integers.numpy(), floats.numpy()))
                else:
                    self.casts.append((integers, floats))
        fields = [name for name in Batch._fields if name in columns]
        self.batches = [
            Batch(**{name: columns[name][i] for name in fields})
            for i in range(sizes.batches)
        ]

    def fits(self, batches: int, batch_size: int, n_step: int) -> bool:
        """Whether a call that draws so much can use this workspace."""
        return (
            batches == self.sizes.batches
            and batch_size == self.sizes.batch_size
            and n_step == self.n_step
        )

    def _allocate_windows(self, action: Column) -> dict[str, Tensor]:
        """The columns of `WINDOWS`, [batches, P, B, n, ...]."""
        shape = (*self.sizes, self.n_step)
        return {
            "action_window": torch.zeros(
                (*shape, *action.shape), dtype=action.dtype, device=self.device
            ),
            "window_taken": torch.zeros(shape, device=self.device),
        }

    def _allocate_packed(self, layout: Layout) -> Tensor:
        return torch.zeros((self.index.size, layout.width), device=self.device)

    def _split(self, layout: Layout, packed: Tensor) -> dict[str, Tensor]:
        return layout.split(packed.view(*self.sizes, layout.width))

    def _allocate_frames(self, spec: Spec) -> Tensor:
        """Frames [n, H, W]: F + 1 of a transition, or 2F of a window."""
        frames = 2 * spec.frames if self.multi_step else spec.frames + 1
        shape = (self.index.size * frames, *spec.obs_shape[1:])
        return torch.zeros(shape, dtype=torch.uint8, device=self.device)

    def _split_frames(self, spec: Spec, frames: Tensor) -> dict[str, Tensor]:
        """Observations [batches, P, B, F, H, W], which overlap in a transition."""
        frames = frames.view(*self.sizes, -1, *spec.obs_shape[1:])
        return {
            "obs": frames[:, :, :, : spec.frames],
            "next_obs": frames[:, :, :, -spec.frames :],
        }

    def gather(
        self, storage: Storage, frames: Frames | None, last: np.ndarray | None
    ) -> list[Batch]:
        """Gather windows that begin at the places `index`; those of several steps end
        at the places `last` [batches, P, B]."""
        copies: list[_Copy] = [(storage.flat, self.index.reshape(-1), self.packed)]
        if last is not None and self.last_packed is not None:
            copies.append((storage.flat, last.reshape(-1), self.last_packed))
        frame_places = None
        if frames and self.frame_words is not None:
            frame_places = frames.window_places(self.index, last).reshape(-1)
            # shared frames are copied below
            in_rings = frame_places < len(frames.words)
            if in_rings.any():
                places = np.where(in_rings, frame_places, 0)
                copies.append((frames.words, places, self.frame_words))
        if self.device == "cpu":
            _gather_on_cpu(copies)
        else:
            _gather_on_device(copies, self.device)
        if frames and frame_places is not None and self.frame_words is not None:
            frames.copy_shared(frame_places, self.frame_words)
        for integers, floats in self.casts:
            integers[...] = floats
        return list(self.batches)

    def gather_windows(self, storage: Storage, steps: list[np.ndarray]) -> None:
        """Gather the actions of windows with these steps, places [batches, P, B] each;
        a step that repeats the one before is none."""
        assert self.action_window is not None
        assert self.window_taken is not None
        places = np.stack(steps, -1)  # [batches, P, B, n]
        taken = np.diff(places, axis=-1, prepend=-1) != 0
        self.window_taken.copy_(torch.from_numpy(taken))
        found = storage.at("action", places.reshape(-1)).view(*places.shape, -1)
        found = found * self.window_taken.unsqueeze(-1)
        self.action_window.copy_(found.view(self.action_window.shape))


def _gather_on_cpu(copies: list[_Copy]) -> None:
    for source, places, target in copies:
        if source.dtype == torch.float32:
            # a quarter faster than index_select for short vectors
            source.numpy().take(places, 0, target.numpy(), "clip")
        else:
            torch.index_select(source, 0, torch.from_numpy(places), out=target)


def _gather_on_device(copies: list[_Copy], device: str) -> None:
    """Send all places to the device at once, then gather there."""
    places = np.concatenate([places for _, places, _ in copies])
    lengths = [len(places) for _, places, _ in copies]
    sent = torch.from_numpy(places).to(device).split(lengths)
    for (source, _, target), there in zip(copies, sent, strict=True):
        torch.index_select(source, 0, there, out=target)
