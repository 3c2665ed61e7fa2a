"""A ball, a paddle and a wall of bricks, as in Breakout."""

import functools
from typing import ClassVar, NamedTuple

import numpy as np

from curriculum.envs._base.pictures import SIDE
from curriculum.envs._mini_atari.game import NOOP, Game
from curriculum.envs._mini_atari.screen import WHITE, draw_header, draw_sprites

RIGHT = 1  # actions
LEFT = 2
DIRECTIONS = np.array([0, 1, -1])  # of the paddle, by action

# pixels; the field lies between the frame's inner edges
FIELD_LEFT = 2
FIELD_RIGHT = 82
FIELD_TOP = 10
BALL = 2  # side of the ball
PADDLE = 12  # width of the paddle
PADDLE_TOP = 77
PADDLE_SPEED = 3  # a step
SERVE_HEIGHT = 44
WALL_TOP = 18
BRICK_HEIGHT = 3
BRICK_WIDTH = 8
BRICK_ROWS = 6
BRICKS_PER_ROW = 10
WALL_BOTTOM = WALL_TOP + BRICK_ROWS * BRICK_HEIGHT
FULL = (1 << BRICK_ROWS * BRICKS_PER_ROW) - 1  # all bricks

POINTS = np.array([7, 7, 4, 4, 1, 1])  # of a brick, by row
SLOW = 2  # vertical speed of the ball, pixels a step
FAST = 3  # after a brick that is worth 7 points
PAUSE = 10  # steps before a ball is served
# horizontal speed of the ball by the part of the paddle that it hits
AIM = np.array([-3, -2, -1, 1, 2, 3])

FRAME = 110  # grey levels
BRICK_GREYS = np.array([220, 200, 180, 160, 140, 125])
PADDLE_GREY = 235


class Court(NamedTuple):
    """The columns of the table, [n] each."""

    shown: np.ndarray
    action: np.ndarray
    score: np.ndarray
    lives: np.ndarray
    paddle: np.ndarray  # its left edge
    x: np.ndarray  # of the ball's left edge
    y: np.ndarray  # of the ball's top edge
    speed_x: np.ndarray
    speed_y: np.ndarray
    bricks: np.ndarray  # a bit each, row by row from the top left
    pause: np.ndarray  # steps until the ball is served


class Bricks(Game):
    """Points for bricks, 7 at the top and 1 at the bottom; a ball that passes the
    paddle costs a life. A wall that is cleared is built again."""

    actions: ClassVar[int] = len(DIRECTIONS)
    columns: ClassVar[int] = len(Court._fields)
    numbers: ClassVar[int] = 2
    colours: ClassVar[dict[int, tuple[int, int, int]]] = {
        220: (200, 72, 72),
        200: (198, 108, 58),
        180: (180, 122, 48),
        160: (162, 162, 42),
        140: (72, 160, 72),
        125: (66, 72, 200),
        PADDLE_GREY: (200, 72, 72),
    }

    def begin(self, lives: int, drawn: np.ndarray) -> np.ndarray:
        count = len(drawn)
        middle = (FIELD_LEFT + FIELD_RIGHT - PADDLE) // 2
        none = np.zeros(count, np.int64)
        court = Court(
            shown=none + 1,
            action=none + NOOP,
            score=none,
            lives=none + lives,
            paddle=none + middle,
            x=none,
            y=none,
            speed_x=none,
            speed_y=none,
            bricks=none + FULL,
            pause=none,
        )
        everyone = np.ones(count, bool)
        return np.stack(_serve(court, everyone, drawn), -1)

    def step(
        self, table: np.ndarray, action: np.ndarray, drawn: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        court = Court(*table.T)
        paddle = court.paddle + PADDLE_SPEED * DIRECTIONS[action]
        paddle = np.clip(paddle, FIELD_LEFT, FIELD_RIGHT - PADDLE)
        moved = _move_ball(court._replace(action=action, paddle=paddle))
        struck, points = _strike_bricks(moved, court.y)
        returned = _hit_paddle(struck)
        is_lost = returned.y > SIDE - BALL
        after = returned._replace(
            score=court.score + points,
            lives=court.lives - is_lost,
            bricks=_rebuilt(returned),
            pause=np.maximum(court.pause - 1, 0),
        )
        if is_lost.any():
            after = _serve(after, is_lost, drawn)
        return np.stack(after, -1), points

    def draw(self, table: np.ndarray) -> np.ndarray:
        court = Court(*table.T)
        frames = np.empty((len(table), SIDE, SIDE), np.uint8)
        frames[:] = _background()
        draw_header(frames, court.score, court.lives)
        row = np.arange(BRICK_ROWS)
        bits = court.bricks[:, None] >> BRICKS_PER_ROW * row
        bits &= (1 << BRICKS_PER_ROW) - 1  # [n, rows]
        wall = _brick_rows()[row, bits]  # [n, rows, height, SIDE]
        frames[:, WALL_TOP:WALL_BOTTOM] = wall.reshape(len(table), -1, SIDE)
        paddle = np.full((len(table), 2, PADDLE), PADDLE_GREY, np.uint8)
        draw_sprites(frames, paddle, np.full(len(table), PADDLE_TOP), court.paddle)
        ball = np.full((len(table), BALL, BALL), WHITE, np.uint8)
        draw_sprites(frames, ball, court.y, court.x)
        return frames

    def steer(self, right: int, down: int) -> int:
        return {1: RIGHT, -1: LEFT}.get(right, NOOP)


def _serve(court: Court, rows: np.ndarray, drawn: np.ndarray) -> Court:
    """A ball at rest in these rows, [n] bool, at a random place; it will fall to the
    left or to the right."""
    width = FIELD_RIGHT - FIELD_LEFT - BALL
    place = FIELD_LEFT + (drawn[:, 0] * width).astype(np.int64)
    side = np.where(drawn[:, 1] < 0.5, -1, 1)
    return court._replace(
        x=np.where(rows, place, court.x),
        y=np.where(rows, SERVE_HEIGHT, court.y),
        speed_x=np.where(rows, side, court.speed_x),
        speed_y=np.where(rows, SLOW, court.speed_y),
        pause=np.where(rows, PAUSE, court.pause),
    )


def _move_ball(court: Court) -> Court:
    """The ball one step later, reflected by the frame; it waits for its serve."""
    flies = court.pause == 0
    x = court.x + court.speed_x * flies
    y = court.y + court.speed_y * flies
    last = FIELD_RIGHT - BALL
    outside = (x < FIELD_LEFT) | (x > last)
    x = np.where(x < FIELD_LEFT, 2 * FIELD_LEFT - x, x)
    x = np.where(x > last, 2 * last - x, x)
    above = y < FIELD_TOP
    return court._replace(
        x=x,
        y=np.where(above, 2 * FIELD_TOP - y, y),
        speed_x=np.where(outside, -court.speed_x, court.speed_x),
        speed_y=np.where(above, -court.speed_y, court.speed_y),
    )


def _strike_bricks(court: Court, y_before: np.ndarray) -> tuple[Court, np.ndarray]:
    """Break the brick that the ball's leading edge is in and turn back, at most one a
    step; also returns the points, [n]."""
    edge = court.y + np.where(court.speed_y > 0, BALL - 1, 0)
    row = (edge - WALL_TOP) // BRICK_HEIGHT
    column = (court.x + BALL // 2 - FIELD_LEFT) // BRICK_WIDTH
    in_wall = (row >= 0) & (row < BRICK_ROWS)
    row = np.where(in_wall, row, 0)
    column = np.minimum(column, BRICKS_PER_ROW - 1)
    brick = 1 << BRICKS_PER_ROW * row + column
    is_hit = in_wall & (court.bricks & brick != 0)
    points = POINTS[row] * is_hit
    is_top = points == POINTS.max()
    speed = np.where(is_top, FAST * np.sign(court.speed_y), court.speed_y)
    struck = court._replace(
        y=np.where(is_hit, y_before, court.y),
        speed_y=np.where(is_hit, -speed, speed),
        bricks=court.bricks ^ np.where(is_hit, brick, 0),
    )
    return struck, points


def _hit_paddle(court: Court) -> Court:
    """Send a ball back that reaches the paddle from above; where it hits decides where
    it goes."""
    offset = court.x + BALL // 2 - court.paddle
    is_over = (court.x + BALL > court.paddle) & (court.x < court.paddle + PADDLE)
    bottom = court.y + BALL
    is_falling = court.speed_y > 0
    is_at_height = (bottom > PADDLE_TOP) & (bottom - court.speed_y <= PADDLE_TOP)
    is_hit = is_falling & is_at_height & is_over
    part = np.clip(offset * len(AIM) // PADDLE, 0, len(AIM) - 1)
    return court._replace(
        y=np.where(is_hit, PADDLE_TOP - BALL, court.y),
        speed_x=np.where(is_hit, AIM[part], court.speed_x),
        speed_y=np.where(is_hit, -court.speed_y, court.speed_y),
    )


def _rebuilt(court: Court) -> np.ndarray:
    """The bricks [n]: all of them again where none is left and the ball is below."""
    is_cleared = (court.bricks == 0) & (court.y > WALL_BOTTOM)
    return np.where(is_cleared, FULL, court.bricks)


@functools.lru_cache
def _background() -> np.ndarray:
    """The frame of the field, [84, 84]."""
    frame = np.zeros((SIDE, SIDE), np.uint8)
    frame[FIELD_TOP - 2 :] = FRAME
    frame[FIELD_TOP:, FIELD_LEFT:FIELD_RIGHT] = 0
    return frame


@functools.lru_cache
def _brick_rows() -> np.ndarray:
    """Every row with every choice of its bricks, between the sides of the frame,
    [rows, 2**bricks, height, 84] uint8. Gaps of a pixel separate the bricks."""
    choices = np.arange(1 << BRICKS_PER_ROW)[:, None]
    is_there = choices >> np.arange(BRICKS_PER_ROW) & 1  # [2**bricks, bricks]
    brick = np.zeros((BRICK_HEIGHT, BRICK_WIDTH), np.int64)
    brick[:-1, :-1] = 1
    row = is_there[:, None, :, None] * brick[:, None]
    row = row.reshape(len(choices), BRICK_HEIGHT, -1)
    rows = row * BRICK_GREYS[:, None, None, None]
    pictures = np.full((*rows.shape[:-1], SIDE), FRAME, np.uint8)
    pictures[..., FIELD_LEFT:FIELD_RIGHT] = rows
    return pictures
