"""Pictures of the gridworld with the way that the agent has taken."""

from itertools import pairwise

import numpy as np

PIXELS = 480  # side of the grid in the picture
SCALE = 3  # everything is drawn so much larger first, for smooth edges
FRAME = 10  # width of the wall around the grid, pixels
PAPER = (248, 248, 244)
STONE = (72, 82, 96)
GRID = (226, 223, 215)
GOAL = (46, 160, 67)
HALO = (190, 228, 196)
AGENT = (214, 69, 65)
TRAIL = (120, 152, 216)


def draw_grid(
    walls: np.ndarray, goal: np.ndarray, cells: np.ndarray, heading: np.ndarray
) -> np.ndarray:
    """A picture [500, 500, 3] uint8 of an agent in the last of the cells [T, 2] that it
    has been in; the arrow shows its heading [2].

    `walls` is [H, H] bool; a cell, the goal [2] and the heading are row and column."""
    import pygame  # imported here because training never draws

    cell = SCALE * PIXELS / len(walls)
    frame = SCALE * FRAME
    side = SCALE * PIXELS + 2 * frame
    surface = pygame.Surface((side, side))
    surface.fill(PAPER)

    def fill(place: np.ndarray, colour: tuple[int, int, int]) -> None:
        low = np.round(frame + place[::-1] * cell)
        surface.fill(colour, (*low, cell, cell))

    fill(goal, HALO)
    for line in frame + np.arange(len(walls)) * cell:
        pygame.draw.line(surface, GRID, (line, 0), (line, side), SCALE)
        pygame.draw.line(surface, GRID, (0, line), (side, line), SCALE)
    for place in np.argwhere(walls):
        fill(place, STONE)
    pygame.draw.rect(surface, STONE, (0, 0, side, side), frame)
    centres = frame + (cells[:, ::-1] + 0.5) * cell  # x and y
    flag = frame + (goal[::-1] + 0.5) * cell
    pygame.draw.circle(surface, GOAL, flag, 0.3 * cell, round(0.08 * cell))
    for start, end in pairwise(centres):
        pygame.draw.line(surface, TRAIL, start, end, round(0.12 * cell))
    for centre in centres:
        pygame.draw.circle(surface, TRAIL, centre, 0.12 * cell)
    ahead = heading[::-1]
    aside = heading * (1, -1)
    corners = np.array([(0.36, 0), (-0.28, 0.27), (-0.14, 0), (-0.28, -0.27)])
    arrow = centres[-1] + cell * (corners @ np.stack([ahead, aside]))
    pygame.draw.circle(surface, PAPER, centres[-1], 0.42 * cell)
    pygame.draw.polygon(surface, AGENT, arrow)
    reduced = pygame.transform.smoothscale_by(surface, 1 / SCALE)
    return pygame.surfarray.array3d(reduced).swapaxes(0, 1)
