"""The state of BotEvade: named columns of one array.

A state is [N, 29] float64, one line for each environment row and one column for each
name in `COLUMNS`. The simulation works on its transpose [29, N], where a column is
contiguous, through the named views `Columns` and `Agents`: writing to a view writes to
the array.
"""

from typing import NamedTuple, Self

import numpy as np

PREDATOR = 0  # index of the agent in every [2, ...] of `Agents`
PREY = 1
NO_CELL = -1
LAST_SEEN = -2  # as a pending destination: the cell where the prey was last seen

AGENT_COLUMNS = (  # each for the predator, then for the prey
    "x",
    "y",
    "heading",
    "speed",
    "turn_rate",
    "waypoint",
    "destination",
    "pending",
    "destination_wait",
    "plan_wait",
)
COLUMNS = (
    *(f"{agent}_{name}" for name in AGENT_COLUMNS for agent in ("predator", "prey")),
    "last_seen_x",
    "last_seen_y",
    "distance",
    "visible",
    "cooldown",
    "puffed",
    "puffs",
    "finished",
    "time",
)
COLUMN = {name: index for index, name in enumerate(COLUMNS)}

_AGENTS = slice(0, 2 * len(AGENT_COLUMNS))
_POSITION = slice(0, 2)
_WAITS = slice(AGENT_COLUMNS.index("destination_wait"), None)
_LAST_SEEN = slice(COLUMN["last_seen_x"], COLUMN["last_seen_y"] + 1)
_SINGLE = slice(COLUMN["distance"], len(COLUMNS))


class Agents(NamedTuple):
    """Predator and prey of N rows, views of one array [10, 2, N].

    Speeds and turn rates are set in one sub-step and act in the next one."""

    array: np.ndarray
    position: np.ndarray  # [2, 2, N]: x and y, then the agent
    heading: np.ndarray  # [2, N] degrees counterclockwise from east, never wrapped
    speed: np.ndarray  # [2, N] arena diameters per second
    turn_rate: np.ndarray  # [2, N] degrees per second
    waypoint: np.ndarray  # [2, N] cell moved towards, or NO_CELL
    destination: np.ndarray  # [2, N] cell at the end of the path, or NO_CELL
    # [2, N] destination not accepted yet: a cell, LAST_SEEN or NO_CELL
    pending: np.ndarray
    destination_wait: np.ndarray  # [2, N] sub-steps until one is accepted
    plan_wait: np.ndarray  # [2, N] sub-steps until the path is planned again
    waits: np.ndarray  # [2, 2, N] the two above

    @classmethod
    def of(cls, array: np.ndarray) -> Self:
        """Views of `array`, [10, 2, N]."""
        _, _, heading, speed, turn_rate, *cells, destination_wait, plan_wait = array
        waypoint, destination, pending = cells
        return cls(
            array=array,
            position=array[_POSITION],
            heading=heading,
            speed=speed,
            turn_rate=turn_rate,
            waypoint=waypoint,
            destination=destination,
            pending=pending,
            destination_wait=destination_wait,
            plan_wait=plan_wait,
            waits=array[_WAITS],
        )

    @property
    def flat(self) -> Self:
        """The same with agents and rows as one axis [2 * N], predators first."""
        return self.of(self.array.reshape(len(AGENT_COLUMNS), -1))


class Columns(NamedTuple):
    """All columns of N rows, views of one array [29, N]."""

    array: np.ndarray
    agents: Agents
    last_seen: np.ndarray  # [2, N] x and y where the predator last saw the prey
    distance: np.ndarray  # [N] between the agents, frozen during a cool-down
    visible: np.ndarray  # [N] 1 if the prey sees the predator, frozen likewise
    cooldown: np.ndarray  # [N] seconds until the predator may puff again
    puffed: np.ndarray  # [N] 1 if the prey was puffed in this environment step
    puffs: np.ndarray  # [N] puffs in this episode
    finished: np.ndarray  # [N] 1 if the prey is at the goal
    time: np.ndarray  # [N] seconds since the episode began

    @classmethod
    def of(cls, array: np.ndarray) -> Self:
        """Views of `array`, [29, N]; further columns are left out."""
        agents = Agents.of(array[_AGENTS].reshape(len(AGENT_COLUMNS), 2, -1))
        return cls(array, agents, array[_LAST_SEEN], *array[_SINGLE])
