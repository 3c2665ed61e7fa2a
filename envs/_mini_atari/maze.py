"""Pellets in a maze with a chaser, as in Ms. Pac-Man."""

import functools
from typing import ClassVar, NamedTuple

import numpy as np

from curriculum.envs._base.pictures import SIDE
from curriculum.envs._mini_atari.game import NOOP, Game
from curriculum.envs._mini_atari.screen import (
    HEADER,
    draw_header,
    draw_sprites,
    sprite,
)

UP = 1  # actions, and headings
RIGHT = 2
LEFT = 3
DOWN = 4
# rows and columns, and the way back, by heading; 0 is none
MOVES = np.array([(0, 0), (-1, 0), (0, 1), (0, -1), (1, 0)])
REVERSE = np.array([0, DOWN, LEFT, RIGHT, UP])

PLAN = """
###########
#....#....#
#.##.#.##.#
#.........#
#.#.###.#.#
#.#.....#.#
#.#.###.#.#
#.........#
#.##.#.##.#
#....#....#
###########
"""
OPEN = np.array([[mark == "." for mark in line] for line in PLAN.split()])
SIZE = len(OPEN)  # cells along either side
CELL = 7  # side of a cell, pixels
MARGIN = (SIDE - SIZE * CELL) // 2  # pixels left of the maze
STEPS = 3  # that a way of one cell takes
NEAR = 3  # steps: what is nearer has caught the agent
MISTAKES = 0.25  # share of the chaser's turns that are random
START = SIZE * 7 + 5  # cell in row 7, column 5
CORNERS = np.array([SIZE * 1 + 1, SIZE * 1 + 9])  # where the chaser begins

STONE = 70  # grey levels
PELLET = 150
AGENT = 255
CHASER = 200

CHASER_SPRITE = sprite(".###. ##### #.#.# ##### #.#.#", CHASER)
AGENT_SPRITES = np.stack(  # by heading
    [
        sprite(".###. ##### ##### ##### .###.", AGENT),
        sprite("#...# ##.## ##### ##### .###.", AGENT),
        sprite(".###. ###.. ##... ###.. .###.", AGENT),
        sprite(".###. ..### ...## ..### .###.", AGENT),
        sprite(".###. ##### ##### ##.## #...#", AGENT),
    ]
)


class Chase(NamedTuple):
    """The columns of the table, [n] each; places count steps, `STEPS` a cell."""

    shown: np.ndarray
    action: np.ndarray
    score: np.ndarray
    lives: np.ndarray
    row: np.ndarray
    column: np.ndarray
    heading: np.ndarray
    pellets: np.ndarray  # a bit for each open cell that has one
    chaser_row: np.ndarray
    chaser_column: np.ndarray
    chaser_heading: np.ndarray


class Maze(Game):
    """A point for every pellet; being caught costs a life and sends both back. Pellets
    that are all eaten grow again.

    The agent keeps its heading until another one is free. The chaser is as fast, and
    takes the shortest way to the agent, but not always."""

    actions: ClassVar[int] = len(MOVES)
    columns: ClassVar[int] = len(Chase._fields)
    numbers: ClassVar[int] = 2 + len(MOVES)
    colours: ClassVar[dict[int, tuple[int, int, int]]] = {
        STONE: (48, 64, 168),
        PELLET: (228, 180, 160),
        AGENT: (240, 212, 72),
        CHASER: (214, 69, 65),
    }

    def begin(self, lives: int, drawn: np.ndarray) -> np.ndarray:
        none = np.zeros(len(drawn), np.int64)
        chase = Chase(
            shown=none + 1,
            action=none + NOOP,
            score=none,
            lives=none + lives,
            row=none,
            column=none,
            heading=none,
            pellets=none + _all_pellets(),
            chaser_row=none,
            chaser_column=none,
            chaser_heading=none,
        )
        everyone = np.ones(len(drawn), bool)
        return np.stack(_send_back(chase, everyone, drawn[:, 0]), -1)

    def step(
        self, table: np.ndarray, action: np.ndarray, drawn: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        chase = _move_agent(Chase(*table.T)._replace(action=action))
        chase, points = _eat(chase)
        chase = _move_chaser(chase, drawn[:, 1], drawn[:, 2:])
        distance = np.abs(chase.row - chase.chaser_row)
        distance += np.abs(chase.column - chase.chaser_column)
        is_caught = distance < NEAR
        after = chase._replace(
            score=chase.score + points, lives=chase.lives - is_caught
        )
        if is_caught.any():
            after = _send_back(after, is_caught, drawn[:, 0])
        return np.stack(after, -1), points

    def draw(self, table: np.ndarray) -> np.ndarray:
        chase = Chase(*table.T)
        frames = np.empty((len(table), SIDE, SIDE), np.uint8)
        frames[:] = _background()
        draw_header(frames, chase.score, chase.lives)
        is_there = chase.pellets[:, None] >> _pellet_numbers() & OPEN.ravel()
        greys = np.where(is_there, PELLET, ~OPEN.ravel() * STONE).astype(np.uint8)
        greys = greys.reshape(-1, SIZE, SIZE)
        maze = frames[:, HEADER:, MARGIN : MARGIN + SIZE * CELL]
        for row, column in np.ndindex(2, 2):  # pellets are squares of two pixels
            middle = maze[:, CELL // 2 + row :: CELL, CELL // 2 + column :: CELL]
            middle[:] = greys
        ghosts = np.broadcast_to(CHASER_SPRITE, (len(table), *CHASER_SPRITE.shape))
        places = [_pixel(chase.chaser_row), _pixel(chase.chaser_column)]
        draw_sprites(frames, ghosts, HEADER + places[0], MARGIN + places[1])
        agents = AGENT_SPRITES[chase.heading]
        places = [_pixel(chase.row), _pixel(chase.column)]
        draw_sprites(frames, agents, HEADER + places[0], MARGIN + places[1])
        return frames

    def steer(self, right: int, down: int) -> int:
        if right:
            return RIGHT if right > 0 else LEFT
        return {1: DOWN, -1: UP}.get(down, NOOP)


def _send_back(chase: Chase, rows: np.ndarray, drawn: np.ndarray) -> Chase:
    """Both at their starts in these rows, [n] bool; the chaser's corner is drawn."""
    corner = CORNERS[(drawn * len(CORNERS)).astype(np.int64)]
    return chase._replace(
        row=np.where(rows, STEPS * (START // SIZE), chase.row),
        column=np.where(rows, STEPS * (START % SIZE), chase.column),
        heading=np.where(rows, NOOP, chase.heading),
        chaser_row=np.where(rows, STEPS * (corner // SIZE), chase.chaser_row),
        chaser_column=np.where(rows, STEPS * (corner % SIZE), chase.chaser_column),
        chaser_heading=np.where(rows, NOOP, chase.chaser_heading),
    )


def _move_agent(chase: Chase) -> Chase:
    """Turn where the way is free, back anywhere, and go ahead where it is free."""
    cell, in_cell = _cell(chase.row, chase.column)
    is_free = _is_free()
    asked = np.where(chase.action == NOOP, chase.heading, chase.action)
    is_back = asked == REVERSE[chase.heading]
    can_turn = np.where(in_cell, is_free[cell, asked], is_back)
    heading = np.where(can_turn, asked, chase.heading)
    goes = ~in_cell | is_free[cell, heading]
    down, right = MOVES.take(heading, 0).T
    return chase._replace(
        row=chase.row + down * goes,
        column=chase.column + right * goes,
        heading=heading,
    )


def _eat(chase: Chase) -> tuple[Chase, np.ndarray]:
    """Eat the pellet of the cell that the agent is in; also returns the points, [n].
    When all are eaten, they grow again."""
    cell, in_cell = _cell(chase.row, chase.column)
    pellet = 1 << _pellet_numbers()[cell]
    points = (in_cell & (chase.pellets & pellet != 0)).astype(np.int64)
    pellets = chase.pellets ^ pellet * points
    pellets = np.where(pellets == 0, _all_pellets(), pellets)
    return chase._replace(pellets=pellets), points


def _move_chaser(chase: Chase, coin: np.ndarray, ties: np.ndarray) -> Chase:
    """Go one step towards the agent, or a random way where `coin` [n] is low; never
    back. `ties` [n, 5] choose among equally good ways."""
    cell, in_cell = _cell(chase.chaser_row, chase.chaser_column)
    target, _ = _cell(chase.row, chase.column)
    is_open = _is_free()[cell]  # [n, 5]
    is_back = np.arange(len(MOVES)) == REVERSE[chase.chaser_heading][:, None]
    cells_left = _distances_ahead()[cell, target]  # [n, 5]
    cost = cells_left * (coin >= MISTAKES)[:, None] + ties
    cost = np.where(is_open & ~is_back, cost, np.inf)
    heading = np.where(in_cell, cost.argmin(1), chase.chaser_heading)
    down, right = MOVES.take(heading, 0).T
    return chase._replace(
        chaser_row=chase.chaser_row + down,
        chaser_column=chase.chaser_column + right,
        chaser_heading=heading,
    )


def _cell(row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cell that each place is in or next to, [n], and whether it is its centre."""
    cell = (row + 1) // STEPS * SIZE + (column + 1) // STEPS
    return cell, (row % STEPS == 0) & (column % STEPS == 0)


def _pixel(place: np.ndarray) -> np.ndarray:
    """Where sprites at these places begin, pixels from the maze's edge."""
    return (CELL * place + 1) // STEPS + 1


@functools.lru_cache
def _is_free() -> np.ndarray:
    """Whether a heading is free from the centre of a cell, [cells, 5]; 0 never is."""
    free = np.zeros((SIZE * SIZE, len(MOVES)), bool)
    for cell in np.flatnonzero(OPEN):
        ahead = cell + MOVES[1:] @ (SIZE, 1)
        free[cell, 1:] = OPEN.ravel()[ahead]
    return free


@functools.lru_cache
def _distances() -> np.ndarray:
    """Cells along the shortest way between open cells, [cells, cells]."""
    count = SIZE * SIZE
    distance = np.full((count, count), count)
    np.fill_diagonal(distance, 0)
    for cell, heading in np.argwhere(_is_free()):
        distance[cell, cell + MOVES[heading] @ (SIZE, 1)] = 1
    for between in np.flatnonzero(OPEN):  # Floyd (1962), CACM 5(6)
        detour = distance[:, between, None] + distance[between]
        np.minimum(distance, detour, out=distance)
    return distance


@functools.lru_cache
def _distances_ahead() -> np.ndarray:
    """The same from the next cell under each heading, [cells, cells, 5]."""
    cells = np.arange(SIZE * SIZE)[:, None]
    ahead = np.where(_is_free(), cells + MOVES @ (SIZE, 1), cells)
    return _distances()[ahead].swapaxes(1, 2).copy()


@functools.lru_cache
def _pellet_numbers() -> np.ndarray:
    """The bit of each cell's pellet, [cells]; walls have that of the first."""
    numbers = np.zeros(SIZE * SIZE, np.int64)
    numbers[OPEN.ravel()] = np.arange(OPEN.sum())
    return numbers


def _all_pellets() -> int:
    return (1 << int(OPEN.sum())) - 1


@functools.lru_cache
def _background() -> np.ndarray:
    """Walls as blocks, [84, 84]."""
    frame = np.zeros((SIDE, SIDE), np.uint8)
    walls = np.repeat(np.repeat(~OPEN, CELL, 0), CELL, 1)
    frame[HEADER : HEADER + len(walls), MARGIN : MARGIN + len(walls)] = walls * STONE
    return frame
