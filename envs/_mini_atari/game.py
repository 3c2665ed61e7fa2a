"""What a game of the miniature pixel world defines."""

from typing import ClassVar, Protocol

import numpy as np

# the first columns of every game's table
SHOWN = 0  # 1, and 0 in the frames before an episode began
ACTION = 1  # taken in the last step
SCORE = 2
LIVES = 3
NOOP = 0  # action


class Game(Protocol):
    """The rules of a game and its screen. A table [n, C] int64 holds the moment that n
    games are in; its first columns are those named above.

    Chance comes from uniform numbers in [0, 1), `numbers` of them for every step."""

    actions: ClassVar[int]
    columns: ClassVar[int]  # C
    numbers: ClassVar[int]
    # colours of the grey levels of the screen, for pictures; others stay grey
    colours: ClassVar[dict[int, tuple[int, int, int]]]

    def begin(self, lives: int, drawn: np.ndarray) -> np.ndarray:
        """Tables [n, C] of new games; `drawn` are [n, numbers]."""
        ...

    def step(
        self, table: np.ndarray, action: np.ndarray, drawn: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tables [n, C] after actions [n], and the points gained [n]."""
        ...

    def draw(self, table: np.ndarray) -> np.ndarray:
        """Screens [n, 84, 84] uint8."""
        ...

    def steer(self, right: int, down: int) -> int:
        """The action that goes in a direction of the screen."""
        ...
