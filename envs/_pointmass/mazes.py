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
# map, enlargement, start and goal (row, column) before the enlargement, and time limit
TASKS: dict[str, Task] = {
    "easy": ("maze-5x5", 2, (0.5, 0.5), (4.5, 4.5), 50),
    "medium": ("maze-6x6", 1, (0.5, 0.5), (1.5, 5.5), 150),
    "hard": ("four-rooms", 2, (1.0, 1.0), (10.0, 10.0), 100),
    "veryhard": ("maze-11x11", 1, (0.5, 0.5), (0.5, 10.5), 200),
}
# time limit of a map that is not a task, in multiples of the distance from its start to
# its goal
PATIENCE = 4
# right, down, left, up as (rows, columns); the first of equally short paths is taken
SIDES = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])


class Maze(NamedTuple):
    """A map with a start and a goal; places are (row, column) in cells, counted from
    the upper left corner of the first cell."""

    walls: np.ndarray  # [H, W] bool
    # [H + 1, W + 1] bool: a place on the far edge belongs to the last cell
    free: np.ndarray
    start: np.ndarray  # [2] place
    goal: np.ndarray  # [2] place
    radius: float  # of the goal, in cells
    max_steps: int
    distance: np.ndarray  # [H, W] steps to the goal's cell, inf in walls
    # [n, 2] upper left corners of the free cells whose centre is outside the radius
    starts: np.ndarray
    # [H, W, 2] centre of the next cell on the path; at the goal, of the goal's cell
    ahead: np.ndarray


def names() -> list[str]:
    """All mazes: tasks, then maps."""
    return [*TASKS, *sorted(_maps())]


@cache
def load(name: str) -> Maze:
    """A maze by name.

    A map that is not a task leads from its first free cell to the farthest one, the
    last of several."""
    if name not in names():
        raise ValueError(f"no maze {name!r}; there are: {', '.join(names())}")
    task = TASKS[name] if name in TASKS else _longest_path(name)
    drawn, factor, first, last, max_steps = task
    walls = _maps()[drawn].repeat(factor, 0).repeat(factor, 1)
    goal = factor * np.array(last)
    distance = distances(walls, goal.astype(int))
    cells = np.argwhere(~walls)
    rows, columns = (cells + 0.5 - goal).T
    is_outside = np.hypot(rows, columns) >= factor
    return Maze(
        walls=walls,
        free=np.pad(~walls, ((0, 1), (0, 1)), mode="edge"),
        start=factor * np.array(first),
        goal=goal,
        radius=float(factor),
        max_steps=max_steps,
        distance=distance,
        starts=cells[is_outside],
        ahead=_next_centres(distance),
    )


def distances(walls: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Steps from every cell to a cell (row, column), over shared sides, [H, W]; inf
    where there is no path."""
    distance = np.full(walls.shape, np.inf)
    distance[tuple(cell)] = 0
    while True:
        nearest = 1 + _neighbours(distance).min(0)
        shorter = np.where(walls, np.inf, np.minimum(distance, nearest))
        if not (shorter < distance).any():
            return distance
        distance = shorter


def _neighbours(distance: np.ndarray) -> np.ndarray:
    """Values of the cells on the four sides, [4, H, W]; inf outside."""
    height, width = distance.shape
    framed = np.pad(distance, 1, constant_values=np.inf)
    shifted = []
    for row, column in SIDES + 1:
        shifted.append(framed[row : row + height, column : column + width])
    return np.stack(shifted)


def _next_centres(distance: np.ndarray) -> np.ndarray:
    """Centres of the next cells on the paths to the goal, [H, W, 2]."""
    neighbours = _neighbours(distance)
    here = np.moveaxis(np.indices(distance.shape), 0, -1)
    is_nearer = neighbours.min(0) < distance
    side = SIDES[neighbours.argmin(0)]
    return here + np.where(is_nearer[..., None], side, 0) + 0.5


def _longest_path(name: str) -> Task:
    """A task from the first free cell of a map to the farthest."""
    walls = _maps()[name]
    first = np.argwhere(~walls)[0]
    distance = distances(walls, first)
    farthest = int(distance[~walls].max())
    row, column = np.argwhere(distance == farthest)[-1] + 0.5
    start = (first[0] + 0.5, first[1] + 0.5)
    return name, 1, start, (row, column), PATIENCE * farthest


@cache
def _maps() -> dict[str, np.ndarray]:
    """Walls [H, W] of every map."""
    maps = {}
    for block in DRAWN.strip().split("\n\n"):
        header, *lines = (line.split() for line in block.splitlines())
        for place, name in enumerate(header):
            drawn = [list(line[place]) for line in lines if len(line) > place]
            maps[name] = np.array(drawn) == "#"
    return maps
