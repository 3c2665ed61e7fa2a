"""Random shooting in copies of any world of discrete actions, with a plan that is kept
until a better one is found."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.planners._search.tree import rollout
from curriculum.types import Spec, State, stream, within


@dataclass(kw_only=True)
class Shooting:
    """Each row has a plan; a few random ones are played beside it in copies, and the
    best goes on.

    A random plan is a handful of actions, each held for a while, which suits games that
    are played by moving about. What was found once is carried out unless something
    better turns up (a rolling horizon, Perez et al. 2013), so that few plans a decision
    are enough. Time limits are not seen."""

    plans: int = 3  # random plans tried beside the kept one
    horizon: int = 40  # steps that a plan looks ahead
    moves: int = 3  # actions that a random plan has at most
    discount: float = 0.99  # of rewards per step

    needs: ClassVar[str] = "state"

    def __post_init__(self):
        within(self, 1, float("inf"), "plans", "horizon", "moves")
        within(self, 0, 1, "discount")

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Take copies of the rows to plan in, and give every seed its generator; every
        row's plan is action 0."""
        if not spec.actions:
            raise ValueError(
                f"shooting needs discrete actions, {env.world} has box ones; choose --planner mppi"
            )
        self.env, self.simulator, self.rows_each = (
            env,
            env.simulator(),
            env.count // len(seeds),
        )
        self.actions, self.generators = (
            spec.actions,
            [stream(seed, "shooting planner") for seed in seeds],
        )
        self.plan = np.zeros((env.count, self.horizon), np.int64)
        # of the episode, when the plan was made
        self.time = np.zeros(env.count, np.int64)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The first actions [n] of the plans for these rows, in ascending order."""
        if not len(rows):
            return np.zeros(0, np.int64)
        owner, state = rows // self.rows_each, self.simulator.states(rows)
        # [n, 1 + plans, H]
        tried = np.concatenate([self._shifted(rows)[:, None], self._random(owner)], 1)
        copies, owners = (
            np.repeat(state, tried.shape[1], 0),
            np.repeat(owner, tried.shape[1]),
        )
        reward, _ = rollout(
            self.simulator,
            copies,
            tried.reshape(-1, self.horizon),
            owners,
            self.generators,
        )
        value = (reward @ self.discount ** np.arange(self.horizon)).reshape(
            tried.shape[:2]
        )
        # the kept one, where none is better
        self.plan[rows] = tried[np.arange(len(rows)), value.argmax(-1)]
        self.time[rows] = self.env.time[rows]
        return self.plan[rows, 0]

    def _shifted(self, rows: np.ndarray) -> np.ndarray:
        """What is left of the last plans [n, H], their last action held; all 0 in an
        episode that began since."""
        passed = self.env.time[rows] - self.time[rows]
        at = np.minimum(
            np.arange(self.horizon) + np.maximum(passed, 0)[:, None], self.horizon - 1
        )
        new = (passed < 0) | (self.env.time[rows] == 0)
        return np.where(new[:, None], 0, self.plan[rows[:, None], at])

    def _random(self, owner: np.ndarray) -> np.ndarray:
        """Plans [n, K, H] of 1 to `moves` actions, changed at random steps."""
        count, size = (
            np.bincount(owner, minlength=len(self.generators)),
            (self.plans, 2 * self.moves),
        )
        drawn = np.concatenate(
            [g.random((n, *size)) for g, n in zip(self.generators, count, strict=True)]
        )
        action = (drawn[..., : self.moves] * self.actions).astype(np.int64)
        change = drawn[..., self.moves : -1] * self.horizon  # [n, K, moves - 1] steps
        unused = np.arange(self.moves - 1) >= (drawn[..., -1:] * self.moves).astype(
            np.int64
        )
        change = np.where(unused, np.inf, change)
        # [n, K, H]
        move = (change[..., None, :] <= np.arange(self.horizon)[:, None]).sum(-1)
        return np.take_along_axis(action, move, -1)

    def state(self) -> State:
        """Plans and generators: all that is needed to go on exactly from here."""
        generators = [generator.bit_generator.state for generator in self.generators]
        return {
            "plan": self.plan.copy(),
            "time": self.time.copy(),
            "generators": generators,
        }

    def load(self, state: State) -> None:
        self.plan, self.time = state["plan"].copy(), state["time"].copy()
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
