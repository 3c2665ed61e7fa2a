"""Predators that chase the prey on sight, simulated from cell to cell, one environment
step at a time; turning costs them time, as it does in the world."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from curriculum.compiled import load
from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.lattice import CELLS, SPACING
from curriculum.envs._cellworld.rules import PUFF_RADIUS, STEP_SECONDS
from curriculum.planners._tlppo.options import Index
from curriculum.planners._tlppo.turning import bearings, turning_delay, wrap

# Distances are known between centres of cells only. Beyond the puff radius, the
# probability of a puff falls from 1 to 0 between these two margins.
CERTAIN_MARGIN = 0.015
SAFE_MARGIN = 0.045


class Predators(NamedTuple):
    """The predators of m rollouts in K scenarios each."""

    cell: np.ndarray  # [m, K]
    destination: np.ndarray  # [m, K] cell: where it last saw the prey
    heading: np.ndarray  # [m, K] float32 degrees
    progress: np.ndarray  # [m, K] float32, share of the way to the next cell
    survival: np.ndarray  # [m, K] float32, probability that it has not caught the prey

    def at(self, index: Index) -> "Predators":
        """The predators of some of the rollouts."""
        return Predators(*[column[index] for column in self])

    def put(self, index: Index, others: "Predators") -> None:
        """Overwrite the predators of some of the rollouts."""
        for column, values in zip(self, others, strict=True):
            column[index] = values

    def copy(self) -> "Predators":
        return Predators(*[column.copy() for column in self])


class Tables(NamedTuple):
    """What a chase looks up, as kernels take it: the tables of `Chase` by second cell,
    then first, as many predators chase one prey."""

    danger: np.ndarray  # [331, 331] float32
    visible: np.ndarray  # [331, 331] bool
    bearing: np.ndarray  # [331, 331] float32
    ahead: np.ndarray  # [H, 331, 331] int16
    pace: np.ndarray  # [181] float32
    turned: np.float32


@dataclass(frozen=True, eq=False, kw_only=True)
class Chase:
    """How the predator of one world moves. Tables of pairs of cells are flat, at
    first * 331 + second."""

    cells: Cellworld
    speed: float  # per second
    gain: float  # turning gain, degrees per second and degree of error

    @cached_property
    def danger(self) -> np.ndarray:
        """Probability that a predator puffs at a prey at once, [331 * 331] float32.

        Occluders do not count: there is hardly ever one between two cells so near."""
        offset = self.cells.xy[:, None] - self.cells.xy
        distance = np.hypot(*offset.transpose(2, 0, 1))
        missing = PUFF_RADIUS + SAFE_MARGIN - distance
        share = missing / (SAFE_MARGIN - CERTAIN_MARGIN)
        return np.clip(share, 0, 1).astype(np.float32).ravel()

    @cached_property
    def visible(self) -> np.ndarray:
        """Whether predator and prey see each other, [331 * 331] bool."""
        return self.cells.visible.ravel()

    @cached_property
    def bearing(self) -> np.ndarray:
        """Heading from cell to cell, [331 * 331] float32 degrees."""
        return bearings(self.cells)

    @cached_property
    def ahead(self) -> np.ndarray:
        """The cell that is `hops` cells ahead on the way from one cell to another,
        [H * 331 * 331] at hops * 331 * 331 + pair of cells."""
        source, target = np.nonzero(self.cells.next_hop >= 0)
        in_place = np.arange(CELLS)[:, None].repeat(CELLS, 1)
        tables = [in_place]
        most = int(self.speed * STEP_SECONDS / SPACING) + 1
        for hops in range(1, most + 1):
            table = in_place.copy()
            position = self._position_along(source, target, hops * SPACING)
            table[source, target] = self.cells.nearest(position)
            tables.append(table)
        return np.stack(tables).ravel()

    @cached_property
    def turned(self) -> float:
        """Share of its heading error that a predator corrects in a step."""
        return 1 - float(np.exp(-self.gain * STEP_SECONDS))

    @cached_property
    def pace(self) -> np.ndarray:
        """Cells that a predator moves in a step, by its heading error at the beginning
        in whole degrees, [181] float32."""
        error = np.arange(181.0)
        error_left = error * (1 - self.turned)
        delay = turning_delay(error, self.gain) - turning_delay(error_left, self.gain)
        return ((STEP_SECONDS - delay) * self.speed / SPACING).astype(np.float32)

    def run(
        self, predators: Predators, prey: np.ndarray, length: np.ndarray
    ) -> tuple[Predators, np.ndarray]:
        """Move the predators after prey that move to the cells `prey` [m, S], for as
        many steps as `length` [m] says.

        Also returns the probabilities that prey are caught, [m, S], 0 after these
        steps."""
        predators = predators.copy()
        kernels = load("curriculum.planners._tlppo.kernels", "TLPPO")
        if kernels is not None:
            caught = np.zeros((*prey.shape, predators.cell.shape[-1]), np.float32)
            kernels.chase(predators, prey, length, caught, self.tables)
            return predators, caught.mean(-1)
        mean = np.zeros(prey.shape, np.float32)
        for step in range(prey.shape[-1]):
            moving = np.flatnonzero(length > step)
            everyone = moving.size == len(length)
            chasing = predators if everyone else predators.at(moving)
            moved, mean[moving, step] = self.step(chasing, prey[moving, step, None])
            predators.put(moving, moved)
        return predators, mean

    @cached_property
    def tables(self) -> Tables:
        """The tables above, as kernels take them."""
        return Tables(
            danger=_by_second_cell(self.danger, np.float32)[0],
            visible=_by_second_cell(self.visible, np.bool_)[0],
            bearing=_by_second_cell(self.bearing, np.float32)[0],
            ahead=_by_second_cell(self.ahead, np.int16),
            pace=self.pace,
            turned=np.float32(self.turned),
        )

    def step(
        self, predators: Predators, prey: np.ndarray
    ) -> tuple[Predators, np.ndarray]:
        """Move the predators for one step after the prey has moved to the cells `prey`
        [m, 1]. Also returns the probability that the prey is caught in this step, [m],
        a mean over the scenarios."""
        pair = predators.cell * CELLS + prey
        danger_before = self.danger.take(pair)  # they may meet in passing
        destination = np.where(self.visible.take(pair), prey, predators.destination)
        way = predators.cell * CELLS + destination
        error = wrap(self.bearing.take(way) - predators.heading)
        progress = predators.progress + self.pace.take(np.abs(error).astype(np.intp))
        hops = progress.astype(np.intp)
        cell = self.ahead.take(hops * CELLS**2 + way)
        danger = np.maximum(danger_before, self.danger.take(cell * CELLS + prey))
        caught = predators.survival * danger
        moved = Predators(
            cell=cell,
            destination=destination,
            heading=predators.heading + self.turned * error,
            progress=progress - hops,
            survival=predators.survival - caught,
        )
        return moved, caught.mean(-1)

    def _position_along(
        self, source: np.ndarray, target: np.ndarray, distance: float
    ) -> np.ndarray:
        """Positions [n, 2] at this distance along the paths from cells to cells."""
        xy = self.cells.xy[source]
        here = source
        left = np.full(len(source), distance)
        while True:
            waypoint = self.cells.waypoint[here, target]
            offset = self.cells.xy[waypoint] - xy
            length = np.hypot(*offset.T)
            passing = (left >= length) & (here != target)
            if not passing.any():
                share = np.clip(left / np.maximum(length, 1e-9), 0, 1)
                return xy + offset * share[:, None]
            xy = np.where(passing[:, None], self.cells.xy[waypoint], xy)
            here = np.where(passing, waypoint, here)
            left = np.where(passing, left - length, left)


def _by_second_cell(tables: np.ndarray, dtype: type) -> np.ndarray:
    """A copy of H flat tables of pairs of cells, [H, 331, 331] by second cell, then
    first."""
    pairs = tables.reshape(-1, CELLS, CELLS)
    return np.array(pairs.swapaxes(1, 2), dtype, order="C")
