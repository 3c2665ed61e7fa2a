"""Pictures of BotEvade: the arena, what the prey sees, its path, and the predator."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.lattice import OCCLUDER
from curriculum.envs._cellworld.rules import (
    GOAL_POSITION,
    GOAL_RADIUS,
    PREDATOR_BODY,
    PREY_BODY,
    PUFF_RADIUS,
)
from curriculum.envs._cellworld.visibility import visibility_polygon

Colour = tuple[int, int, int]

WIDTH = 720  # pixels
HEIGHT = 632
MARGIN = 8
OVERSAMPLING = 3  # pictures are drawn larger and shrunk in the end: smooth edges
ENLARGEMENT = 1.3  # of the bodies

BACKGROUND = (255, 255, 255)
IN_SIGHT = (252, 252, 250)
OUT_OF_SIGHT = (216, 221, 228)
LATTICE = (235, 238, 241)
OCCLUDER_FILL = (66, 74, 88)
OUTLINE = (52, 58, 70)
GOAL_FILL = (196, 230, 196)
GOAL_RING = (84, 160, 96)
PREY_FILL = (52, 108, 200)
PREY_LINE = (28, 60, 122)
TRAIL = (150, 180, 228)
PREDATOR_FILL = (208, 66, 58)
PALE = (228, 182, 178)  # a predator out of sight, and the ring around one in sight
PALE_LINE = (196, 148, 148)

DOT_SPACING = 0.008  # along the path of the prey
DOT_RADIUS = 0.0016
WAYPOINT_RADIUS = 0.005
NOSE = (0.01, 0.04)  # ahead of a body's centre: where the line of its heading is
# the corners in order around the bodies
PREDATOR_OUTLINE = PREDATOR_BODY[[0, 4, 5, 1, 3, 2]]
PREY_OUTLINE = PREY_BODY[[0, 2, 1, 3]]


class Pose(NamedTuple):
    """Where an agent is and which way it faces."""

    xy: np.ndarray  # [2]
    heading: float  # degrees


class Canvas:
    """A picture that is drawn on in the coordinates of the arena."""

    def __init__(self) -> None:
        import pygame  # here, not above: training never draws

        self.pygame = pygame
        self.scale = OVERSAMPLING * (WIDTH - 2 * MARGIN)
        self.surface = pygame.Surface((OVERSAMPLING * WIDTH, OVERSAMPLING * HEIGHT))
        self.surface.fill(BACKGROUND)

    def polygon(self, corners: np.ndarray, colour: Colour, line: int = 0) -> None:
        """Draw a polygon [n, 2], filled or with a line so many pixels wide."""
        width = line * OVERSAMPLING
        self.pygame.draw.polygon(self.surface, colour, self._place(corners), width)

    def disc(
        self, centre: np.ndarray, radius: float, colour: Colour, line: int = 0
    ) -> None:
        """Draw a circle around `centre` [2], filled or with a line."""
        width = line * OVERSAMPLING
        at = self._place(centre)
        self.pygame.draw.circle(self.surface, colour, at, radius * self.scale, width)

    def line(
        self, start: np.ndarray, end: np.ndarray, colour: Colour, line: int
    ) -> None:
        """Draw a line between two points [2]."""
        width = line * OVERSAMPLING
        a = self._place(start)
        b = self._place(end)
        self.pygame.draw.line(self.surface, colour, a, b, width)

    def picture(self) -> np.ndarray:
        """The picture in its final size, [HEIGHT, WIDTH, 3] uint8."""
        small = self.pygame.transform.smoothscale(self.surface, (WIDTH, HEIGHT))
        return self.pygame.surfarray.array3d(small).swapaxes(0, 1)

    def _place(self, xy: np.ndarray) -> Any:
        """Positions [..., 2] in pixels, as lists: y points down."""
        middle = np.array([WIDTH, HEIGHT]) * OVERSAMPLING / 2
        return (middle + (xy - 0.5) * (self.scale, -self.scale)).tolist()


def draw_scene(
    cells: Cellworld,
    predator: Pose,
    prey: Pose,
    visible: bool,
    path: np.ndarray,
    trail: np.ndarray,
) -> np.ndarray:
    """A picture [HEIGHT, WIDTH, 3] uint8 of predator and prey. `path` [k, 2] are the
    waypoints of the prey, `trail` [T, 2] its positions so far; `visible` says whether
    it sees the predator."""
    canvas = Canvas()
    _draw_arena(canvas, cells, prey.xy)
    for start, end in pairwise(trail):
        canvas.line(start, end, TRAIL, 2)
    _draw_path(canvas, prey.xy, path)
    if visible:
        canvas.disc(predator.xy, PUFF_RADIUS, PALE, 2)
        _draw_body(canvas, predator, PREDATOR_OUTLINE, PREDATOR_FILL, OUTLINE)
    else:
        _draw_body(canvas, predator, PREDATOR_OUTLINE, PALE, PALE_LINE)
    _draw_body(canvas, prey, PREY_OUTLINE, PREY_FILL, PREY_LINE)
    canvas.polygon(cells.arena, OUTLINE, 3)
    return canvas.picture()


def _draw_arena(canvas: Canvas, cells: Cellworld, eye: np.ndarray) -> None:
    """Draw floor, goal and occluders; what is in sight from `eye` is light."""
    canvas.polygon(cells.arena, OUT_OF_SIGHT)
    canvas.polygon(visibility_polygon(eye, cells.arena, cells.occluders), IN_SIGHT)
    canvas.disc(GOAL_POSITION, GOAL_RADIUS, GOAL_FILL)
    for centre in cells.xy[cells.open]:
        canvas.polygon(centre + OCCLUDER, LATTICE, 1)
    canvas.disc(GOAL_POSITION, GOAL_RADIUS, GOAL_RING, 2)
    # the goal and the lattice end at the arena: cover what is beyond its sides
    following = np.roll(cells.arena, -1, 0)
    for side in zip(cells.arena, following, strict=True):
        outside = 0.5 + 2 * (np.array(side[::-1]) - 0.5)
        canvas.polygon(np.concatenate([side, outside]), BACKGROUND)
    for occluder in cells.occluders:
        canvas.polygon(occluder, OCCLUDER_FILL)


def _draw_path(canvas: Canvas, start: np.ndarray, path: np.ndarray) -> None:
    """Draw a dotted line from `start` through the waypoints [k, 2] of `path`."""
    for end in path:
        length = np.hypot(*(end - start))
        shares = np.arange(0, length, DOT_SPACING) / length
        for dot in start + (end - start) * shares[:, None]:
            canvas.disc(dot, DOT_RADIUS, PREY_FILL)
        canvas.disc(end, WAYPOINT_RADIUS, PREY_FILL)
        start = end


def _draw_body(
    canvas: Canvas, pose: Pose, outline: np.ndarray, fill: Colour, line: Colour
) -> None:
    """Draw a body with the corners [n, 2] ahead and to the left of its centre."""
    angle = np.radians(pose.heading)
    ahead = np.array([np.cos(angle), np.sin(angle)])
    left = ahead[::-1] * (-1, 1)
    corners = pose.xy + ENLARGEMENT * (outline @ np.stack([ahead, left]))
    canvas.polygon(corners, fill)
    canvas.polygon(corners, line, 2)
    near, far = NOSE
    canvas.line(pose.xy + near * ahead, pose.xy + far * ahead, line, 2)
