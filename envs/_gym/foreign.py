"""Rows of Gymnasium environments, one environment a row, and deep copies of them for
planners.

No environment is asked for its state: a seed and the actions since bring it back, which
is what `save` keeps.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from curriculum.envs._base.actions import scale_actions
from curriculum.envs._gym.flat import View
from curriculum.types import Imagined, Simulator, Step

if TYPE_CHECKING:
    from curriculum.envs.gym import Gym

HISTORY = 64  # steps that a row's memory of actions first has room for
RESTED: Any = (None, 0.0, False, False, {})  # what the step of a resting row brings
SEEDS = 2**31  # episodes are seeded below
# what copies share; P: tables of Gymnasium's toy texts
FIXED = ("spec", "observation_space", "action_space", "P")
# of MiniGrid, where half of a copy's time would go
SCENERY = ("wall", "floor", "goal", "lava")
# what copies at rest hold for a generator; nothing is drawn from it
RESTING = np.random.default_rng(0)


class GymRows:
    """Rows of Gymnasium environments."""

    def __init__(
        self,
        world: Gym,
        generators: Sequence[np.random.Generator],
        rows_per_seed: int = 1,
    ):
        self.world, self.generators, self.rows_per_seed = (
            world,
            list(generators),
            rows_per_seed,
        )
        self.count = len(self.generators) * rows_per_seed
        self.view, self.threshold = world.facts.view, world.threshold
        self.tells_success = world.success_return is None and world.facts.tells_success
        self.single_observation_space = world.observation_space
        self.single_action_space = self._native_space = world.action_space
        if isinstance(self._native_space, gym.spaces.Box):
            self.single_action_space = gym.spaces.Box(
                -1, 1, self._native_space.shape, np.float32
            )
        self.envs = [world.make() for _ in range(self.count)]
        self._given_space: Any = self.envs[0].action_space
        # row -> what draws it, its episode's seed, its time
        self.screens: dict[int, tuple[gym.Env, int, int]] = {}

    def reset(self) -> np.ndarray:
        """Start every row; returns observations [N, *O]."""
        self.seeds = np.zeros(self.count, np.int64)  # of the episodes
        self.time, self.returns = np.zeros(self.count, np.int64), np.zeros(self.count)
        space: Any = self.single_action_space
        self.actions = np.empty((self.count, HISTORY, *space.shape), space.dtype)
        self.resting = np.zeros(self.count, bool)
        self.obs = np.stack([self._begin(row) for row in range(self.count)])
        return self.obs

    def rest(self, rows: np.ndarray) -> None:
        """Tell which rows, [N] bool, nobody will look at again before `reset`: they are
        stepped no more."""
        self.resting = rows.copy()

    def step(self, action: np.ndarray) -> Step:
        """Take one step in every row, `action` [N] or [N, A] in [-1, 1]."""
        self._remember(action)
        asked = zip(self.envs, self.given(action), self.resting.tolist(), strict=True)
        steps = [RESTED if rests else env.step(given) for env, given, rests in asked]
        seen, gained, ended, cut, infos = zip(*steps, strict=True)
        next_obs = np.empty(
            (self.count, *self.single_observation_space.shape), np.float32
        )
        for row, value in enumerate(seen):
            if self.resting[row]:
                next_obs[row] = self.obs[row]
            else:
                self.view.write(value, next_obs[row])
        reward, terminated, truncated = (
            np.array(gained, float),
            np.array(ended, bool),
            np.array(cut, bool),
        )
        truncated &= ~terminated
        over = terminated | truncated
        self.time += 1
        self.returns += reward
        success = self._success(infos, over)
        self.obs = next_obs
        if over.any():
            self.obs = next_obs.copy()
            for row in np.flatnonzero(over).tolist():
                self.obs[row] = self._begin(row)
        return Step(
            self.obs,
            reward.astype(np.float32),
            terminated,
            truncated,
            next_obs,
            success,
        )

    def _success(self, infos: Sequence[dict[str, Any]], over: np.ndarray) -> np.ndarray:
        """What the environments tell, or which of the episodes that are over had a
        return of the threshold."""
        if self.tells_success:
            return np.array(
                [
                    bool(info.get("is_success", info.get("success", False)))
                    for info in infos
                ]
            )
        return over & (
            self.returns >= (np.inf if self.threshold is None else self.threshold)
        )

    def given(self, action: np.ndarray) -> Any:
        """Actions [n] or [n, A] in [-1, 1] as the environments take them, one by
        one."""
        if isinstance(self._given_space, gym.spaces.Discrete):
            return (action + int(self._given_space.start)).tolist()
        scaled = scale_actions(action, self._native_space).astype(
            self._given_space.dtype
        )
        return scaled.reshape(-1, *self._given_space.shape)

    def _begin(self, row: int) -> np.ndarray:
        """Start an episode with a seed of its own."""
        seed = int(self.generators[row // self.rows_per_seed].integers(SEEDS))
        self.seeds[row], self.time[row], self.returns[row] = seed, 0, 0
        return self.view(self.envs[row].reset(seed=seed)[0])

    def _remember(self, action: np.ndarray) -> None:
        if self.time.max() == self.actions.shape[1]:
            self.actions = np.concatenate(
                [self.actions, np.empty_like(self.actions)], 1
            )
        self.actions[np.arange(self.count), self.time] = action

    def save(self) -> dict[str, Any]:
        """The seed of every row's episode and the actions since: what brings everything
        back."""
        generators = [g.bit_generator.state for g in self.generators]
        actions = self.actions[:, : self.time.max()].copy()
        for row, time in enumerate(self.time):
            actions[row, time:] = 0
        return {
            "seeds": self.seeds.copy(),
            "time": self.time.copy(),
            "actions": actions,
            "generators": generators,
        }

    def load(self, saved: dict[str, Any]) -> np.ndarray:
        """Play every row's episode again up to where `save` was called; gives the
        observations [N, *O] to act on."""
        self.reset()
        for generator, state in zip(self.generators, saved["generators"], strict=True):
            generator.bit_generator.state = state
        self.seeds, self.time = saved["seeds"].copy(), saved["time"].copy()
        for row in range(self.count):
            self.obs[row], self.returns[row] = self._replay(
                self.envs[row], row, saved["actions"]
            )
        room = max(HISTORY, saved["actions"].shape[1])
        self.actions = np.empty(
            (self.count, room, *self.actions.shape[2:]), self.actions.dtype
        )
        self.actions[:, : saved["actions"].shape[1]] = saved["actions"]
        return self.obs

    def _replay(
        self, env: gym.Env, row: int, actions: np.ndarray, begin: int | None = None
    ) -> tuple[np.ndarray, float]:
        """Bring an environment from step `begin` (None: a new episode) to where `row`
        stands."""
        seen, total = None, 0.0
        if begin is None:
            seen, _ = env.reset(seed=int(self.seeds[row]))
        for action in self.given(actions[row, begin or 0 : self.time[row]]):
            seen, reward, *_ = env.step(action)
            total += float(reward)
        return (self.obs[row] if seen is None else self.view(seen)), total

    def simulator(self) -> Simulator:
        """Copies of these rows to think ahead in; ValueError where the environment's
        state cannot be copied."""
        if self.world.facts.physics:
            from curriculum.envs._gym import physics

            return physics.simulator(self)
        return Copies(self)

    def picture(self, row: int) -> np.ndarray:
        """What a row looks like now, [height, width, 3] uint8: drawn by a second
        environment that follows it."""
        world = self.world
        if not world.facts.draws:
            raise ValueError(
                f"{world.id} draws no pictures: rgb_array is not among its render modes"
            )
        env, seed, time = self.screens.get(row, (None, -1, 0))
        if world.facts.physics:
            from curriculum.envs._gym import physics

            physics.draw_without_display()
        env = env or world.make("rgb_array")
        follows = seed == self.seeds[row] and time <= self.time[row]
        self._replay(env, row, self.actions, time if follows else None)
        self.screens[row] = env, int(self.seeds[row]), int(self.time[row])
        return physics.drawn(env) if world.facts.physics else np.asarray(env.render())


class Copies:
    """Deep copies of environments that are Python through and through, in arrays of
    objects.

    Their chance is the planner's own: a copy draws from its `rng`, never from the
    generator of the row it copies."""

    def __init__(self, rows: GymRows):
        self.rows = rows
        original = begun(rows.world)
        try:
            same, reason = (
                goes_on(original, _copy(original, RESTING), rows.view),
                "copies go on differently",
            )
        except Exception as error:  # whatever foreign code raises when it is copied
            same, reason = False, repr(error)
        if not same:
            raise ValueError(
                f"{rows.world.id} cannot be copied ({reason}); choose a planner that needs no simulator"
            )

    def states(self, rows: np.ndarray) -> np.ndarray:
        return _objects([_copy(self.rows.envs[row], RESTING) for row in rows])

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        return self._advance(_objects([_copy(env, rng) for env in state]), action)

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reward, ended = np.zeros(actions.shape[:2]), np.zeros(len(state), bool)
        state = _objects([_copy(env, rng) for env in state])
        for t in range(actions.shape[1]):
            now = np.flatnonzero(~ended)
            if not now.size:
                break
            _, reward[now, t], ended[now] = self._advance(state[now], actions[now, t])
        return reward, ended, state

    def _advance(self, state: np.ndarray, action: np.ndarray) -> Imagined:
        """Step the copies themselves."""
        steps = [
            env.step(given)
            for env, given in zip(state, self.rows.given(action), strict=True)
        ]
        return Imagined(
            state,
            np.array([float(s[1]) for s in steps]),
            np.array([bool(s[2]) for s in steps], bool),
        )


def begun(world: Gym) -> gym.Env:
    """An environment a step into an episode, to try copies of."""
    env = world.make()
    env.reset(seed=0)
    env.action_space.seed(0)
    env.step(env.action_space.sample())
    return env


def goes_on(original: gym.Env, twin: gym.Env, view: View) -> bool:
    """Whether two environments do the same for a few steps, given the same chance."""
    original.unwrapped.np_random, twin.unwrapped.np_random = (
        np.random.default_rng(1) for _ in range(2)
    )
    for _ in range(3):
        action = original.action_space.sample()
        was, now = original.step(action), twin.step(action)
        if was[1:3] != now[1:3] or not np.allclose(
            view(was[0]), view(now[0]), atol=1e-9
        ):
            return False
        if was[2]:
            break
    return True


def _objects(envs: Sequence[gym.Env]) -> np.ndarray:
    array = np.empty(len(envs), object)
    array[:] = envs
    return array


def _copy(env: gym.Env, rng: np.random.Generator) -> gym.Env:
    """A copy that shares what never changes and draws from `rng`."""
    bare: Any = env.unwrapped
    fixed = [getattr(bare, name, None) for name in FIXED]
    things = getattr(getattr(bare, "grid", None), "grid", ())
    fixed += [thing for thing in things if getattr(thing, "type", None) in SCENERY]
    shared = {id(part): part for part in fixed if part is not None}
    return copy.deepcopy(env, shared | {id(bare.np_random): rng})
