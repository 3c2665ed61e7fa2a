"""Cart-pole and pendulum against Gymnasium's own, step for step, and box actions on
their way into a world."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from curriculum.envs._base.actions import scale_actions
from curriculum.envs._base.environments import NativeEnv
from curriculum.envs._base.native import NativeRows
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pendulum import Pendulum

RNG = np.random.default_rng(0)  # the worlds draw nothing while they step
WORLDS = [(CartPole, "CartPole-v1"), (Pendulum, "Pendulum-v1")]
every_world = pytest.mark.parametrize(
    ("world", "theirs"), WORLDS, ids=["cartpole", "pendulum"]
)


def actions_of(world: Any, *shape: int, seed: int = 0) -> np.ndarray:
    """Random actions in the world's own bounds."""
    rng, space = np.random.default_rng(seed), world.action_space
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.n, size=shape)
    return rng.uniform(space.low, space.high, (*shape, *space.shape)).astype(np.float32)


def unwrapped(theirs: str) -> Any:
    return gym.make(theirs).unwrapped


# --- the same worlds as Gymnasium's ---


@every_world
def test_spaces_and_time_limits_are_those_of_gymnasium(world, theirs):
    ours, other = world(), gym.make(theirs)
    assert ours.observation_space == other.observation_space
    assert ours.action_space == other.action_space
    assert other.spec is not None
    assert ours.max_steps == other.spec.max_episode_steps


@every_world
def test_a_thousand_single_steps_are_those_of_gymnasium(world, theirs):
    ours, other, rng = world(), unwrapped(theirs), np.random.default_rng(1)
    reach = np.array([2.6, 3, 0.23, 3]) if world is CartPole else np.array([10, 8])
    state, action = (
        rng.uniform(-reach, reach, (1_000, len(reach))),
        actions_of(ours, 1_000),
    )
    before = state.copy()
    following, reward, terminated = ours.step(state, action, RNG)
    np.testing.assert_array_equal(state, before)
    assert reward.dtype == np.float64
    assert terminated.any() == (world is CartPole)
    for row in range(1_000):
        other.reset()
        other.state = state[row].copy()
        obs, gained, ended, _, _ = other.step(action[row])
        np.testing.assert_allclose(following[row], other.state, rtol=0, atol=1e-14)
        np.testing.assert_allclose(
            ours.observe(following[row : row + 1])[0], obs, rtol=0, atol=1e-6
        )
        assert reward[row] == pytest.approx(gained, abs=1e-12)
        assert terminated[row] == ended


@every_world
def test_whole_episodes_are_those_of_gymnasium(world, theirs):
    ours, other = world(), gym.make(theirs)
    rows = NativeRows(ours, [np.random.default_rng(2)], 20)
    rows.reset()
    action = actions_of(ours, ours.max_steps, 20)
    starts, steps = rows.state.copy(), [rows.step_unscaled(a) for a in action]
    for row in range(20):
        other.reset()
        other.unwrapped.state = starts[row]  # type: ignore[attr-defined]
        over, t = False, 0
        while not over:
            obs, reward, terminated, truncated, _ = other.step(action[t, row])
            np.testing.assert_allclose(steps[t].next_obs[row], obs, atol=1e-6)
            assert steps[t].reward[row] == pytest.approx(reward, abs=1e-5)
            assert (steps[t].terminated[row], steps[t].truncated[row]) == (
                terminated,
                truncated,
            )
            over, t = terminated or truncated, t + 1


@pytest.mark.parametrize(
    ("world", "reach"), [(CartPole(), [0.05] * 4), (Pendulum(), [np.pi, 1])]
)
def test_episodes_begin_uniformly_within_gymnasiums_bounds(world, reach):
    state = world.begin(np.random.default_rng(3), 20_000) / reach
    assert np.abs(state).max() <= 1
    np.testing.assert_allclose(state.mean(0), 0, atol=4 * (1 / 3 / 20_000) ** 0.5)
    np.testing.assert_allclose(state.var(0), 1 / 3, atol=0.01)


# --- by hand ---


def test_a_push_moves_the_cart_and_tips_the_pole_the_other_way():
    # at rest and upright: thrust 10 / 1.1, the pole turns with -9.0909 / (0.5 (4/3 -
    # 0.1/1.1)) = -14.6341 rad/s^2, the cart goes with 9.0909 + 0.05 * 14.6341 / 1.1 =
    # 9.7561 m/s^2; a step is 0.02 s, and places follow a step later
    following, reward, terminated = CartPole().step(
        np.zeros((2, 4)), np.array([1, 0]), RNG
    )
    np.testing.assert_allclose(
        following, [[0, 0.195122, 0, -0.292683], [0, -0.195122, 0, 0.292683]], atol=1e-6
    )
    assert reward.tolist() == [1, 1]
    assert terminated.tolist() == [False, False]


def test_a_cart_pole_fails_beyond_its_limits_and_an_episode_in_full_is_a_success():
    world = CartPole()
    edge = 12 * np.pi / 180
    state = np.array(
        [
            [2.39, 0, 0, 0],
            [2.41, 0, 0, 0],
            [-2.41, 0, 0, 0],
            [0, 0, edge - 0.01, 0],
            [0, 0, -edge - 0.01, 0],
        ]
    )
    assert world.success(state).tolist() == [True, False, False, True, False]
    rows = NativeRows(CartPole(max_steps=5), [np.random.default_rng(0)])
    rows.reset()
    steps = [rows.step(np.array([t % 2])) for t in range(5)]
    assert [bool(step.truncated[0]) for step in steps] == [False] * 4 + [True]
    assert steps[-1].success[0]


def test_a_pendulum_falls_from_rest_and_pays_for_angle_speed_and_torque():
    # at a quarter turn with speed 2 and full torque: it gains (15 * 1 + 3 * 2) * 0.05 =
    # 1.05 rad/s, and the cost is (pi/2)^2 + 0.1 * 4 + 0.001 * 4 = 2.871401
    world = Pendulum()
    following, reward, terminated = world.step(
        np.array([[np.pi / 2, 2.0]]), np.array([[2.0]]), RNG
    )
    np.testing.assert_allclose(following, [[np.pi / 2 + 3.05 * 0.05, 3.05]])
    assert reward[0] == pytest.approx(-2.871401, abs=1e-6)
    assert not terminated[0]
    fast = world.step(
        np.array([[np.pi / 2, 7.9], [0, -8]]), np.array([[2.0], [-2.0]]), RNG
    )[0]
    np.testing.assert_array_equal(fast[:, 1], [8, -8])


def test_angles_are_told_the_short_way_round():
    world = Pendulum()
    state = np.array([[0.1, 0], [2 * np.pi - 0.1, 0], [-4 * np.pi + 0.1, 0]])
    np.testing.assert_allclose(
        world.step(state, np.zeros((3, 1)), RNG)[1], -0.01, atol=1e-9
    )
    state = np.array(
        [[0.19, 0], [0.21, 0], [2 * np.pi - 0.19, 0.9], [0, 1.1], [np.pi, 0]]
    )
    assert world.success(state).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize("world", [CartPole, Pendulum])
def test_a_negative_limit_is_refused(world):
    with pytest.raises(ValueError, match="max_steps must be at least 0, got -1"):
        world(max_steps=-1)


# --- pictures ---


def test_the_cart_stands_where_the_state_says_and_the_pole_leans():
    left, right = (
        CartPole().draw(np.array([-1.2, 0, 0, 0])),
        CartPole().draw(np.array([1.2, 0, 0.2, 0])),
    )
    assert (left.shape, left.dtype) == ((400, 600, 3), np.uint8)
    for picture, centre in ((left, 150), (right, 450)):  # 125 pixels a metre
        # a line through the cart, below its rail
        dark = (picture[310] == 0).all(-1).nonzero()[0]
        assert dark.min() == pytest.approx(centre - 25, abs=1)
        assert dark.max() == pytest.approx(centre + 25, abs=1)
    brown = (left == (202, 152, 101)).all(-1).nonzero()
    assert brown[0].min() == pytest.approx(290 - 125, abs=1)  # a metre above the hinge
    assert brown[1].mean() == pytest.approx(150, abs=1)
    assert (right == (202, 152, 101)).all(-1).nonzero()[1].mean() == pytest.approx(
        450 + 62.5 * np.sin(0.2), abs=2
    )


def test_the_last_picture_is_that_of_the_end():
    rows = CartPole().rows([np.random.default_rng(0)])
    rows.reset()
    over = False
    while not over:
        step = rows.step(np.array([1]))
        over = bool(step.terminated[0])
    expected = CartPole().draw(step.next_obs[0])
    np.testing.assert_array_equal(rows.last_picture(0), expected)
    assert (rows.picture(0) != expected).any()


def test_the_rod_points_where_it_stands_and_the_arc_where_it_goes():
    red, blue = (204, 77, 77), (60, 90, 200)
    up, quarter = (
        Pendulum().draw(np.array([0, 0])),
        Pendulum().draw(np.array([np.pi / 2, 4.0])),
    )
    assert (up.shape, up.dtype) == ((500, 500, 3), np.uint8)
    rows, columns = (up == red).all(-1).nonzero()
    assert (rows.min(), rows.max()) == pytest.approx((250 - 200 - 18, 250 + 18), abs=2)
    assert columns.mean() == pytest.approx(250, abs=1)
    # angles turn against the clock: to the left
    rows, columns = (quarter == red).all(-1).nonzero()
    assert (columns.min(), columns.max()) == pytest.approx(
        (250 - 200 - 18, 250 + 18), abs=2
    )
    rows, columns = (quarter == blue).all(-1).nonzero()  # and on, down the left side
    assert rows.min() >= 248
    assert columns.max() < 250


# --- box actions: [-1, 1] in the package, the world's own bounds inside it ---


class Lopsided(Pendulum):
    """A pendulum of two motors that remembers what it was told."""

    @property
    def action_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(
            np.array([-1, 2], np.float32), np.array([3, 10], np.float32)
        )

    def step(self, state, action, rng):
        self.told = action
        return super().step(state, action[:, :1], rng)


def test_rows_scale_actions_to_the_worlds_bounds():
    world = Lopsided()
    rows = NativeRows(world, [np.random.default_rng(0)], 4)
    rows.reset()
    assert rows.single_action_space == gym.spaces.Box(-1, 1, (2,), np.float32)
    rows.step(np.array([[-1, -1], [1, 1], [0, 0], [0.5, -0.5]], np.float32))
    np.testing.assert_array_equal(world.told, [[-1, 2], [3, 10], [1, 6], [2, 4]])
    assert world.told.dtype == np.float32
    rows.step_unscaled(np.array([[-1, 2]] * 4, np.float32))
    np.testing.assert_array_equal(world.told, [[-1, 2]] * 4)


def test_scaled_actions_stay_within_bounds_to_the_last_digit():
    low, high = (
        np.array([-0.1, 0.3, -1e6], np.float32),
        np.array([0.7, 0.9, 3.3], np.float32),
    )
    space = gym.spaces.Box(low, high)
    action = np.random.default_rng(0).uniform(-1, 1, (1_000, 3)).astype(np.float32)
    action[:2] = [[-1] * 3, [1] * 3]
    scaled = scale_actions(action, space)
    assert all(space.contains(a) for a in scaled)
    np.testing.assert_allclose(scaled[:2], [low, high], rtol=1e-6)


def test_discrete_actions_pass_as_they_are():
    action = np.array([0, 2, 1])
    assert scale_actions(action, Gridworld().action_space) is action


class Boundless(Pendulum):
    @property
    def action_space(self) -> gym.spaces.Box:
        return gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)


def test_box_actions_without_bounds_are_refused():
    with pytest.raises(ValueError, match=r"finite bounds.*got Box\(-inf, inf"):
        NativeRows(Boundless(), [np.random.default_rng(0)])


def test_a_seed_alone_plays_as_among_others():
    actions = np.random.default_rng(3).uniform(-1, 1, (50, 3, 4, 1)).astype(np.float32)
    together = NativeRows(
        Pendulum(max_steps=9), [np.random.default_rng(seed) for seed in range(3)], 4
    )
    alone = NativeRows(Pendulum(max_steps=9), [np.random.default_rng(1)], 4)
    np.testing.assert_array_equal(together.reset()[4:8], alone.reset())
    for action in actions:
        for many, one in zip(
            together.step(action.reshape(-1, 1)), alone.step(action[1]), strict=True
        ):
            np.testing.assert_array_equal(many[4:8], one)


def test_rows_resume_exactly():
    rows, other = (
        NativeRows(Pendulum(max_steps=9), [np.random.default_rng(seed)], 4)
        for seed in (0, 5)
    )
    actions = np.random.default_rng(4).uniform(-1, 1, (40, 4, 1)).astype(np.float32)
    rows.reset()
    for action in actions[:15]:
        obs = rows.step(action).obs
    saved = rows.save()
    expected = [rows.step(action) for action in actions[15:]]
    np.testing.assert_array_equal(other.load(saved), obs)
    for action, step in zip(actions[15:], expected, strict=True):
        for was, now in zip(step, other.step(action), strict=True):
            np.testing.assert_array_equal(was, now)


# --- through Gymnasium ---


NAMES = ["curriculum/CartPole-v0", "curriculum/Pendulum-v0"]


@pytest.mark.parametrize("name", NAMES)
def test_gymnasium_and_stable_baselines_find_nothing_to_complain_about(
    name, monkeypatch
):
    from stable_baselines3.common import env_checker

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # what they say of Gymnasium's own two worlds: unbounded speeds, torques beyond
        # [-1, 1]
        warnings.filterwarnings(
            "ignore", ".*A Box observation space m(in|ax)imum value is (-)?infinity"
        )
        warnings.filterwarnings(
            "ignore",
            ".*For Box action spaces, we recommend using a symmetric and normalized",
        )
        warnings.filterwarnings(
            "ignore",
            "We recommend you to use a symmetric and normalized Box action space",
        )
        check_env(gym.make(name).unwrapped)
        env_checker.check_env(
            gym.make(name, render_mode="rgb_array"), skip_render_check=False
        )


@pytest.mark.parametrize(
    ("name", "fps"),
    [*zip(NAMES, (50, 20), strict=True), ("curriculum/Gridworld-v0", 10)],
)
def test_pictures_follow_one_another_as_fast_as_in_real_time(name, fps):
    assert gym.make(name).metadata["render_fps"] == fps
    assert gym.make_vec(name, 2).metadata["render_fps"] == fps
    # the class is as it was
    assert NativeEnv.metadata["render_fps"] == 10


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_rows_is_as_many_single_environments(name):
    batch: Any = gym.make_vec(name, num_envs=16, max_steps=30)
    kwargs = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    single = gym.make_vec(name, 16, "sync", vector_kwargs=kwargs, max_steps=30)
    assert (batch.observation_space, batch.action_space) == (
        single.observation_space,
        single.action_space,
    )
    np.testing.assert_array_equal(batch.reset(seed=7)[0], single.reset(seed=7)[0])
    for action in actions_of(batch.dynamics, 70, 16):
        obs, reward, terminated, truncated, _ = batch.step(action)
        expected = single.step(action)
        np.testing.assert_allclose(obs, expected[0], atol=1e-6)
        np.testing.assert_allclose(reward, expected[1], atol=1e-5)
        np.testing.assert_array_equal(terminated, expected[2])
        np.testing.assert_array_equal(truncated, expected[3])


def test_foreign_users_give_torques_and_are_refused_beyond_the_motors_limit():
    env: Any = gym.make("curriculum/Pendulum-v0").unwrapped
    env.reset(seed=0)
    env.state = np.array([[0.0, 0.0]])
    env.step(np.array([2.0]))
    np.testing.assert_allclose(env.state, [[0.015, 0.3]])  # 3 * 2 * 0.05 rad/s
    with pytest.raises(ValueError, match=r"2.5.* is not in Box\(-2.0, 2.0"):
        env.step(np.array([2.5]))
