"""An environment step of BotEvade by kernels: the arrays they work on and the tables
they look things up in."""

from types import ModuleType
from typing import NamedTuple, Self

import numpy as np

from curriculum.envs._cellworld.columns import COLUMN
from curriculum.envs._cellworld.encounter import Encounter, occluder_index
from curriculum.envs._cellworld.pixels import (
    cells_of_pixels,
    near_obstacles,
    nearest_cells,
    touching_occluders,
)
from curriculum.envs._cellworld.pursuit import Pursuit
from curriculum.envs._cellworld.rules import SECONDS, SUBSTEPS


class Work(NamedTuple):
    """What kernels keep from one sub-step to the next, for N rows."""

    live: np.ndarray  # [N] bool, whether they took the last sub-step
    # [2, 2, N] of the agents' waypoints from where they are: x and y, then the agent
    offset: np.ndarray
    angle: np.ndarray  # [2, N] arctan2 of the offset
    until: np.ndarray  # [N] time at which the environment step ends

    @classmethod
    def of(cls, until: np.ndarray) -> Self:
        rows = len(until)
        return cls(
            live=np.zeros(rows, bool),
            offset=np.zeros((2, 2, rows)),
            angle=np.zeros((2, rows)),
            until=until,
        )


class Arena(NamedTuple):
    """The rules of one world, and the tables in which kernels look things up."""

    top_speed: np.ndarray  # [2] of predator and prey
    gain: np.ndarray  # [2]
    capped: bool
    solid: bool
    exact: bool
    pursues: bool
    end_on_puff: bool
    by_clock: bool  # a rounded clock counts the sub-steps (original)
    xy: np.ndarray  # [2, 331] float64, centres of the cells
    waypoint: np.ndarray  # [331 * 331] int16
    opened: np.ndarray  # [C] int64, the open cells
    near: np.ndarray  # [SIDE**2] bool
    occluders: np.ndarray  # [2, K + 1] float64, centres; the last one is far away
    touching: np.ndarray  # [SIDE**2, W] int16
    nearest: np.ndarray  # [SIDE**2, W] int16
    of_pixel: np.ndarray  # int16, cells of the pixels of the original; else [0, 0]
    sight_start: np.ndarray  # [BOXES**4 + 1] int32, see `OccluderIndex`
    sight_listed: np.ndarray  # int16


def advance(
    kernels: ModuleType, arena: Arena, state: np.ndarray, draws: np.ndarray
) -> bool:
    """Take an environment step in place in states [N, 29], which have new pending
    destinations; `draws` is [N, SUBSTEPS + 1].

    False, with states that are of no use, where one was impossible."""
    cooldown = state[:, COLUMN["cooldown"]]
    was_cooling = cooldown > 0
    until = np.full(len(state), np.inf)
    if arena.by_clock:
        until = state[:, COLUMN["time"]] + SUBSTEPS * SECONDS
    work = Work.of(until)
    dx, dy = work.offset
    for number in range(SUBSTEPS + arena.by_clock):
        count = kernels.substep(state, draws[:, number], work, arena)
        if count == kernels.FAILED:
            return False
        if not count:
            break
        np.arctan2(dy, dx, out=work.angle)
    looking = was_cooling | (cooldown > 0)
    if arena.by_clock:  # sight stays frozen in a cool-down
        looking[:] = False
    return kernels.finish(state, looking, work, arena) != kernels.FAILED


def arena_of(
    pursuit: Pursuit, encounter: Encounter, end_on_puff: bool, by_clock: bool
) -> Arena:
    """The rules of a world and their tables, as kernels take them."""
    cells = pursuit.cells
    occluders, touching = touching_occluders(cells)
    index = occluder_index(encounter.cells)
    of_pixel = np.zeros((0, 0)) if pursuit.exact else cells_of_pixels(cells)
    return Arena(
        top_speed=_copy(pursuit.top_speed[:, 0], np.float64),
        gain=_copy(pursuit.gain[:, 0], np.float64),
        capped=pursuit.capped,
        solid=pursuit.solid,
        exact=pursuit.exact,
        pursues=encounter.pursues,
        end_on_puff=end_on_puff,
        by_clock=by_clock,
        xy=_copy(cells.xy.T, np.float64),
        waypoint=_copy(cells.waypoint.ravel(), np.int16),
        opened=_copy(cells.open, np.int64),
        near=_copy(near_obstacles(cells, pursuit.solid), np.bool_),
        occluders=_copy(occluders, np.float64),
        touching=_copy(touching, np.int16),
        nearest=_copy(nearest_cells(cells), np.int16),
        of_pixel=_copy(of_pixel, np.int16),
        sight_start=_copy(index.start, np.int32),
        sight_listed=_copy(index.listed, np.int16),
    )


def _copy(array: np.ndarray, dtype: type) -> np.ndarray:
    """A contiguous copy that may be written to: kernels take no others."""
    return np.array(array, dtype, order="C")
