"""What keeps agents inside the arena and out of the occluders.

The corrected dynamics let agents slide along walls and occluders. The original ones
stop agents at the arena's walls and let them pass through occluders.
"""

from dataclasses import dataclass

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.columns import Agents
from curriculum.envs._cellworld.lattice import (
    ARENA_APOTHEM,
    ARENA_NORMALS,
    OCCLUDER_APOTHEM,
    OCCLUDER_NORMALS,
    hexagon_distance,
    project,
)
from curriculum.envs._cellworld.pixels import pixel_of, touching_occluders
from curriculum.envs._cellworld.rules import BODIES, REACH, SECONDS

CLEARANCE = 1e-9  # left between an agent and the side of an occluder


@dataclass(frozen=True)
class Sliding:
    """Keeps the centres of agents a body's reach inside the arena, and outside the
    occluders.

    Every waypoint is that far from the walls, so nobody needs to come closer, and
    everybody can turn anywhere."""

    cells: Cellworld

    def slide(self, agents: Agents, moved: np.ndarray, near: np.ndarray) -> None:
        """Correct the new positions `moved` [2, 2, N] in place.

        Only agents with the flat indices `near` are checked: see
        `pixels.near_obstacles`. Who cannot leave an occluder through its nearest side
        stays."""
        rows = moved.shape[-1]
        limit = (ARENA_APOTHEM - REACH).take(near // rows)  # [n]
        all_moved = moved.reshape(2, -1)
        position = all_moved.take(near, 1)  # [2, n]
        if _outside(position, limit).any():
            position -= _beyond_walls(position, limit)
        inside = self._in_occluder(position).nonzero()[0]
        if inside.size:
            pushed_out = position[:, inside]
            depth, outwards = self._depth(pushed_out)
            pushed_out += (depth + CLEARANCE) * outwards
            blocked = self._in_occluder(pushed_out)
            blocked |= _outside(pushed_out, limit[inside])
            before = agents.position.reshape(2, -1)[:, near[inside]]
            position[:, inside] = np.where(blocked, before, pushed_out)
        all_moved[:, near] = position

    def _in_occluder(self, position: np.ndarray) -> np.ndarray:
        """Whether points [2, n] are inside an occluder, [n]."""
        centres, of_pixel = touching_occluders(self.cells)
        candidates = of_pixel.take(pixel_of(position), 0)  # [n, W]
        offset = position[:, :, None] - centres.take(candidates, 1)
        inside = hexagon_distance(offset) < OCCLUDER_APOTHEM
        return np.logical_or.reduce(inside, -1)

    def _depth(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance [n] from points [2, n] inside an occluder to its nearest side, and
        the unit vectors [2, n] that point there."""
        centres = self.cells.occluder_centres.T[:, :, None]
        offset = position[:, None] - centres  # [2, K, n]
        point = np.arange(position.shape[1])
        nearest = (offset * offset).sum(0).argmin(0)
        components = project(OCCLUDER_NORMALS, offset[:, nearest, point])  # [3, n]
        side = np.abs(components).argmax(0)
        component = components[side, point]
        depth = OCCLUDER_APOTHEM - np.abs(component)
        return depth, OCCLUDER_NORMALS[side].T * np.sign(component)


def _outside(position: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Whether points [2, n] are outside the arena made smaller: a hexagon with the
    apothem `limit` [n], as [n]."""
    return hexagon_distance(position[::-1] - 0.5) > limit


def _beyond_walls(position: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """How far points [2, n] are beyond the walls of that hexagon, as vectors [2, n]."""
    components = project(ARENA_NORMALS, position - 0.5)  # [3, n]
    excess = np.sign(components) * np.maximum(np.abs(components) - limit, 0)
    return (ARENA_NORMALS[:, :, None] * excess[:, None]).sum(0)


def stop_at_walls(
    agents: Agents, moved: np.ndarray, turned: np.ndarray, near: np.ndarray
) -> None:
    """Correct new positions `moved` [2, 2, N] and headings `turned` [2, N] in place, by
    the rule of the original simulator.

    An agent whose body would stick out of the arena only turns; or else only moves, in
    its old direction; or else does nothing. Only agents with the flat indices `near`
    are checked."""
    all_moved = moved.reshape(2, -1)
    agent = near // moved.shape[-1]
    out = ~_body_inside(all_moved[:, near], turned.take(near), agent)
    if not out.any():
        return
    near = near[out]
    agent = agent[out]
    flat = agents.flat
    before = flat.position[:, near]
    heading = flat.heading[near]
    angle = np.radians(heading)
    distance = flat.speed[near] * SECONDS
    x, y = before
    straight_x = x + distance * np.cos(angle)
    straight_y = y + distance * np.sin(angle)
    straight = np.stack([straight_x, straight_y])
    can_turn = _body_inside(before, turned.take(near), agent)
    can_move = ~can_turn & _body_inside(straight, heading, agent)
    all_moved[:, near] = np.where(can_move, straight, before)
    turned.flat[near] = np.where(can_turn, turned.take(near), heading)


def _body_inside(
    position: np.ndarray, heading: np.ndarray, agent: np.ndarray
) -> np.ndarray:
    """Whether bodies at positions [2, n] with headings [n] lie within the arena, [n];
    `agent` [n] says whose bodies they are."""
    x, y = position[:, :, None]
    angle = np.radians(heading[:, None])
    cos = np.cos(angle)
    sin = np.sin(angle)
    ahead, left = BODIES[agent].transpose(2, 0, 1)  # [n, 6]
    corner_x = x + cos * ahead - sin * left
    corner_y = y + sin * ahead + cos * left
    corner = np.stack([corner_x.ravel(), corner_y.ravel()]) - 0.5  # [2, n * 6]
    is_inside = np.abs(project(ARENA_NORMALS, corner)) <= ARENA_APOTHEM
    return is_inside.all(0).reshape(corner_x.shape).all(-1)
