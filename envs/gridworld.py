"""A 10 x 10 grid with three walls and one goal, where every action turns and moves.

The world is small: successors and observations of all 400 states are tables, and a step
is one look-up.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from curriculum.envs._base.native import Located
from curriculum.envs._base.recipes import HAND_OVER
from curriculum.envs._base.streams import Random
from curriculum.envs._gridworld.picture import draw_grid
from curriculum.types import INFINITY, among, within

SIZE = 10  # rows and columns
PIXELS = 50  # side of a drawn cell
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)
RED = (255, 0, 0)
GREEN = (0, 255, 0)
BLUE = (0, 0, 255)

TURN_LEFT = 0
KEEP = 1
TURN_RIGHT = 2
START = np.array([0, 0, 1])  # row, column, heading: the top left corner, facing right
GOAL = np.array([9, 9])  # row, column
# up, right, down, left as (rows, columns)
HEADINGS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
WALLS = np.zeros((SIZE, SIZE), bool)
WALLS[[2, 3, 5], [2, 4, 6]] = True
CODES = WALLS.astype(np.int8)  # 0 empty, 1 wall, 2 goal
CODES[tuple(GOAL)] = 2
# the grid in a frame of walls; cell (row, column) is at [row + 1, column + 1]
FRAMED = np.pad(CODES, 1, constant_values=1)

# all states [400, 3]: row, column, heading; cells with walls included
STATES = np.array(list(np.ndindex(SIZE, SIZE, len(HEADINGS))))
ROWS = STATES[:, 0]
COLUMNS = STATES[:, 1]
# a state's index in STATES is state @ STRIDES
STRIDES = np.array([SIZE * len(HEADINGS), len(HEADINGS), 1])
STARTS = STATES[CODES[ROWS, COLUMNS] == 0]  # [384, 3]
AT_GOAL = CODES[ROWS, COLUMNS] == 2  # [400]
REWARDS = np.where(AT_GOAL, 10.0, -0.1)  # [400] of entering a state


@dataclass(kw_only=True)
class Gridworld(Located):
    """Reach the opposite corner: -0.1 a step, +10 for the step onto the goal.

    Actions: turn left, keep the heading, turn right. A blocked agent turns but does not
    move. The state is row, column and heading, [N, 3] int64."""

    # image: the 3 x 3 cells around the agent; only pose includes the heading
    observation: Literal["pose", "vector", "image"] = "pose"
    # random: any free cell and heading; fixed: the top left corner, facing right
    start: Literal["random", "fixed"] = "random"
    # turn-in-place: an action that turns does not move
    motion: Literal["turn-and-move", "turn-in-place"] = "turn-and-move"
    max_steps: int = 100  # steps after which an episode is truncated; 0: never

    defaults: ClassVar[dict[str, Any]] = {"planner": "shortest_path", **HAND_OVER}
    cells: ClassVar[tuple[int, int]] = (SIZE, SIZE)
    walls: ClassVar[np.ndarray] = WALLS

    def __post_init__(self):
        among(self, "observation", "start", "motion")
        within(self, 0, INFINITY, "max_steps")

    @property
    def observation_space(self) -> gym.spaces.Box:
        if self.observation == "image":
            return gym.spaces.Box(0, 2, (3, 3), np.int8)
        if self.observation == "vector":
            return gym.spaces.Box(0, SIZE - 1, (4,), np.float32)
        low = np.array([0, 0, -1, -1, 0, 0], np.float32)
        high = np.array([9, 9, 1, 1, 9, 9], np.float32)
        return gym.spaces.Box(low, high)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(3)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 3]; random ones are uniform over headings and free cells
        without the goal."""
        if self.start == "fixed":
            return np.tile(START, (rows, 1))
        drawn = rng.random((rows,)) * len(STARTS)
        return STARTS[drawn.astype(np.int64)]

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 3], rewards [N] and terminated [N]; deterministic."""
        successors = SUCCESSORS[self.motion]
        following = successors[self.index(state), action]
        return STATES[following], REWARDS[following], AT_GOAL[following]

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, *O]: the 3 x 3 cells around the agent, or its cell, its
        heading (pose only) and the goal's cell."""
        return OBSERVATIONS[self.observation][self.index(state)]

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the agent is on the goal, [N]."""
        return AT_GOAL[self.index(state)]

    def states(self) -> np.ndarray:
        """All states, [400, 3]; those inside walls are never entered."""
        return STATES.copy()

    def index(self, state: np.ndarray) -> np.ndarray:
        """Indices of states in `states()`, [N]."""
        return state @ STRIDES

    def cell(self, state: np.ndarray) -> np.ndarray:
        """Cells the agent is in, [N] in row-major order of `cells`."""
        return state[:, 0] * SIZE + state[:, 1]

    def position(self, obs: np.ndarray) -> np.ndarray:
        if self.observation == "image":
            raise ValueError(
                "pictures of the cells around the agent do not tell where it is; "
                "choose --env.observation pose or vector"
            )
        return obs[:, :2] + 0.5

    def cell_of(self, obs: np.ndarray) -> np.ndarray:
        row, column = self.position(obs).astype(np.int64).T
        return row * SIZE + column

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [500, 500, 3] uint8 of one state [3]: the agent is red, a blue line
        shows its heading."""
        import pygame  # imported here because training never draws

        row, column, heading = state.tolist()
        surface = pygame.Surface((SIZE * PIXELS, SIZE * PIXELS))
        surface.fill(WHITE)
        coloured = [(cell, BLACK) for cell in np.argwhere(WALLS).tolist()]
        coloured += [(GOAL.tolist(), GREEN), ([row, column], RED)]
        for (cell_row, cell_column), colour in coloured:
            corner = (cell_column * PIXELS, cell_row * PIXELS)
            surface.fill(colour, (*corner, PIXELS, PIXELS))
        half = PIXELS // 2
        rows_ahead, columns_ahead = HEADINGS[heading].tolist()
        x = column * PIXELS + half
        y = row * PIXELS + half
        edge = (x + columns_ahead * half, y + rows_ahead * half)
        pygame.draw.line(surface, BLUE, (x, y), edge, 3)
        return pygame.surfarray.array3d(surface).swapaxes(0, 1)

    def draw_trail(self, states: np.ndarray) -> np.ndarray:
        return draw_grid(WALLS, GOAL, states[:, :2], HEADINGS[states[-1, 2]])

    def steer(self, state: np.ndarray, right: int, down: int) -> int | None:
        """The turn towards a direction, along the row where it is diagonal; a turn to
        the back takes two steps, both to the left."""
        if not (right or down):
            return None  # every action moves or turns
        ahead = (0, right) if right else (down, 0)
        heading = HEADINGS.tolist().index(list(ahead))
        quarters = (heading - int(state[2])) % len(HEADINGS)  # clockwise
        return {0: KEEP, 1: TURN_RIGHT}.get(quarters, TURN_LEFT)


def _successors(turn: tuple[int, int, int], move: tuple[int, int, int]) -> np.ndarray:
    """Indices of the states that each action leads to, [400, 3].

    `turn` are quarter turns clockwise and `move` cells ahead, one for each action."""
    heading = (STATES[:, 2:] + turn) % len(HEADINGS)  # [400, 3]
    here = STATES[:, None, :2]
    ahead = here + HEADINGS[heading] * np.array(move)[:, None]  # [400, 3, 2]
    blocked = FRAMED[ahead[..., 0] + 1, ahead[..., 1] + 1] == 1
    place = np.where(blocked[..., None], here, ahead)
    next_states = np.concatenate([place, heading[..., None]], -1)
    return next_states @ STRIDES


SUCCESSORS = {
    "turn-and-move": _successors(turn=(-1, 0, 1), move=(1, 1, 1)),
    "turn-in-place": _successors(turn=(-1, 0, 1), move=(0, 1, 0)),
}
_AGENT = STATES[:, :2]
_FACING = HEADINGS[STATES[:, 2]]
_GOALS = np.tile(GOAL, (len(STATES), 1))
OBSERVATIONS = {
    "pose": np.hstack([_AGENT, _FACING, _GOALS]).astype(np.float32),
    "vector": np.hstack([_AGENT, _GOALS]).astype(np.float32),
    "image": sliding_window_view(FRAMED, (3, 3))[ROWS, COLUMNS],
}
