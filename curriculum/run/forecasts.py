"""How well values predict returns: what a planner may trust a learner by.

A window is W steps of a row, or less where the episode terminated. Its return R and the
value of the last state should add up to the value of the first. Over the last windows
of a seed, by the values of now:

    error = V(s_0) + c - (R + g^W (V(s_W) + c)),   skill = 1 - mean(error^2) / baseline

where the baseline is the smallest mean(error^2) of values that are the same everywhere:
var(R) where all windows are equally long. The constant c that makes the errors least
corrects values that are too high or too low everywhere, as those of a learner are that
acts worse than its planner: they rank states all the same. Values that are all alike
have a skill of 0 at most. Windows that a time limit cuts are left out: nobody knows how
they go on.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from curriculum.types import Spec, State

LONGEST = 16  # steps of a window
STRIDE = 8  # steps from the beginning of a window to that of the next one in a row
KEPT = 128  # windows of each seed
LEAST = 32  # windows before there is any trust
# steps of the run after which values are compared anew, before the next decision: so
# many decisions at most until wrong ones lose all trust
CHECK_EVERY = 25
# skill up to which there is no trust, and from which on it is full
NO_TRUST = 0.2
FULL_TRUST = 0.7
ROUNDING = 1e-6  # relative: returns that differ by less are equal

# observations [P, n, *O] -> values [P, n]
Values = Callable[[np.ndarray], np.ndarray]


class Judgement(NamedTuple):
    """What values are worth to a planner."""

    # [P]; -inf where too few windows are known, or where all returned the same
    skill: np.ndarray
    correction: np.ndarray  # [P] to be added to values

    @property
    def trust(self) -> np.ndarray:
        """How far to trust values, [P] in [0, 1]."""
        ramp = (self.skill - NO_TRUST) / (FULL_TRUST - NO_TRUST)
        return np.clip(ramp, 0, 1)


class Forecasts:
    """The windows of P seeds of E rows each.

    Rewards count as the learner counts them: each plus `shift`, discounted by
    `discount`. `limit` steps end an episode, 0: none do."""

    def __init__(
        self,
        spec: Spec,
        shape: tuple[int, int],
        discount: float,
        shift: float,
        limit: int,
    ):
        self.discount = discount
        self.shift = shift
        self.steps = window_steps(discount, limit)  # W
        seeds = shape[0]
        # of windows that are open: their first observation, the return so far, the
        # weight of the next reward, and steps; -1: not open
        slots = (*shape, math.ceil(self.steps / STRIDE))
        self.start = np.zeros((*slots, *spec.obs_shape), spec.obs_dtype)
        self.total = np.zeros(slots)
        self.weight = np.zeros(slots)
        self.age = np.full(slots, -1)
        self.time = np.zeros(shape, np.int64)  # steps of each episode
        # of closed windows, in a ring
        kept = (seeds, KEPT)
        self.first = np.zeros((*kept, *spec.obs_shape), spec.obs_dtype)
        self.last = np.zeros((*kept, *spec.obs_shape), spec.obs_dtype)
        self.returns = np.zeros(kept)
        self.last_weight = np.zeros(kept)  # of the value of the last state
        self.count = np.zeros(seeds, np.int64)  # windows closed so far

    def add(
        self,
        obs: np.ndarray,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_obs: np.ndarray,
    ) -> None:
        """Take in a step of all rows, [P, E, ...] each."""
        slot = self.time // STRIDE % self.age.shape[-1]
        seed, row = np.nonzero(self.time % STRIDE == 0)
        new = (seed, row, slot[seed, row])
        self.start[new] = obs[seed, row]
        self.total[new] = 0
        self.weight[new] = 1
        self.age[new] = 0
        is_open = self.age >= 0
        gained = (reward + self.shift)[..., None]
        self.total += np.where(is_open, self.weight * gained, 0)
        self.weight *= self.discount
        self.age += is_open
        ended = terminated[..., None] & is_open
        closed = ended | (self.age == self.steps)
        if closed.any():
            self._close(closed, ended, next_obs)
        over = terminated | truncated
        self.age[closed | over[..., None]] = -1
        self.time = np.where(over, 0, self.time + 1)

    def _close(
        self, closed: np.ndarray, ended: np.ndarray, next_obs: np.ndarray
    ) -> None:
        for seed, row, slot in zip(*np.nonzero(closed), strict=True):
            place = self.count[seed] % KEPT
            self.first[seed, place] = self.start[seed, row, slot]
            self.last[seed, place] = next_obs[seed, row]
            self.returns[seed, place] = self.total[seed, row, slot]
            weight = 0.0 if ended[seed, row, slot] else self.weight[seed, row, slot]
            self.last_weight[seed, place] = weight
            self.count[seed] += 1

    def judge(self, values: Values) -> "Judgement":
        """Compare values with returns."""
        first = values(self.first)
        last = values(self.last)
        seeds = len(self.count)
        skill = np.full(seeds, -np.inf)
        correction = np.zeros(seeds)
        for seed, count in enumerate(self.count):
            if count < LEAST:
                continue
            known = slice(min(int(count), KEPT))
            returns = self.returns[seed, known]
            weight = self.last_weight[seed, known]
            error = first[seed, known] - (returns + weight * last[seed, known])
            effect = 1 - weight  # of a constant on the error; not 0: windows end
            constant = -float(error @ effect) / max(float(effect @ effect), 1e-12)
            error = error + constant * effect
            alone = float(returns @ effect) / max(float(effect @ effect), 1e-12)
            baseline = np.square(returns - alone * effect).mean()
            if baseline > (ROUNDING * np.abs(returns).max()) ** 2:
                skill[seed] = 1 - np.square(error).mean() / baseline
                correction[seed] = constant
        is_known = np.isfinite(skill)
        return Judgement(
            skill=np.where(is_known, skill, -np.inf),
            correction=np.where(is_known, correction, 0.0),
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            "start": self.start,
            "total": self.total,
            "weight": self.weight,
            "age": self.age,
            "time": self.time,
            "first": self.first,
            "last": self.last,
            "returns": self.returns,
            "last_weight": self.last_weight,
            "count": self.count,
        }

    def state(self) -> State:
        return {name: array.copy() for name, array in self._arrays().items()}

    def load(self, state: State) -> None:
        for name, array in self._arrays().items():
            array[:] = state[name]


def window_steps(discount: float, limit: int) -> int:
    """Steps of a window: as far as the discount sees, at most half an episode."""
    steps = LONGEST
    if discount < 1:
        steps = min(steps, round(1 / (1 - discount)))
    if limit:
        steps = min(steps, max(limit // 2, 1))
    return steps
