"""Belief maps: where an unseen predator may be, from what the prey sees step by step.

A map is a probability for each of [86, 100] squares with sides of 0.01, row 0 in the
south. Time is counted in environment steps."""

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.lattice import ARENA
from curriculum.envs._cellworld.observation import (
    PREDATOR_POSITION,
    PREY_POSITION,
    predator_visible,
)
from curriculum.types import State

SHAPE = (86, 100)
SIDE = 0.01
SOUTH = 0.07  # southern edge of the maps
_X = (np.arange(100) + 0.5) * SIDE
_Y = SOUTH + (np.arange(86) + 0.5) * SIDE
SQUARES = np.stack(np.meshgrid(_X, _Y), -1)  # [86, 100, 2] centres
SIGHTING_DEVIATION = 0.01  # standard deviation around a predator in sight
# a map that keeps less than this share of its probability was wrong
LEAST_MASS = 1e-6
FORGOTTEN = 100  # unobserved steps after which the predator may be anywhere
REMEMBERED = ("map", "time", "prey", "predator", "destination")


@dataclass(eq=False)
class Belief:
    """Belief maps of N rows. Each of the components `sighting`, `visibility`,
    `directed` and `diffusion` can be left out."""

    cells: Cellworld
    predator_step: float  # how far the predator moves in one environment step
    prey_step: float  # how far the prey can move in one environment step
    sighting: bool = True  # a predator in sight is where it is seen
    visibility: bool = True  # a predator out of sight is nowhere in sight
    directed: bool = True  # a predator that was seen goes to where it saw the prey
    diffusion: bool = True  # a predator out of sight wanders

    def setup(self, rows: int) -> Self:
        """Start with the prior in so many rows and return self."""
        self.open = cell_of_square(self.cells) >= 0  # [86, 100]
        self.prior = (self.open / self.open.sum()).astype(np.float32)
        self.map = np.tile(self.prior, (rows, 1, 1))  # [N, 86, 100]
        # [N] steps since the episode began, at the last update; -1: none yet
        self.time = np.full(rows, -1)
        self.prey = np.zeros((rows, 2))  # its position at the last update
        # where a predator that was seen is now, if it goes where it saw the prey
        self.predator = np.zeros((rows, 2))
        # the cell it goes to; -1: it has been there, or was never seen
        self.destination = np.full(rows, -1)
        return self

    def update(self, rows: np.ndarray, time: np.ndarray, obs: np.ndarray) -> None:
        """Update the maps of `rows` [n] with observations [n, 11], made `time` [n]
        steps after their episodes began.

        Nothing was observed in the steps between two updates. A row whose time has not
        grown, or whose prey moved farther than it can, plays another episode."""
        prey = obs[:, PREY_POSITION].astype(np.float64)
        unobserved = self._start_episodes(rows, time, prey)
        self.time[rows] = time
        self.prey[rows] = prey
        seen = predator_visible(obs) & self.sighting
        unobserved[seen] = 0
        for lag in range(min(int(unobserved.max(initial=0)), FORGOTTEN)):
            self._predict(rows[unobserved > lag])
        cell = self.cells.nearest(prey)
        if seen.any():
            predator = obs[seen, PREDATOR_POSITION].astype(np.float64)
            self._see(rows[seen], predator, cell[seen])
        if self.visibility and not seen.all():
            hidden = [hidden_from(self.cells, int(eye)) for eye in cell[~seen]]
            self._condition(rows[~seen], np.stack(hidden))

    def sample(self, rows: np.ndarray, offset: np.ndarray, count: int) -> np.ndarray:
        """Draw `count` cells for each of `rows` [n], as [n, count].

        Systematic sampling: `offset` [n, 1] in [0, 1) places a comb of `count` equally
        spaced probabilities."""
        flat = self.map[rows].reshape(len(rows), self.prior.size)
        mass = flat.cumsum(-1, dtype=np.float64)
        wanted = (np.arange(count) + offset) / count * mass[:, -1:]
        wanted *= 1 - 1e-12  # rounding must not lead past the last square with mass
        square = np.empty((len(rows), count), np.int64)
        for row, (cumulated, comb) in enumerate(zip(mass, wanted, strict=True)):
            square[row] = np.searchsorted(cumulated, comb, side="right")
        return cell_of_square(self.cells).ravel()[square]

    def state(self) -> State:
        """Return everything that the maps remember."""
        return {name: getattr(self, name).copy() for name in REMEMBERED}

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        for name in REMEMBERED:
            getattr(self, name)[...] = state[name]

    def _start_episodes(
        self, rows: np.ndarray, time: np.ndarray, prey: np.ndarray
    ) -> np.ndarray:
        """Reset the maps of rows that play another episode; returns the steps since the
        last update, or since the episode began, [n]."""
        passed = time - self.time[rows]
        moved = np.hypot(*(prey - self.prey[rows]).T)
        farthest = 1.5 * self.prey_step * np.maximum(passed, 1)
        new = (self.time[rows] < 0) | (passed <= 0) | (moved > farthest)
        self.map[rows[new]] = self.prior
        self.destination[rows[new]] = -1
        passed[new] = time[new]
        return passed

    def _predict(self, rows: np.ndarray) -> None:
        """Let one unobserved step pass."""
        if self.directed:
            for row in rows[self.destination[rows] >= 0]:
                self._pursue(row)
        if self.diffusion:
            columns, lines = _blur(self.predator_step / 2**0.5 / SIDE)
            self.map[rows] = columns @ self.map[rows] @ lines
        self._condition(rows, self.open[None])

    def _pursue(self, row: int) -> None:
        """Shift the map of a row by one step of the predator to its destination."""
        before = self.predator[row]
        destination = self.destination[row]
        here = self.cells.nearest(before[None])[0]
        waypoint = self.cells.xy[self.cells.waypoint[here, destination]]
        offset = waypoint - before
        distance = np.hypot(*offset)
        reached = distance <= self.predator_step
        after = waypoint
        if not reached:
            after = before + offset * (self.predator_step / distance)
        x, y = np.floor(after / SIDE).astype(int)
        old_x, old_y = np.floor(before / SIDE).astype(int)
        self.map[row] = shifted(self.map[row], y - old_y, x - old_x)
        self.predator[row] = after
        if reached and here == destination:
            self.destination[row] = -1

    def _see(self, rows: np.ndarray, predator: np.ndarray, prey: np.ndarray) -> None:
        """Put all probability around predators at [n, 2], which saw the prey in the
        cells `prey` [n]."""
        squared = ((SQUARES - predator[:, None, None]) ** 2).sum(-1)
        density = np.exp(-squared / (2 * SIGHTING_DEVIATION**2))
        self.map[rows] = density.astype(np.float32)
        self._condition(rows, self.open[None])
        self.predator[rows] = predator
        self.destination[rows] = prey

    def _condition(self, rows: np.ndarray, likelihood: np.ndarray) -> None:
        """Multiply the maps by a likelihood [n, 86, 100] and normalise them; where
        nothing is left, start again from the prior."""
        posterior = self.map[rows] * likelihood
        for fallback in (self.prior * likelihood, self.prior):
            lost = posterior.sum((1, 2)) < LEAST_MASS
            posterior[lost] = np.broadcast_to(fallback, posterior.shape)[lost]
            self.destination[rows[lost]] = -1
        self.map[rows] = posterior / posterior.sum((1, 2), keepdims=True)


def shifted(field: np.ndarray, y: int, x: int) -> np.ndarray:
    """A map [86, 100] moved north and east by whole squares; what leaves it is lost."""
    height, width = field.shape
    moved = np.zeros_like(field)
    to_rows = slice(max(y, 0), height + min(y, 0))
    to_columns = slice(max(x, 0), width + min(x, 0))
    from_rows = slice(max(-y, 0), height + min(-y, 0))
    from_columns = slice(max(-x, 0), width + min(-x, 0))
    moved[to_rows, to_columns] = field[from_rows, from_columns]
    return moved


@cache
def cell_of_square(cells: Cellworld) -> np.ndarray:
    """The cell that the centre of each square lies in, [86, 100]; -1 in occluders and
    outside the arena."""
    xy = SQUARES.reshape(-1, 2)
    cell = ((xy[:, None] - cells.xy) ** 2).sum(-1).argmin(-1)
    edge_x, edge_y = (np.roll(ARENA, -1, 0) - ARENA).T
    x, y = xy.T[:, :, None]
    corner_x, corner_y = ARENA.T
    left_of_edge = edge_x * (y - corner_y) - edge_y * (x - corner_x) >= 0  # [8600, 6]
    inside = left_of_edge.all(-1)
    return np.where(cells.free[cell] & inside, cell, -1).reshape(SHAPE)


@cache
def hidden_from(cells: Cellworld, cell: int) -> np.ndarray:
    """The squares that are not in sight from the centre of a cell, [86, 100] bool."""
    squares = SQUARES.reshape(-1, 2)
    eye = np.broadcast_to(cells.xy[cell], squares.shape)
    return ~cells.sees(eye, squares).reshape(SHAPE)


@cache
def _blur(deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [86, 86] and [100, 100] that blur a map, multiplied from the left and
    from the right, by a Gaussian of this many squares."""
    kernels = []
    for size in SHAPE:
        distance = np.arange(size)[:, None] - np.arange(size)
        kernel = np.exp(-(distance**2) / (2 * max(deviation, 1e-3) ** 2))
        kernels.append((kernel / kernel.sum(0)).astype(np.float32))
    over_rows, over_columns = kernels
    return over_rows, over_columns.T
