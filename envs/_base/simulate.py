"""Copies of a world's rows, for planners that think ahead: the real rows never
notice."""

from typing import NamedTuple, Protocol

import numpy as np

from curriculum.envs._base.dynamics import NativeRows, native


class Imagined(NamedTuple):
    """What one step of n copies would bring."""

    state: np.ndarray  # [n, ...] states after the step
    reward: np.ndarray  # [n] float64
    terminated: np.ndarray  # [n] bool; a copy that has ended must not be stepped again


class Simulator(Protocol):
    """States are arrays whose first axis counts copies: numbers, or objects that only
    the simulator understands.

    They are chosen and repeated by index like any array, and no step changes the one it
    started from. Time limits are not imagined: only true ends are."""

    def states(self, rows: np.ndarray) -> np.ndarray:
        """Copies of the true states of these rows, [n, ...]."""
        ...

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        """Take one step in n copies, `action` [n] or [n, A] in [-1, 1]; chance is drawn
        from `rng`."""
        ...

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take H steps in n copies, `actions` [n, H] or [n, H, A] in [-1, 1].

        Returns rewards [n, H] float64, 0 after a true end; whether each copy ended [n];
        last states [n, ...]."""
        ...


class NativeSimulator:
    """Copies of native rows: their state is an array already."""

    def __init__(self, rows: NativeRows):
        self.rows, self.world, self.space = rows, rows.world, rows.world.action_space

    def states(self, rows: np.ndarray) -> np.ndarray:
        return self.rows.state[rows].copy()

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        return Imagined(*self.world.step(state, native(action, self.space), rng))

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reward, ended = np.zeros(actions.shape[:2]), np.zeros(len(state), bool)
        state = state.copy()
        for t in range(actions.shape[1]):
            now = np.flatnonzero(~ended)
            if not now.size:
                break
            state[now], reward[now, t], ended[now] = self.step(
                state[now], actions[now, t], rng
            )
        return reward, ended, state
