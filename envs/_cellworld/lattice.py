"""The hexagonal lattice of 331 cells that all cellworlds share.

A cell has integer coordinates (x, y) where x + y is even, |y| <= 10 and
|x| + |y| <= 20. Cells are numbered in ascending order of x, then of y. Positions and
lengths are in units of the arena's diameter: the arena spans [0, 1] from west to east.
"""

import numpy as np

CELLS = 331
START = 0  # the westernmost cell, beside which the prey starts
GOAL = 330  # the easternmost cell, inside the goal
SPACING = 0.046875  # between the centres of neighbouring cells
STRIDE = np.array([0.0234375, 0.0234375 * 3**0.5])  # of one integer coordinate, (x, y)

OCCLUDER_APOTHEM = 3 / 128  # from the centre of an occluder to its sides
OCCLUDER_RADIUS = 3**0.5 / 64  # from the centre of an occluder to its corners
ARENA_APOTHEM = 3**0.5 / 4
# [3, 2] unit normals of an occluder's sides, one for each pair of opposite sides
OCCLUDER_NORMALS = np.array([(1, 0), (0.5, 3**0.5 / 2), (-0.5, 3**0.5 / 2)])
ARENA_NORMALS = OCCLUDER_NORMALS[:, ::-1]  # [3, 2] the same of the arena

_CORNERS = np.radians([0, 60, 120, 180, 240, 300])
# [6, 2] corners of a hexagon of radius 1, the first in the east
HEXAGON = np.stack([np.cos(_CORNERS), np.sin(_CORNERS)], -1)
ARENA = 0.5 + 0.5 * HEXAGON  # [6, 2]
# [6, 2] corners around an occluder's centre, the first in the north; occluders tile
# the arena
OCCLUDER = HEXAGON[:, ::-1] * 2 * STRIDE[0] / 3**0.5


def _is_cell(x: int, y: int) -> bool:
    return (x + y) % 2 == 0 and abs(x) + abs(y) <= 20


_SQUARE = [(x, y) for x in range(-20, 21) for y in range(-10, 11)]
COORD = np.array([(x, y) for x, y in _SQUARE if _is_cell(x, y)])  # [331, 2]
XY = 0.5 + COORD * STRIDE  # [331, 2] centres

# the coordinates that `cell_at` knows reach two beyond those of the cells
_X_LIMIT = 22
_Y_LIMIT = 12
_CELL_AT = np.full((2 * _Y_LIMIT + 1, 2 * _X_LIMIT + 1), -1)
_CELL_AT[COORD[:, 1] + _Y_LIMIT, COORD[:, 0] + _X_LIMIT] = np.arange(CELLS)


def cell_at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cells with these integer coordinates, of any dtype; -1 where there is none."""
    column = x.clip(-_X_LIMIT, _X_LIMIT).astype(np.int64) + _X_LIMIT
    row = y.clip(-_Y_LIMIT, _Y_LIMIT).astype(np.int64) + _Y_LIMIT
    return _CELL_AT[row, column]


# there and back along each of the three axes
_DIRECTIONS = np.array([(2, 0), (-2, 0), (1, 1), (-1, -1), (1, -1), (-1, 1)])
_AROUND = COORD[:, None] + _DIRECTIONS
# [331, 6] the neighbours of each cell, -1 where there is none
NEIGHBOURS = cell_at(_AROUND[..., 0], _AROUND[..., 1])


def around(values: np.ndarray) -> np.ndarray:
    """The `values` [331] of each cell's neighbours, [331, 6]; 0 where there is none."""
    padded = np.append(values, np.zeros(1, values.dtype))
    return padded[NEIGHBOURS]


def change(values: np.ndarray) -> np.ndarray:
    """How much `values` [331] change at each cell, [331] int64: the product over the
    three axes of the difference between the two neighbours."""
    along_axes = around(values.astype(np.int64)).reshape(CELLS, 3, 2)
    return np.abs(np.diff(along_axes)).prod((1, 2))


def hexagon_distance(offset: np.ndarray) -> np.ndarray:
    """Distance of points [2, ...] from the centre of a hexagon, measured along the
    normal of the side that they are closest to.

    A point is inside a hexagon if this is less than its apothem. `offset` is (x, y)
    from the centre of an occluder, or (y, x) from the centre of the arena, which is
    turned by 90 degrees."""
    across, along = np.abs(offset)
    return np.maximum(across, 0.5 * across + 3**0.5 / 2 * along)


def project(normals: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Components of `offset` [2, n] along three `normals` [3, 2], as [3, n]."""
    # not by @, whose last bits depend on n
    return normals[:, :1] * offset[0] + normals[:, 1:] * offset[1]


def touches_occluder(
    start: np.ndarray, end: np.ndarray, centres: np.ndarray
) -> np.ndarray:
    """Whether the lines from `start` to `end`, [N, 2] both, touch any of the occluders
    around `centres` [K, 2], as [N].

    All are in thirds of an integer coordinate, where an occluder has the corners
    (0, 2), (3, 1), (3, -1) and their opposites: integers give exact answers. Two convex
    shapes are apart exactly if they are apart along the normal of one of their edges
    (separating axis theorem)."""
    normal = (end - start)[:, ::-1] * (-1, 1)  # [N, 2] of each line
    extent_of_tip = 2 * np.abs(normal[:, 1])
    extent_of_side = 3 * np.abs(normal[:, 0]) + np.abs(normal[:, 1])
    extent = np.maximum(extent_of_tip, extent_of_side)
    offset = (normal * start).sum(-1, keepdims=True) - normal @ centres.T  # [N, K]
    line, occluder = np.nonzero(np.abs(offset) <= extent[:, None])
    first = start[line] - centres[occluder]
    last = end[line] - centres[occluder]
    touching = np.ones(len(line), bool)
    for side, half_width in (((1, 0), 3), ((1, 3), 6), ((1, -3), 6)):
        a = first @ np.array(side)
        b = last @ np.array(side)
        touching &= np.minimum(a, b) <= half_width
        touching &= np.maximum(a, b) >= -half_width
    touched = np.zeros(len(start), bool)
    touched[line[touching]] = True
    return touched
