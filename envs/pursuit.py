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
PIXELS = 256  # of the map of places that may be inside an occluder


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
        x, y, heading, speed, turn = pair[:5]
        turned = heading + turn * SECONDS
        ahead = speed * SECONDS
        angle = np.radians(turned)
        to_x, to_y = x + ahead * np.cos(angle), y + ahead * np.sin(angle)
        if self.solid:
            self._slide(pair, to_x, to_y)
        else:
            self._stop_at_wall(pair, to_x, to_y, turned)
        x[:], y[:], heading[:] = to_x, to_y, turned

    def navigate(self, pair: np.ndarray, seen_at: np.ndarray) -> None:
        """Accept pending destinations, plan ways, drop waypoints reached, and set speeds; `seen_at` is [2, N]."""
        heading, speed, turn, waypoint, destination, pending, patience, freshness = pair[2:]
        accepting = (pending != NONE) & (patience == 0)
        planning = np.flatnonzero(accepting | ((destination != NONE) & (freshness == 0)))
        if planning.size:
            self._plan(pair, np.flatnonzero(accepting), planning, seen_at)
        np.maximum(pair[8:] - 1, 0, out=pair[8:])
        cell = waypoint.astype(np.int64)
        dx, dy = self.centres.take(cell, 1) - pair[:2]
        going = cell != NONE
        reached = np.flatnonzero(going & (dx * dx + dy * dy < TOLERANCE**2))
        if reached.size:
            was, goal = cell.flat[reached], destination.flat[reached].astype(np.int64)
            waypoint.flat[reached] = cell.flat[reached] = np.where(was == goal, NONE, self.cells.leg[was, goal])
            going = cell != NONE
            dx, dy = self.centres.take(cell, 1) - pair[:2]
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
        column, row = (xy * PIXELS).astype(np.int64).T
        cell = _cell_of_pixel(self.cells)[row, column]
        split = np.flatnonzero(cell == NONE)
        dx, dy = self.centres[:, None, self.cells.open] - xy[split].T[:, :, None]  # [m, C] both
        cell[split] = self.cells.open[(dx * dx + dy * dy).argmin(-1)]
        return cell

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

    def _stop_at_wall(self, pair: np.ndarray, to_x: np.ndarray, to_y: np.ndarray, turned: np.ndarray) -> None:
        """Let agents whose bodies would stick out of the arena only turn, or else only go, or else stay."""
        out = np.flatnonzero(self._near_wall(to_x, to_y))  # perhaps
        if out.size:
            out = out[~_inside(np.stack([to_x.flat[out], to_y.flat[out], turned.flat[out]]), out // pair.shape[-1])]
        if not out.size:
            return
        agent = out // pair.shape[-1]
        x, y, heading, speed = pair[:4].reshape(4, -1)[:, out]
        angle, ahead = np.radians(heading), speed * SECONDS
        turning = np.stack([x, y, turned.flat[out]])
        going = np.stack([x + ahead * np.cos(angle), y + ahead * np.sin(angle), heading])
        left = np.where(_inside(going, agent), going, [x, y, heading])
        to_x.flat[out], to_y.flat[out], turned.flat[out] = np.where(_inside(turning, agent), turning, left)

    def _slide(self, pair: np.ndarray, to_x: np.ndarray, to_y: np.ndarray) -> None:
        """Keep centres a body's reach inside the arena, and outside occluders through whose nearest side they leave.

        Every waypoint is that far from the walls, so nobody needs to be nearer, and all can turn where they are."""
        out = np.flatnonzero(self._near_wall(to_x, to_y))
        if out.size:
            place = np.stack([to_x.flat[out], to_y.flat[out]])
            across = WALLS @ (place - 0.5)  # [3, n]
            excess = np.maximum(np.abs(across) - (APOTHEM - REACH[out // pair.shape[-1], 0]), 0)
            to_x.flat[out], to_y.flat[out] = place - WALLS.T @ (np.sign(across) * excess)
        pixel = (to_y * PIXELS).astype(np.int64) * PIXELS + (to_x * PIXELS).astype(np.int64)
        near = np.flatnonzero(_near_occluder(self.cells).take(pixel))
        if near.size:
            place = np.stack([to_x.flat[near], to_y.flat[near]])
            depth, outwards = self._depth(place)
            inside = np.flatnonzero(depth > 0)
            if inside.size:
                place, near = place[:, inside] + (depth[inside] + EPSILON) * outwards[:, inside], near[inside]
                reach = REACH[near // pair.shape[-1], 0]
                blocked = (self._depth(place)[0] > 0) | (np.abs(WALLS @ (place - 0.5)).max(0) > APOTHEM - reach)
                to_x.flat[near], to_y.flat[near] = np.where(blocked, pair[:2].reshape(2, -1)[:, near], place)

    def _near_wall(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether bodies at these places [2, N] may stick out of the arena, whatever their heading."""
        beside, above = np.abs(x - 0.5), np.abs(y - 0.5)
        return np.maximum(above, WALLS[1, 0] * beside + WALLS[1, 1] * above) > APOTHEM - REACH

    def _depth(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How deep points [2, n] are inside an occluder, [n] and negative outside, and which way is out, [2, n]."""
        offset = place.T[:, None] - self.blocks  # [n, K, 2]
        offset = offset[np.arange(len(offset)), (offset * offset).sum(-1).argmin(-1)]
        across = offset @ AXES.T  # [n, 3]
        side = np.abs(across).argmax(-1)
        across = across[np.arange(len(across)), side]
        return CELL_APOTHEM - np.abs(across), AXES[side].T * np.sign(across)


@cache
def _cell_of_pixel(cells: Cellworld) -> np.ndarray:
    """The open cell nearest to every point of a pixel, [PIXELS + 1, PIXELS + 1] rows from the south.

    NONE where it varies and outside the arena. The points nearest to one cell are convex: if they hold the corners of a
    pixel, they hold all of it."""
    edges = np.linspace(0, 1, PIXELS + 1)
    points = np.stack(np.meshgrid(edges, edges), -1)  # [rows, columns, 2]
    inside = (np.abs((points - 0.5) @ WALLS.T) <= APOTHEM).all(-1)
    cell = np.full(inside.shape, NONE)
    cell[inside] = cells.nearest(points[inside])
    corners = np.stack([cell, *(np.roll(cell, shift, axis) for shift, axis in ((-1, 0), (-1, 1), ((-1, -1), (0, 1))))])
    return np.where((corners == cell).all(0), cell, NONE)


@cache
def _near_occluder(cells: Cellworld) -> np.ndarray:
    """Whether a pixel may touch an occluder, [PIXELS, PIXELS] bool, rows from the south."""
    middle = (np.arange(PIXELS) + 0.5) / PIXELS
    pixels = np.stack(np.meshgrid(middle, middle), -1)  # [rows, columns, 2]
    near = np.zeros((PIXELS, PIXELS), bool)
    for block in cells.xy[list(cells.occluded)]:
        near |= np.abs((pixels - block) @ AXES.T).max(-1) < CELL_APOTHEM + 2**-0.5 / PIXELS
    return near


def _inside(pose: np.ndarray, agent: np.ndarray) -> np.ndarray:
    """Whether bodies in the poses [3, n] of these agents [n] lie within the arena, [n]."""
    x, y, heading = pose[:, :, None]
    cos, sin = np.cos(np.radians(heading)), np.sin(np.radians(heading))
    ahead, left = BODIES[agent].transpose(2, 0, 1)
    corner = np.stack([x + cos * ahead - sin * left, y + sin * ahead + cos * left], -1) - 0.5  # [n, 6, 2]
    return (np.abs(corner @ WALLS.T) <= APOTHEM).all((1, 2))
