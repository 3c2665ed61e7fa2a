"""Counts: states in rarely entered cells earn more (Strehl & Littman 2008, MBIE-EB).

    bonus(s') = coef / sqrt(N(cell of s'))

N counts how often a seed has entered a cell since its run began, start included,
whether or not the step is still in the buffer. For worlds whose observations tell the
cell: gridworld (all but pictures) and pointmass.

Differs from the paper: it counts states instead of pairs of state and action.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from curriculum.bonuses._novelty.batches import in_units, present_in
from curriculum.bonuses._novelty.weighted import Weighted
from curriculum.envs._base.door import name_of
from curriculum.envs._base.native import Located
from curriculum.types import Batch, Spec, State, World


@dataclass(kw_only=True)
class Counts(Weighted):
    """Reward states in cells that were entered rarely."""

    def use_world(self, world: World) -> None:
        if not isinstance(world, Located):
            raise ValueError(
                f"counts needs a world whose observations tell the cell, "
                f"{name_of(world)} is none; choose rnd or ensemble, or "
                "gridworld or pointmass"
            )
        world.cell_of(np.zeros((1, *world.observation_space.shape), np.float32))
        self.world = world

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str = "cpu") -> Self:
        self.device = device
        self.free = ~np.ravel(self.world.walls)
        self.visits = np.zeros((len(seeds), self.free.size), np.int64)  # [P, cells]
        return self

    def visit(self, obs: np.ndarray, present: np.ndarray) -> None:
        cells = self._cells(obs)
        for seed in np.flatnonzero(present):
            np.add.at(self.visits[seed], cells[seed], 1)

    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        cells = self._cells(batch.next_obs.cpu().numpy())
        visits = np.take_along_axis(self.visits, cells, 1)
        rarity = torch.as_tensor(
            1 / np.sqrt(np.maximum(visits, 1)), dtype=torch.float32
        )
        bonus, values = in_units(
            rarity.to(self.device), 1.0, self.coef_at(step), present_in(batch)
        )
        entered = (self.visits[:, self.free] > 0).mean(1)  # [P]
        coverage = torch.as_tensor(entered, dtype=torch.float32, device=self.device)
        return bonus, values | {"coverage": coverage}

    def maps(self, obs: np.ndarray) -> dict[str, np.ndarray]:
        visits = np.take_along_axis(self.visits, self._cells(obs), 1)
        return {"bonus": 1 / np.sqrt(np.maximum(visits, 1))}

    def _cells(self, obs: np.ndarray) -> np.ndarray:
        """The cells [P, n] of observations [P, n, *O]."""
        flat = obs.reshape(-1, *obs.shape[2:])
        return self.world.cell_of(flat).reshape(obs.shape[:2])

    def state(self) -> State:
        return {"visits": self.visits.copy()}

    def load(self, state: State) -> None:
        self.visits[:] = state["visits"]
