"""How predator and prey move in a cellworld: one sub-step of 0.025 s for all rows.

Both agents follow waypoints, which are centres of cells, towards the destinations that
they were given. The speeds set in one sub-step act in the next one.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.collisions import Sliding, stop_at_walls
from curriculum.envs._cellworld.columns import LAST_SEEN, NO_CELL, Agents
from curriculum.envs._cellworld.lattice import CELLS
from curriculum.envs._cellworld.pixels import (
    near_obstacles,
    nearest_cells,
    nearest_to_pixel,
    pixel_of,
)
from curriculum.envs._cellworld.rules import (
    BRAKING_DISTANCE,
    HALF_SPEED_ERROR,
    SECONDS,
    TOLERANCE,
    WAIT,
)


@dataclass(frozen=True)
class Pursuit:
    """The motion of both agents among the occluders of one cellworld."""

    cells: Cellworld
    top_speed: np.ndarray  # [2, 1] per second, of predator and prey
    gain: np.ndarray  # [2, 1] turning gains: degrees per second and degree of error
    # False: agents far from their waypoint exceed their top speed (original)
    capped: bool = True
    solid: bool = True  # False: agents pass through occluders (original)
    # False: a position belongs to the cell nearest to its pixel, a thousandth of the
    # arena wide (original)
    exact: bool = True

    @cached_property
    def centres(self) -> np.ndarray:
        """Centres of all cells, [2, 331] in memory order."""
        return np.ascontiguousarray(self.cells.xy.T)

    @cached_property
    def _sliding(self) -> Sliding:
        return Sliding(self.cells)

    def move(self, agents: Agents) -> None:
        """Turn and move for one sub-step, as far as walls and occluders allow."""
        turned = agents.heading + agents.turn_rate * SECONDS
        angle = np.radians(turned)
        direction = np.stack([np.cos(angle), np.sin(angle)])  # [2, 2, N]
        moved = agents.position + agents.speed * SECONDS * direction
        checked = near_obstacles(self.cells, self.solid).take(pixel_of(moved))
        near = checked.ravel().nonzero()[0]
        if near.size and self.solid:
            self._sliding.slide(agents, moved, near)
        elif near.size:
            stop_at_walls(agents, moved, turned, near)
        agents.position[:] = moved
        agents.heading[:] = turned

    def navigate(self, agents: Agents, last_seen: np.ndarray) -> None:
        """Accept pending destinations, plan paths, go on to the next waypoint and set
        speeds. The prey was last seen at `last_seen`, [2, N]."""
        self._plan(agents, last_seen)
        np.maximum(agents.waits - 1, 0, out=agents.waits)
        waypoint = agents.waypoint.astype(np.int64)
        offset = self.centres.take(waypoint, 1) - agents.position  # [2, 2, N]
        dx, dy = offset
        near = dx * dx + dy * dy < TOLERANCE**2
        reached = ((waypoint != NO_CELL) & near).ravel().nonzero()[0]
        if reached.size:
            self._drop_waypoints(agents, waypoint, reached)
            offset = self.centres.take(waypoint, 1) - agents.position
        self._steer(agents, offset, waypoint != NO_CELL)

    def locate(self, xy: np.ndarray) -> np.ndarray:
        """The open cells that positions [n, 2] belong to, [n]."""
        if not self.exact:
            return nearest_to_pixel(self.cells, xy)
        candidates = nearest_cells(self.cells).take(pixel_of(xy.T), 0)  # [n, W]
        dx, dy = self.centres.take(candidates, 1) - xy.T[:, :, None]
        nearest = (dx * dx + dy * dy).argmin(-1)
        return candidates[np.arange(len(candidates)), nearest]

    def _plan(self, agents: Agents, last_seen: np.ndarray) -> None:
        """Accept pending destinations and find the first waypoints of new or outdated
        paths."""
        accepting = (agents.pending != NO_CELL) & (agents.destination_wait == 0)
        outdated = (agents.destination != NO_CELL) & (agents.plan_wait == 0)
        planning = (accepting | outdated).ravel().nonzero()[0]
        if not planning.size:
            return
        flat = agents.flat
        accepted = accepting.ravel().nonzero()[0]
        destination = flat.pending.take(accepted)
        # only predators pursue, and their flat indices are their rows
        pursuing = (destination == LAST_SEEN).nonzero()[0]
        here = flat.position.take(planning, 1)
        seen_at = last_seen.take(accepted[pursuing], 1)
        located = self.locate(np.concatenate([here, seen_at], 1).T)
        here_cell = located[: len(planning)]
        destination[pursuing] = located[len(planning) :]
        flat.destination[accepted] = destination
        flat.pending[accepted] = NO_CELL
        flat.waits[:, accepted] = WAIT
        goal = flat.destination.take(planning).astype(np.int64)
        flat.waypoint[planning] = self._first_waypoint(here_cell, goal)

    def _drop_waypoints(
        self, agents: Agents, waypoint: np.ndarray, reached: np.ndarray
    ) -> None:
        """Replace the waypoints of agents with the flat indices `reached` by the next
        ones on their paths, in `agents` and in `waypoint` [2, N]."""
        current = waypoint.take(reached)
        destination = agents.destination.take(reached).astype(np.int64)
        following = self._first_waypoint(current, destination)
        following = np.where(current == destination, NO_CELL, following)
        waypoint.flat[reached] = following
        agents.waypoint.flat[reached] = following

    def _steer(self, agents: Agents, offset: np.ndarray, moving: np.ndarray) -> None:
        """Set speeds and turn rates from the offset [2, 2, N] of the waypoint;
        `moving` [2, N] says who has one."""
        dx, dy = offset
        error = np.degrees(np.arctan2(dy, dx)) - agents.heading
        error -= 360 * np.rint(error / 360)
        slowing = (error / HALF_SPEED_ERROR) ** 2 + 1
        speed = agents.speed
        np.divide(moving * self.top_speed, slowing, out=speed)
        if not self.capped:
            speed *= np.maximum(np.hypot(dx, dy) / BRAKING_DISTANCE, 1)
        np.multiply(moving * self.gain, error, out=agents.turn_rate)

    def _first_waypoint(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        """First waypoints from cells to other cells, [n]."""
        return self.cells.waypoint.take(source * CELLS + target)
