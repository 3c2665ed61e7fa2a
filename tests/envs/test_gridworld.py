"""The grid against hand-computed steps and the figures of its original, and its
Gymnasium side against Gymnasium."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from curriculum.envs._base.native import NativeRows
from curriculum.envs.gridworld import Gridworld

LEFT, GO, RIGHT = 0, 1, 2
# down the first column, then along the last row
SCRIPT = [RIGHT, *[GO] * 8, LEFT, *[GO] * 8]


def rows_of(count: int = 1, seed: int = 0, **fields) -> NativeRows:
    return NativeRows(Gridworld(**fields), [np.random.default_rng(seed)], count)


def step_from(
    state: tuple[int, int, int], action: int, **fields
) -> tuple[tuple[int, ...], float, bool]:
    following, reward, terminated = Gridworld(**fields).step(
        np.array([state]), np.array([action]), np.random.default_rng(0)
    )
    return tuple(following[0].tolist()), reward[0], terminated[0]


@pytest.mark.parametrize(
    ("state", "action", "following"),
    [
        ((5, 5, 0), GO, (4, 5, 0)),
        ((5, 5, 0), LEFT, (5, 4, 3)),
        ((5, 5, 0), RIGHT, (5, 5, 1)),  # into the wall at (5, 6)
        ((5, 5, 3), LEFT, (6, 5, 2)),
        ((5, 5, 3), RIGHT, (4, 5, 0)),
        ((0, 0, 1), LEFT, (0, 0, 0)),  # out of the grid
        ((0, 0, 0), LEFT, (0, 0, 3)),
        ((9, 0, 2), GO, (9, 0, 2)),
        ((2, 9, 1), GO, (2, 9, 1)),
        ((1, 2, 1), RIGHT, (1, 2, 2)),  # into the wall at (2, 2)
        ((3, 3, 0), RIGHT, (3, 3, 1)),  # into the wall at (3, 4)
    ],
)
def test_every_action_turns_then_moves_and_a_blocked_move_only_turns(
    state, action, following
):
    assert step_from(state, action) == (following, -0.1, False)


@pytest.mark.parametrize(
    ("state", "action", "following"),
    [
        ((5, 5, 0), LEFT, (5, 5, 3)),
        ((5, 5, 0), RIGHT, (5, 5, 1)),
        ((5, 5, 0), GO, (4, 5, 0)),
        ((5, 5, 1), GO, (5, 5, 1)),
    ],
)
def test_in_place_a_turn_stays_in_its_cell(state, action, following):
    assert step_from(state, action, motion="turn-in-place") == (following, -0.1, False)


def test_the_step_onto_the_goal_brings_ten_and_ends_the_episode():
    assert step_from((9, 8, 2), LEFT) == ((9, 9, 1), 10.0, True)
    assert step_from((8, 9, 1), RIGHT) == ((9, 9, 2), 10.0, True)


def test_the_scripted_policy_takes_18_steps_and_returns_8_30():
    rows = rows_of(start="fixed", max_steps=0)
    rows.reset()
    steps = [rows.step(np.array([action])) for action in SCRIPT]
    rewards = np.array([step.reward[0] for step in steps])
    assert rewards.sum() == pytest.approx(8.30)
    assert [bool(step.terminated[0]) for step in steps] == [False] * 17 + [True]
    assert [bool(step.success[0]) for step in steps] == [False] * 17 + [True]
    value, values = 0.0, []
    for reward in rewards[::-1]:
        value = reward + 0.99 * value
        values.append(value)
    assert value == pytest.approx(6.859, abs=5e-4)
    assert np.mean(values) == pytest.approx(8.387, abs=5e-4)


def test_random_play_takes_as_long_as_the_original():
    count, rng = 2_000, np.random.default_rng(1)
    rows = rows_of(count, start="fixed", max_steps=0)
    rows.reset()
    length, reward, playing = np.zeros(count), np.zeros(count), np.ones(count, bool)
    while playing.any():
        step = rows.step(rng.integers(3, size=count))
        length += playing
        reward += playing * step.reward
        playing &= ~step.terminated
    # of our mean and of the recorded one, from 3,000 episodes
    error = 277 * (1 / count + 1 / 3_000) ** 0.5
    assert length.mean() == pytest.approx(327, abs=3 * error)
    assert reward.mean() == pytest.approx(-22.6, abs=3 * 0.1 * error)
    assert length.std() == pytest.approx(277, rel=0.1)
    np.testing.assert_allclose(reward, 10 - 0.1 * (length - 1), atol=1e-3)


@pytest.mark.parametrize(
    ("cell", "window"),
    [
        ((0, 0), [[1, 1, 1], [1, 0, 0], [1, 0, 0]]),
        ((0, 9), [[1, 1, 1], [0, 0, 1], [0, 0, 1]]),
        ((9, 0), [[1, 0, 0], [1, 0, 0], [1, 1, 1]]),
        ((9, 9), [[0, 0, 1], [0, 2, 1], [1, 1, 1]]),
        ((8, 8), [[0, 0, 0], [0, 0, 0], [0, 0, 2]]),
        ((2, 3), [[0, 0, 0], [1, 0, 0], [0, 0, 1]]),
    ],
)
def test_the_image_is_the_window_around_the_agent_whatever_its_heading(cell, window):
    world = Gridworld(observation="image")
    obs = world.observe(np.array([(*cell, heading) for heading in range(4)]))
    assert obs.dtype == np.int8
    np.testing.assert_array_equal(obs, [window] * 4)
    assert world.observation_space == gym.spaces.Box(0, 2, (3, 3), np.int8)


def test_the_vector_is_agent_and_goal_and_the_pose_adds_the_heading():
    state = np.array([(3, 7, 0), (3, 7, 1), (3, 7, 2), (3, 7, 3)])
    vector, pose = Gridworld(observation="vector"), Gridworld(observation="pose")
    assert vector.observe(state).dtype == pose.observe(state).dtype == np.float32
    np.testing.assert_array_equal(vector.observe(state), [[3, 7, 9, 9]] * 4)
    headings = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    np.testing.assert_array_equal(
        pose.observe(state), [[3, 7, *heading, 9, 9] for heading in headings]
    )
    assert vector.observation_space == gym.spaces.Box(0, 9, (4,), np.float32)


@pytest.mark.parametrize("observation", ["pose", "vector", "image"])
def test_all_states_are_observed_within_the_space_in_fresh_arrays(observation):
    world = Gridworld(observation=observation)
    obs = world.observe(world.states())
    assert all(world.observation_space.contains(one) for one in obs)
    obs[:] = 0
    assert world.observe(world.states()).any()


def test_random_starts_are_uniform_over_free_cells_and_headings():
    world = Gridworld()
    state = world.begin(np.random.default_rng(0), 96 * 4 * 200)
    count = np.bincount(world.index(state), minlength=400).reshape(10, 10, 4)
    for row, column in [(2, 2), (3, 4), (5, 6), (9, 9)]:
        assert not count[row, column].any()
    assert (count > 0).sum() == 384
    chi_square = ((count[count > 0] - 200) ** 2 / 200).sum()
    assert abs(chi_square - 383) < 4 * (2 * 383) ** 0.5
    np.testing.assert_array_equal(
        Gridworld(start="fixed").begin(np.random.default_rng(0), 2), [(0, 0, 1)] * 2
    )


def test_states_index_and_cells_agree():
    world = Gridworld()
    states = world.states()
    np.testing.assert_array_equal(world.index(states), np.arange(400))
    np.testing.assert_array_equal(world.cell(states), states[:, 0] * 10 + states[:, 1])
    assert world.cells == (10, 10)
    assert sorted(map(tuple, np.argwhere(world.walls).tolist())) == [
        (2, 2),
        (3, 4),
        (5, 6),
    ]


@pytest.mark.parametrize(("max_steps", "ends"), [(18, "terminated"), (17, "truncated")])
def test_an_episode_is_cut_short_at_the_limit_unless_it_ends_there(max_steps, ends):
    rows = rows_of(start="fixed", max_steps=max_steps)
    rows.reset()
    for action in SCRIPT[: max_steps - 1]:
        step = rows.step(np.array([action]))
        assert not step.terminated[0]
        assert not step.truncated[0]
    step = rows.step(np.array([SCRIPT[max_steps - 1]]))
    assert (bool(step.terminated[0]), bool(step.truncated[0])) == (
        ends == "terminated",
        ends == "truncated",
    )
    last = [9, 9, 0, 1, 9, 9] if ends == "terminated" else [9, 8, 0, 1, 9, 9]
    np.testing.assert_array_equal(step.next_obs[0], last)
    np.testing.assert_array_equal(step.obs[0], [0, 0, 0, 1, 9, 9])


def test_ended_and_cut_short_are_never_both_true():
    rows, rng = rows_of(256, max_steps=5), np.random.default_rng(2)
    rows.reset()
    steps = [rows.step(rng.integers(3, size=256)) for _ in range(200)]
    assert sum(step.terminated.sum() for step in steps) > 100
    assert not any((step.terminated & step.truncated).any() for step in steps)


def test_a_seed_alone_plays_as_among_others():
    actions = np.random.default_rng(3).integers(3, size=(100, 3, 8))
    together = NativeRows(
        Gridworld(max_steps=9), [np.random.default_rng(seed) for seed in range(3)], 8
    )
    alone = rows_of(8, seed=1, max_steps=9)
    np.testing.assert_array_equal(together.reset()[8:16], alone.reset())
    for action in actions:
        for many, one in zip(
            together.step(action.ravel()), alone.step(action[1]), strict=True
        ):
            np.testing.assert_array_equal(many[8:16], one)


def test_rows_resume_exactly():
    rows, other = rows_of(16, max_steps=9), rows_of(16, seed=5, max_steps=9)
    actions = np.random.default_rng(4).integers(3, size=(60, 16))
    rows.reset()
    for action in actions[:25]:
        obs = rows.step(action).obs
    saved = rows.save()
    expected = [rows.step(action) for action in actions[25:]]
    np.testing.assert_array_equal(other.load(saved), obs)
    for action, step in zip(actions[25:], expected, strict=True):
        for was, now in zip(step, other.step(action), strict=True):
            np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(
    "fields",
    [
        {"observation": "pixels"},
        {"start": "goal"},
        {"motion": "fly"},
        {"max_steps": -1},
    ],
)
def test_a_wrong_field_is_named(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        Gridworld(**fields)


def test_the_picture_shows_walls_goal_agent_and_heading():
    # the agent occupies x 100..149, y 300..349 and looks left
    picture = Gridworld().draw(np.array([6, 2, 3]))
    white, black, red, green, blue = (
        (255, 255, 255),
        (0, 0, 0),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    )
    assert picture.shape == (500, 500, 3)
    assert picture.dtype == np.uint8
    expected = {
        (0, 0): white,
        (300, 99): white,
        (350, 100): white,
        (100, 100): black,
        (149, 149): black,
    }
    expected |= {
        (175, 225): black,
        (275, 325): black,
        (225, 175): white,
        (450, 450): green,
        (499, 499): green,
    }
    expected |= {
        (300, 100): red,
        (349, 149): red,
        (325, 140): red,
        (321, 110): red,
        (325, 101): blue,
        (324, 120): blue,
    }
    assert {pixel: tuple(picture[pixel].tolist()) for pixel in expected} == expected


@pytest.mark.parametrize(
    "name", ["curriculum/Gridworld-v0", "curriculum/GridworldClassic-v0"]
)
def test_gymnasium_and_stable_baselines_find_nothing_to_complain_about(
    name, monkeypatch
):
    from stable_baselines3.common import env_checker

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(name).unwrapped)
        # the 3 x 3 window of old
        warnings.filterwarnings(
            "ignore", "Your observation  has an unconventional shape"
        )
        env_checker.check_env(
            gym.make(name, render_mode="rgb_array"), skip_render_check=False
        )


def test_a_window_shows_ten_frames_a_second(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env: Any = gym.make(
        "curriculum.envs:curriculum/Gridworld-v0",
        render_mode="human",
        start="fixed",
    ).unwrapped
    env.reset(seed=0)
    shown = [env.step(GO)[0][1] for _ in range(2)]
    assert shown == [1, 2]
    assert env.window.get_size() == (500, 500)
    # the agent, two cells from its start
    assert tuple(env.window.get_at((110, 10)))[:3] == (255, 0, 0)
    assert env.clock.get_time() >= 90  # ms between the last two frames
    env.close()
    env.close()


def test_the_classic_world_starts_in_the_corner_and_never_ends_early():
    env = gym.make("curriculum/GridworldClassic-v0")
    obs, info = env.reset(seed=0)
    np.testing.assert_array_equal(obs, [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    assert info == {}
    outcomes = [env.step(GO) for _ in range(500)]
    assert not any(outcome[2] or outcome[3] for outcome in outcomes)
    env.reset()
    assert [env.step(action)[4]["is_success"] for action in SCRIPT] == [False] * 17 + [
        True
    ]


def test_an_action_outside_the_space_is_refused():
    env = gym.make("curriculum/Gridworld-v0")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="-1"):
        env.step(-1)


def same(one, other) -> bool:
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if one.dtype == object:
        return all(
            (a is None and b is None) or np.array_equal(a, b)
            for a, b in zip(one, other, strict=True)
        )
    return np.array_equal(one, other)


@pytest.mark.parametrize("observation", ["pose", "image"])
def test_a_batch_of_64_rows_is_64_single_environments(observation):
    fields = {"observation": observation, "max_steps": 9}
    batch = gym.make_vec("curriculum/Gridworld-v0", num_envs=64, **fields)
    kwargs = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    single = gym.make_vec(
        "curriculum/Gridworld-v0", 64, "sync", vector_kwargs=kwargs, **fields
    )
    assert batch.metadata["autoreset_mode"] == single.metadata["autoreset_mode"]
    assert (batch.observation_space, batch.action_space) == (
        single.observation_space,
        single.action_space,
    )
    np.testing.assert_array_equal(batch.reset(seed=7)[0], single.reset(seed=7)[0])
    rng, over = np.random.default_rng(0), 0
    for _ in range(60):
        action = rng.integers(3, size=64)
        obs, reward, terminated, truncated, infos = batch.step(action)
        expected = single.step(action)
        np.testing.assert_array_equal(obs, expected[0])
        np.testing.assert_array_equal(reward, expected[1].astype(np.float32))
        np.testing.assert_array_equal(terminated, expected[2])
        np.testing.assert_array_equal(truncated, expected[3])
        assert same(expected[4], infos)
        over += terminated.sum()
    assert over > 0


def test_the_vector_environment_draws_every_row():
    batch: Any = gym.make_vec(
        "curriculum/Gridworld-v0", num_envs=2, render_mode="rgb_array", start="fixed"
    )
    batch.reset(seed=0)
    batch.step(np.array([GO, RIGHT]))
    first, second = batch.render()
    assert first[10, 60].tolist() == second[60, 10].tolist() == [255, 0, 0]


@pytest.mark.parametrize("heading", range(4))
def test_keys_turn_towards_where_they_point(heading: int):
    state = np.array([5, 5, heading])
    keys = [(0, -1), (1, 0), (0, 1), (-1, 0)]  # up, right, down, left
    assert Gridworld().steer(state, *keys[heading]) == GO
    assert Gridworld().steer(state, *keys[(heading + 1) % 4]) == RIGHT
    assert Gridworld().steer(state, *keys[heading - 1]) == LEFT
    assert Gridworld().steer(state, *keys[heading - 2]) == LEFT  # twice
    assert Gridworld().steer(state, 0, 0) is None


def test_the_trail_connects_the_cells_of_the_episode():
    states = np.array([(0, 0, 1), (0, 1, 1), (0, 2, 1), (1, 2, 2)])
    picture = Gridworld().draw_trail(states).astype(int)
    assert (picture.shape, picture.dtype.kind) == ((500, 500, 3), "i")

    def shows(colour: tuple[int, int, int], row: float, column: float) -> bool:
        """Cells are 48 pixels wide, inside a frame of 10."""
        pixel = picture[int(10 + 48 * row), int(10 + 48 * column)]
        return bool(np.abs(pixel - colour).max() < 4)

    trail, red, stone = (120, 152, 216), (214, 69, 65), (72, 82, 96)
    assert all(shows(trail, 0.5, column) for column in (0.5, 1, 1.5, 2, 2.5))
    assert shows(red, 1.5, 2.5)
    assert shows(stone, 2.5, 2.5)
    assert not shows(trail, 0.5, 3)
    assert not shows(trail, 1.5, 1.5)
