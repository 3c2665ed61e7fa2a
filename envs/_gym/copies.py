"""Deep copies of Gymnasium environments for planning."""

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._gym.fingerprint import SCENERY, SHARED, fingerprint
from curriculum.envs._gym.source import Source, close
from curriculum.envs._gym.views import View
from curriculum.types import Imagined

# MiniGrid draws what the agent sees in every step, 95 % of its time; copies do not
OBSERVE = "gen_obs"
# generator of copies that are kept as states; nothing is drawn from it
UNUSED_GENERATOR = np.random.default_rng(0)


class DeepCopies:
    """A simulator of environments written in Python; states are arrays of objects.

    Copies draw from the planner's generator, never from that of the row they copy, so
    they do not foresee its random events. ValueError if copies behave differently."""

    def __init__(self, source: Source, envs: Sequence[gym.Env]):
        self.envs = envs
        self.convert_actions = source.facts.actions
        problem = _problem(source)
        if problem:
            raise ValueError(
                f"{source.env_id} cannot be copied ({problem}); "
                "choose a planner that needs no simulator"
            )
        self.is_grid = source.is_grid

    def states(self, rows: np.ndarray) -> np.ndarray:
        states = [_copy(self.envs[row], UNUSED_GENERATOR) for row in rows]
        if self.is_grid:
            for state in states:
                setattr(state.unwrapped, OBSERVE, _see_nothing)
        return _object_array(states)

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        copies = _object_array([_copy(env, rng) for env in state])
        return self._advance(copies, action)

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # unlike `native.rollout`, copies once instead of in every step
        horizon = actions.shape[1]
        reward = np.zeros((len(state), horizon))
        ended = np.zeros(len(state), bool)
        copies = _object_array([_copy(env, rng) for env in state])
        for t in range(horizon):
            running = np.flatnonzero(~ended)
            if not running.size:
                break
            imagined = self._advance(copies[running], actions[running, t])
            reward[running, t] = imagined.reward
            ended[running] = imagined.terminated
        return reward, ended, copies

    def keys(self, state: np.ndarray) -> list[bytes]:
        """Implements `KeyedSimulator`; the observation would not do, since it may show
        a part of the state."""
        return [fingerprint(env, self.is_grid) for env in state]

    def _advance(self, copies: np.ndarray, action: np.ndarray) -> Imagined:
        """Step these copies in place."""
        reward = np.zeros(len(copies))
        terminated = np.zeros(len(copies), bool)
        for n, chosen in enumerate(self.convert_actions(action)):
            _, reward[n], terminated[n], _, _ = copies[n].step(chosen)
        return Imagined(copies, reward, terminated)


def _problem(source: Source) -> str:
    """Why environments cannot be copied; empty if they can."""
    original = start_episode(source)
    try:
        if behave_alike(original, _copy(original, UNUSED_GENERATOR), source.facts.view):
            return ""
    except Exception as error:  # third-party code may raise anything
        return repr(error)
    finally:
        close(original)  # not the copy: the two may share what they hold
    return "copies behave differently"


def start_episode(source: Source) -> gym.Env:
    """Make an environment that is one step into an episode."""
    env = source.make()
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    return env


def behave_alike(original: gym.Env, other: gym.Env, view: View) -> bool:
    """Whether two environments give the same results for a few steps with the same
    random numbers."""
    original.unwrapped.np_random = np.random.default_rng(1)
    other.unwrapped.np_random = np.random.default_rng(1)
    for _ in range(3):
        action = original.action_space.sample()
        observation, reward, terminated, *_ = original.step(action)
        other_observation, other_reward, other_terminated, *_ = other.step(action)
        if (reward, terminated) != (other_reward, other_terminated):
            return False
        if not np.allclose(view(observation), view(other_observation), atol=1e-9):
            return False
        if terminated:
            break
    return True


def _see_nothing() -> dict[str, Any]:
    """The observation of a copy, which nobody looks at."""
    return {}


def _object_array(envs: Sequence[gym.Env]) -> np.ndarray:
    array = np.empty(len(envs), object)
    array[:] = envs
    return array


def _copy(env: gym.Env, rng: np.random.Generator) -> gym.Env:
    """Copy an environment deeply, except for what never changes; the copy draws from
    `rng`."""
    bare: Any = env.unwrapped
    shared = [getattr(bare, name, None) for name in SHARED]
    grid = getattr(getattr(bare, "grid", None), "grid", ())
    shared += [thing for thing in grid if getattr(thing, "type", None) in SCENERY]
    memo: dict[int, Any] = {id(part): part for part in shared if part is not None}
    memo[id(bare.np_random)] = rng
    return copy.deepcopy(env, memo)
