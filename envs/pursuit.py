"""How prey and predator move in a cellworld: a sub-step of 0.025 s for all rows at once.

Both follow waypoints, which are cell centres, and both are one array `pair` [10, 2, N], changed in place: the rows of
`PAIRED`, then predator and prey. What drives an agent in one sub-step was set in the sub-step before."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from envs.cellworld import Cellworld

PAIRED = ("x", "y", "heading", "speed", "turn", "waypoint", "destination", "pending", "patience", "freshness")
NONE, SIGHTING = -1, -2  # no cell; the cell nearest to where the prey was last seen
SECONDS = 0.025  # a sub-step takes
PATIENCE = 10  # sub-steps before another destination is accepted, and before the way to it is planned anew
TOLERANCE = 0.01  # a waypoint is reached within
AIM = 8.0  # degrees off at which an agent goes at half speed
BRAKING = 0.2  # from a waypoint: the original goes faster than its top speed beyond

APOTHEM = 3**0.5 / 4  # of the arena
CELL_APOTHEM = 3 / 128  # of an occluder
EPSILON = 1e-9  # outside
AXES = np.array([(1, 0), (0.5, 3**0.5 / 2), (-0.5, 3**0.5 / 2)])  # normals of an occluder's sides
WALLS = AXES[:, ::-1]  # normals of the arena's sides
BODIES = np.array([  # predator, prey: [2, 6, 2] corners ahead and to the left
    [(0.02, 0.013), (0.02, -0.013), (-0.02, 0.013), (-0.02, -0.013), (0.025, 0.01), (0.025, -0.01)],
    [(0.015, 0), (-0.015, 0), (0, 0.005), (0, -0.005), (0, 0.005), (0, -0.005)],
])  # fmt: skip
REACH = np.hypot(*BODIES.transpose(2, 0, 1)).max(-1)[:, None]  # [2, 1] from centre to the farthest corner
PIXELS, MARGIN = 64, 8  # a unit of length and around the arena, in maps of places: steps are shorter
SIDE = PIXELS + 2 * MARGIN


@dataclass(frozen=True)
class Pursuit:
    """The motion of both agents among the occluders of one cellworld."""

    cells: Cellworld
    top_speed: np.ndarray  # [2, 1] per second
    gain: np.ndarray  # [2, 1] per second: degrees turned for each degree off
    capped: bool = True  # False: the farther a waypoint beyond BRAKING, the faster than the top speed
    solid: bool = True  # False: agents go through occluders
    exact: bool = True  # False: the own cell is that of the own pixel, a thousandth of the arena

    @cached_property
    def blocks(self) -> np.ndarray:
        """Centres of the occluders, [K, 2]."""
        return self.cells.xy[list(self.cells.occluded)]

    @cached_property
    def centres(self) -> np.ndarray:
        """Centres of the cells, [2, 331] in memory order."""
        return np.ascontiguousarray(self.cells.xy.T)

    def move(self, pair: np.ndarray) -> None:
        """Turn and go on, along walls and occluders where these are in the way."""
        place, heading, speed, turn = pair[:2], *pair[2:5]
        turned = heading + turn * SECONDS
        angle = np.radians(turned)
        to = np.stack([np.cos(angle), np.sin(angle)])  # [2, 2, N]
        to *= speed * SECONDS
        to += place
        near = np.flatnonzero(_obstacles(self.cells, self.solid).take(_pixel(to)))
        if near.size:
            (self._slide if self.solid else self._stop_at_wall)(pair, to, turned, near)
        place[:], heading[:] = to, turned

    def navigate(self, pair: np.ndarray, seen_at: np.ndarray) -> None:
        """Accept pending destinations, plan ways, drop waypoints reached, and set speeds; `seen_at` is [2, N]."""
        heading, speed, turn, waypoint, destination, pending, patience, freshness = pair[2:]
        accepting = (pending != NONE) & (patience == 0)
        planning = np.flatnonzero(accepting | ((destination != NONE) & (freshness == 0)))
        if planning.size:
            self._plan(pair, np.flatnonzero(accepting), planning, seen_at)
        np.maximum(pair[8:] - 1, 0, out=pair[8:])
        cell = waypoint.astype(np.int64)
        way = self.centres.take(cell, 1) - pair[:2]
        dx, dy = way
        reached = np.flatnonzero((dx * dx + dy * dy < TOLERANCE**2) & (cell != NONE))
        if reached.size:
            was, goal = cell.take(reached), destination.take(reached).astype(np.int64)
            ahead = np.where(was == goal, NONE, self.cells.leg[was, goal])
            waypoint.flat[reached] = cell.flat[reached] = ahead
            way.reshape(2, -1)[:, reached] = self.centres.take(ahead, 1) - pair[:2].reshape(2, -1)[:, reached]
        going = cell != NONE
        error = np.degrees(np.arctan2(dy, dx)) - heading
        error -= 360 * np.rint(error / 360)
        np.divide(going * self.top_speed, (error / AIM) ** 2 + 1, out=speed)
        if not self.capped:
            speed *= np.maximum(np.hypot(dx, dy) / BRAKING, 1)
        np.multiply(going * self.gain, error, out=turn)

    def locate(self, xy: np.ndarray) -> np.ndarray:
        """The open cells that points [n, 2] belong to, [n]."""
        if not self.exact:
            xy = (np.floor(1000 * xy) + 0.5) / 1000 - (1e-9, 0)  # some pixels are as near to two cells: the western one
            return self.cells.nearest(xy)
        near = _nearest_of_pixel(self.cells).take(_pixel(xy.T), 0)  # [n, W]
        dx, dy = self.centres.take(near, 1) - xy.T[:, :, None]
        return near[np.arange(len(near)), (dx * dx + dy * dy).argmin(-1)]

    def _plan(self, pair: np.ndarray, accepted: np.ndarray, planning: np.ndarray, seen_at: np.ndarray) -> None:
        """Give some agents a new destination and plan the way of these and others."""
        waypoint, destination, pending = pair[5:8]
        goal = pending.flat[accepted]
        sighted = np.flatnonzero(goal == SIGHTING)  # only the predator, the first N, sees
        places = np.concatenate([pair[:2].reshape(2, -1)[:, planning], seen_at[:, accepted[sighted]]], 1)
        cells = self.locate(places.T)
        goal[sighted] = cells[len(planning) :]
        destination.flat[accepted], pending.flat[accepted] = goal, NONE
        pair[8:].reshape(2, -1)[:, accepted] = PATIENCE
        waypoint.flat[planning] = self.cells.leg[cells[: len(planning)], destination.flat[planning].astype(np.int64)]

    def _stop_at_wall(self, pair: np.ndarray, to: np.ndarray, turned: np.ndarray, near: np.ndarray) -> None:
        """Let agents whose bodies would stick out of the arena only turn, or else only go, or else stay."""
        agent = near // pair.shape[-1]
        out = ~_inside(np.stack([*to.reshape(2, -1)[:, near], turned.take(near)]), agent)
        if not out.any():
            return
        near, agent = near[out], agent[out]
        x, y, heading, speed = pair[:4].reshape(4, -1)[:, near]
        angle, ahead = np.radians(heading), speed * SECONDS
        turning = np.stack([x, y, turned.take(near)])
        going = np.stack([x + ahead * np.cos(angle), y + ahead * np.sin(angle), heading])
        left = np.where(_inside(going, agent), going, [x, y, heading])
        chosen = np.where(_inside(turning, agent), turning, left)
        to.reshape(2, -1)[:, near], turned.flat[near] = chosen[:2], chosen[2]

    def _slide(self, pair: np.ndarray, to: np.ndarray, turned: np.ndarray, near: np.ndarray) -> None:
        """Keep centres a body's reach inside the arena, and outside occluders through whose nearest side they leave.

        Every waypoint is that far from the walls, so nobody needs to be nearer, and all can turn where they are."""
        limit = APOTHEM - REACH[near // pair.shape[-1], 0]
        place = to.reshape(2, -1)[:, near]
        across = WALLS @ (place - 0.5)  # [3, n]
        place -= WALLS.T @ (np.sign(across) * np.maximum(np.abs(across) - limit, 0))
        depth, outwards = self._depth(place)
        inside = np.flatnonzero(depth > 0)
        if inside.size:
            left = place[:, inside] + (depth[inside] + EPSILON) * outwards[:, inside]
            blocked = (self._depth(left)[0] > 0) | (np.abs(WALLS @ (left - 0.5)).max(0) > limit[inside])
            place[:, inside] = np.where(blocked, pair[:2].reshape(2, -1)[:, near[inside]], left)
        to.reshape(2, -1)[:, near] = place

    def _depth(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How deep points [2, n] are inside an occluder, [n] and negative outside, and which way is out, [2, n]."""
        blocks, of_pixel = _occluders_of_pixel(self.cells)
        offset = place.T[:, None] - blocks[of_pixel[_pixel(place)]]  # [n, W, 2]
        offset = offset[np.arange(len(offset)), (offset * offset).sum(-1).argmin(-1)]
        across = offset @ AXES.T  # [n, 3]
        side = np.abs(across).argmax(-1)
        across = across[np.arange(len(across)), side]
        return CELL_APOTHEM - np.abs(across), AXES[side].T * np.sign(across)


def _pixel(place: np.ndarray) -> np.ndarray:
    """The pixels that places [2, ...] are in, by their numbers in a map."""
    column, row = (place * PIXELS + MARGIN).astype(np.int64)
    return row * SIDE + column


MIDDLES = ((np.stack(np.meshgrid(*2 * [np.arange(SIDE)]), -1) + 0.5 - MARGIN) / PIXELS).reshape(-1, 2)  # of pixels
RADIUS = 0.5**0.5 / PIXELS  # of a pixel


@cache
def _nearest_of_pixel(cells: Cellworld) -> np.ndarray:
    """The open cells that may be the nearest to a point of a pixel, [SIDE**2, W] in order, the last one repeated."""
    distance = np.hypot(*(MIDDLES.T[:, :, None] - cells.xy[cells.open].T[:, None]))  # [SIDE**2, C]
    return cells.open[_listed(distance <= distance.min(-1, keepdims=True) + 2.001 * RADIUS)]


@cache
def _occluders_of_pixel(cells: Cellworld) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the occluders and one far away, and which of them may touch a pixel, [SIDE**2, W]."""
    blocks = np.append(cells.xy[list(cells.occluded)], [(9.0, 9.0)], 0)
    depth = np.abs((MIDDLES[:, None] - blocks) @ AXES.T).max(-1)
    near = depth < CELL_APOTHEM + RADIUS
    near[:, -1] = ~near.any(-1)
    return blocks, _listed(near)


@cache
def _obstacles(cells: Cellworld, solid: bool) -> np.ndarray:
    """Whether bodies in a pixel may stick out of the arena, or their centres into an occluder if these are solid."""
    near = np.abs((MIDDLES - 0.5) @ WALLS.T).max(-1) > APOTHEM - REACH.max() - RADIUS
    blocks, of_pixel = _occluders_of_pixel(cells)
    return near | (of_pixel[:, 0] < len(blocks) - 1) if solid else near


def _listed(chosen: np.ndarray) -> np.ndarray:
    """The columns chosen in each row of a table, [N, W], the last one repeated."""
    count = chosen.sum(-1)
    row, column = np.nonzero(chosen)
    first = np.cumsum(count) - count
    return column[first[:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)]


def _inside(pose: np.ndarray, agent: np.ndarray) -> np.ndarray:
    """Whether bodies in the poses [3, n] of these agents [n] lie within the arena, [n]."""
    x, y, heading = pose[:, :, None]
    cos, sin = np.cos(np.radians(heading)), np.sin(np.radians(heading))
    ahead, left = BODIES[agent].transpose(2, 0, 1)
    corner = np.stack([x + cos * ahead - sin * left, y + sin * ahead + cos * left], -1) - 0.5  # [n, 6, 2]
    return (np.abs(corner @ WALLS.T) <= APOTHEM).all((1, 2))
