"""Rollouts: play action sequences in copies of rows and return their rewards."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.envs._base.native import NativeSimulator
from curriculum.envs._base.streams import RowStreams
from curriculum.planners._generators import SeedGenerators
from curriculum.planners._search.clock import Clock
from curriculum.types import Imagined, ObservableSimulator, Simulator

# observations [m, *O] and the copies [m] that they are of -> actions [m] or [m, A]
Choose = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Outcome(NamedTuple):
    """The result of action sequences."""

    reward: np.ndarray  # [..., H] float64, 0 after the episode terminated
    ended: np.ndarray  # [...] bool: the episode terminated within the H steps
    state: np.ndarray | None = None  # [..., *S] last states; no matter where it ended
    # [...] steps until it ended, or H; None where the simulator does not tell
    length: np.ndarray | None = None


class Copies:
    """K copies of each of n rows, in the state that the rows have now."""

    def __init__(
        self,
        simulator: Simulator,
        rows: np.ndarray,
        generators: SeedGenerators,
        count: int,
        clock: Clock,
    ):
        """Copy the rows with indices `rows` [n], in ascending order, `count` times."""
        self.simulator = simulator
        self.generators = generators.of_seed
        self.clock = clock
        self.shape = (len(rows), count)
        with clock.running():
            states = simulator.states(rows)
        self.state = np.repeat(states, count, axis=0)  # [n * K, *S]
        self.seed_of = np.repeat(generators.seed_of(rows), count)  # [n * K]

    def play(self, actions: np.ndarray) -> Outcome:
        """Play `actions` [n, K, H] or [n, K, H, A]; every call starts from the same
        states."""
        copies = actions.reshape(len(self.state), *actions.shape[2:])
        with self.clock.running():
            outcome = rollout(
                self.simulator, self.state, copies, self.seed_of, self.generators
            )
        return self._by_row(outcome)

    def follow(self, choose: Choose, horizon: int) -> tuple[np.ndarray, Outcome]:
        """Play a policy for `horizon` steps, in a simulator that tells observations;
        returns its actions [n, K, H] or [n, K, H, A] as well.

        Actions after a true end repeat the last one."""
        simulator = self.simulator
        assert isinstance(simulator, ObservableSimulator)
        state = self.state.copy()
        count = len(state)
        reward = np.zeros((count, horizon))
        length = np.full(count, horizon)
        alive = np.arange(count)
        taken: list[np.ndarray] = []
        for t in range(horizon):
            with self.clock.running():
                obs = simulator.observe(state[alive])
            action = choose(obs, alive)
            every = taken[-1].copy() if taken else np.zeros_like(action)
            every[alive] = action
            taken.append(every)
            with self.clock.running():
                imagined = self._step(state[alive], action, alive)
            state[alive] = imagined.state
            reward[alive, t] = imagined.reward
            length[alive[imagined.terminated]] = t + 1
            alive = alive[~imagined.terminated]
            if not alive.size:
                taken += [every] * (horizon - t - 1)
                break
        ended = np.ones(count, bool)
        ended[alive] = False
        outcome = self._by_row(Outcome(reward, ended, state, length))
        actions = np.stack(taken, 1)  # [n * K, H (, A)]
        return actions.reshape(*self.shape, *actions.shape[1:]), outcome

    def _step(
        self, state: np.ndarray, action: np.ndarray, copies: np.ndarray
    ) -> Imagined:
        """Step some of the copies, each seed's with its own generator."""
        seed_of = self.seed_of[copies]
        if isinstance(self.simulator, NativeSimulator):
            return self.simulator.step(state, action, _chance(self.generators, seed_of))
        parts = []
        for seed in np.unique(seed_of):
            own = seed_of == seed
            generator = self.generators[seed]
            parts.append(self.simulator.step(state[own], action[own], generator))
        return Imagined(
            *(np.concatenate(column) for column in zip(*parts, strict=True))
        )

    def _by_row(self, outcome: Outcome) -> Outcome:
        """The outcome of copies as [n, K, ...]."""

        def split(column: np.ndarray) -> np.ndarray:
            return column.reshape(*self.shape, *column.shape[1:])

        state = outcome.state
        length = outcome.length
        return Outcome(
            reward=split(outcome.reward),
            ended=split(outcome.ended),
            state=None if state is None else split(state),
            length=None if length is None else split(length),
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


def returns_to_go(
    reward: np.ndarray, discount: float, last: np.ndarray | float = 0.0
) -> np.ndarray:
    """Discounted sums [..., H] of the rewards [..., H] from each step on, and of the
    value `last` [...] of what comes after them."""
    total = np.empty_like(reward)
    value = np.broadcast_to(last, reward.shape[:-1])
    for t in reversed(range(reward.shape[-1])):
        value = reward[..., t] + discount * value
        total[..., t] = value
    return total


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
    length = np.full(count, horizon)
    last = state
    alive = np.arange(count)
    chance = _chance(generators, seed_of)
    for t in range(horizon):
        state, reward[alive, t], terminated = simulator.step(
            state, actions[alive, t], chance
        )
        if not terminated.any():
            continue
        length[alive[terminated]] = t + 1
        state = state[~terminated]
        alive = alive[~terminated]
        if not alive.size:
            break
        chance = _chance(generators, seed_of[alive])
    ended[alive] = False
    if alive.size == count:
        return Outcome(reward, ended, state, length)
    last = last.copy()
    last[alive] = state
    return Outcome(reward, ended, last, length)


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
    last = []
    for seed, generator in enumerate(generators):
        own = np.flatnonzero(seed_of == seed)
        if not own.size:
            continue
        own_reward, own_ended, own_last = simulator.rollout(
            state[own], actions[own], generator
        )
        reward.append(own_reward)
        ended.append(own_ended)
        last.append(own_last)
    return Outcome(np.concatenate(reward), np.concatenate(ended), np.concatenate(last))


def _chance(
    generators: Sequence[np.random.Generator], seed_of: np.ndarray
) -> RowStreams:
    return RowStreams(generators, np.bincount(seed_of, minlength=len(generators)))
