"""Rollouts: play action sequences in copies of rows and return their rewards."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from curriculum.envs._base.native import NativeSimulator
from curriculum.envs._base.streams import RowStreams
from curriculum.planners._generators import SeedGenerators
from curriculum.types import Simulator


class Outcome(NamedTuple):
    """The result of action sequences."""

    reward: np.ndarray  # [..., H] float64, 0 after the episode terminated
    ended: np.ndarray  # [...] bool: the episode terminated within the H steps


class Copies:
    """K copies of each of n rows, in the state that the rows have now."""

    def __init__(
        self,
        simulator: Simulator,
        rows: np.ndarray,
        generators: SeedGenerators,
        count: int,
    ):
        """Copy the rows with indices `rows` [n], in ascending order, `count` times."""
        self.simulator = simulator
        self.generators = generators.of_seed
        self.state = np.repeat(simulator.states(rows), count, axis=0)  # [n * K, ...]
        self.seed_of = np.repeat(generators.seed_of(rows), count)  # [n * K]

    def play(self, actions: np.ndarray) -> Outcome:
        """Play `actions` [n, K, H] or [n, K, H, A]; every call starts from the same
        states."""
        copies = actions.reshape(len(self.state), *actions.shape[2:])
        outcome = rollout(
            self.simulator, self.state, copies, self.seed_of, self.generators
        )
        return Outcome(
            outcome.reward.reshape(actions.shape[:3]),
            outcome.ended.reshape(actions.shape[:2]),
        )


def rollout(
    simulator: Simulator,
    state: np.ndarray,
    actions: np.ndarray,
    seed_of: np.ndarray,
    generators: Sequence[np.random.Generator],
) -> Outcome:
    """Play `actions` [n, H] or [n, H, A] from the states [n, ...] of n copies.

    Copies stand in order of their seeds, whose indices are `seed_of` [n]; the chance
    that a seed's copies meet comes from its own generator alone."""
    assert len(state) == len(actions) == len(seed_of)
    if isinstance(simulator, NativeSimulator):
        return _together(simulator, state, actions, seed_of, generators)
    return _by_seed(simulator, state, actions, seed_of, generators)


def discounted_return(reward: np.ndarray, discount: float) -> np.ndarray:
    """Sum of the rewards [..., H], each discounted by the steps before it."""
    horizon = reward.shape[-1]
    weights = discount ** np.arange(horizon)
    total = reward.reshape(-1, horizon) @ weights
    return total.reshape(reward.shape[:-1])


def _together(
    simulator: NativeSimulator,
    state: np.ndarray,
    actions: np.ndarray,
    seed_of: np.ndarray,
    generators: Sequence[np.random.Generator],
) -> Outcome:
    """Step the copies of all seeds in one batch."""
    count, horizon = actions.shape[:2]
    reward = np.zeros((count, horizon))
    ended = np.ones(count, bool)
    alive = np.arange(count)
    chance = _chance(generators, seed_of)
    for t in range(horizon):
        state, reward[alive, t], terminated = simulator.step(
            state, actions[alive, t], chance
        )
        if not terminated.any():
            continue
        state = state[~terminated]
        alive = alive[~terminated]
        if not alive.size:
            break
        chance = _chance(generators, seed_of[alive])
    ended[alive] = False
    return Outcome(reward, ended)


def _by_seed(
    simulator: Simulator,
    state: np.ndarray,
    actions: np.ndarray,
    seed_of: np.ndarray,
    generators: Sequence[np.random.Generator],
) -> Outcome:
    """Call the simulator once for each seed: it steps copies one by one anyway."""
    reward = []
    ended = []
    for seed, generator in enumerate(generators):
        own = np.flatnonzero(seed_of == seed)
        if not own.size:
            continue
        own_reward, own_ended, _ = simulator.rollout(
            state[own], actions[own], generator
        )
        reward.append(own_reward)
        ended.append(own_ended)
    return Outcome(np.concatenate(reward), np.concatenate(ended))


def _chance(
    generators: Sequence[np.random.Generator], seed_of: np.ndarray
) -> RowStreams:
    return RowStreams(generators, np.bincount(seed_of, minlength=len(generators)))
