"""Random shooting with a plan that is kept until a better one is found."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from curriculum.planners._generators import SeedGenerators
from curriculum.planners._search.plans import Plans
from curriculum.planners._search.rollouts import Copies, discounted_return
from curriculum.types import Planner, Rows, Spec, State, within


@dataclass(kw_only=True)
class Shooting(Planner):
    """For discrete actions. Each row has a plan; it and a few random plans are played
    in copies, and the best becomes the plan.

    A random plan is a handful of actions, each held for several steps, which suits
    games that are played by moving around. A good plan is followed until a better one
    is found (rolling horizon, Perez et al. 2013), so a few random plans per decision
    are enough. Time limits are not simulated."""

    plans: int = 3  # random plans tried beside the kept one
    horizon: int = 40  # steps that a plan looks ahead
    moves: int = 3  # maximum number of actions in a random plan
    discount: float = 0.99  # of rewards per step

    needs: ClassVar[str] = "state"

    def __post_init__(self):
        within(self, 1, float("inf"), "plans", "horizon", "moves")
        within(self, 0, 1, "discount")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if not spec.actions:
            raise ValueError(
                f"shooting needs discrete actions, {rows.world} has box ones; "
                "choose --planner mppi"
            )
        self.simulator = rows.simulator()
        self.actions = spec.actions
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "shooting planner", rows_per_seed)
        self.kept = Plans(rows, np.zeros((rows.count, self.horizon), np.int64))
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if not len(rows):
            return np.zeros(0, np.int64)
        kept = self.kept.left(rows, hold_last=True)  # [n, H]
        # [n, K = 1 + plans, H], the kept plan first: it wins ties
        candidates = np.concatenate([kept[:, None], self._random(rows)], axis=1)
        copies = Copies(self.simulator, rows, self.generators, 1 + self.plans)
        reward = copies.play(candidates).reward
        best = discounted_return(reward, self.discount).argmax(-1)  # [n]
        plan = candidates[np.arange(len(rows)), best]  # [n, H]
        self.kept.keep(rows, plan)
        return plan[:, 0]

    def _random(self, rows: np.ndarray) -> np.ndarray:
        """Draw plans [n, K, H] of 1 to `moves` actions that change at random steps."""
        size = (len(rows), self.plans, 2 * self.moves)
        drawn = self.generators.streams(rows).random(size)
        actions, changes, move_count = np.split(drawn, [self.moves, -1], axis=-1)
        actions = (actions * self.actions).astype(np.int64)  # [n, K, moves]
        # the step at which each action but the first begins, inf for unused ones
        changes = changes * self.horizon  # [n, K, moves - 1]
        used = np.arange(self.moves - 1) < (move_count * self.moves).astype(np.int64)
        changes = np.where(used, changes, np.inf)
        steps = np.arange(self.horizon)[:, None]
        move = (changes[..., None, :] <= steps).sum(-1)  # [n, K, H]
        return np.take_along_axis(actions, move, axis=-1)

    def state(self) -> State:
        return {**self.kept.state(), "generators": self.generators.state()}

    def load(self, state: State) -> None:
        self.kept.load(state)
        self.generators.load(state["generators"])
