"""How prey and predator move in a cellworld: a sub-step of 0.025 s for all rows at
once.

Both follow waypoints, which are cell centres, and both are one array `pair` [10, 2, N],
changed in place: the rows of `PAIRED`, then predator and prey. What drives an agent in
one sub-step was set in the sub-step before."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from curriculum.envs._cellworld.cells import CELLS, Cellworld

PAIRED = (
    "x",
    "y",
    "heading",
    "speed",
    "turn",
    "waypoint",
    "destination",
    "pending",
    "patience",
    "freshness",
)
NONE, SIGHTING = -1, -2  # no cell; the cell nearest to where the prey was last seen
SECONDS = 0.025  # a sub-step takes
# sub-steps before another destination is accepted, and before the way to it is planned
# anew
PATIENCE = 10
TOLERANCE = 0.01  # a waypoint is reached within
AIM = 8.0  # degrees off at which an agent goes at half speed
BRAKING = 0.2  # from a waypoint: the original goes faster than its top speed beyond

APOTHEM = 3**0.5 / 4  # of the arena
CELL_APOTHEM = 3 / 128  # of an occluder
EPSILON = 1e-9  # outside
# normals of an occluder's sides
AXES = np.array([(1, 0), (0.5, 3**0.5 / 2), (-0.5, 3**0.5 / 2)])
WALLS = AXES[:, ::-1]  # normals of the arena's sides
BODIES = np.array([  # predator, prey: [2, 6, 2] corners ahead and to the left
    [(0.02, 0.013), (0.02, -0.013), (-0.02, 0.013), (-0.02, -0.013), (0.025, 0.01), (0.025, -0.01)],
    [(0.015, 0), (-0.015, 0), (0, 0.005), (0, -0.005), (0, 0.005), (0, -0.005)],
])  # fmt: skip
# [2, 1] from centre to the farthest corner
REACH = np.hypot(*BODIES.transpose(2, 0, 1)).max(-1)[:, None]
# a unit of length and around the arena, in maps of places: steps are shorter
PIXELS, MARGIN = 64, 8
SIDE = PIXELS + 2 * MARGIN
# [2, SIDE**2]
MIDDLES = (
    np.stack(np.meshgrid(*2 * [np.arange(SIDE)])).reshape(2, -1) + 0.5 - MARGIN
) / PIXELS
RADIUS = 0.5**0.5 / PIXELS  # of a pixel


@dataclass(frozen=True)
class Pursuit:
    """The motion of both agents among the occluders of one cellworld."""

    cells: Cellworld
    top_speed: np.ndarray  # [2, 1] per second
    gain: np.ndarray  # [2, 1] per second: degrees turned for each degree off
    # False: the farther a waypoint beyond BRAKING, the faster than the top speed
    capped: bool = True
    solid: bool = True  # False: agents go through occluders
    # False: the own cell is that of the own pixel, a thousandth of the arena
    exact: bool = True

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
        # [2, 2, N]
        to = place + speed * SECONDS * np.stack([np.cos(angle), np.sin(angle)])
        near = _obstacles(self.cells, self.solid).take(_pixel(to)).ravel().nonzero()[0]
        if near.size and self.solid:
            self._slide(pair, to, near)
        elif near.size:
            self._stop_at_wall(pair, to, turned, near)
        place[:], heading[:] = to, turned

    def navigate(self, pair: np.ndarray, seen_at: np.ndarray) -> None:
        """Accept pending destinations, plan ways, drop waypoints reached, and set
        speeds; `seen_at` is [2, N]."""
        heading, speed, turn, waypoint, destination, pending, patience, freshness = (
            pair[2:]
        )
        accepting = (pending != NONE) & (patience == 0)
        planning = (
            (accepting | ((destination != NONE) & (freshness == 0)))
            .ravel()
            .nonzero()[0]
        )
        if planning.size:
            self._plan(pair, accepting.ravel().nonzero()[0], planning, seen_at)
        np.maximum(pair[8:] - 1, 0, out=pair[8:])
        cell = waypoint.astype(np.int64)
        dx, dy = self.centres.take(cell, 1) - pair[:2]
        reached = (
            ((cell != NONE) & (dx * dx + dy * dy < TOLERANCE**2)).ravel().nonzero()[0]
        )
        if reached.size:
            was, goal = cell.take(reached), destination.take(reached).astype(np.int64)
            waypoint.flat[reached] = cell.flat[reached] = np.where(
                was == goal, NONE, self._leg(was, goal)
            )
            dx, dy = self.centres.take(cell, 1) - pair[:2]
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
            # some pixels are as near to two cells: the western one
            xy = (np.floor(1000 * xy) + 0.5) / 1000 - (1e-9, 0)
            return self.cells.nearest(xy)
        near = _nearest_of_pixel(self.cells).take(_pixel(xy.T), 0)  # [n, W]
        dx, dy = self.centres.take(near, 1) - xy.T[:, :, None]
        return near[np.arange(len(near)), (dx * dx + dy * dy).argmin(-1)]

    def _plan(
        self,
        pair: np.ndarray,
        accepted: np.ndarray,
        planning: np.ndarray,
        seen_at: np.ndarray,
    ) -> None:
        """Give some agents a new destination and plan the way of these and others."""
        agents = pair.reshape(len(PAIRED), -1)
        waypoint, destination, pending = agents[5:8]
        goal = pending.take(accepted)
        # only the predator, the first N, sees
        sighted = (goal == SIGHTING).nonzero()[0]
        places = np.concatenate(
            [agents[:2].take(planning, 1), seen_at.take(accepted[sighted], 1)], 1
        )
        cells = self.locate(places.T)
        goal[sighted] = cells[len(planning) :]
        destination[accepted], pending[accepted] = goal, NONE
        agents[8:, accepted] = PATIENCE
        waypoint[planning] = self._leg(
            cells[: len(planning)], destination.take(planning).astype(np.int64)
        )

    def _leg(self, cell: np.ndarray, goal: np.ndarray) -> np.ndarray:
        """First waypoints from cells to others, [n]."""
        return self.cells.leg.take(cell * CELLS + goal)

    def _stop_at_wall(
        self, pair: np.ndarray, to: np.ndarray, turned: np.ndarray, near: np.ndarray
    ) -> None:
        """Let agents whose bodies would stick out of the arena only turn, or else only
        go, or else stay."""
        agent = near // pair.shape[-1]
        out = ~_inside(
            np.stack([*to.reshape(2, -1)[:, near], turned.take(near)]), agent
        )
        if not out.any():
            return
        near, agent = near[out], agent[out]
        x, y, heading, speed = pair[:4].reshape(4, -1)[:, near]
        angle, ahead = np.radians(heading), speed * SECONDS
        turning = np.stack([x, y, turned.take(near)])
        going = np.stack(
            [x + ahead * np.cos(angle), y + ahead * np.sin(angle), heading]
        )
        left = np.where(_inside(going, agent), going, [x, y, heading])
        chosen = np.where(_inside(turning, agent), turning, left)
        to.reshape(2, -1)[:, near], turned.flat[near] = chosen[:2], chosen[2]

    def _slide(self, pair: np.ndarray, to: np.ndarray, near: np.ndarray) -> None:
        """Keep centres a body's reach inside the arena, and outside occluders through
        whose nearest side they leave.

        Every waypoint is that far from the walls, so nobody needs to be nearer, and all
        can turn where they are."""
        limit = (APOTHEM - REACH).take(near // pair.shape[-1])
        place = to.reshape(2, -1).take(near, 1)
        if (_off_middle(place[::-1] - 0.5) > limit).any():
            across = _along(WALLS, place - 0.5)
            excess = np.sign(across) * np.maximum(np.abs(across) - limit, 0)  # [3, n]
            place -= (WALLS[:, :, None] * excess[:, None]).sum(0)
        inside = self._occluded(place).nonzero()[0]
        if inside.size:
            left = place[:, inside]
            depth, outwards = self._depth(left)
            left += (depth + EPSILON) * outwards
            blocked = self._occluded(left) | (
                _off_middle(left[::-1] - 0.5) > limit[inside]
            )
            place[:, inside] = np.where(
                blocked, pair[:2].reshape(2, -1)[:, near[inside]], left
            )
        to.reshape(2, -1)[:, near] = place

    def _occluded(self, place: np.ndarray) -> np.ndarray:
        """Whether points [2, n] are inside an occluder, [n]."""
        blocks, of_pixel = _occluders_of_pixel(self.cells)
        # [2, n, W]
        offset = place[:, :, None] - blocks.take(of_pixel.take(_pixel(place), 0), 1)
        return np.logical_or.reduce(_off_middle(offset) < CELL_APOTHEM, -1)

    def _depth(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How deep points [2, n] are inside an occluder, [n], and which way is out, [2,
        n]."""
        offset = place[:, None] - self.blocks.T[:, :, None]  # [2, K, n]
        each = np.arange(place.shape[1])
        offset = offset[:, (offset * offset).sum(0).argmin(0), each]
        across = _along(AXES, offset)
        side = np.abs(across).argmax(0)
        across = across[side, each]
        return CELL_APOTHEM - np.abs(across), AXES[side].T * np.sign(across)


def _off_middle(offset: np.ndarray) -> np.ndarray:
    """How far [2, ...] is from the middle of a hexagon towards its nearest side: one is
    east, or north for (y, x)."""
    beside, above = np.abs(offset)
    return np.maximum(beside, 0.5 * beside + 3**0.5 / 2 * above)


def _along(axes: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Components of `offset` [2, n] along three axes, [3, n]: not by @, whose last bits
    depend on n."""
    return axes[:, :1] * offset[0] + axes[:, 1:] * offset[1]


def _pixel(place: np.ndarray) -> np.ndarray:
    """The pixels that places [2, ...] are in, by their numbers in a map."""
    column, row = (place * PIXELS + MARGIN).astype(np.int64)
    return row * SIDE + column


@cache
def _nearest_of_pixel(cells: Cellworld) -> np.ndarray:
    """The open cells that may be the nearest to a point of a pixel, [SIDE**2, W] in
    order, the last one repeated."""
    # [SIDE**2, C]
    distance = np.hypot(*(MIDDLES[:, :, None] - cells.xy[cells.open].T[:, None]))
    return cells.open[
        _listed(distance <= distance.min(-1, keepdims=True) + 2.001 * RADIUS)
    ]


@cache
def _occluders_of_pixel(cells: Cellworld) -> tuple[np.ndarray, np.ndarray]:
    """Centres [2, K + 1] of the occluders and one far away, and which of them may touch
    a pixel, [SIDE**2, W]."""
    blocks = np.append(cells.xy[list(cells.occluded)], [(9.0, 9.0)], 0).T
    near = _off_middle(MIDDLES[:, :, None] - blocks[:, None]) < CELL_APOTHEM + RADIUS
    near[:, -1] = ~near.any(-1)
    return blocks, _listed(near)


@cache
def _obstacles(cells: Cellworld, solid: bool) -> np.ndarray:
    """Whether bodies in a pixel may stick out of the arena, or centres into an occluder
    if these are solid."""
    near = _off_middle(MIDDLES[::-1] - 0.5) > APOTHEM - REACH.max() - RADIUS
    blocks, of_pixel = _occluders_of_pixel(cells)
    return near | (of_pixel[:, 0] < blocks.shape[1] - 1) if solid else near


def _listed(chosen: np.ndarray) -> np.ndarray:
    """The columns chosen in each row of a table, [N, W], the last one repeated."""
    count = chosen.sum(-1)
    column = np.nonzero(chosen)[1]
    first = np.cumsum(count) - count
    return column[
        first[:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)
    ]


def _inside(pose: np.ndarray, agent: np.ndarray) -> np.ndarray:
    """Whether bodies in the poses [3, n] of these agents [n] lie within the arena,
    [n]."""
    x, y, heading = pose[:, :, None]
    cos, sin = np.cos(np.radians(heading)), np.sin(np.radians(heading))
    ahead, left = BODIES[agent].transpose(2, 0, 1)
    # [n, 6, 2]
    corner = (
        np.stack([x + cos * ahead - sin * left, y + sin * ahead + cos * left], -1) - 0.5
    )
    return (np.abs(corner @ WALLS.T) <= APOTHEM).all((1, 2))
