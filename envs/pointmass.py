"""A point that is pushed through a maze by noisy steps, in four difficulties and
seventeen maps."""

from dataclasses import dataclass, fields
from typing import ClassVar, Literal, get_args

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import Grid
from curriculum.envs._base.streams import Random
from curriculum.envs._pointmass import mazes

# [2, 5] along rows and columns: see `Pointmass`
PUSHES = np.array([(0, 0, 0, -1, 1), (0, -1, 1, 0, 0)], float)
MOVES = 10  # parts of a step, each along the rows and then along the columns
OWN = -1  # time_limit: the maze's
SAMPLES = 5  # places along either side of a cell, for maps that average over it

PIXELS = 480  # longer side of the maze in the picture
# drawn so much larger, for smooth edges; width of the wall around the large picture,
# pixels
SCALE, FRAME = 2, 20
PAPER, STONE, GRID, INK = (250, 249, 246), (72, 82, 96), (232, 230, 224), (40, 44, 52)
GOAL, HALO, AGENT, TRAIL = (46, 160, 67), (190, 228, 196), (214, 69, 65), (90, 130, 210)


@dataclass(kw_only=True)
class Pointmass(Grid):
    """Come within the goal's radius: -1 a step, 0 for the last.

    Actions stay, or push left, right, up, down by one cell. State: row and column, [N,
    2] float64; with `merge_ends` also the steps since the episode began, [N, 3]."""

    # easy, medium, hard, veryhard, or a map such as four-rooms (a wrong name is told
    # them all)
    maze: str = "medium"
    # dense: minus the distance to the goal, in cells
    reward: Literal["sparse", "dense"] = "sparse"
    # standard deviation of every push, along rows and columns each, cells; also when it
    # stays
    noise: float = 0.5
    # random: anywhere in the free cells, the goal's surroundings left out
    start: Literal["fixed", "random"] = "fixed"
    # an episode is truncated after so many steps; -1: the maze's own number; 0: never
    time_limit: int = -1
    # for comparison only: report a time limit as a true end, as older implementations
    # did
    merge_ends: bool = False

    defaults: ClassVar[dict[str, str]] = {"planner": "shortest_path", "learner": "iql"}

    def __post_init__(self):
        mazes.load(self.maze)  # refuses a wrong name
        for field in fields(self):
            choices, value = get_args(field.type), getattr(self, field.name)
            if choices and value not in choices:
                raise ValueError(
                    f"no {field.name} {value!r}; there are: {', '.join(choices)}"
                )
        if self.time_limit < OWN:
            raise ValueError(
                "time_limit must be steps, -1 for the maze's own or 0 for none, "
                f"got {self.time_limit}"
            )
        if not 0 <= self.noise < np.inf:
            raise ValueError(f"noise must be finite and at least 0, got {self.noise}")

    @property
    def layout(self) -> mazes.Maze:
        """The maze itself."""
        return mazes.load(self.maze)

    @property
    def max_steps(self) -> int:
        return self.layout.max_steps if self.time_limit == OWN else self.time_limit

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
        centre is not in the radius."""
        place = np.tile(self.layout.start, (rows, 1))
        if self.start == "random":
            drawn, starts = rng.random((rows, 3)), self.layout.starts
            place = starts[(drawn[:, 0] * len(starts)).astype(np.intp)] + drawn[:, 1:]
        return self._timed(place, 0)

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Random
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states [N, 2], rewards [N] and terminated [N]."""
        push = PUSHES.take(action, 1) + self.noise * normals(rng, len(state))
        place = self._slide(state, push / MOVES)
        distance = self._away(place)
        landed = distance < self.layout.radius
        reward = -distance if self.reward == "dense" else landed - 1.0
        if not self.merge_ends:
            return place, reward, landed
        time = state[:, 2] + 1
        return (
            self._timed(place, time),
            reward,
            landed | (time >= (self.max_steps or np.inf)),
        )

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [N, 2]: row and column as shares of the maze's height and
        width."""
        return (state[:, :2] / self.cells).astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        """Whether the goal is nearer than its radius, [N]."""
        return self._away(state) < self.layout.radius

    def states(self) -> np.ndarray:
        """`SAMPLES` x `SAMPLES` places in every cell, evenly spread, [n, 2]; those
        inside walls are never entered."""
        return self._timed(
            (np.argwhere(np.ones(np.multiply(self.cells, SAMPLES))) + 0.5) / SAMPLES, 0
        )

    def cell(self, state: np.ndarray) -> np.ndarray:
        """Cells the point is in, [N] in row-major order of `cells`; the far edges
        belong to the last cells."""
        row, column = np.minimum(
            state[:, :2].astype(np.intp), np.subtract(self.cells, 1)
        ).T
        return row * self.cells[1] + column

    def shortest_path(self, state: np.ndarray) -> np.ndarray:
        """The push towards the centre of the next cell on the shortest way, along the
        axis that is farther off, [N]."""
        row, column = (
            self.layout.ahead.reshape(-1, 2)[self.cell(state)] - state[:, :2]
        ).T
        return np.where(
            np.abs(row) > np.abs(column),
            np.where(row < 0, 3, 4),
            np.where(column < 0, 1, 2),
        )

    def draw(self, state: np.ndarray, trail: np.ndarray | None = None) -> np.ndarray:
        """A picture [height, width, 3] uint8 of one state [2]: walls, goal with its
        radius, start as a ring.

        `trail` [T, 2] are places to show a path through, such as the states of an
        episode."""
        import pygame  # here, not above: training never draws

        # pixels of the large picture, as is every number below
        cell = SCALE * PIXELS / max(self.cells)
        height, width = (round(cell * n) + 2 * FRAME for n in self.cells)
        surface = pygame.Surface((width, height))
        surface.fill(PAPER)
        # x, y
        goal, start, place = (
            FRAME + x[1::-1] * cell
            for x in (self.layout.goal, self.layout.start, state)
        )
        pygame.draw.circle(surface, HALO, goal, self.layout.radius * cell)
        for n in FRAME + np.arange(max(self.cells)) * cell:
            pygame.draw.line(surface, GRID, (n, 0), (n, height), SCALE)
            pygame.draw.line(surface, GRID, (0, n), (width, n), SCALE)
        for row, column in np.argwhere(self.walls):
            low, high = np.round(
                FRAME + np.array([(column, row), (column + 1, row + 1)]) * cell
            )
            surface.fill(STONE, (*low, *(high - low)))
        pygame.draw.rect(surface, STONE, (0, 0, width, height), FRAME)
        turn = np.arange(10) * np.pi / 5
        star = (
            goal
            + 32
            * np.stack([np.sin(turn), -np.cos(turn)], -1)
            * np.where(np.arange(10) % 2, 0.4, 1)[:, None]
        )
        pygame.draw.polygon(surface, GOAL, star)
        pygame.draw.circle(surface, INK, start, 20, 6)
        if trail is not None and len(trail) > 1:
            points = FRAME + trail[:, 1::-1] * cell
            pygame.draw.lines(surface, TRAIL, False, points, 5)
            for point in points:
                pygame.draw.circle(surface, TRAIL, point, 7)
        pygame.draw.circle(surface, PAPER, place, 21)
        pygame.draw.circle(surface, AGENT, place, 17)
        return pygame.surfarray.array3d(
            pygame.transform.smoothscale_by(surface, 1 / SCALE)
        ).swapaxes(0, 1)

    def _slide(self, state: np.ndarray, push: np.ndarray) -> np.ndarray:
        """Places [N, 2] after `MOVES` moves by `push` [2, N], along the rows and then
        along the columns.

        Either half of a move is made or not: one that would end in a wall or outside is
        not."""
        free, stride = self.layout.free, self.layout.free.shape[1]
        place, pushes = list(state.T[:2].copy()), list(push)
        # their sum is the index of the cell
        at = [place[0].astype(np.intp) * stride, place[1].astype(np.intp)]
        # numbers from 0 up are ordered as their bits are, and those below 0 have
        # greater bits: one comparison for two
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

    def _away(self, state: np.ndarray) -> np.ndarray:
        """Distances to the goal, [N] cells."""
        return np.hypot(*(state[:, :2] - self.layout.goal).T)

    def _timed(self, place: np.ndarray, time: np.ndarray | int) -> np.ndarray:
        """States of these places: the time is part of them where it is a true end."""
        return (
            np.column_stack([place, np.broadcast_to(time, len(place))])
            if self.merge_ends
            else place
        )


def normals(rng: Random, rows: int) -> np.ndarray:
    """Standard normal numbers [2, rows], from as many uniform ones (Box and Muller
    1958)."""
    length, turn = rng.random((rows, 2)).T.copy()
    length, angle = np.sqrt(-2 * np.log1p(-length)), 2 * np.pi * turn
    return np.stack([length * np.cos(angle), length * np.sin(angle)])
