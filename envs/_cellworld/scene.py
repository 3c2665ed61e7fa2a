"""Pictures of a cellworld: what the prey sees and what it does not, where it goes, and
who is after it."""

from typing import Any

import numpy as np

from curriculum.envs._cellworld.cells import OCCLUDER, Cellworld
from curriculum.envs._cellworld.pursuit import BODIES
from curriculum.envs._cellworld.sight import visible_region

WIDTH, HEIGHT, MARGIN = 720, 632, 8  # pixels
FINE = 3  # drawn so much larger, and shrunk in the end: smooth edges
LARGER = 1.3  # bodies are drawn, than they are
PAPER, LIGHT, SHADE, LATTICE = (
    (255, 255, 255),
    (252, 252, 250),
    (216, 221, 228),
    (235, 238, 241),
)
STONE, EDGE = (66, 74, 88), (52, 58, 70)
GREEN, MOSS, BLUE, NAVY, RED = (
    (196, 230, 196),
    (84, 160, 96),
    (52, 108, 200),
    (28, 60, 122),
    (208, 66, 58),
)
FAINT, DIM = (228, 182, 178), (196, 148, 148)  # a predator out of sight


def draw_scene(
    cells: Cellworld,
    goal: np.ndarray,
    radius: float,
    poses: np.ndarray,
    seen: bool,
    way: np.ndarray,
) -> np.ndarray:
    """A picture [HEIGHT, WIDTH, 3] uint8 of prey and predator; `seen`: it is in sight.

    `poses` are predator's and prey's x, y and heading in degrees, [2, 3]; `way` [k, 2]
    the prey's waypoints. `goal` [2] is reached within `radius`, which is also that of a
    puff."""
    import pygame  # here, not above: training never draws

    predator, prey = poses
    surface = pygame.Surface((FINE * WIDTH, FINE * HEIGHT))
    scale = FINE * (WIDTH - 2 * MARGIN)

    def place(xy: np.ndarray) -> Any:
        return (
            np.array([WIDTH, HEIGHT]) * FINE / 2 + (xy - 0.5) * (scale, -scale)
        ).tolist()

    def disc(
        xy: np.ndarray, size: float, colour: tuple[int, int, int], line: int = 0
    ) -> None:
        pygame.draw.circle(surface, colour, place(xy), size * scale, line * FINE)

    surface.fill(PAPER)
    pygame.draw.polygon(surface, SHADE, place(cells.arena))
    pygame.draw.polygon(
        surface, LIGHT, place(visible_region(prey[:2], cells.arena, cells.occluders))
    )
    disc(goal, radius, GREEN)
    for centre in cells.xy[cells.open]:
        pygame.draw.polygon(surface, LATTICE, place(centre + OCCLUDER), FINE)
    disc(goal, radius, MOSS, 2)
    for side in zip(cells.arena, np.roll(cells.arena, -1, 0), strict=True):
        outside = 0.5 + 2 * (np.array(side[::-1]) - 0.5)
        pygame.draw.polygon(surface, PAPER, place(np.concatenate([side, outside])))
    for occluder in cells.occluders:
        pygame.draw.polygon(surface, STONE, place(occluder))
    for start, end in zip((prey[:2], *way[:-1]), way, strict=True) if len(way) else ():
        steps = np.arange(0, np.hypot(*(end - start)), 0.008)
        for dot in start + (end - start) * (steps / np.hypot(*(end - start)))[:, None]:
            disc(dot, 0.0016, BLUE)
        disc(end, 0.005, BLUE)
    if seen:
        disc(predator[:2], radius, FAINT, 2)
    for (x, y, heading), body, fill, line in (
        (
            predator,
            BODIES[0][[0, 4, 5, 1, 3, 2]],
            *((RED, EDGE) if seen else (FAINT, DIM)),
        ),
        (prey, BODIES[1][[0, 2, 1, 3]], BLUE, NAVY),
    ):
        ahead = np.array([np.cos(np.radians(heading)), np.sin(np.radians(heading))])
        corners = np.array([x, y]) + LARGER * (
            body @ np.stack([ahead, ahead[::-1] * (-1, 1)])
        )
        pygame.draw.polygon(surface, fill, place(corners))
        pygame.draw.polygon(surface, line, place(corners), 2 * FINE)
        pygame.draw.line(
            surface,
            line,
            place((x, y) + 0.01 * ahead),
            place((x, y) + 0.04 * ahead),
            2 * FINE,
        )
    pygame.draw.polygon(surface, EDGE, place(cells.arena), 3 * FINE)
    return pygame.surfarray.array3d(
        pygame.transform.smoothscale(surface, (WIDTH, HEIGHT))
    ).swapaxes(0, 1)
