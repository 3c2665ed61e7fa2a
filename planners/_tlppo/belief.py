"""Where an unseen predator may be: a map of probability for each row, from what the
prey sees step by step.

The maps are [86, 100] squares with sides of 0.01, row 0 in the south; everything is
counted in environment steps."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from curriculum.envs._cellworld.cells import ARENA, Cellworld
from curriculum.types import State

SHAPE, SIDE = (86, 100), 0.01
# [86, 100, 2]
SQUARES = np.stack(
    np.meshgrid((np.arange(100) + 0.5) * SIDE, 0.07 + (np.arange(86) + 0.5) * SIDE), -1
)
SPREAD = 0.01  # standard deviation around a predator in sight
LEFT = 1e-6  # of the mass: with less, what was believed was wrong
FORGOTTEN = 100  # unobserved steps after which anything may be anywhere


@dataclass(eq=False)
class Belief:
    """Maps for N rows. Each component can be left out: `sighting`, `visibility`,
    `directed` and `diffusion`."""

    cells: Cellworld
    step: float  # how far the predator goes in one environment step
    stride: float  # the same of the prey: who moved farther has started anew
    sighting: bool = True  # a predator in sight is where it is seen
    visibility: bool = True  # an unseen one is nowhere in sight
    directed: bool = True  # one that was seen goes to where it saw the prey
    diffusion: bool = True  # an unseen one wanders

    def setup(self, rows: int) -> "Belief":
        """Know nothing in any of the rows."""
        self.open = squares(self.cells) >= 0  # [86, 100]
        self.prior = (self.open / self.open.sum()).astype(np.float32)
        self.map = np.tile(self.prior, (rows, 1, 1))  # [N, 86, 100]
        # [N] of the last update; -1: none in this episode
        self.time = np.full(rows, -1)
        self.prey = np.zeros((rows, 2))  # where it was then
        # where a predator is that was seen, if it went straight on
        self.chaser = np.zeros((rows, 2))
        # the cell it goes to; -1: it has been there, or was never seen
        self.aim = np.full(rows, -1)
        return self

    def update(self, rows: np.ndarray, time: np.ndarray, obs: np.ndarray) -> None:
        """Take in observations [n, 11] made in these rows at these times [n] since
        their episodes began.

        Steps between two updates are steps in which nothing is known to have been seen.
        A row whose time has not grown, or whose prey is where it cannot have gone,
        plays another episode."""
        prey = obs[:, :2].astype(np.float64)
        passed = time - self.time[rows]
        far = np.hypot(*(prey - self.prey[rows]).T) > 1.5 * self.stride * np.maximum(
            passed, 1
        )
        new = (self.time[rows] < 0) | (passed <= 0) | far
        self.map[rows[new]], self.aim[rows[new]] = self.prior, -1
        passed[new] = time[new]
        self.time[rows], self.prey[rows] = time, prey
        seen = obs[:, 3:6].any(-1) & self.sighting
        passed[seen] = 0
        for lag in range(min(int(passed.max(initial=0)), FORGOTTEN)):
            self._pass(rows[passed > lag])
        cell = self.cells.nearest(prey)
        if seen.any():
            self._sight(rows[seen], obs[seen, 3:5].astype(np.float64), cell[seen])
        if self.visibility and not seen.all():
            self._weigh(
                rows[~seen],
                np.stack([hidden_from(self.cells, int(c)) for c in cell[~seen]]),
            )

    def state(self) -> State:
        """All that the maps remember."""
        return {
            name: getattr(self, name).copy()
            for name in ("map", "time", "prey", "chaser", "aim")
        }

    def load(self, state: State) -> None:
        for name, values in state.items():
            getattr(self, name)[...] = values

    def _pass(self, rows: np.ndarray) -> None:
        """Let one step go by unseen."""
        if self.directed:
            for row in rows[self.aim[rows] >= 0]:
                self._chase(row)
        if self.diffusion:
            south, east = _blur(self.step / 2**0.5 / SIDE)
            self.map[rows] = south @ self.map[rows] @ east
        self._weigh(rows, self.open[None])

    def _chase(self, row: int) -> None:
        """Shift the map by the way of one step towards the aim."""
        here = self.cells.nearest(self.chaser[row : row + 1])[0]
        target = self.cells.xy[self.cells.leg[here, self.aim[row]]]
        gap = target - self.chaser[row]
        length = np.hypot(*gap)
        to = (
            target
            if length <= self.step
            else self.chaser[row] + gap * (self.step / length)
        )
        (x, y), (old_x, old_y) = (
            np.floor(at / SIDE).astype(int) for at in (to, self.chaser[row])
        )
        self.map[row] = shifted(self.map[row], y - old_y, x - old_x)
        self.chaser[row] = to
        if length <= self.step and here == self.aim[row]:
            self.aim[row] = -1

    def _sight(self, rows: np.ndarray, predator: np.ndarray, prey: np.ndarray) -> None:
        """Put all mass around predators [n, 2] that saw the prey in these cells [n]."""
        square = ((SQUARES - predator[:, None, None]) ** 2).sum(-1)
        self.map[rows] = np.exp(-square / (2 * SPREAD**2)).astype(np.float32)
        self._weigh(rows, self.open[None])
        self.chaser[rows], self.aim[rows] = predator, prey

    def _weigh(self, rows: np.ndarray, likelihood: np.ndarray) -> None:
        """Multiply the maps by [n, 86, 100] and let them sum to one: where nothing is
        left, anything may be."""
        weighed = self.map[rows] * likelihood
        for instead in (self.prior * likelihood, self.prior):
            lost = weighed.sum((1, 2)) < LEFT
            weighed[lost] = np.broadcast_to(instead, weighed.shape)[lost]
            self.aim[rows[lost]] = -1
        self.map[rows] = weighed / weighed.sum((1, 2), keepdims=True)


def shifted(field: np.ndarray, y: int, x: int) -> np.ndarray:
    """The map [86, 100] moved north and east by whole squares; what leaves it is
    lost."""
    moved = np.zeros_like(field)
    rows, columns = field.shape
    moved[max(y, 0) : rows + min(y, 0), max(x, 0) : columns + min(x, 0)] = field[
        max(-y, 0) : rows + min(-y, 0), max(-x, 0) : columns + min(-x, 0)
    ]
    return moved


@cache
def squares(cells: Cellworld) -> np.ndarray:
    """The cell that each square lies in, [86, 100]; -1 in occluders and outside the
    arena."""
    flat = SQUARES.reshape(-1, 2)
    cell = ((flat[:, None] - cells.xy) ** 2).sum(-1).argmin(-1)
    edge = np.roll(ARENA, -1, 0) - ARENA
    inside = (
        edge[:, 0] * (flat[:, 1:] - ARENA[:, 1])
        - edge[:, 1] * (flat[:, :1] - ARENA[:, 0])
        >= 0
    ).all(-1)
    return np.where(cells.free[cell] & inside, cell, -1).reshape(SHAPE)


@cache
def hidden_from(cells: Cellworld, cell: int) -> np.ndarray:
    """The squares that are out of sight from the middle of a cell, [86, 100] bool."""
    to = SQUARES.reshape(-1, 2)
    return ~cells.sees(np.broadcast_to(cells.xy[cell], to.shape), to).reshape(SHAPE)


@cache
def _blur(deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [86, 86] and [100, 100] that spread each column and each row normally by
    so many squares."""
    sides = []
    for size in SHAPE:
        apart = np.arange(size)[:, None] - np.arange(size)
        kernel = np.exp(-(apart**2) / (2 * max(deviation, 1e-3) ** 2))
        sides.append((kernel / kernel.sum(0)).astype(np.float32))
    return sides[0], sides[1].T
