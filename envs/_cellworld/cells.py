"""One cellworld: an arrangement of occluders, the cells that see each other and the
paths from cell to cell.

Everything follows from the list of occluded cells. `curriculum.envs._cellworld.lattice`
says how cells are numbered and in which units positions are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar

import numpy as np

from curriculum.envs._cellworld.lattice import (
    ARENA,
    CELLS,
    COORD,
    OCCLUDER,
    START,
    STRIDE,
    XY,
    around,
    cell_at,
    change,
    touches_occluder,
)
from curriculum.envs._cellworld.routes import Routes, follow, next_hops
from curriculum.envs._cellworld.worlds import SPAWN


@dataclass(frozen=True, eq=False)
class Cellworld:
    """One arrangement of occluders. Arrays are read-only; to change `visible` or
    `next_hop`, replace them: all else follows."""

    occluded: tuple[int, ...]
    visible: np.ndarray  # [331, 331] bool, whether two open cells see each other
    # [331, 331] int16, first cell of a shortest path, from a cell to itself that cell;
    # -1 where there is no path
    next_hop: np.ndarray

    xy: ClassVar[np.ndarray] = XY
    coord: ClassVar[np.ndarray] = COORD
    arena: ClassVar[np.ndarray] = ARENA

    @cached_property
    def free(self) -> np.ndarray:
        """Whether each cell is open, [331] bool."""
        return _read_only(_free(self.occluded))

    @cached_property
    def open(self) -> np.ndarray:
        """The open cells, [C]."""
        return _read_only(np.flatnonzero(self.free))

    @cached_property
    def spawn(self) -> np.ndarray:
        """Cells that the predator may start in, [M]: the published ones, or else all
        hidden from the first cell and not west of x = -4. Empty without occluders."""
        if self.occluded in SPAWN:
            return _read_only(np.array(SPAWN[self.occluded]))
        hidden = self.free & ~self.visible[START]
        return _read_only(np.flatnonzero(hidden & (COORD[:, 0] >= -4)))

    @cached_property
    def points(self) -> np.ndarray:
        """Planning points (LPPO), [L]: open cells where the number of open neighbours
        changes by at least a fifth of the largest change."""
        spatial = change(self.free * around(self.free).sum(-1))
        large = (spatial > 0) & (5 * spatial >= spatial.max())
        return _read_only(np.flatnonzero(self.free & large))

    @cached_property
    def high_change(self) -> np.ndarray:
        """Open cells where the number of visible cells changes by more than a tenth of
        the largest change."""
        visual = change(self.visible.sum(-1))
        large = 10 * visual > visual.max()
        return _read_only(np.flatnonzero(self.free & large))

    @cached_property
    def occluder_centres(self) -> np.ndarray:
        """Centres of the occluders, [K, 2]."""
        return _read_only(XY[list(self.occluded)])

    @cached_property
    def occluders(self) -> np.ndarray:
        """Corners of the occluders, [K, 6, 2]."""
        return _read_only(XY[list(self.occluded), None] + OCCLUDER)

    @property
    def hops(self) -> np.ndarray:
        """Length of a shortest path in cells, [331, 331] int16; -1 where there is
        none."""
        return self.routes.hops

    @property
    def waypoint(self) -> np.ndarray:
        """First waypoint from cell to cell, [331, 331] int16. Followed from waypoint to
        waypoint, it ends at the second cell.

        A waypoint is the last cell of the path before one that the previous waypoint
        does not see."""
        return self.routes.waypoint

    @cached_property
    def routes(self) -> Routes:
        """Shortest paths between all pairs of cells."""
        routes = follow(self.next_hop, self.visible, self.points)
        return Routes(*(_read_only(table) for table in routes))

    @cached_property
    def options_ptr(self) -> np.ndarray:
        """Where the options of each open cell begin in `options_idx`, [C + 1]."""
        count = self._direct_points.sum(-1)
        return _read_only(np.concatenate([[0], count.cumsum()]))

    @cached_property
    def options_idx(self) -> np.ndarray:
        """Planning points that each open cell reaches without passing another one,
        itself included, cell after cell."""
        _, point = np.nonzero(self._direct_points)
        return _read_only(self.points[point])

    @property
    def _direct_points(self) -> np.ndarray:
        """Whether open cells reach planning points directly, [C, L] bool."""
        return self.routes.direct[np.ix_(self.open, self.points)]

    def nearest(self, xy: np.ndarray) -> np.ndarray:
        """The open cells nearest to points [N, 2], as [N]."""
        u, v = ((xy - 0.5) / STRIDE).T
        # the nearest cell of the lattice is in the row below or above the point
        below = np.floor(v)
        rows = np.stack([below, below + 1])  # [2, N]
        odd = rows % 2
        columns = 2 * np.round((u - odd) / 2) + odd
        squared = (columns - u) ** 2 + 3 * (rows - v) ** 2
        nearer = squared.argmin(0)[None]
        column = np.take_along_axis(columns, nearer, 0)[0]
        row = np.take_along_axis(rows, nearer, 0)[0]
        cell = cell_at(column, row)
        closed = np.flatnonzero((cell < 0) | ~self.free[cell])
        cell[closed] = self._nearest_of_all(xy[closed])
        return cell

    def _nearest_of_all(self, xy: np.ndarray) -> np.ndarray:
        """The same by comparing all open cells."""
        dx = xy[:, :1] - XY[self.open, 0]
        dy = xy[:, 1:] - XY[self.open, 1]
        return self.open[(dx * dx + dy * dy).argmin(-1)]

    def sees(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether no occluder touches the line from each a to its b, [N, 2] both, as
        [N]."""
        scale = 3 / STRIDE
        centres = 3.0 * COORD[list(self.occluded)]
        return ~touches_occluder((a - 0.5) * scale, (b - 0.5) * scale, centres)


def cellworld(occluded: Iterable[int]) -> Cellworld:
    """The world with these occluded cells, built once; ValueError for numbers that are
    not cells."""
    cells = tuple(sorted({int(cell) for cell in occluded}))
    if cells and not 0 <= cells[0] <= cells[-1] < CELLS:
        raise ValueError(
            f"occluded cells are numbers from 0 to {CELLS - 1}, got {cells}"
        )
    return _build(cells)


@cache
def _build(occluded: tuple[int, ...]) -> Cellworld:
    free = _free(occluded)
    open_cells = np.flatnonzero(free)
    first, second = np.triu_indices(len(open_cells))
    a = open_cells[first]
    b = open_cells[second]
    blocked = touches_occluder(3 * COORD[a], 3 * COORD[b], 3 * COORD[list(occluded)])
    visible = np.zeros((CELLS, CELLS), bool)
    visible[a, b] = ~blocked
    visible[b, a] = ~blocked
    return Cellworld(occluded, _read_only(visible), _read_only(next_hops(free)))


def _free(occluded: tuple[int, ...]) -> np.ndarray:
    return ~np.isin(np.arange(CELLS), occluded)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
