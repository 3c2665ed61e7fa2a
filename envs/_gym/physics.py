"""MuJoCo environments: copies for planning, and steps without the environment.

A state is an array of MuJoCo's numbers, float64, from which a copy continues exactly as
the environment would. Where reward and termination follow from positions and
velocities, MuJoCo is stepped without the environment, one copy at a time: as fast as
`mujoco.rollout` on one thread, but it stops at true ends and returns the solver's warm
start. Several threads are those of `mujoco.rollout`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from curriculum.envs._base.native import rollout
from curriculum.envs._gym.copies import behave_alike, start_episode
from curriculum.envs._gym.source import Source, close
from curriculum.types import Imagined

# wrappers that change neither actions, rewards nor ends
TRANSPARENT = (
    gym.wrappers.OrderEnforcing,
    gym.wrappers.TimeLimit,
    gym.wrappers.PassiveEnvChecker,
)
MAX_POLE_ANGLE = 0.2  # rad, of InvertedPendulum


def simulator(source: Source, envs: Sequence[gym.Env]) -> Copies:
    """The fastest simulator that is exact for these environments."""
    judge = JUDGES.get(_class_name(envs[0]))
    if judge and _is_transparent(envs[0]):
        return LocomotionCopies(source, envs, judge)
    return PhysicsCopies(source, envs)


class PhysicsCopies:
    """A simulator of any MuJoCo environment: a spare environment is set to each state
    and stepped.

    A state is everything that MuJoCo integrates, the positions of bodies after the last
    step, and the environment's `goal` if it has one. ValueError if that does not
    determine the next step."""

    def __init__(self, source: Source, envs: Sequence[gym.Env]):
        self.envs = envs
        self.convert_actions = source.facts.actions
        self.spare = source.make()
        self.spare.reset(seed=1)
        original = start_episode(source)
        try:
            _write_state(self.spare, _read_state(original))
            is_whole = behave_alike(original, self.spare, source.facts.view)
        finally:
            close(original)
        if not is_whole:
            self.close()
            raise ValueError(
                f"{source.env_id} has state outside MuJoCo; "
                "choose a planner that needs no simulator"
            )

    def close(self) -> None:
        """Close the spare environment."""
        close(self.spare)

    def states(self, rows: np.ndarray) -> np.ndarray:
        return np.stack([_read_state(self.envs[row]) for row in rows])

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        self.spare.unwrapped.np_random = rng
        next_state = np.empty_like(state)
        reward = np.zeros(len(state))
        terminated = np.zeros(len(state), bool)
        for n, chosen in enumerate(self.convert_actions(action)):
            _write_state(self.spare, state[n])
            _, reward[n], terminated[n], _, _ = self.spare.step(chosen)
            next_state[n] = _read_state(self.spare)
        return Imagined(next_state, reward, terminated)

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return rollout(self.step, state, actions, rng)


class Motion(NamedTuple):
    """One step of n copies."""

    before: np.ndarray  # [n, nq] positions
    after: np.ndarray  # [n, nq] positions
    velocity: np.ndarray  # [n, nv] after the step
    action: np.ndarray  # [n, A]


class LocomotionCopies:
    """A simulator of Hopper and similar environments: MuJoCo is stepped alone, then
    rewards and ends of all copies are computed at once.

    A state is MuJoCo's full physics state (time, positions, velocities, ...), then the
    solver's warm start."""

    def __init__(self, source: Source, envs: Sequence[gym.Env], judge: Judge):
        import mujoco

        self.mujoco = mujoco
        self.envs = envs
        self.judge = judge
        self.convert_actions = source.facts.actions
        self.view = source.facts.view
        self.spare = source.make()
        env: Any = self.spare.unwrapped
        self.env = env
        self.model = env.model
        self.data = env.data
        full_physics = mujoco.mjtState.mjSTATE_FULLPHYSICS
        warm_start = mujoco.mjtState.mjSTATE_WARMSTART
        self.kind = int(full_physics | warm_start)
        self.size = mujoco.mj_stateSize(self.model, self.kind)
        positions_end = 1 + self.model.nq  # the first number is the time
        self.positions = slice(1, positions_end)
        self.velocities = slice(positions_end, positions_end + self.model.nv)
        self.pool: Any = None  # of several threads
        self.pool_data: list[Any] = []  # of each of them

    def close(self) -> None:
        """Close the spare environment."""
        self._close_pool()
        close(self.spare)

    def _close_pool(self) -> None:
        if self.pool:
            self.pool.close()
            self.pool = None

    def use_threads(self, count: int) -> None:
        """Implements `ThreadedSimulator`."""
        from mujoco.rollout import Rollout

        self._close_pool()
        if count > 1:
            self.pool = Rollout(nthread=count)
            self.pool_data = [copy.copy(self.data) for _ in range(count)]

    def states(self, rows: np.ndarray) -> np.ndarray:
        state = np.empty((len(rows), self.size))
        for n, row in enumerate(rows):
            env: Any = self.envs[row].unwrapped
            self.mujoco.mj_getState(env.model, env.data, state[n], self.kind)
        return state

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        """Take one step in n copies; these environments are deterministic."""
        state = np.ascontiguousarray(state)
        controls = self.convert_actions(action)
        next_state = self._integrate(state, controls)
        motion = Motion(
            before=state[:, self.positions],
            after=next_state[:, self.positions],
            velocity=next_state[:, self.velocities],
            action=controls,
        )
        reward, terminated = self.judge(self.env, motion)
        return Imagined(next_state, reward, terminated)

    def observe(self, state: np.ndarray) -> np.ndarray:
        """Implements `ObservableSimulator`: these environments show positions and
        velocities."""
        shown = np.empty((len(state), *self.view.box.shape), self.view.box.dtype)
        for n in range(len(state)):
            self.data.qpos[:] = state[n, self.positions]
            self.data.qvel[:] = state[n, self.velocities]
            shown[n] = self.view(self.env._get_obs())
        return shown

    def _integrate(self, state: np.ndarray, controls: np.ndarray) -> np.ndarray:
        # local names: this loop takes most of the time of a planner
        set_state = self.mujoco.mj_setState
        get_state = self.mujoco.mj_getState
        advance = self.mujoco.mj_step
        model = self.model
        data = self.data
        kind = self.kind
        frames = self.env.frame_skip
        next_state = np.empty_like(state)
        for n in range(len(state)):
            set_state(model, data, state[n], kind)
            data.ctrl[:] = controls[n]
            advance(model, data, frames)
            get_state(model, data, next_state[n], kind)
        return next_state

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.pool:
            return self._rollout_in_threads(state, actions)
        return rollout(self.step, state, actions, rng)

    def _rollout_in_threads(
        self, state: np.ndarray, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`rollout` by MuJoCo itself, which steps copies that have ended, too, and does
        not return the solver's warm start."""
        count, horizon, size = actions.shape
        frames = self.env.frame_skip
        physics = self.size - self.model.nv  # numbers of a state before its warm start
        controls = self.convert_actions(actions.reshape(-1, size))  # [n * H, A]
        by_frame = controls.reshape(actions.shape).repeat(frames, 1)
        passed, _ = self.pool.rollout(
            self.model,
            self.pool_data,
            state[:, :physics],
            by_frame,
            initial_warmstart=state[:, physics:],
        )
        after = passed[:, frames - 1 :: frames]  # [n, H, physics]
        before = np.concatenate([state[:, None, :physics], after[:, :-1]], 1)
        flat = after.reshape(-1, physics)
        motion = Motion(
            before=before.reshape(-1, physics)[:, self.positions],
            after=flat[:, self.positions],
            velocity=flat[:, self.velocities],
            action=controls,
        )
        reward, terminated = self.judge(self.env, motion)
        is_end = terminated.reshape(count, horizon)
        copies = np.arange(count)
        first_end = is_end.argmax(1)  # 0 where there is none
        ended = is_end[copies, first_end]
        last = np.where(ended, first_end, horizon - 1)
        is_over = np.arange(horizon) > last[:, None]
        reward = np.where(is_over, 0.0, reward.reshape(count, horizon))
        state = np.zeros_like(state)
        state[:, :physics] = after[copies, last]
        return reward, ended, state


Copies = PhysicsCopies | LocomotionCopies


# told an observation and its row
Write = Callable[[np.ndarray, int], None]


class DirectSteps:
    """Steps of Hopper and similar environments with the numbers that `step` of the
    environment gives, in about half of its time."""

    def __init__(self, envs: Sequence[gym.Env], judge: Judge):
        import mujoco

        self.advance = mujoco.mj_step
        self.envs: list[Any] = [env.unwrapped for env in envs]
        self.judge = judge

    def step(
        self, rows: Sequence[int], controls: np.ndarray, write: Write
    ) -> tuple[np.ndarray, np.ndarray]:
        """Step n environments with their controls [n, A]; rewards [n] and true ends [n]
        bool. `write` is given each observation and its row."""
        model = self.envs[0].model
        before = np.empty((len(rows), model.nq))
        after = np.empty_like(before)
        velocity = np.empty((len(rows), model.nv))
        for n, row in enumerate(rows):
            env = self.envs[row]
            data = env.data
            before[n] = data.qpos
            data.ctrl[:] = controls[n]
            self.advance(env.model, data, env.frame_skip)
            after[n] = data.qpos
            velocity[n] = data.qvel
            write(env._get_obs(), row)
        motion = Motion(before, after, velocity, controls)
        return self.judge(self.envs[0], motion)


def direct_steps(envs: Sequence[gym.Env]) -> DirectSteps | None:
    """Steps without the environment; None where they could differ from its own."""
    judge = JUDGES.get(_class_name(envs[0]))
    if judge and _is_transparent(envs[0]):
        return DirectSteps(envs, judge)
    return None


# --- reward and termination, as the environments compute them ---

# environment, motion -> rewards [n], terminated [n] bool
Judge = Callable[[Any, Motion], tuple[np.ndarray, np.ndarray]]


def _judge_running(
    env: Any,
    motion: Motion,
    is_healthy: Callable[[Any, Motion], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Forward speed, a bonus for being healthy, minus the cost of control."""
    speed = (motion.after[:, 0] - motion.before[:, 0]) / env.dt
    forward_reward = env._forward_reward_weight * speed
    control_cost = env._ctrl_cost_weight * np.square(motion.action).sum(-1)
    if is_healthy is None:
        return forward_reward - control_cost, np.zeros(len(speed), bool)
    healthy = is_healthy(env, motion)
    reward = forward_reward + healthy * env._healthy_reward - control_cost
    return reward, ~healthy & env._terminate_when_unhealthy


def _torso_is_healthy(env: Any, motion: Motion) -> np.ndarray:
    """Walker2d: height and angle of the torso are in range."""
    height_in_range = _inside(motion.after[:, 1], env._healthy_z_range)
    angle_in_range = _inside(motion.after[:, 2], env._healthy_angle_range)
    return height_in_range & angle_in_range


def _hopper_is_healthy(env: Any, motion: Motion) -> np.ndarray:
    """Hopper: so are all other positions and the velocities."""
    rest = np.concatenate([motion.after[:, 2:], motion.velocity], -1)
    rest_in_range = _inside(rest, env._healthy_state_range).all(-1)
    return _torso_is_healthy(env, motion) & rest_in_range


def _judge_balancing(env: Any, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Reward 1 while the pole stands."""
    numbers = np.concatenate([motion.after, motion.velocity], -1)
    is_finite = np.isfinite(numbers).all(-1)
    fallen = ~is_finite | (np.abs(motion.after[:, 1]) > MAX_POLE_ANGLE)
    return (~fallen).astype(float), fallen


def _inside(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    low, high = bounds
    return (low < values) & (values < high)


# environments whose reward and termination follow from positions and velocities
JUDGES: dict[str, Judge] = {
    "gymnasium.envs.mujoco.hopper_v5:HopperEnv": partial(
        _judge_running, is_healthy=_hopper_is_healthy
    ),
    "gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv": partial(
        _judge_running, is_healthy=_torso_is_healthy
    ),
    "gymnasium.envs.mujoco.half_cheetah_v5:HalfCheetahEnv": _judge_running,
    "gymnasium.envs.mujoco.swimmer_v5:SwimmerEnv": _judge_running,
    "gymnasium.envs.mujoco.inverted_pendulum_v5:InvertedPendulumEnv": _judge_balancing,
}


def _class_name(env: gym.Env) -> str:
    kind = type(env.unwrapped)
    return f"{kind.__module__}:{kind.__qualname__}"


def _is_transparent(env: gym.Env) -> bool:
    """Whether no wrapper can change actions, rewards or ends."""
    while isinstance(env, gym.Wrapper):
        if type(env) not in TRANSPARENT:
            return False
        env = env.env
    return True


# --- the whole state of a MuJoCo environment as one array ---


def _read_state(env: gym.Env) -> np.ndarray:
    import mujoco

    bare: Any = env.unwrapped
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    physics = np.empty(mujoco.mj_stateSize(bare.model, kind))
    mujoco.mj_getState(bare.model, bare.data, physics, kind)
    extras = [extra.ravel() for extra in _extra_state(bare)]
    return np.concatenate([physics, *extras])


def _write_state(env: gym.Env, state: np.ndarray) -> None:
    import mujoco

    bare: Any = env.unwrapped
    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    start = mujoco.mj_stateSize(bare.model, kind)
    mujoco.mj_setState(bare.model, bare.data, state[:start].copy(), kind)
    for extra in _extra_state(bare):
        end = start + extra.size
        extra[:] = state[start:end].reshape(extra.shape)
        start = end


def _extra_state(env: Any) -> list[np.ndarray]:
    """What rewards depend on besides physics: the positions of bodies after the last
    step, and the goal."""
    extras = [env.data.xpos, env.data.xipos]
    goal = getattr(env, "goal", None)
    if isinstance(goal, np.ndarray):
        extras.append(goal)
    return extras
