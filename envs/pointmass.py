"""A point that is pushed through a maze by noisy steps: four tasks and 17 maps."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np

from curriculum.compiled import load
from curriculum.envs._base.native import Located
from curriculum.envs._base.recipes import HAND_OVER
from curriculum.envs._base.streams import Random
from curriculum.envs._pointmass import mazes
from curriculum.envs._pointmass.picture import draw_maze
from curriculum.types import INFINITY, among, within

# cells along rows and columns for each action, [2, 5]: stay, left, right, up, down
PUSHES = np.array([(0, 0, 0, -1, 1), (0, -1, 1, 0, 0)], float)
STAY = 0
LEFT = 1
RIGHT = 2
UP = 3
DOWN = 4
MOVES = 10  # parts of a step, each along the rows and then along the columns
OWN_LIMIT = -1  # time_limit: that of the maze
SAMPLES = 5  # places along either side of a cell, for maps that average over it


@dataclass(kw_only=True)
class Pointmass(Located):
    """Come within the goal's radius: -1 a step, 0 for the last.

    Actions stay, or push left, right, up or down by one cell. The state is row and
    column, [N, 2] float64; with `merge_ends` also the steps since the episode began,
    [N, 3]."""

    # easy, medium, hard, veryhard, or a map such as four-rooms (an unknown name lists
    # them all)
    maze: str = "medium"
    # dense: minus the distance to the goal, in cells
    reward: Literal["sparse", "dense"] = "sparse"
    # standard deviation of every push in cells, along rows and along columns; staying
    # is noisy, too
    noise: float = 0.5
    # random: anywhere in the free cells, except around the goal
    start: Literal["fixed", "random"] = "fixed"
    # steps after which an episode is truncated; -1: the maze's own limit; 0: never
    time_limit: int = -1
    # for comparison only: report a time limit as termination, as older implementations
    # do
    merge_ends: bool = False

    defaults: ClassVar[dict[str, Any]] = {"planner": "shortest_path", **HAND_OVER}

    def __post_init__(self):
        mazes.load(self.maze)  # ValueError for an unknown name
        among(self, "reward", "start")
        within(self, OWN_LIMIT, INFINITY, "time_limit")
        within(self, 0, INFINITY, "noise")

    @property
    def layout(self) -> mazes.Maze:
        """Walls, start and goal."""
        return mazes.load(self.maze)

    @property
    def max_steps(self) -> int:
        if self.time_limit == OWN_LIMIT:
            return self.layout.max_steps
        return self.time_limit

    @property
    def title(self) -> str:
        return f"pointmass-{self.maze}"

    @property
    def cells(self) -> tuple[int, int]:
        height, width = self.layout.walls.shape
        return height, width

    @property
    def walls(self) -> np.ndarray:
        return self.layout.walls

    @property
    def observation_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(0, 1, (2,), np.float32)

    @property
    def action_space(self) -> gym.spaces.Discrete:
        return gym.spaces.Discrete(PUSHES.shape[1])

    def begin(self, rng: Random, rows: int) -> np.ndarray:
        """First states [N, 2]: the maze's start, or uniform over the free cells whose
        centre is outside the goal's radius."""
        place = np.tile(self.layout.start, (rows, 1))
        if self.start == "random":
            starts = self.layout.starts
            drawn = rng.random((rows, 3))  # cell, row and column inside it
            cell = (drawn[:, 0] * len(starts)).astype(np.intp)
            place = starts[cell] + drawn[:, 1:]
        return self._with_time(place, 0)

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 2], rewards [N] and terminated [N]."""
        push = PUSHES.take(action, 1) + self.noise * normals(rng, len(state))
        place = self._slide(state, push / MOVES)
        distance = self._distance(place)
        at_goal = distance < self.layout.radius
        reward = -distance if self.reward == "dense" else at_goal - 1.0
        if not self.merge_ends:
            return place, reward, at_goal
        time = state[:, 2] + 1
        out_of_time = time >= (self.max_steps or np.inf)
        return self._with_time(place, time), reward, at_goal | out_of_time

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 2]: row and column, divided by the maze's height and
        width."""
        return (state[:, :2] / self.cells).astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the goal is nearer than its radius, [N]."""
        return self._distance(state) < self.layout.radius

    def states(self) -> np.ndarray:
        """`SAMPLES` x `SAMPLES` places in every cell, evenly spread, [n, 2]; those
        inside walls are never entered."""
        samples = np.ones(np.multiply(self.cells, SAMPLES))
        place = (np.argwhere(samples) + 0.5) / SAMPLES
        return self._with_time(place, 0)

    def cell(self, state: np.ndarray) -> np.ndarray:
        """Cells the point is in, [N] in row-major order of `cells`; the far edges
        belong to the last cells."""
        last = np.subtract(self.cells, 1)
        row, column = np.minimum(state[:, :2].astype(np.intp), last).T
        return row * self.cells[1] + column

    def position(self, obs: np.ndarray) -> np.ndarray:
        return obs * np.array(self.cells, np.float32)

    def cell_of(self, obs: np.ndarray) -> np.ndarray:
        return self.cell(self.position(obs))

    def shortest_path(self, state: np.ndarray) -> np.ndarray:
        """Pushes [N] towards the centre of the next cell on the shortest path, along
        the axis with the larger distance."""
        next_centre = self.layout.ahead.reshape(-1, 2)[self.cell(state)]
        rows, columns = (next_centre - state[:, :2]).T
        vertical = np.where(rows < 0, UP, DOWN)
        horizontal = np.where(columns < 0, LEFT, RIGHT)
        return np.where(np.abs(rows) > np.abs(columns), vertical, horizontal)

    def draw(self, state: np.ndarray, trail: np.ndarray | None = None) -> np.ndarray:
        """A picture [height, width, 3] uint8 of one state [2].

        `trail` [T, 2] are places that a line connects, such as the states of an
        episode."""
        return draw_maze(self.layout, state, trail)

    def draw_trail(self, states: np.ndarray) -> np.ndarray:
        return draw_maze(self.layout, states[-1], states)

    def steer(self, state: np.ndarray, right: int, down: int) -> int:
        """A push in this direction, along the columns where it is diagonal; without
        one the point stays."""
        if right:
            return RIGHT if right > 0 else LEFT
        if down:
            return DOWN if down > 0 else UP
        return STAY

    def _slide(self, state: np.ndarray, push: np.ndarray) -> np.ndarray:
        """Places [N, 2] after `MOVES` moves by `push` [2, N].

        A move goes along the rows, then along the columns; either half is left out if
        it would end in a wall or outside."""
        free = self.layout.free
        kernels = load("curriculum.envs._pointmass.kernels", "pointmass")
        if kernels is not None:
            after = np.empty((len(state), 2))
            kernels.slide(state, push, MOVES, free, after)
            return after
        stride = free.shape[1]
        place = list(state.T[:2].copy())
        pushes = list(push)
        # the sum of both is the index of the cell
        at = [place[0].astype(np.intp) * stride, place[1].astype(np.intp)]
        # Non-negative floats are ordered like their bits, and negative ones have larger
        # bits: one unsigned comparison checks both bounds.
        last = np.array(self.cells, float).view(np.uint64)
        for axis in (0, 1) * MOVES:
            there = place[axis] + pushes[axis]
            beside = there.astype(np.intp)
            if axis == 0:
                beside *= stride
            clear = free.take(beside + at[1 - axis], mode="clip")
            clear &= there.view(np.uint64) <= last[axis]
            np.putmask(place[axis], clear, there)
            np.putmask(at[axis], clear, beside)
        return np.stack(place, -1)

    def _distance(self, state: np.ndarray) -> np.ndarray:
        """Distances to the goal, [N] cells."""
        rows, columns = (state[:, :2] - self.layout.goal).T
        return np.hypot(rows, columns)

    def _with_time(self, place: np.ndarray, time: np.ndarray | int) -> np.ndarray:
        """States at these places; they include the time if it can end an episode."""
        if not self.merge_ends:
            return place
        return np.column_stack([place, np.broadcast_to(time, len(place))])


def normals(rng: Random, rows: int) -> np.ndarray:
    """Standard normal numbers [2, rows] from uniform ones (Box & Muller 1958)."""
    first, second = rng.random((rows, 2)).T.copy()
    length = np.sqrt(-2 * np.log1p(-first))
    angle = 2 * np.pi * second
    return np.stack([length * np.cos(angle), length * np.sin(angle)])
