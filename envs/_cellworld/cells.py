"""A hexagonal arena of 331 hexagonal cells, some of them occluded: where they are, what
sees what and which way to go.

Cells are numbered by their integer coordinates (x, y), x first, where x + y is even,
|y| <= 10 and |x| + |y| <= 20. Everything follows from the list of occluded cells;
positions are in units of the arena's diameter, in [0, 1].
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import ClassVar, NamedTuple

import numpy as np

# how many cells; the westernmost and the easternmost one
CELLS, START, GOAL = 331, 0, 330
STRIDE = np.array([0.0234375, 0.0234375 * 3**0.5])  # from one coordinate to the next
COORD = np.array(
    [
        (x, y)
        for x in range(-20, 21)
        for y in range(-10, 11)
        if (x + y) % 2 == 0 and abs(x) + abs(y) <= 20
    ]
)
XY = 0.5 + COORD * STRIDE  # [331, 2] centres
TURNS = np.radians([0, 60, 120, 180, 240, 300])
# [6, 2] of radius 1, a corner to the east
HEXAGON = np.stack([np.cos(TURNS), np.sin(TURNS)], -1)
ARENA = 0.5 + 0.5 * HEXAGON
# [6, 2] a corner to the north; such hexagons tile the arena
OCCLUDER = HEXAGON[:, ::-1] * 2 * STRIDE[0] / 3**0.5
PLACE = np.full((25, 45), -1)  # cell at [y + 12, x + 22], -1 where there is none
PLACE[COORD[:, 1] + 12, COORD[:, 0] + 22] = np.arange(CELLS)
TO_NEIGHBOURS = np.array(
    [(2, 0), (-2, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)]
)  # there and back along each of three axes
_NEAR = COORD[:, None] + TO_NEIGHBOURS
# [331, 6], -1 where there is none
NEIGHBOURS = PLACE[_NEAR[..., 1] + 12, _NEAR[..., 0] + 22]

WORLDS: dict[str, tuple[int, ...]] = {  # published worlds: name -> occluded cells
    "21_05": (
        *(
            3,
            18,
            24,
            34,
            36,
            48,
            58,
            68,
            78,
            82,
            93,
            116,
            121,
            123,
            131,
            141,
            157,
            163,
            164,
            171,
            176,
            204,
            211,
            230,
        ),
        *(232, 237, 238, 245, 248, 260, 266, 276, 292, 313, 317, 325),
    ),
    "20_05": (
        *(
            17,
            23,
            33,
            35,
            41,
            42,
            47,
            50,
            57,
            70,
            76,
            77,
            94,
            105,
            111,
            113,
            120,
            126,
            130,
            136,
            149,
            154,
            158,
            165,
        ),
        *(173, 191, 193, 203, 221, 229, 242, 263, 281, 288, 290, 329),
    ),
    "00_00": (),
}
# published start cells of the predator: for 21_05, a part of those that the rule gives
SPAWN = {
    WORLDS["21_05"]: (
        *(
            124,
            135,
            140,
            145,
            156,
            172,
            177,
            188,
            198,
            199,
            202,
            203,
            208,
            213,
            218,
            223,
            229,
            244,
            252,
            261,
        ),
        *(
            262,
            273,
            280,
            284,
            289,
            290,
            291,
            293,
            298,
            302,
            309,
            314,
            315,
            320,
            324,
            326,
            327,
            329,
            330,
        ),
    )
}


class Routes(NamedTuple):
    """What walking the next hops from every cell to every other one shows, each [331,
    331]."""

    hops: np.ndarray  # int16, how many; -1 where there is no way
    # int16, the last cell in sight of the first one for as long as the way stays in
    # sight; -1
    leg: np.ndarray
    direct: np.ndarray  # bool, no planning point strictly between the ends


@dataclass(frozen=True, eq=False)
class Cellworld:
    """One arrangement of occluders. Arrays are read-only; replace `visible` or
    `next_hop` and all else follows."""

    occluded: tuple[int, ...]
    visible: np.ndarray  # [331, 331] bool, whether two open cells see each other
    # [331, 331] int16, first cell of a shortest way, the cell itself at its end; -1: no
    # way
    next_hop: np.ndarray

    xy: ClassVar[np.ndarray] = XY
    coord: ClassVar[np.ndarray] = COORD
    arena: ClassVar[np.ndarray] = ARENA

    @cached_property
    def free(self) -> np.ndarray:
        """Whether each cell is open, [331] bool."""
        return _fixed(_free(self.occluded))

    @cached_property
    def open(self) -> np.ndarray:
        """The open cells, [C]."""
        return _fixed(np.flatnonzero(self.free))

    @cached_property
    def spawn(self) -> np.ndarray:
        """Cells a predator may start from, [M]: the published ones, or all that are
        hidden from the first cell and not west of x = -4. Empty without occluders."""
        if self.occluded in SPAWN:
            return _fixed(np.array(SPAWN[self.occluded]))
        return _fixed(
            np.flatnonzero(self.free & ~self.visible[START] & (COORD[:, 0] >= -4))
        )

    @cached_property
    def points(self) -> np.ndarray:
        """Planning points, [L]: open cells where the number of open neighbours changes
        most along all three axes."""
        change = _change(self.free * _around(self.free).sum(-1))
        return _fixed(
            np.flatnonzero(self.free & (change > 0) & (5 * change >= change.max()))
        )

    @cached_property
    def high_change(self) -> np.ndarray:
        """Open cells where the number of visible cells changes much along all three
        axes: a tenth of the maximum."""
        change = _change(self.visible.sum(-1))
        return _fixed(np.flatnonzero(self.free & (10 * change > change.max())))

    @cached_property
    def occluders(self) -> np.ndarray:
        """Corners of the occluders, [K, 6, 2]."""
        return _fixed(XY[list(self.occluded), None] + OCCLUDER)

    @property
    def hops(self) -> np.ndarray:
        """Length of a shortest way in cells, [331, 331] int16; -1: no way."""
        return self.routes.hops

    @property
    def leg(self) -> np.ndarray:
        """First waypoint from cell to cell, [331, 331] int16; followed from waypoint to
        waypoint it ends at the second.

        A waypoint is the last cell of the way before one that the previous waypoint
        does not see."""
        return self.routes.leg

    @cached_property
    def routes(self) -> Routes:
        """Walk all ways at once."""
        source, target = np.nonzero(self.next_hop >= 0)
        hops, leg = (
            np.full((CELLS, CELLS), -1, np.int16),
            np.full((CELLS, CELLS), -1, np.int16),
        )
        direct = np.zeros((CELLS, CELLS), bool)
        hops[source, target], leg[source, target], direct[source, target] = (
            0,
            target,
            True,
        )
        is_point = np.isin(np.arange(CELLS), self.points)
        here, in_sight = source, np.ones(len(source), bool)
        while (on := here != target).any():
            source, target, here, in_sight = (
                source[on],
                target[on],
                here[on],
                in_sight[on],
            )
            ahead = self.next_hop[here, target].astype(np.int64)
            lost = in_sight & ~self.visible[source, ahead]
            leg[source[lost], target[lost]] = here[lost]
            in_sight = in_sight & ~lost
            hops[source, target] += 1
            direct[source, target] &= ~is_point[ahead] | (ahead == target)
            here = ahead
        return Routes(_fixed(hops), _fixed(leg), _fixed(direct))

    @cached_property
    def options_ptr(self) -> np.ndarray:
        """Where the options of each open cell begin in `options_idx`, [C + 1]."""
        return _fixed(
            np.concatenate(
                [
                    [0],
                    self.routes.direct[np.ix_(self.open, self.points)].sum(-1).cumsum(),
                ]
            )
        )

    @cached_property
    def options_idx(self) -> np.ndarray:
        """Planning points that each open cell reaches without passing another, itself
        included, cell after cell."""
        return _fixed(
            self.points[
                np.nonzero(self.routes.direct[np.ix_(self.open, self.points)])[1]
            ]
        )

    def nearest(self, xy: np.ndarray) -> np.ndarray:
        """The nearest open cells to points [N, 2], as [N]."""
        u, v = ((xy - 0.5) / STRIDE).T
        # [2, N] the nearest cell is in one of them
        rows = np.stack([np.floor(v), np.floor(v) + 1])
        odd = rows % 2
        columns = 2 * np.round((u - odd) / 2) + odd
        pick = ((columns - u) ** 2 + 3 * (rows - v) ** 2).argmin(0)[None]
        row, column = (np.take_along_axis(x, pick, 0)[0] for x in (rows, columns))
        cell = PLACE[
            row.clip(-12, 12).astype(np.int64) + 12,
            column.clip(-22, 22).astype(np.int64) + 22,
        ]
        stray = np.flatnonzero((cell < 0) | ~self.free[cell])
        dx, dy = (xy[stray, axis, None] - XY[self.open, axis] for axis in (0, 1))
        cell[stray] = self.open[(dx * dx + dy * dy).argmin(-1)]
        return cell

    def sees(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Whether no occluder touches the straight line from each a to its b, [N, 2]
        both, as [N]."""
        return ~_blocked(
            (a - 0.5) * (3 / STRIDE),
            (b - 0.5) * (3 / STRIDE),
            3.0 * COORD[list(self.occluded)],
        )


def cellworld(occluded: Iterable[int]) -> Cellworld:
    """The world with these occluded cells, built once; ValueError where a number is no
    cell."""
    cells = tuple(sorted({int(cell) for cell in occluded}))
    if cells and not 0 <= cells[0] <= cells[-1] < CELLS:
        raise ValueError(
            f"occluded cells are numbers from 0 to {CELLS - 1}, got {cells}"
        )
    return _build(cells)


def random_occluders(seed: int, count: int) -> tuple[int, ...]:
    """`count` cells to occlude, drawn from `seed` such that all open cells stay
    connected and both ends stay open."""
    chosen: list[int] = []
    free = np.ones(CELLS, bool)
    for cell in START + 1 + np.random.default_rng(seed).permutation(CELLS - 2):
        if len(chosen) == count:
            break
        free[cell] = False
        if _connected(free):
            chosen.append(int(cell))
        else:
            free[cell] = True
    if len(chosen) != count:
        raise ValueError(
            f"no room for {count} occluded cells: with seed {seed} at most {len(chosen)} leave the others connected"
        )
    return tuple(sorted(chosen))


@cache
def _build(occluded: tuple[int, ...]) -> Cellworld:
    free = _free(occluded)
    first, second = (np.flatnonzero(free)[i] for i in np.triu_indices(free.sum()))
    clear = ~_blocked(3 * COORD[first], 3 * COORD[second], 3 * COORD[list(occluded)])
    visible = np.zeros((CELLS, CELLS), bool)
    visible[first[clear], second[clear]] = visible[second[clear], first[clear]] = True
    return Cellworld(occluded, _fixed(visible), _fixed(_next_hops(free)))


def _blocked(a: np.ndarray, b: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Whether lines from a to b [N, 2] touch any of the occluders around `centres` [K,
    2].

    In thirds of a coordinate an occluder has the corners (0, 2), (3, 1), (3, -1) and
    their opposites, so integers give exact answers. Two convex shapes are apart just if
    they are apart along the normal of one of their edges."""
    across = (b - a)[:, ::-1] * (-1, 1)  # [N, 2] normal of each line
    reach = np.maximum(
        2 * np.abs(across[:, 1]), 3 * np.abs(across[:, 0]) + np.abs(across[:, 1])
    )
    offset = (across * a).sum(-1, keepdims=True) - across @ centres.T  # [N, K]
    line, which = np.nonzero(np.abs(offset) <= reach[:, None])
    start, end = a[line] - centres[which], b[line] - centres[which]
    touch = np.ones(len(line), bool)
    for axis, half in (((1, 0), 3), ((1, 3), 6), ((1, -3), 6)):
        s, e = start @ np.array(axis), end @ np.array(axis)
        touch &= (np.minimum(s, e) <= half) & (np.maximum(s, e) >= -half)
    blocked = np.zeros(len(a), bool)
    blocked[line[touch]] = True
    return blocked


def _next_hops(free: np.ndarray) -> np.ndarray:
    """First cells of shortest ways, [331, 331] int16: of several the one nearest to the
    end, then the lowest number."""
    far = np.int16(CELLS)
    # [332, 331], the last row is nowhere
    hops = np.where(np.eye(CELLS + 1, dtype=bool), np.int16(0), far)[:, :CELLS]
    closed = np.append(~free, True)
    hops[closed] = far
    while (
        (shorter := np.minimum(hops[:CELLS], 1 + hops[NEIGHBOURS].min(1)))
        < hops[:CELLS]
    )[free].any():
        hops[:CELLS][free] = shorter[free]
    # [331, 331] exact, in squares of STRIDE[0]
    distance = ((COORD[:, None] - COORD) ** 2 @ (1, 3)).astype(np.int32)
    # [331, 6, 331]
    rank = (
        hops[NEIGHBOURS] * np.int32(10**6)
        + np.append(distance, distance[:1], 0)[NEIGHBOURS]
    )
    step = np.take_along_axis(NEIGHBOURS, rank.argmin(1).astype(np.int64), 1)
    step[np.arange(CELLS), np.arange(CELLS)] = np.arange(CELLS)
    return np.where(hops[:CELLS] < far, step, -1).astype(np.int16)


def _connected(free: np.ndarray) -> bool:
    seen, queue = free.copy(), deque([START])  # seen: still to be found
    seen[START] = False
    while queue:
        for cell in NEIGHBOURS[queue.popleft()]:
            if cell >= 0 and seen[cell]:
                seen[cell] = False
                queue.append(cell)
    return not seen.any()


def _around(values: np.ndarray) -> np.ndarray:
    """The values [331] of each cell's neighbours, [331, 6], 0 where there is none."""
    return np.append(values, np.zeros(1, values.dtype))[NEIGHBOURS]


def _change(values: np.ndarray) -> np.ndarray:
    """Product over the three axes of how much `values` [331] differ between the two
    neighbours."""
    return np.abs(np.diff(_around(values.astype(np.int64)).reshape(CELLS, 3, 2))).prod(
        (1, 2)
    )


def _free(occluded: tuple[int, ...]) -> np.ndarray:
    return ~np.isin(np.arange(CELLS), occluded)


def _fixed(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
