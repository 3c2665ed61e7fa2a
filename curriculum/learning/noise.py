"""Random numbers that losses draw; every seed has a generator of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from curriculum.types import State, stream

Kind = Literal["normal", "uniform"]


class Draw(NamedTuple):
    """One call that drew random numbers."""

    kind: Kind
    shape: tuple[int, ...]  # for one seed


class Noise:
    """Normal and uniform random numbers for P seeds.

    Compiled code cannot call a generator. An engine therefore records once which
    draws an update makes, makes them before each compiled update, and replays the
    results inside it."""

    def __init__(self, seeds: Sequence[int], device: str = "cpu"):
        self.device = device
        self.generators = [_generator(seed, device) for seed in seeds]
        self._recorded: list[Draw] | None = None
        self._replayed: list[Tensor] = []

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers [P, *shape]."""
        return self._next(Draw("normal", shape))

    def uniform(self, *shape: int) -> Tensor:
        """Draw uniform numbers [P, *shape] in [0, 1)."""
        return self._next(Draw("uniform", shape))

    def draw(self, draw: Draw) -> Tensor:
        """Draw numbers [P, *shape], each seed's from its own generator."""
        numbers = torch.empty(len(self.generators), *draw.shape, device=self.device)
        for row, generator in zip(numbers, self.generators, strict=True):
            if draw.kind == "normal":
                row.normal_(generator=generator)
            else:
                row.uniform_(generator=generator)
        return numbers

    @contextmanager
    def record(self) -> Iterator[list[Draw]]:
        """List the draws made inside the context; afterwards the generators are where
        they were before it."""
        state = self.state()
        draws: list[Draw] = []
        self._recorded = draws
        try:
            yield draws
        finally:
            self._recorded = None
            self.load(state)

    def replay(self, numbers: Sequence[Tensor]) -> None:
        """Return these tensors, in order, from the next calls to `normal` and
        `uniform`."""
        self._replayed = list(numbers)

    @property
    def replaying(self) -> bool:
        """Whether tensors given to `replay` are left."""
        return bool(self._replayed)

    def _next(self, draw: Draw) -> Tensor:
        if self._replayed:
            return self._replayed.pop(0)
        if self._recorded is not None:
            self._recorded.append(draw)
        return self.draw(draw)

    def state(self) -> State:
        """Return the generators' states."""
        states = [generator.get_state() for generator in self.generators]
        return {"generators": torch.stack(states)}

    def load(self, state: State) -> None:
        """Restore what `state` returned; ValueError if it is no state of generators."""
        states = torch.as_tensor(state["generators"])
        for generator, saved in zip(self.generators, states, strict=True):
            try:
                # set_state reads from the start of the storage, so it needs a copy, not
                # a view
                generator.set_state(saved.clone())
            except RuntimeError as error:
                raise ValueError(
                    f"the checkpoint holds no state of random generators ({error}); "
                    "resume from another one"
                ) from None


def _generator(seed: int, device: str) -> torch.Generator:
    start = int(stream(seed, "noise").integers(2**62))
    return torch.Generator(device).manual_seed(start)
