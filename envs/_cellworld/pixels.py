"""Tables of what may be near a point, by the pixel of a coarse grid that it lies in.

The grid covers the unit square and a margin wider than a sub-step. The tables only
preselect: what they list is then compared exactly.
"""

from functools import cache

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.lattice import (
    ARENA_APOTHEM,
    OCCLUDER_APOTHEM,
    hexagon_distance,
)
from curriculum.envs._cellworld.rules import REACH

PIXELS = 64  # in a unit of length
MARGIN = 8  # pixels on every side
SIDE = PIXELS + 2 * MARGIN  # pixels
PIXEL_RADIUS = 0.5**0.5 / PIXELS  # from the centre of a pixel to its corners
_AXIS = np.arange(SIDE)
_INDEX = np.stack(np.meshgrid(_AXIS, _AXIS)).reshape(2, -1)
CENTRES = (_INDEX + 0.5 - MARGIN) / PIXELS  # [2, SIDE**2] of the pixels
CELL_PIXELS = 1000  # in a unit of length, by which the original assigns cells
FAR_AWAY = (9.0, 9.0)  # centre of an occluder that concerns nobody


def pixel_of(position: np.ndarray) -> np.ndarray:
    """The pixels that positions [2, ...] lie in, numbers below SIDE**2."""
    column, row = (position * PIXELS + MARGIN).astype(np.int64)
    return row * SIDE + column


@cache
def nearest_cells(cells: Cellworld) -> np.ndarray:
    """The open cells that may be the nearest to a point of each pixel, [SIDE**2, W] in
    ascending order, the last one repeated."""
    offset = CENTRES[:, :, None] - cells.xy[cells.open].T[:, None]
    distance = np.hypot(*offset)  # [SIDE**2, C]
    nearest = distance.min(-1, keepdims=True)
    return cells.open[_chosen_columns(distance <= nearest + 2.001 * PIXEL_RADIUS)]


@cache
def touching_occluders(cells: Cellworld) -> tuple[np.ndarray, np.ndarray]:
    """Centres [2, K + 1] of the occluders and of one far away, and the indices of those
    that may overlap each pixel, [SIDE**2, W].

    Pixels without an occluder list the one far away."""
    centres = np.append(cells.occluder_centres, [FAR_AWAY], 0).T
    distance = hexagon_distance(CENTRES[:, :, None] - centres[:, None])
    near = distance < OCCLUDER_APOTHEM + PIXEL_RADIUS
    near[:, -1] = ~near.any(-1)
    return centres, _chosen_columns(near)


@cache
def near_obstacles(cells: Cellworld, solid: bool) -> np.ndarray:
    """Whether a body in each pixel may stick out of the arena or, if occluders are
    solid, its centre may be inside one, [SIDE**2] bool."""
    distance = hexagon_distance(CENTRES[::-1] - 0.5)
    near_wall = distance > ARENA_APOTHEM - REACH.max() - PIXEL_RADIUS
    if not solid:
        return near_wall
    centres, of_pixel = touching_occluders(cells)
    far_away = centres.shape[1] - 1
    return near_wall | (of_pixel[:, 0] < far_away)


def nearest_to_pixel(cells: Cellworld, xy: np.ndarray) -> np.ndarray:
    """The open cells [n] nearest to the pixels that points [n, 2] lie in, as the
    original assigns them."""
    pixel_centre = (np.floor(CELL_PIXELS * xy) + 0.5) / CELL_PIXELS
    # of two cells that are equally near, the western one
    return cells.nearest(pixel_centre - (1e-9, 0))


@cache
def cells_of_pixels(cells: Cellworld) -> np.ndarray:
    """`nearest_to_pixel` of all pixels in the unit square, [1000, 1000] int16 by x and
    y."""
    axis = (np.arange(CELL_PIXELS) + 0.5) / CELL_PIXELS
    columns = []
    for x in axis:  # one column at a time, or temporary arrays take a gigabyte
        xy = np.stack([np.full(CELL_PIXELS, x), axis], -1)
        columns.append(nearest_to_pixel(cells, xy))
    return np.array(columns, np.int16)


def _chosen_columns(chosen: np.ndarray) -> np.ndarray:
    """The columns chosen in each row of a table [N, M], as [N, W] with the last one
    repeated; every row must choose one."""
    count = chosen.sum(-1)
    _, column = np.nonzero(chosen)
    first = np.cumsum(count) - count
    place = np.minimum(np.arange(count.max()), count[:, None] - 1)
    return column[first[:, None] + place]
