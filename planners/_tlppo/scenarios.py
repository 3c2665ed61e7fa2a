"""Rollouts of the prey's options against predators that may be anywhere.

Each rollout meets K scenarios: predators that set out from different cells."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from curriculum.envs._cellworld.cells import Cellworld
from curriculum.envs._cellworld.rules import PREY_SPEED, PredatorRatios
from curriculum.planners._tlppo.options import Index, Options, Prey
from curriculum.planners._tlppo.predators import Chase, Predators


class Weights(NamedTuple):
    """Rewards of one step."""

    distance: float  # for each unit of distance from the goal
    risk: float  # for being caught


class Rollouts(NamedTuple):
    """How far m rollouts have come."""

    prey: Prey
    predators: Predators

    def at(self, index: Index) -> "Rollouts":
        """Some of the rollouts."""
        return Rollouts(self.prey.at(index), self.predators.at(index))

    def put(self, index: Index, others: "Rollouts") -> None:
        """Overwrite some of the rollouts."""
        self.prey.put(index, others.prey)
        self.predators.put(index, others.predators)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scenarios:
    """The dynamics of one world as the planner simulates them."""

    cells: Cellworld
    ratios: PredatorRatios
    original: bool = False  # whether the world has the original's dynamics

    @cached_property
    def options(self) -> Options:
        """What the prey may do."""
        return Options(
            cells=self.cells, gain=self.ratios.prey_gain, original=self.original
        )

    @cached_property
    def chase(self) -> Chase:
        """How the predator moves."""
        return Chase(
            cells=self.cells,
            speed=self.ratios.speed * PREY_SPEED,
            gain=self.ratios.turning * self.ratios.prey_gain,
        )

    def rollout(
        self, start: Rollouts, option: np.ndarray, depth: int, weights: Weights
    ) -> tuple[Rollouts, np.ndarray]:
        """Follow options [m] to their ends, or until `depth` steps after the root;
        returns the rollouts there and their rewards [m]."""
        trip = self.options.trip(start.prey, option, depth)
        cell = trip.cells()  # [m, S]
        predators, caught = self.chase.run(start.predators, cell, trip.length)
        distance = self.options.goal_distance[cell]
        taken = np.arange(cell.shape[-1]) < trip.length[:, None]
        steps = weights.distance * distance + weights.risk * caught
        reward = np.where(taken, steps, 0).sum(-1)
        return Rollouts(trip.end(), predators), reward
