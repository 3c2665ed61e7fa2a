"""Who acts in a game: anything with `act(obs)`."""

import copy
from typing import Protocol

import numpy as np

from curriculum.run.guard import ask_strictly, set_up
from curriculum.run.playing.game import Game
from curriculum.types import Planner, Spec


class Actor(Protocol):
    """Chooses actions."""

    def act(self, obs: np.ndarray) -> np.ndarray:
        """Actions [n] or [n, A] for observations [n, *O], box actions in [-1, 1]."""
        ...


class PlannerActor(Actor):
    """A copy of a planner, in one game that has not begun."""

    def __init__(self, planner: Planner, spec: Spec, game: Game, seed: int):
        self.spec = spec
        own = copy.deepcopy(planner)
        self.planner = set_up(own, game.rows, spec, (seed,))

    def act(self, obs: np.ndarray) -> np.ndarray:
        """The planner's actions; ValueError says what it did wrong."""
        return ask_strictly(self.planner, self.spec, obs, np.arange(len(obs)))
