"""What the screens of all games share: score and lives in the top rows, and sprites."""

import functools

import numpy as np

from curriculum.envs._base.pictures import SIDE

HEADER = 7  # rows of pixels above the field
MOST_LIVES = 5
NUMBERS = 1_000  # scores from here on show their last three digits
PIP = 3  # side of the square that shows a life, pixels
# grey levels
WHITE = 255
TEXT = 190

# digits of 3 x 5 pixels, a row of each in every line
FONT = """
111 010 111 111 101 111 111 111 111 111
101 110 001 001 101 100 100 001 101 101
101 010 111 011 111 111 111 010 111 111
101 010 100 001 001 001 101 010 101 001
111 111 111 111 001 111 111 010 111 111
"""


def draw_header(frames: np.ndarray, score: np.ndarray, lives: np.ndarray) -> None:
    """Write score [n] and lives [n] into the top rows of `frames` [n, 84, 84]."""
    numbers = _numbers()
    pips = _pips()
    frames[:, 1:6, 3 : 3 + numbers.shape[-1]] = numbers[score % NUMBERS]
    frames[:, 2 : 2 + PIP, SIDE - 2 - pips.shape[-1] : SIDE - 2] = pips[lives]


def draw_sprites(
    frames: np.ndarray, sprites: np.ndarray, top: np.ndarray, left: np.ndarray
) -> None:
    """Draw one sprite [height, width] of `sprites` [n, height, width] into each of
    `frames` [n, 84, 84], over what is darker; `top` and `left` are [n]."""
    height, width = sprites.shape[1:]
    inside = SIDE * np.arange(height)[:, None] + np.arange(width)
    corner = (np.arange(len(frames)) * SIDE + top) * SIDE + left
    pixel = (corner[:, None] + inside.ravel()).ravel()
    flat = frames.reshape(-1)  # a view
    flat[pixel] = np.maximum(flat[pixel], sprites.reshape(-1))


def sprite(lines: str, grey: int) -> np.ndarray:
    """A sprite [height, width] uint8 from lines of # and dots."""
    pixels = [[mark == "#" for mark in line] for line in lines.split()]
    return np.array(pixels, np.uint8) * np.uint8(grey)


@functools.lru_cache
def _numbers() -> np.ndarray:
    """Pictures of 000 to 999, [1000, 5, 11] uint8."""
    rows = [line.split() for line in FONT.split("\n") if line]
    digits = np.array([[[*map(int, digit)] for digit in row] for row in rows])
    digits = digits.swapaxes(0, 1).astype(np.uint8) * np.uint8(TEXT)  # [10, 5, 3]
    numbers = np.zeros((NUMBERS, 5, 11), np.uint8)
    value = np.arange(NUMBERS)
    numbers[..., 0:3] = digits[value // 100]
    numbers[..., 4:7] = digits[value // 10 % 10]
    numbers[..., 8:11] = digits[value % 10]
    return numbers


@functools.lru_cache
def _pips() -> np.ndarray:
    """Squares for 0 to 5 lives, from the right, [6, 3, 20] uint8."""
    pitch = PIP + 1
    pips = np.zeros((MOST_LIVES + 1, PIP, MOST_LIVES * pitch), np.uint8)
    for lives in range(MOST_LIVES + 1):
        for life in range(1, lives + 1):
            start = (MOST_LIVES - life) * pitch
            pips[lives, :, start : start + PIP] = TEXT
    return pips
