"""What follows from where the agents are: sight, puffs, the predator's next destination
and the end of the episode. This is the state update after each sub-step."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.columns import (
    LAST_SEEN,
    NO_CELL,
    PREDATOR,
    PREY,
    Columns,
)
from curriculum.envs._cellworld.rules import (
    GOAL_POSITION,
    GOAL_RADIUS,
    PREDATOR_BODY,
    PUFF_COOLDOWN,
    PUFF_RADIUS,
    REACH,
    SIGHT_RADIUS,
)
from curriculum.envs._cellworld.sight import OccluderIndex, sees_body


@dataclass(frozen=True)
class Encounter:
    """The encounters of predator and prey in one cellworld."""

    cells: Cellworld
    # False: a predator at the end of its path goes to a random cell even if the prey is
    # in sight (original)
    pursues: bool = True

    def update(self, columns: Columns, draw: np.ndarray, seconds: float) -> None:
        """Update all rows after a sub-step of so many `seconds`. `draw` [N] are numbers
        in [0, 1), which choose random destinations."""
        cooldown = columns.cooldown
        ready = cooldown <= 0
        self.look(columns, ready.nonzero()[0])
        sighted = ready & (columns.visible > 0)
        self._puff(columns, sighted)
        self._choose_destination(columns, ready, sighted, draw)
        np.maximum(cooldown - seconds, 0, out=cooldown)
        x, y = columns.agents.position[:, PREY]
        goal_x, goal_y = GOAL_POSITION
        columns.finished[:] = np.hypot(x - goal_x, y - goal_y) <= GOAL_RADIUS

    def look(self, columns: Columns, rows: np.ndarray) -> None:
        """Update the distance and the visibility of the predator in these rows, [n]."""
        if not rows.size:
            return
        position = columns.agents.position.take(rows, -1)  # [2, 2, n]
        centre = position[:, PREDATOR]
        eye = position[:, PREY]
        distance = np.hypot(*(centre - eye))
        occluders = occluder_index(self.cells)
        in_sight = sees_body(
            eye,
            centre,
            columns.agents.heading[PREDATOR].take(rows),
            PREDATOR_BODY,
            occluders.centres,
            occluders.between(eye, centre),
        )
        columns.distance[rows] = distance
        columns.visible[rows] = in_sight & (distance <= SIGHT_RADIUS)

    def _puff(self, columns: Columns, sighted: np.ndarray) -> None:
        """Puff at every prey in sight that is near enough; `sighted` is [N]."""
        puffed = sighted & (columns.distance <= PUFF_RADIUS)
        np.copyto(columns.puffed, 1, where=puffed)
        np.add(columns.puffs, puffed, out=columns.puffs)
        np.copyto(columns.cooldown, PUFF_COOLDOWN, where=puffed)

    def _choose_destination(
        self,
        columns: Columns,
        ready: np.ndarray,
        sighted: np.ndarray,
        draw: np.ndarray,
    ) -> None:
        """Send predators to a prey in sight, and idle ones to a random open cell."""
        agents = columns.agents
        pending = agents.pending[PREDATOR]
        np.copyto(columns.last_seen, agents.position[:, PREY], where=sighted)
        np.copyto(pending, LAST_SEEN, where=sighted)
        idle = ready & (agents.waypoint[PREDATOR] == NO_CELL)
        if self.pursues:
            idle &= ~sighted
        if idle.any():
            places = self.cells.open
            chosen = (draw[idle] * len(places)).astype(np.int64)
            pending[idle] = places[chosen]


@cache
def occluder_index(cells: Cellworld) -> OccluderIndex:
    """The occluders that may hide the predator."""
    return OccluderIndex.of(cells.occluder_centres, REACH[PREDATOR, 0])
