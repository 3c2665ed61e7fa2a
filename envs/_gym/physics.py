"""Copies of rows that MuJoCo moves: states are its numbers, float64, and go on exactly
as the environment would.

Where reward and health follow from positions and velocities, copies are stepped without
their environment, one by one: as fast as `mujoco.rollout` on one thread, but it stops
at true ends and hands back what warms the solver.
"""

from __future__ import annotations

import os
from typing import Any

import gymnasium as gym
import numpy as np

from curriculum.envs._gym.foreign import GymRows, begun, goes_on
from curriculum.types import Imagined, Simulator

PLAIN = (
    gym.wrappers.OrderEnforcing,
    gym.wrappers.TimeLimit,
    gym.wrappers.PassiveEnvChecker,
)
# Debian's, to draw without a display
LIBRARIES = "libegl1 libegl-mesa0 libgl1-mesa-dri"


def simulator(rows: GymRows) -> Simulator:
    """The fastest simulator that is exact for these rows."""
    env = rows.envs[0]
    bare = type(env.unwrapped)
    direct = f"{bare.__module__}:{bare.__qualname__}" in JUDGES and _is_plain(env)
    return Locomotion(rows) if direct else Physics(rows)


class Physics:
    """Copies of any MuJoCo environment: a spare one is put into their states and
    stepped.

    A state is all that MuJoCo integrates, where bodies were seen last, and the
    environment's `goal` if it has one."""

    def __init__(self, rows: GymRows):
        self.rows, self.spare = rows, rows.world.make()
        self.spare.reset(seed=1)
        original = begun(rows.world)
        _write(self.spare, _read(original))
        if not goes_on(original, self.spare, rows.view):
            raise ValueError(
                f"{rows.world.id} remembers more than MuJoCo does; choose a planner that needs no simulator"
            )

    def states(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([_read(self.rows.envs[row]) for row in rows])

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        self.spare.unwrapped.np_random = rng
        after, reward, terminated = (
            np.empty_like(state),
            np.zeros(len(state)),
            np.zeros(len(state), bool),
        )
        for copy, given in enumerate(self.rows.given(action)):
            _write(self.spare, state[copy])
            _, reward[copy], terminated[copy], _, _ = self.spare.step(given)
            after[copy] = _read(self.spare)
        return Imagined(after, reward, terminated)

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


class Locomotion(Physics):
    """Copies of Hopper and its kin: MuJoCo alone is stepped, all copies are judged at
    once.

    A state is time, positions, velocities and whatever else physics needs, then what
    warms the solver."""

    def __init__(self, rows: GymRows):
        import mujoco

        self.rows, self.mujoco = rows, mujoco
        env: Any = rows.world.make().unwrapped
        self.env, self.model, self.data = env, env.model, env.data
        self.kind = int(
            mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART
        )
        self.size = mujoco.mj_stateSize(self.model, self.kind)
        self.judge = JUDGES[f"{type(env).__module__}:{type(env).__qualname__}"]

    def states(self, rows: np.ndarray) -> np.ndarray:
        state = np.empty((len(rows), self.size))
        for copy, row in enumerate(rows):
            env: Any = self.rows.envs[row].unwrapped
            self.mujoco.mj_getState(env.model, env.data, state[copy], self.kind)
        return state

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        """Nothing is drawn: these worlds know no chance."""
        lib, model, data, kind, frames = (
            self.mujoco,
            self.model,
            self.data,
            self.kind,
            self.env.frame_skip,
        )
        state, given = np.ascontiguousarray(state), self.rows.given(action)
        after = np.empty_like(state)
        for copy in range(len(state)):
            lib.mj_setState(model, data, state[copy], kind)
            data.ctrl[:] = given[copy]
            lib.mj_step(model, data, frames)
            lib.mj_getState(model, data, after[copy], kind)
        places, end = slice(1, 1 + model.nq), 1 + model.nq + model.nv
        return Imagined(
            after,
            *self.judge(
                self.env,
                state[:, places],
                after[:, places],
                after[:, places.stop : end],
                given,
            ),
        )


def _run(
    env: Any,
    before: np.ndarray,
    after: np.ndarray,
    speed: np.ndarray,
    action: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Reward and end [n] of running: way per second, a wage for staying healthy, less
    the cost of effort."""
    way = env._forward_reward_weight * ((after[:, 0] - before[:, 0]) / env.dt)
    effort = env._ctrl_cost_weight * np.square(action).sum(-1)
    if not hasattr(env, "_healthy_z_range"):
        return way - effort, np.zeros(len(after), bool)
    healthy = _inside(after[:, 1], env._healthy_z_range) & _inside(
        after[:, 2], env._healthy_angle_range
    )
    if hasattr(env, "_healthy_state_range"):
        healthy &= _inside(
            np.concatenate([after[:, 2:], speed], -1), env._healthy_state_range
        ).all(-1)
    return (
        way + healthy * env._healthy_reward - effort,
        ~healthy & env._terminate_when_unhealthy,
    )


def _balance(
    env: Any,
    before: np.ndarray,
    after: np.ndarray,
    speed: np.ndarray,
    action: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Reward and end [n] of holding a pole up."""
    fallen = ~np.isfinite(np.concatenate([after, speed], -1)).all(-1) | (
        np.abs(after[:, 1]) > 0.2
    )
    return (~fallen).astype(float), fallen


JUDGES = {  # environments whose reward and end follow from positions and velocities
    "gymnasium.envs.mujoco.hopper_v5:HopperEnv": _run,
    "gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv": _run,
    "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv": _run,
    "gymnasium.envs.mujoco.swimmer_v5:SwimmerEnv": _run,
    "gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv": _balance,
}


def _inside(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (bounds[0] < values) & (values < bounds[1])


def _is_plain(env: gym.Env) -> bool:
    """Whether nothing between caller and environment could change actions, rewards or
    ends."""
    while isinstance(env, gym.Wrapper):
        if type(env) not in PLAIN:
            return False
        env = env.env
    return True


def _read(env: gym.Env) -> np.ndarray:
    """All that decides how a MuJoCo environment goes on, one array."""
    import mujoco

    bare: Any = env.unwrapped
    physics = np.empty(
        mujoco.mj_stateSize(bare.model, mujoco.mjtState.mjSTATE_INTEGRATION)
    )
    mujoco.mj_getState(
        bare.model, bare.data, physics, mujoco.mjtState.mjSTATE_INTEGRATION
    )
    return np.concatenate([physics, *(part.ravel() for part in _beside(bare))])


def _write(env: gym.Env, state: np.ndarray) -> None:
    import mujoco

    bare: Any = env.unwrapped
    at = mujoco.mj_stateSize(bare.model, mujoco.mjtState.mjSTATE_INTEGRATION)
    mujoco.mj_setState(
        bare.model, bare.data, state[:at].copy(), mujoco.mjtState.mjSTATE_INTEGRATION
    )
    for part in _beside(bare):
        part[:] = state[at : at + part.size].reshape(part.shape)
        at += part.size


def _beside(bare: Any) -> list[np.ndarray]:
    """What rewards are made of beside physics: where bodies were when the last step was
    taken, and the goal."""
    goal = getattr(bare, "goal", None)
    return [
        bare.data.xpos,
        bare.data.xipos,
        *([goal] if isinstance(goal, np.ndarray) else []),
    ]


def draw_without_display() -> None:
    """Let MuJoCo draw by EGL where there is no display to open a window on."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")


def drawn(env: gym.Env) -> Any:
    """The environment's picture; ValueError where this machine cannot draw one."""
    try:
        return env.render()
    # whatever the libraries for OpenGL raise when a part of them is missing
    except Exception as error:
        raise ValueError(
            f"MuJoCo cannot draw here ({error!r}); without a display it draws by EGL, which needs Debian's {LIBRARIES}"
        ) from None
