"""A planner for Pong that needs no search: the console's memory says where the ball is
and how it flies, so where it will come is arithmetic.

Its actions are decided by the ball and the paddle in every step, unlike those of a
search, most of which decide nothing. That makes it an expert to clone."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.types import Planner, Rows, Spec, State

# cells of the memory; positions are in pixels, downwards and to the right
BALL_X, BALL_Y = 49, 54  # y is 0 while there is no ball
BALL_LEFTWARD, BALL_DOWNWARD = 58, 56  # signed pixels a frame
PADDLE_Y = 51

TOP, BOTTOM = 44, 206  # where the ball is reflected
PADDLE_X = 188  # where the ball meets the paddle
HIGHEST, LOWEST = 38, 203  # positions of the paddle
MIDDLE = 120
GLIDE = 17  # pixels that the paddle still moves after a step of a key

STAY, UP, DOWN = 0, 2, 3  # actions


@dataclass(kw_only=True)
class Tracker(Planner):
    """Wait in the middle, and be where the ball will come."""

    below: float = 6.0  # pixels between the top of the paddle and the ball it is to hit
    # pixels by which the paddle may be wrong when the ball comes, and while it waits: a
    # step of a key moves it by about 22
    tolerance: float = 4.0
    rest: float = 20.0

    needs: ClassVar[str] = "state"

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.games: Any = rows.simulator()
        self.moving = np.zeros(rows.count)  # pixels that the paddle will glide on
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        memory = self.games.memory(rows)
        paddle = memory[:, PADDLE_Y] + self.moving[rows]
        wanted, tolerance = self._wanted(memory)
        error = wanted - paddle
        direction = np.sign(error) * (np.abs(error) > tolerance)  # 1: downwards
        self.moving[rows] = GLIDE * direction
        return np.select([direction < 0, direction > 0], [UP, DOWN], STAY)

    def _wanted(self, memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the paddle should be and by how much it may be elsewhere, [n] pixels
        each."""
        x = memory[:, BALL_X].astype(float)
        y = memory[:, BALL_Y].astype(float)
        rightward = -memory[:, BALL_LEFTWARD].astype(np.int8).astype(float)
        downward = memory[:, BALL_DOWNWARD].astype(np.int8).astype(float)
        comes = (y > 0) & (rightward > 0) & (x <= PADDLE_X)
        frames = (PADDLE_X - x) / np.where(comes, rightward, 1)
        # the walls reflect: unfold them, go straight on, and fold again
        height = BOTTOM - TOP
        unfolded = (y + downward * frames - TOP) % (2 * height)
        hit = TOP + np.minimum(unfolded, 2 * height - unfolded)
        wanted = np.where(comes, hit - self.below, MIDDLE)
        tolerance = np.where(comes, self.tolerance, self.rest)
        return np.clip(wanted, HIGHEST, LOWEST), tolerance

    def interrupt(self, rows: np.ndarray) -> None:
        self.moving[rows] = 0

    def state(self) -> State:
        return {"moving": self.moving.copy()}

    def load(self, state: State) -> None:
        self.moving = state["moving"].copy()
