"""Any Gymnasium id as a world: rows, copies, pictures, and what is refused."""

import copy
import ctypes.util
import dataclasses
import functools
import importlib.util
import json
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import utils

from curriculum.envs._gym import physics
from curriculum.envs._gym.source import find_facts
from curriculum.envs.gym import Gym
from curriculum.run import checkpoint
from curriculum.run.evaluation import d4rl_score
from curriculum.setting import plugins

NEEDED = {
    "Hopper": "mujoco",
    "LunarLander": "Box2D",
    "MiniGrid": "minigrid",
    "PointMaze": "gymnasium_robotics",
}
NEEDED |= dict.fromkeys(
    [
        "Walker2d",
        "HalfCheetah",
        "Swimmer",
        "Inverted",
        "Ant-",
        "Reacher",
        "Pusher",
        "Humanoid",
    ],
    "mujoco",
)
IDS = [
    "CartPole-v1",
    "Pendulum-v1",
    "FrozenLake-v1",
    "Blackjack-v1",
    "LunarLander-v3",
    "MiniGrid-DoorKey-5x5-v0",
    "PointMaze_UMaze-v3",
    "Hopper-v5",
]
LIMIT = 25  # steps of an episode in these tests
every_id = pytest.mark.parametrize("id", IDS)


@pytest.fixture(autouse=True)
def _surroundings(request, monkeypatch, tmp_path):
    """Skip a test whose environment comes in a package that is not there; MuJoCo writes
    its warnings where it runs."""
    monkeypatch.chdir(tmp_path)
    id = getattr(request.node, "callspec", None) and request.node.callspec.params.get(
        "id", ""
    )
    for start, module in NEEDED.items():
        if id and id.startswith(start) and not importlib.util.find_spec(module):
            pytest.skip(f"{id} needs {module}, an optional package")


def generators(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def rows_of(world: Any, rngs: list[np.random.Generator], count: int = 1) -> Any:
    return world.rows(rngs, count)


def actions_of(world: Gym, *shape: int, seed: int = 3) -> np.ndarray:
    """Random actions [*shape] or [*shape, A] in [-1, 1]."""
    rng, space = np.random.default_rng(seed), world.action_space
    if isinstance(space, gym.spaces.Discrete):
        return rng.integers(space.n, size=shape)
    return rng.uniform(-1, 1, (*shape, *space.shape)).astype(np.float32)


class Bare:
    """What a user of Gymnasium would write: one environment, seeded for every episode
    by `rng`."""

    def __init__(self, id: str, rng: np.random.Generator, **kwargs: Any):
        self.env, self.rng = gym.make(id, **kwargs), rng
        parts: Any = self.env.observation_space
        self.space = parts
        if isinstance(parts, gym.spaces.Dict) and "mission" in parts.spaces:
            self.space = gym.spaces.Dict(
                {key: part for key, part in parts.items() if key != "mission"}
            )

    def flat(self, obs: Any) -> np.ndarray:
        return np.asarray(utils.flatten(self.space, obs)).astype(np.float32)

    def reset(self) -> np.ndarray:
        return self.flat(self.env.reset(seed=int(self.rng.integers(2**31)))[0])

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        space: Any = self.env.action_space
        if not isinstance(space, gym.spaces.Discrete):
            low, high = space.low.astype(float), space.high.astype(float)
            action = ((low + high) / 2 + (high - low) / 2 * action).astype(np.float32)
        obs, reward, terminated, truncated, _ = self.env.step(action)
        return self.flat(obs), float(reward), bool(terminated), bool(truncated)


@every_id
def test_rows_are_what_gymnasium_makes_of_the_same_seeds(id):
    world = Gym(id=id, time_limit=LIMIT)
    rows = rows_of(world, generators(7), 1)
    bare = Bare(id, *generators(7), max_episode_steps=LIMIT)
    assert world.max_steps == LIMIT
    obs = bare.reset()
    np.testing.assert_array_equal(rows.reset()[0], obs)
    ends = 0
    for action in actions_of(world, 4 * LIMIT, 1):
        step = rows.step(action)
        next_obs, reward, terminated, truncated = bare.step(action[0])
        np.testing.assert_allclose(step.next_obs[0], next_obs, atol=1e-6)
        np.testing.assert_allclose(step.reward[0], reward, rtol=1e-5)
        assert (step.terminated[0], step.truncated[0]) == (
            terminated,
            truncated and not terminated,
        )
        ends += terminated or truncated
        np.testing.assert_allclose(
            step.obs[0],
            bare.reset() if terminated or truncated else next_obs,
            atol=1e-6,
        )
        assert rows.obs is step.obs
        assert (rows.time[0] == 0) == (terminated or truncated)
    assert ends >= 4
    space = rows.single_observation_space
    assert (space.dtype, step.obs.dtype, step.reward.dtype) == (np.float32,) * 3
    assert space.contains(step.obs[0])


@every_id
def test_a_seed_alone_plays_as_among_others(id):
    world = Gym(id=id, time_limit=LIMIT)
    together, alone = (
        rows_of(world, generators(0, 1), 2),
        rows_of(world, generators(1), 2),
    )
    np.testing.assert_array_equal(together.reset()[2:], alone.reset())
    for action in actions_of(world, 2 * LIMIT, 4):
        for many, one in zip(
            together.step(action), alone.step(action[2:]), strict=True
        ):
            np.testing.assert_array_equal(many[2:], one)


@every_id
def test_rows_resume_exactly_in_mid_episode(id, tmp_path):
    world = Gym(id=id, time_limit=100, success_return=3)
    rows, other = rows_of(world, generators(0), 2), rows_of(world, generators(9), 2)
    actions = actions_of(world, 150, 2)
    rows.reset()
    for action in actions[:90]:
        obs = rows.step(action).obs
    # arrays and plain values only
    checkpoint.write(tmp_path / "saved", {"environment": rows.save()})
    expected = [rows.step(action) for action in actions[90:]]
    np.testing.assert_array_equal(
        other.load(checkpoint.read(tmp_path / "saved")["environment"]), obs
    )
    for action, step in zip(actions[90:], expected, strict=True):
        for was, now in zip(step, other.step(action), strict=True):
            np.testing.assert_array_equal(was, now)


def test_a_long_episode_is_saved_whole():
    rows = rows_of(Gym(id="Pendulum-v1"), generators(0), 1)
    actions = actions_of(rows.world, 190, 1)
    rows.reset()
    for action in actions[:150]:
        rows.step(action)
    saved = rows.save()
    np.testing.assert_array_equal(saved["actions"][0], actions[:150, 0])
    json.dumps(saved["generators"])
    expected = [rows.step(action).obs for action in actions[150:]]
    rows.load(saved)
    np.testing.assert_array_equal(
        [rows.step(action).obs for action in actions[150:]], expected
    )


LOCOMOTION = [  # ids, options
    ("Hopper-v5", {}),
    ("Hopper-v5", {"terminate_when_unhealthy": False, "healthy_reward": 2}),
    ("Hopper-v5", {"exclude_current_positions_from_observation": False}),
    ("Walker2d-v5", {"ctrl_cost_weight": 0.5, "frame_skip": 2}),
    ("HalfCheetah-v5", {}),
    ("Swimmer-v5", {}),
    ("InvertedPendulum-v5", {}),
]


@pytest.mark.parametrize(("id", "options"), LOCOMOTION)
def test_locomotion_is_stepped_without_the_environment_to_the_same_bit(id, options):
    words = tuple(f"{name}={json.dumps(value)}" for name, value in options.items())
    world = Gym(id=id, time_limit=25, options=words)
    rows = rows_of(world, generators(7), 1)
    assert rows.direct
    bare = Bare(id, *generators(7), max_episode_steps=25, **options)
    np.testing.assert_array_equal(rows.reset()[0], bare.reset())
    for action in actions_of(world, 80, 1):
        step = rows.step(action)
        next_obs, reward, terminated, truncated = bare.step(action[0])
        np.testing.assert_array_equal(step.next_obs[0], next_obs)
        assert step.reward[0] == np.float32(reward)
        assert step.terminated[0] == terminated
        assert step.truncated[0] == (truncated and not terminated)
        if terminated or truncated:
            np.testing.assert_array_equal(step.obs[0], bare.reset())


# --- ends and success ---


def test_ended_and_cut_short_stay_apart():
    fall = rows_of(Gym(id="CartPole-v1"), generators(0), 1)
    fall.reset()
    length = 1
    while not (step := fall.step(np.array([1]))).terminated[0]:
        length += 1
    assert not step.truncated[0]
    for limit, flags in ((length - 1, (False, True)), (length, (True, False))):
        rows = rows_of(Gym(id="CartPole-v1", time_limit=limit), generators(0), 1)
        rows.reset()
        for _ in range(limit):
            step = rows.step(np.array([1]))
        assert (step.terminated[0], step.truncated[0]) == flags


def test_resting_rows_are_stepped_no_more_and_the_others_go_on():
    rows, other = (rows_of(Gym(id="Pendulum-v1"), generators(0), 3) for _ in range(2))
    rows.reset(), other.reset()
    rows.rest(np.array([False, True, False]))
    for action in actions_of(rows.world, 5, 3):
        resting, going = rows.step(action), other.step(action)
        for found, expected in zip(resting, going, strict=True):
            np.testing.assert_array_equal(found[[0, 2]], expected[[0, 2]])
    assert [env.get_wrapper_attr("_elapsed_steps") for env in rows.envs] == [5, 0, 5]
    np.testing.assert_array_equal(rows.reset(), other.reset())
    rows.step(action)
    assert rows.envs[1].get_wrapper_attr("_elapsed_steps") == 1


def test_time_limits_are_the_registered_ones_unless_given():
    limits = [Gym(id="Pendulum-v1", time_limit=limit).max_steps for limit in (-1, 0, 7)]
    assert limits == [200, 0, 7]
    rows = rows_of(Gym(id="Pendulum-v1", time_limit=0), generators(0), 1)
    rows.reset()
    assert not any(
        rows.step(np.zeros((1, 1), np.float32)).truncated[0] for _ in range(210)
    )
    with pytest.raises(ValueError, match=r"time_limit must be steps, -1 .* got -2"):
        Gym(time_limit=-2)


def test_an_episode_succeeds_with_its_return():
    world = Gym(id="CartPole-v1", success_return=12)
    rows = rows_of(world, generators(0), 2)
    rows.reset()
    lengths: dict[bool, list[int]] = {True: [], False: []}
    length = np.zeros(2, int)
    for _ in range(100):
        # one pushes right and falls, one to and fro
        step = rows.step(np.array([1, rows.time[1] % 2]))
        length += 1
        assert not step.success[~step.terminated].any()
        for row in np.flatnonzero(step.terminated):
            lengths[bool(step.success[row])].append(length[row])
            length[row] = 0
    assert max(lengths[False]) < 12 <= min(lengths[True])
    assert world.has_success
    assert Gym(id="CartPole-v1").threshold == 475
    assert not Gym(id="Pendulum-v1").has_success


def test_d4rl_scores_its_own_worlds_and_those_that_are_given():
    # the hopper: 0 at -20.272305, 100 at 3234.3, so 3,000 is 92.80
    hopper = d4rl_score(np.array([3234.3, 3000.0]), Gym(id="Hopper-v5"))
    assert hopper["d4rl_score"] == pytest.approx([100, 92.80], abs=5e-3)
    given = d4rl_score(np.array([5.0]), Gym(id="CartPole-v1", d4rl=(0, 10)))
    assert given["d4rl_score"] == [50]
    # other rewards are not on its scale
    heavier = Gym(id="Hopper-v5", options=("forward_reward_weight=2",))
    assert d4rl_score(np.zeros(1), heavier) == {}
    assert d4rl_score(np.zeros(1), Gym(id="CartPole-v1")) == {}
    with pytest.raises(ValueError, match="two returns, the lower one first"):
        Gym(d4rl=(10, 0))


@pytest.mark.parametrize(
    "id", ["MiniGrid-Empty-5x5-v0", "minigrid:MiniGrid-Empty-5x5-v0"]
)
def test_minigrids_goal_is_success(id, capsys):
    world = Gym(id=id)
    rows = rows_of(world, generators(0), 1)
    rows.reset()
    # on, on, turn right, on, on
    steps = [rows.step(np.array([action])) for action in (2, 2, 1, 2, 2)]
    assert [bool(step.success[0]) for step in steps] == [False] * 4 + [True]
    assert steps[-1].terminated[0]
    assert steps[-1].reward[0] == pytest.approx(1 - 0.9 * 5 / 100)
    assert (world.max_steps, world.has_success, world.defaults["planner"]) == (
        100,
        True,
        "uniform_cost",
    )
    assert world.observation_space.shape == (4 + 7 * 7 * 3,)
    assert world.observation_space.high.max() == 10
    assert world.title in ("MiniGrid-Empty-5x5-v0", "minigrid-MiniGrid-Empty-5x5-v0")
    assert (
        capsys.readouterr().err.count("text is left out of the observation: mission")
        <= 1
    )


def test_mcts_suits_a_minigrid_whose_obstacles_move_by_chance():
    pytest.importorskip("minigrid", reason="an optional package")
    world = Gym(id="MiniGrid-Dynamic-Obstacles-5x5-v0")
    assert world.defaults["planner"] == "mcts"


def test_what_the_world_tells_is_success():
    pytest.importorskip("gymnasium_robotics", reason="an optional package")
    world = Gym(id="PointMaze_UMaze-v3")
    assert world.has_success
    rows = rows_of(world, generators(0), 2)
    rows.reset()
    env: Any = rows.envs[1].unwrapped
    env.goal = env.data.qpos[:2].copy()
    assert rows.step(np.zeros((2, 2), np.float32)).success.tolist() == [False, True]


# --- what can be a world ---


class Toy(gym.Env):
    """An environment of any spaces, which remembers the last action."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, seen: gym.Space, acted: gym.Space):
        self.observation_space, self.action_space = seen, acted

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.given = action
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 0.0, False, False, {}


BOX = gym.spaces.Box(-1, 1, (2,), np.float32)


def toy(monkeypatch, seen: gym.Space = BOX, acted: gym.Space = BOX) -> Gym:
    made: Any = functools.partial(Toy, seen, acted)
    monkeypatch.setitem(
        gym.registry, "Toy-v0", gym.envs.registration.EnvSpec("Toy-v0", made)
    )
    find_facts.cache_clear()
    return Gym(id="Toy-v0")


SPACES = gym.spaces


@pytest.mark.parametrize(
    ("seen", "acted", "message"),
    [
        (
            SPACES.Sequence(SPACES.Discrete(2)),
            BOX,
            "shows Sequence.* but observations must be boxes, discrete",
        ),
        (SPACES.Text(5), BOX, "shows nothing but text"),
        (BOX, SPACES.Box(-np.inf, 1, (2,)), "takes actions in Box.*finite bounds"),
    ],
)
def test_what_cannot_be_a_world_is_refused(monkeypatch, seen, acted, message):
    with pytest.raises(ValueError, match=message):
        rows_of(toy(monkeypatch, seen, acted), generators(0), 1)


def test_discrete_actions_start_at_zero(monkeypatch):
    world = toy(monkeypatch, acted=SPACES.Discrete(3, start=5))
    assert world.action_space == SPACES.Discrete(3)
    rows = rows_of(world, generators(0), 3)
    rows.reset()
    rows.step(np.array([0, 2, 1]))
    assert [env.unwrapped.given for env in rows.envs] == [5, 7, 6]


def test_box_actions_of_any_shape_are_scaled_to_their_bounds(monkeypatch):
    rows = rows_of(
        toy(
            monkeypatch,
            acted=SPACES.Box(
                np.zeros((2, 2), np.float32), np.array([[1, 2], [4, 8]], np.float32)
            ),
        ),
        generators(0),
    )
    rows.reset()
    assert rows.single_action_space == SPACES.Box(-1, 1, (4,), np.float32)
    rows.step(np.array([[-1, 0, 0.5, 1]], np.float32))
    assert rows.envs[0].unwrapped.given.tolist() == [[0, 1], [3, 8]]


def test_every_part_of_an_observation_has_its_place(monkeypatch, capsys):
    seen = SPACES.Tuple(
        [
            SPACES.Discrete(3, start=-1),
            SPACES.Text(9),
            SPACES.Dict({"b": SPACES.MultiBinary(2), "a": SPACES.Box(0, 9, (1, 2))}),
        ]
    )
    view = toy(monkeypatch, seen).facts.view
    assert capsys.readouterr().err.endswith("text is left out of the observation: 1\n")
    value = (0, "left out", {"a": np.array([[7, 8]]), "b": np.array([1, 0])})
    assert view(value).tolist() == [0, 1, 0, 7, 8, 1, 0]
    assert view.box.high.tolist() == [1, 1, 1, 9, 9, 1, 1]


def test_options_reach_the_environment():
    world = Gym(id="FrozenLake-v1", options=("map_name=8x8", "is_slippery=false"))
    assert world.observation_space.shape == (64,)
    rows = rows_of(world, generators(0), 1)
    rows.reset()
    for _ in range(5):  # never slips: five cells to the right
        step = rows.step(np.array([2]))
    assert step.obs[0].argmax() == 5


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        (
            "CartPole-v1",
            ("wheels=4",),
            "CartPole-v1 does not take these options: .*'wheels'",
        ),
        ("CartPole-v1", ("wheels",), "options look like name=value, got 'wheels'"),
        (
            "CartPole-v1",
            ("max_episode_steps=4",),
            "options cannot set max_episode_steps: use time_limit",
        ),
        (
            "CartPol-v1",
            (),
            "no Gymnasium environment 'CartPol-v1': .*Did you mean: CartPole",
        ),
        ("CartPole-v9", (), "no Gymnasium environment 'CartPole-v9': .*v0, v1"),
        (
            "nowhere/CartPole-v1",
            (),
            "no Gymnasium environment .*Namespace nowhere not found",
        ),
        ("cart pole", (), "Malformed environment ID: cart pole.$"),
        ("nowhere:CartPole-v1", (), "needs the module 'nowhere': pip install nowhere"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(id, options, message):
    with pytest.raises(ValueError, match=message) as raised:
        Gym(id=id, options=options).max_steps  # noqa: B018
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("id", "module", "install"),
    [
        ("MiniGrid-Empty-6x6-v0", "minigrid", "pip install minigrid"),
        ("PointMaze_Medium-v3", "gymnasium_robotics", "pip install gymnasium-robotics"),
        ("ALE/Pong-v5", "ale_py", "pip install ale-py"),
        ("LunarLander-v3", "Box2D", r"pip install .*gymnasium\[box2d\]"),
        ("Hopper-v5", "mujoco", r"pip install .*gymnasium\[mujoco\]"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, id, module, install):
    for name in [
        m
        for m in sys.modules
        if m.startswith(("gymnasium.envs.box2d", "gymnasium.envs.mujoco"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=install):
        Gym(id=id, time_limit=12_345).max_steps  # noqa: B018


def test_the_plug_in_is_plain_data():
    world = Gym(id="CartPole-v1", options=("sutton_barto_reward=true",))
    twin = copy.deepcopy(world)
    assert twin == world
    assert twin.observation_space is world.observation_space  # found out once
    assert dataclasses.replace(world, time_limit=3).max_steps == 3
    assert [f.name for f in plugins.describe("env", "gym").fields] == [
        f.name for f in dataclasses.fields(Gym)
    ]
    assert world.fps == 50
    assert (world.defaults["planner"], world.defaults["learner"]) == ("dqn", "iql")


# --- copies ---


def together(id: str, before: int, **fields) -> tuple[Gym, Any, list[Bare]]:
    """Rows of a world and as many bare environments in the same episodes, `before`
    steps on."""
    world = Gym(id=id, **fields)
    rows = rows_of(world, generators(*range(3)), 1)
    options = {
        name: json.loads(text)
        for name, text in (option.split("=") for option in world.options)
    }
    bare = [Bare(id, rng, **options) for rng in generators(*range(3))]
    rows.reset()
    for one in bare:
        one.reset()
    for action in actions_of(world, before, 3, seed=1):
        assert not rows.step(action).terminated.any()
        for one, given in zip(bare, action, strict=True):
            one.step(given)
    return world, rows, bare


COPIED = [  # ids, steps before, steps imagined
    ("Hopper-v5", 5, 40, ()),
    (
        "Hopper-v5",
        5,
        30,
        ("healthy_z_range=[1.2, 2]", "forward_reward_weight=3", "frame_skip=2"),
    ),
    ("Hopper-v5", 5, 40, ("terminate_when_unhealthy=false", "ctrl_cost_weight=1")),
    ("Hopper-v5", 2, 30, ("healthy_state_range=[-6, 6]",)),
    ("Walker2d-v5", 3, 40, ()),
    ("HalfCheetah-v5", 5, 20, ()),
    ("Swimmer-v5", 5, 20, ()),
    ("InvertedPendulum-v5", 1, 40, ()),
    ("InvertedDoublePendulum-v5", 1, 20, ()),
    ("Ant-v5", 5, 10, ()),
    ("Reacher-v5", 5, 20, ()),
    ("PointMaze_UMaze-v3", 5, 20, ()),
    ("CartPole-v1", 5, 40, ()),
    ("Pendulum-v1", 5, 20, ()),
    ("Acrobot-v1", 5, 20, ()),
    ("MiniGrid-DoorKey-5x5-v0", 20, 20, ()),
]


@pytest.mark.parametrize(("id", "before", "horizon", "options"), COPIED)
def test_copies_go_on_exactly_as_the_environments(id, before, horizon, options):
    world, rows, bare = together(id, before, options=options)
    simulator, rng = rows.simulator(), np.random.default_rng(5)
    states, actions = simulator.states(np.arange(3)), actions_of(world, 3, horizon)
    reward, ended, last = simulator.rollout(states, actions, rng)
    for _ in range(2):  # neither rollouts nor steps change where they start
        first = simulator.step(states, actions[:, 0], rng)
        np.testing.assert_array_equal(first.reward, reward[:, 0])
    expected, over, alive = (
        np.zeros((3, horizon)),
        np.zeros(3, bool),
        np.full(3, horizon),
    )
    for row in range(3):
        for t in range(horizon):
            _, expected[row, t], over[row], _ = bare[row].step(actions[row, t])
            if over[row]:
                alive[row] = t + 1
                break
    np.testing.assert_allclose(reward, expected, atol=1e-9)
    np.testing.assert_array_equal(ended, over)
    for t in range(alive.min()):  # the rows never noticed
        step = rows.step(actions[:, t])
        np.testing.assert_allclose(step.reward, expected[:, t], rtol=1e-5, atol=1e-6)
    if not over.any() and last.dtype != object:
        np.testing.assert_array_equal(simulator.states(np.arange(3)), last)


def test_closed_rows_close_the_copies_they_made(monkeypatch):
    rows = rows_of(Gym(id="Hopper-v5"), generators(0))
    simulator = rows.simulator()
    closed: list[Any] = []
    monkeypatch.setattr(physics, "close", closed.append)
    rows.close()
    assert closed == [simulator.spare]


def test_hoppers_copies_fall_as_hoppers_do():
    pytest.importorskip("mujoco", reason="an optional package")
    world, rows, _ = together("Hopper-v5", 5)
    _, ended, _ = rows.simulator().rollout(
        rows.simulator().states(np.zeros(50, int)),
        actions_of(world, 50, 100),
        np.random.default_rng(0),
    )
    assert ended.mean() > 0.9


@pytest.mark.parametrize(
    ("id", "options", "scale"),
    [
        ("Hopper-v5", (), 0.6),  # some copies fall
        ("Hopper-v5", ("terminate_when_unhealthy=false",), 1.0),
        ("Walker2d-v5", (), 0.3),
        ("HalfCheetah-v5", (), 1.0),
        ("Swimmer-v5", (), 1.0),
        ("InvertedPendulum-v5", (), 0.3),
    ],
)
def test_threads_change_no_bit_of_a_rollout(id, options, scale):
    _, rows, _ = together(id, 3, options=options)
    simulator = rows.simulator()
    state = np.repeat(simulator.states(np.arange(3)), 5, axis=0)
    rng = np.random.default_rng(0)
    size = rows.single_action_space.shape[0]
    actions = (scale * rng.uniform(-1, 1, (15, 40, size))).astype(np.float32)
    reward, ended, last = simulator.rollout(state, actions, rng)
    for threads in (3, 2, 1):
        simulator.use_threads(threads)
        before = state.copy()
        own_reward, own_ended, own_last = simulator.rollout(state, actions, rng)
        np.testing.assert_array_equal(state, before)
        np.testing.assert_array_equal(own_reward, reward)
        np.testing.assert_array_equal(own_ended, ended)
        np.testing.assert_array_equal(
            simulator.observe(own_last), simulator.observe(last)
        )
    if id == "Hopper-v5" and not options:
        assert ended.any()
        assert not ended.all()
    rows.close()


def test_a_state_goes_on_from_any_step_of_a_rollout():
    pytest.importorskip("mujoco", reason="an optional package")
    world, rows, _ = together("Hopper-v5", 1)
    simulator, rng, actions = (
        rows.simulator(),
        np.random.default_rng(0),
        0.2 * actions_of(world, 3, 12),
    )
    whole = simulator.rollout(simulator.states(np.arange(3)), actions, rng)
    half = simulator.rollout(simulator.states(np.arange(3)), actions[:, :6], rng)
    rest = simulator.rollout(half[2], actions[:, 6:], rng)
    assert not whole[1].any()
    np.testing.assert_array_equal(np.concatenate([half[0], rest[0]], 1), whole[0])
    np.testing.assert_array_equal(rest[2], whole[2])


def test_copies_do_not_foresee_chance():
    world = Gym(id="FrozenLake-v1")
    rows, twins = (rows_of(world, generators(0), 1) for _ in range(2))
    rows.reset()
    twins.reset()
    for _ in range(3):
        simulator = rows.simulator()
        copies = simulator.states(np.zeros(900, int))
        went = simulator.step(copies, np.full(900, 2), np.random.default_rng(1)).state
        cells = np.bincount([env.unwrapped.s for env in went], minlength=16)
        possible = {
            int(s)
            for _, s, *_ in rows.envs[0].unwrapped.P[int(rows.obs[0].argmax())][2]
        }
        assert set(np.flatnonzero(cells)) == possible
        if len(possible) == 3:
            np.testing.assert_allclose(
                cells[list(possible)], 300, atol=4 * (900 * 2 / 9) ** 0.5
            )
        again = simulator.step(copies, np.full(900, 2), np.random.default_rng(1)).state
        assert [env.unwrapped.s for env in again] == [env.unwrapped.s for env in went]
        np.testing.assert_array_equal(
            rows.step(np.array([2])).obs, twins.step(np.array([2])).obs
        )


def test_environments_that_cannot_be_copied_are_refused():
    pytest.importorskip("Box2D", reason="an optional package")
    with pytest.raises(
        ValueError,
        match=r"LunarLander-v3 cannot be copied .*a planner that needs no simulator",
    ):
        rows_of(Gym(id="LunarLander-v3"), generators(0)).simulator()


def test_copies_that_earn_other_rewards_are_refused(monkeypatch):
    class Forgetful(Toy):
        """Rewards are counted from the start; a copy begins to count anew."""

        steps = 0

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(2, np.float32), {}

        def step(self, action):
            self.steps += 1
            return np.zeros(2, np.float32), float(self.steps), False, False, {}

        def __deepcopy__(self, memo):
            return Forgetful(self.observation_space, self.action_space)

    made: Any = functools.partial(Forgetful, BOX, BOX)
    spec = gym.envs.registration.EnvSpec("Toy-v0", made)
    monkeypatch.setitem(gym.registry, "Toy-v0", spec)
    with pytest.raises(ValueError, match="copies behave differently"):
        rows_of(Gym(id="Toy-v0"), generators(0)).simulator()


# --- Hopper ---


def test_hopper_is_the_hopper_of_the_papers():
    pytest.importorskip("mujoco", reason="an optional package")
    world = Gym()
    rows = rows_of(world, generators(0, 1), 8)
    rest = np.zeros(11)
    rest[0] = 1.25  # metres above the ground, upright, still
    np.testing.assert_allclose(rows.reset(), np.tile(rest, (16, 1)), atol=5e-3)
    assert (rows.single_action_space.shape, world.max_steps, world.fps) == (
        (3,),
        1000,
        125,
    )
    assert (world.title, world.threshold) == ("Hopper-v5", 3800)
    assert (world.defaults["planner"], world.defaults["learner"]) == ("sac", "td3bc")
    ended = 0
    for action in actions_of(world, 40, 16):
        place = np.array([env.unwrapped.data.qpos[0] for env in rows.envs])
        step = rows.step(action)
        ended += step.terminated.sum()
        assert not step.truncated.any()
        moved = np.array([env.unwrapped.data.qpos[0] for env in rows.envs]) - place
        standing = ~step.terminated
        velocity = moved[standing] / 0.008  # four steps of 2 ms
        np.testing.assert_allclose(
            step.reward[standing],
            velocity + 1 - 0.001 * (action[standing] ** 2).sum(-1),
            atol=1e-5,
        )
    assert ended > 5


# --- pictures ---


@pytest.mark.parametrize(
    "id", ["Pendulum-v1", "MiniGrid-DoorKey-5x5-v0", "LunarLander-v3", "Hopper-v5"]
)
def test_a_row_is_drawn_as_gymnasium_draws_it(id):
    if id.startswith("Hopper") and not ctypes.util.find_library("EGL"):
        pytest.skip("drawing MuJoCo without a display needs Debian's libegl1")
    size: dict[str, Any] = (
        {"width": 64, "height": 48} if id.startswith("Hopper") else {}
    )
    world = Gym(
        id=id,
        time_limit=9,
        options=tuple(f"{name}={pixels}" for name, pixels in size.items()),
    )
    rows = rows_of(world, generators(4, 5), 1)
    rows.reset()
    bare: Bare | None = None
    for t, action in enumerate(actions_of(world, 14, 2)):
        # in the first episode, a little later, and in the next one
        if t in (3, 5, 6, 12):
            picture = rows.picture(1)
            if bare is None:
                bare = Bare(
                    id,
                    *generators(5),
                    max_episode_steps=9,
                    render_mode="rgb_array",
                    **size,
                )
                over, played = True, 0
            for past in actions_of(world, 14, 2)[played:t, 1]:
                if over:
                    bare.reset()
                over = any(bare.step(past)[2:])
            if over:
                bare.reset()
                over = False
            played = t
            expected: Any = bare.env.render()
            assert picture.dtype == np.uint8
            assert picture.std() > 1
            np.testing.assert_array_equal(picture, expected)
        rows.step(action)


def test_the_last_picture_is_that_of_the_end():
    rows = rows_of(Gym(id="CartPole-v1"), generators(0))
    rows.reset()
    seed = int(rows.seeds[0])
    bare = gym.make("CartPole-v1", render_mode="rgb_array")
    bare.reset(seed=seed)
    over = False
    while not over:
        over = bool(rows.step(np.array([1])).terminated[0])
        bare.step(1)
    expected: Any = bare.render()
    np.testing.assert_array_equal(rows.last_picture(0), expected)
    assert (rows.picture(0) != expected).any()


def test_a_world_without_pictures_says_so(monkeypatch):
    rows = rows_of(toy(monkeypatch), generators(0))
    rows.reset()
    with pytest.raises(ValueError, match="Toy-v0 draws no pictures"):
        rows.picture(0)


def test_where_mujoco_cannot_draw_the_libraries_are_named(monkeypatch):
    pytest.importorskip("mujoco", reason="an optional package")
    from curriculum.envs._gym import rendering

    class Blind:
        def render(self):
            raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    with pytest.raises(
        ValueError,
        match=r"eglQueryString.*Debian's libegl1 libegl-mesa0 libgl1-mesa-dri",
    ):
        rendering.render_mujoco(Blind())  # type: ignore[arg-type]
