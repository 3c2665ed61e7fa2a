"""One episode of a world, with its pictures."""

from typing import Self

import numpy as np

from curriculum.calls import described
from curriculum.envs._base.door import name_of
from curriculum.envs._base.native import NativeRows, Steerable, Traced
from curriculum.run.evaluation import evaluation_door
from curriculum.types import Step, World


class Game:
    """One episode, that of an evaluation with this number; close it."""

    def __init__(self, world: World, episode: int):
        self.door = evaluation_door(world, [episode])
        self.rows = self.door.rows
        self.is_over = False
        self.steps = 0
        self.total = 0.0  # undiscounted return so far
        self.trail: list[np.ndarray] = []  # true states of native rows
        world = self.rows.world
        is_native = isinstance(self.rows, NativeRows)
        self.traced = world if is_native and isinstance(world, Traced) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.door.close()

    def begin(self) -> None:
        """Start the episode, after planners have been set up for its rows."""
        self.obs = self.door.reset()
        if isinstance(self.rows, NativeRows):
            self.trail = [self.rows.state[0].copy()]

    def step(self, action: np.ndarray) -> Step:
        """Take one step, `action` [1] or [1, A] in [-1, 1]."""
        self.last = self.door.step(action)
        self.obs = self.last.obs
        self.is_over = bool(self.last.terminated[0] or self.last.truncated[0])
        self.steps += 1
        self.total += float(self.last.reward[0])
        if isinstance(self.rows, NativeRows):
            state = self.rows.last_state if self.is_over else self.rows.state
            self.trail.append(state[0].copy())
        return self.last

    @property
    def outcome(self) -> str:
        """How the episode ended, in a word; empty while it goes on."""
        if not self.is_over:
            return ""
        if self.door.knows_success[0]:
            return "success" if self.last.success[0] else "failure"
        return "over" if self.last.terminated[0] else "time is up"

    def picture(self) -> np.ndarray:
        """The picture [height, width, 3] uint8 of now; ValueError where the world draws
        none."""
        try:
            picture = self._draw()
        except (ValueError, OSError):
            raise
        except Exception as error:  # a world may raise anything
            name = name_of(self.rows.world)
            raise ValueError(f"{name} cannot be drawn: {described(error)}") from error
        if not isinstance(picture, np.ndarray) or picture.shape[2:] != (3,):
            raise ValueError(f"{name_of(self.rows.world)} draws no pictures")
        return picture

    def _draw(self) -> np.ndarray:
        if self.traced:
            return self.traced.draw_trail(np.array(self.trail))
        return self.rows.last_picture(0) if self.is_over else self.rows.picture(0)

    def steered(self, right: int, down: int) -> np.ndarray | None:
        """The action [1] or [1, A] of a person who presses these arrow keys; None where
        the world waits for one."""
        world = self.rows.world
        assert isinstance(self.rows, NativeRows)
        assert isinstance(world, Steerable)
        action = world.steer(self.rows.state[0], right, down)
        return None if action is None else np.array([action])
