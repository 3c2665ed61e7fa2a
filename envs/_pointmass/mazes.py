"""Mazes as wall maps: 17 by name, four of them also as tasks of a given difficulty.

The maps and the tasks are those of a point mass that learns to explore (Berkeley's deep
RL course, homework 5).
"""

from functools import cache
from typing import NamedTuple

import numpy as np

# '#' is a wall; the first line is row 0. Blocks of maps side by side, higher ones to
# the left.
DRAWN = """
fly-trap-big             tunnel                 u-multi          fly-trap-small   tree
##...................##  ............##.......  ...............  ##...........##  ##########.##########
###########.###########  .##########.##.#####.  .#############.  #######.#######  ####....##.##....####
.#........#.#........#.  ..........#..#.##..#.  .#...........#.  .#....#.#....#.  ####.##.##.##.##.####
.#........#.#........#.  .#######..#..#.....#.  .#.#########.#.  .#....#.#....#.  ####.##.......##.####
.#........#.#........#.  .##....#############.  .#.#.......#.#.  .#....#.#....#.  ####.#####.#####.####
.#........#.#........#.  .##.##.#...........#.  .#.#.#####.#.#.  .#...........#.  ...#.#...#.#...#.#...
.#...................#.  .##.##.#.#########.#.  .#.#.#...#.#.#.  .####.....####.  .#.#.#.#.#.#.#.#.#.#.
.#...................#.  .##.##.#.#.......#.#.  .#.#.#.#.#.#.#.  ...............  .#.....#.#.#.#.....#.
.#...................#.  .##..###.#.#######.#.  .#.#.#.#.#.#.#.  .####.....####.  .###.###.###.###.###.
.#...................#.  .##..###.#.........#.  .......#.#.#.#.  .#...........#.  .###.###.###.###.###.
.#####...........#####.  .........####.####.#.  ########.#.#.#.  .#....#.#....#.  .#######.###.#######.
.......................  .#######.#..#.#..#.#.  .#.#.#.#.#.#.#.  .#....#.#....#.  .#######.###.#######.
.#####...........#####.  .#.##..#.#.......#.#.  .#.#.#.#.#.#.#.  .#....#.#....#.  .#######.###.#######.
.#...................#.  .#.##..#.###########.  .#.#.#...#.#.#.  #######.#######
.#...................#.  .#.##.##.............  .#.#.#####.#.#.  ##...........##
.#...................#.  .#.##.##############.  .#.#.......#.#.
.#...................#.  .#.##.##############.  .#.#########.#.
.#........#.#........#.  .#.##................  .#...........#.
.#........#.#........#.  .#.#####.###########.  .#############.
.#........#.#........#.  .#....##.#.....#..##.  ...............
.#........#.#........#.  .####.##.#####.#..##.
###########.###########  ......##.......#.....
##...................##

galton                         four-rooms   maze-11x11   spiral-11x11  u    spiral-9x9
.............................  .....#.....  .#...#...#.  ###########   ...  .........
...........#.....#...........  .....#.....  .#.#.#.#.#.  #..........   .#.  .########
...........#.....#...........  ...........  .#.#.#.#.#.  #.########.   .#.  .#......#
...........#######...........  .....#.....  .#.#.#.#.#.  #.#......#.   .#.  .#.####.#
..............#..............  .....#.....  ...#...#.#.  #.#.####.#.   ##.  .#.#..#.#
......#.....#.#.#.....#......  #.####.....  ########.#.  #.#.#..#.#.   ##.  .#.##.#.#
......#.....#.#.#.....#......  .....###.##  ###...#..#.  #.#.##.#.#.   .#.  .#....#.#
......#######.#.#######......  .....#.....  ###.#.#.##.  #.#....#.#.   .#.  .######.#
.........#....#....#.........  .....#.....  ....#...##.  #.######.#.   .#.  ........#
.#.....#.#.#..#..#.#.#.....#.  ...........  .#########.  #........#.   ...
.#.....#.#.#..#..#.#.#.....#.  .....#.....  ...........  ##########.
.#######.#.##.#.##.#.#######.
....#....#..#.#.#..#....#....

spiral-7x7  cross    maze-6x6  spiral-5x5  maze-5x5  small
#######     .......  ..#...    .....       .....     ....
#......     ...#...  #.#.#.    .####       ####.     ....
#.####.     ...#...  ..#.##    .#..#       ####.     ....
#.#..#.     .#####.  .##..#    .##.#       ####.     ....
#.##.#.     ...#...  ..##.#    ....#       ####.
#....#.     ...#...  #....#
######.     .......
"""
Task = tuple[str, int, tuple[float, float], tuple[float, float], int]
# map, enlargement, start and goal (row, column) before it, and time limit
TASKS: dict[str, Task] = {
    "easy": ("maze-5x5", 2, (0.5, 0.5), (4.5, 4.5), 50),
    "medium": ("maze-6x6", 1, (0.5, 0.5), (1.5, 5.5), 150),
    "hard": ("four-rooms", 2, (1.0, 1.0), (10.0, 10.0), 100),
    "veryhard": ("maze-11x11", 1, (0.5, 0.5), (0.5, 10.5), 200),
}
# time limit of a map that is no task, in multiples of the distance from its start to
# its goal
PATIENCE = 4
# right, down, left, up as (rows, columns); of equally short ways the first is taken
SIDES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


class Maze(NamedTuple):
    """A map and what to do in it; places are (row, column) in cells, 0 at the upper
    left corner of the first cell."""

    walls: np.ndarray  # [H, W] bool
    # [H + 1, W + 1] bool: a place on the far edge belongs to the last cell
    free: np.ndarray
    start: np.ndarray  # [2] place
    goal: np.ndarray  # [2] place
    radius: float  # cells; nearer to the goal than this is there
    max_steps: int
    distance: np.ndarray  # [H, W] steps to the goal's cell, inf in walls
    # [n, 2] upper left corners of the free cells whose centre is outside the radius
    starts: np.ndarray
    # [H, W, 2] centre of the next cell on the way; in the goal's cell, its own
    ahead: np.ndarray


def names() -> list[str]:
    """All mazes: tasks, then maps."""
    return [*TASKS, *sorted(_maps())]


@cache
def load(name: str) -> Maze:
    """A maze by name. A map that is no task leads from its first free cell to the
    (last) one farthest from there."""
    if name not in names():
        raise ValueError(f"no maze {name!r}; there are: {', '.join(names())}")
    drawn, factor, first, last, max_steps = (
        TASKS[name] if name in TASKS else _through(name)
    )
    walls = _maps()[drawn].repeat(factor, 0).repeat(factor, 1)
    start, goal = factor * np.array(first), factor * np.array(last)
    distance, free = (
        distances(walls, goal.astype(int)),
        np.pad(~walls, ((0, 1), (0, 1)), mode="edge"),
    )
    cells = np.argwhere(~walls)
    starts = cells[np.hypot(*(cells + 0.5 - goal).T) >= factor]
    return Maze(
        walls,
        free,
        start,
        goal,
        float(factor),
        max_steps,
        distance,
        starts,
        _ahead(distance),
    )


def distances(walls: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Steps to a cell (row, column) from every other, over shared sides, [H, W]; inf
    where no way leads."""
    distance = np.full(walls.shape, np.inf)
    distance[tuple(cell)] = 0
    while (
        (
            shorter := np.where(
                walls, np.inf, np.minimum(distance, 1 + _beside(distance).min(0))
            )
        )
        < distance
    ).any():
        distance = shorter
    return distance


def _beside(distance: np.ndarray) -> np.ndarray:
    """What the cells on the four sides hold, [4, H, W]; inf outside."""
    (height, width), framed = (
        distance.shape,
        np.pad(distance, 1, constant_values=np.inf),
    )
    return np.stack(
        [
            framed[1 + row : 1 + row + height, 1 + column : 1 + column + width]
            for row, column in SIDES
        ]
    )


def _ahead(distance: np.ndarray) -> np.ndarray:
    beside, here = _beside(distance), np.moveaxis(np.indices(distance.shape), 0, -1)
    nearer = (beside.min(0) < distance)[..., None]
    return here + np.where(nearer, SIDES[beside.argmin(0)], 0) + 0.5


def _through(name: str) -> Task:
    """The longest way through a map as a task."""
    walls = _maps()[name]
    first = np.argwhere(~walls)[0]
    away = distances(walls, first)
    far = int(away[~walls].max())
    row, column = np.argwhere(away == far)[-1] + 0.5
    return name, 1, (first[0] + 0.5, first[1] + 0.5), (row, column), PATIENCE * far


@cache
def _maps() -> dict[str, np.ndarray]:
    """Walls [H, W] of every map."""
    maps = {}
    for block in DRAWN.strip().split("\n\n"):
        header, *lines = (line.split() for line in block.splitlines())
        for place, name in enumerate(header):
            maps[name] = np.array(
                [[c == "#" for c in line[place]] for line in lines if len(line) > place]
            )
    return maps
