"""Pictures of the pointmass mazes: walls, goal with its radius, start and agent."""

from typing import TYPE_CHECKING

import numpy as np

from curriculum.envs._pointmass.mazes import Maze

if TYPE_CHECKING:
    import pygame

PIXELS = 480  # longer side of the maze in the picture
SCALE = 2  # everything is drawn so much larger first, for smooth edges
FRAME = 20  # width of the wall around the large picture, pixels
PAPER = (250, 249, 246)
STONE = (72, 82, 96)
GRID = (232, 230, 224)
INK = (40, 44, 52)
GOAL = (46, 160, 67)
HALO = (190, 228, 196)
AGENT = (214, 69, 65)
TRAIL = (90, 130, 210)


def draw_maze(maze: Maze, place: np.ndarray, trail: np.ndarray | None) -> np.ndarray:
    """A picture [height, width, 3] uint8 of the agent at `place` [2].

    `trail` [T, 2] are places that a line connects."""
    import pygame  # imported here because training never draws

    canvas = _Canvas(maze)
    canvas.draw_background()
    canvas.draw_star()
    pygame.draw.circle(canvas.surface, INK, canvas.point(maze.start), 20, 6)
    if trail is not None and len(trail) > 1:
        canvas.draw_trail(trail)
    pygame.draw.circle(canvas.surface, PAPER, canvas.point(place), 21)
    pygame.draw.circle(canvas.surface, AGENT, canvas.point(place), 17)
    reduced = pygame.transform.smoothscale_by(canvas.surface, 1 / SCALE)
    return pygame.surfarray.array3d(reduced).swapaxes(0, 1)


class _Canvas:
    """The large picture; lengths are its pixels."""

    surface: "pygame.Surface"

    def __init__(self, maze: Maze):
        import pygame

        self.maze = maze
        rows, columns = maze.walls.shape
        self.longer = max(rows, columns)
        self.cell = SCALE * PIXELS / self.longer
        self.height = round(self.cell * rows) + 2 * FRAME
        self.width = round(self.cell * columns) + 2 * FRAME
        self.surface = pygame.Surface((self.width, self.height))

    def point(self, place: np.ndarray) -> np.ndarray:
        """x and y of a place (row, column) in cells."""
        return FRAME + place[1::-1] * self.cell

    def draw_background(self) -> None:
        """Halo of the goal, grid lines, walls and the frame."""
        import pygame

        self.surface.fill(PAPER)
        radius = self.maze.radius * self.cell
        pygame.draw.circle(self.surface, HALO, self.point(self.maze.goal), radius)
        for line in FRAME + np.arange(self.longer) * self.cell:
            pygame.draw.line(self.surface, GRID, (line, 0), (line, self.height), SCALE)
            pygame.draw.line(self.surface, GRID, (0, line), (self.width, line), SCALE)
        for row, column in np.argwhere(self.maze.walls):
            corners = np.array([(column, row), (column + 1, row + 1)])
            low, high = np.round(FRAME + corners * self.cell)
            self.surface.fill(STONE, (*low, *(high - low)))
        border = (0, 0, self.width, self.height)
        pygame.draw.rect(self.surface, STONE, border, FRAME)

    def draw_star(self) -> None:
        """A star of five points at the goal."""
        import pygame

        corner = np.arange(10)
        angle = corner * np.pi / 5
        direction = np.stack([np.sin(angle), -np.cos(angle)], -1)
        length = np.where(corner % 2, 0.4, 1)  # inner and outer corners
        star = self.point(self.maze.goal) + 32 * direction * length[:, None]
        pygame.draw.polygon(self.surface, GOAL, star)

    def draw_trail(self, trail: np.ndarray) -> None:
        """A line through places, with a dot at each."""
        import pygame

        points = FRAME + trail[:, 1::-1] * self.cell
        pygame.draw.lines(self.surface, TRAIL, False, points, 5)
        for point in points:
            pygame.draw.circle(self.surface, TRAIL, point, 7)
