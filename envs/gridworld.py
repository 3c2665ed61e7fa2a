"""A 10 x 10 grid with three walls and one goal, where every action turns and moves.

The world is small enough to be written out: the successors and observations of all 400
states are tables, and a step is one look-up.
"""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args

import gymnasium as gym
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from curriculum.envs._base.native import Grid
from curriculum.envs._base.streams import Random

SIZE = 10  # rows and columns
PIXELS = 50  # side of a drawn cell
WHITE, BLACK, RED, GREEN, BLUE = (
    (255, 255, 255),
    (0, 0, 0),
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
)

START = np.array([0, 0, 1])  # row, column, heading: the top left corner, facing right
GOAL = np.array([9, 9])  # row, column
# up, right, down, left as (rows, columns)
HEADINGS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
WALLS = np.zeros((SIZE, SIZE), bool)
WALLS[[2, 3, 5], [2, 4, 6]] = True
CODES = WALLS.astype(np.int8)  # 0 empty, 1 wall, 2 goal
CODES[tuple(GOAL)] = 2
# outside looks like wall; cell (row, column) is at [row + 1, column + 1]
FRAMED = np.pad(CODES, 1, constant_values=1)

# [400, 3] row, column, heading, walls included
STATES = np.array(list(np.ndindex(SIZE, SIZE, len(HEADINGS))))
# STATES[state @ STRIDES] is state
STRIDES = np.array([SIZE * len(HEADINGS), len(HEADINGS), 1])
STARTS = STATES[CODES[STATES[:, 0], STATES[:, 1]] == 0]  # [384, 3]


@dataclass(kw_only=True)
class Gridworld(Grid):
    """Reach the opposite corner: -0.1 a step, +10 for the step onto the goal.

    Actions turn left, go on, turn right. A blocked move turns and stays. State: row,
    column, heading, [N, 3] int64."""

    # image: the 3 x 3 cells around; only pose has the heading
    observation: Literal["pose", "vector", "image"] = "pose"
    # any free cell and heading, or the top left corner facing right
    start: Literal["random", "fixed"] = "random"
    # in place: a turn stays in its cell
    motion: Literal["turn-and-move", "turn-in-place"] = "turn-and-move"
    max_steps: int = 100  # an episode is truncated after so many steps; 0: never

    defaults: ClassVar[dict[str, str]] = {"planner": "shortest_path", "learner": "dqn"}
    cells: ClassVar[tuple[int, int]] = (SIZE, SIZE)
    walls: ClassVar[np.ndarray] = WALLS

    def __post_init__(self):
        for field in fields(self):
            choices, value = get_args(field.type), getattr(self, field.name)
            if choices and value not in choices:
                raise ValueError(
                    f"no {field.name} {value!r}; there are: {', '.join(choices)}"
                )
        if self.max_steps < 0:
            raise ValueError(
                f"max_steps must be positive, or 0 for no limit, got {self.max_steps}"
            )

    @property
    def observation_space(self) -> gym.spaces.Box:
        if self.observation == "image":
            return gym.spaces.Box(0, 2, (3, 3), np.int8)
        if self.observation == "vector":
            return gym.spaces.Box(0, SIZE - 1, (4,), np.float32)
        low, high = np.array([[0, 0, -1, -1, 0, 0], [9, 9, 1, 1, 9, 9]], np.float32)
        return gym.spaces.Box(low, high)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(3)

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 3]: random ones are uniform over the free cells, the goal
        left out, and headings."""
        if self.start == "fixed":
            return np.tile(START, (rows, 1))
        return STARTS[(rng.random((rows,)) * len(STARTS)).astype(np.int64)]

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 3], rewards [N] and terminated [N]; nothing is drawn."""
        following = STATES[NEXT[self.motion][self.index(state), action]]
        landed = self.success(following)
        return following, np.where(landed, 10.0, -0.1), landed

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, *O]: the window [3, 3], or agent cell, heading (pose only)
        and goal cell."""
        return VIEWS[self.observation][self.index(state)]

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the agent is on the goal, [N]."""
        return (state[:, 0] == GOAL[0]) & (state[:, 1] == GOAL[1])

    def states(self) -> np.ndarray:
        """Every state there is, [400, 3]; those inside walls are never entered."""
        return STATES.copy()

    def index(self, state: np.ndarray) -> np.ndarray:
        """Where these states stand in `states()`, [N]."""
        return state @ STRIDES

    def cell(self, state: np.ndarray) -> np.ndarray:
        """Cells the agent is in, [N] in row-major order of `cells`."""
        return state[:, 0] * SIZE + state[:, 1]

    def draw(self, state: np.ndarray) -> np.ndarray:
        """A picture [500, 500, 3] uint8 of one state [3]: the agent red, its heading a
        blue line."""
        import pygame  # here, not above: training never draws

        surface = pygame.Surface((SIZE * PIXELS, SIZE * PIXELS))
        surface.fill(WHITE)
        walls = [(cell, BLACK) for cell in np.argwhere(WALLS)]
        for (row, column), colour in [*walls, (GOAL, GREEN), (state[:2], RED)]:
            surface.fill(
                colour, (int(column) * PIXELS, int(row) * PIXELS, PIXELS, PIXELS)
            )
        centre = state[1::-1] * PIXELS + PIXELS // 2  # x, y
        edge = centre + HEADINGS[state[2]][::-1] * (PIXELS // 2)
        pygame.draw.line(surface, BLUE, centre.tolist(), edge.tolist(), 3)
        return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def _successors(turn: tuple[int, int, int], move: tuple[int, int, int]) -> np.ndarray:
    """Where each action leads from each state, [400, 3] of state indices; `turn` is
    clockwise, `move` in cells."""
    heading = (STATES[:, 2:] + turn) % len(HEADINGS)  # [400, 3]
    here = STATES[:, None, :2]
    ahead = here + HEADINGS[heading] * np.array(move)[:, None]  # [400, 3, 2]
    blocked = FRAMED[ahead[..., 0] + 1, ahead[..., 1] + 1] == 1
    place = np.where(blocked[..., None], here, ahead)
    return np.concatenate([place, heading[..., None]], -1) @ STRIDES


_AGENT, _GOALS = STATES[:, :2], np.tile(GOAL, (len(STATES), 1))
NEXT = {
    "turn-and-move": _successors((-1, 0, 1), (1, 1, 1)),
    "turn-in-place": _successors((-1, 0, 1), (0, 1, 0)),
}
VIEWS = {
    "pose": np.hstack([_AGENT, HEADINGS[STATES[:, 2]], _GOALS]).astype(np.float32),
    "vector": np.hstack([_AGENT, _GOALS]).astype(np.float32),
    "image": sliding_window_view(FRAMED, (3, 3))[STATES[:, 0], STATES[:, 1]],
}
