"""Headings between cells, and the time that turning costs. Angles are in degrees."""

from functools import cache

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.lattice import CELLS
from curriculum.envs._cellworld.rules import HALF_SPEED_ERROR


@cache
def bearings(cells: Cellworld) -> np.ndarray:
    """Heading from each cell towards the first waypoint on the path to each other cell,
    [331 * 331] float32 at source * 331 + target."""
    everywhere = np.arange(CELLS)[:, None]
    first = np.where(cells.waypoint < 0, everywhere, cells.waypoint)
    offset = cells.xy[first] - cells.xy[:, None]  # [331, 331, 2]
    dx = offset[..., 0]
    dy = offset[..., 1]
    return np.degrees(np.arctan2(dy, dx)).astype(np.float32).ravel()


def wrap(angle: np.ndarray) -> np.ndarray:
    """The same angles in [-180, 180]."""
    return angle - 360 * np.rint(angle / 360)


def turning_delay(error: np.ndarray, gain: float) -> np.ndarray:
    """Seconds by which a heading error delays an agent with this turning gain.

    The error decays exponentially at the rate `gain`, and the speed is the top speed
    times 1 / (1 + (error / 8)^2): the integral of what is missing."""
    return np.log1p((error / HALF_SPEED_ERROR) ** 2) / (2 * gain)
