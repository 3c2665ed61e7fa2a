"""What every planner promises, and what the built-in ones do."""

import tempfile
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from planning import act

from curriculum.envs._base.native import NativeRows
from curriculum.envs._pointmass import mazes
from curriculum.envs.botevade import BotEvade
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pendulum import Pendulum
from curriculum.envs.pointmass import Pointmass
from curriculum.planners.balance import Balance
from curriculum.planners.constant import Constant
from curriculum.planners.noisy import Noisy
from curriculum.planners.random import Random
from curriculum.planners.shortest_path import ShortestPath
from curriculum.planners.swing_up import SwingUp
from curriculum.setting import plugins
from curriculum.types import Spec, stream

FINITE = ["random", "shortest_path"]  # those that play any finite world, and the mazes
PLAYED = [  # planners and worlds they fit
    *[(name, Gridworld) for name in FINITE],
    *[(name, Pointmass) for name in FINITE],
    ("random", CartPole),
    ("random", Pendulum),
    ("constant", Gridworld),
    ("constant", Pendulum),
    ("noisy", Gridworld),
    ("mcts", Gridworld),
    ("shooting", CartPole),
    ("uniform_cost", Gridworld),
    ("mppi", Pendulum),
    ("shortest_path", BotEvade),
    ("tlppo", BotEvade),
    ("balance", CartPole),
    ("swing_up", Pendulum),
    ("dqn", Gridworld),
    ("qrdqn", Gridworld),
    ("sac", Pendulum),
    ("tqc", Pendulum),
    ("crossq", Pendulum),
    ("ars", Gridworld),
    ("ars", Pendulum),
    ("explorer", Gridworld),
    ("explorer", Pendulum),
]
EXPERTS = {"dqn", "qrdqn", "sac", "tqc", "crossq"}
BRIEF = {
    "max_steps": 64,
    "rows": 4,
    "learning_starts": 32,
    "batch_size": 16,
    "eval_every": 64,
    "eval_episodes": 2,
}
QUICK: dict[str, dict[str, Any]] = {  # settings with which slow ones are tested here
    **{name: BRIEF | {"cache": tempfile.mkdtemp()} for name in EXPERTS},
    "ars": {
        "max_steps": 1,
        "eval_every": 1,
        "eval_episodes": 2,
        "directions": 2,
        "cache": tempfile.mkdtemp(),
    },
    "mcts": {"simulations": 4, "rollouts": 2, "horizon": 4},
    "shooting": {"horizon": 4},
    "mppi": {"samples": 4, "horizon": 4},
    "tlppo": {"simulations": 10, "scenarios": 4, "depth": 5},
}
every_match = pytest.mark.parametrize(
    ("name", "world"), PLAYED, ids=lambda given: getattr(given, "__name__", given)
)


def rows_of(*seeds: int, each: int = 4, world: Any = Gridworld, **fields) -> NativeRows:
    return NativeRows(
        world(**fields), [stream(seed, "environment") for seed in seeds], each
    )


def spec_of(rows: NativeRows, **changes) -> Spec:
    space, acted = rows.single_observation_space, rows.single_action_space
    number, size = int(getattr(acted, "n", 0)), sum(acted.shape or ())
    return Spec(
        space.shape, str(space.dtype), space.low, space.high, number, size
    )._replace(**changes)


def make(name: str) -> Any:
    return plugins.make("planner", name, **QUICK.get(name, {}))


def play(rows: NativeRows, actor, steps: int) -> np.ndarray:
    """Actions [steps, N] of a planner in `rows`."""
    everyone = np.arange(rows.count)
    actions = []
    for _ in range(steps):
        actions.append(act(actor, rows.obs, everyone))
        rows.step(actions[-1])
    return np.array(actions)


def test_every_planner_is_tested_in_some_world():
    elsewhere = {"sb3", "policy"}  # in test_experts.py and test_policy.py
    assert {name for name, _ in PLAYED} == set(plugins.names("planner")) - elsewhere


@every_match
def test_a_planner_gives_an_allowed_action_for_any_of_the_rows(name, world):
    rows = rows_of(0, 1, world=world)
    rows.reset()
    actor = make(name)
    assert actor.setup(rows, spec_of(rows), (0, 1)) is actor
    assert actor.needs in ("observation", "state")
    for some in (np.arange(8), np.array([1, 6, 7]), np.array([], np.int64)):
        action = act(actor, rows.obs[some], some)
        assert action.shape == (len(some), *(rows.single_action_space.shape or ()))
        assert action.dtype == (np.float32 if world is Pendulum else np.int64)
        assert all(rows.single_action_space.contains(one) for one in action)


@every_match
def test_a_seed_alone_plans_as_among_others(name, world):
    together, alone = rows_of(0, 1, 2, world=world), rows_of(1, world=world)
    together.reset()
    alone.reset()
    many = play(together, make(name).setup(together, spec_of(together), (0, 1, 2)), 40)
    one = play(alone, make(name).setup(alone, spec_of(alone), (1,)), 40)
    np.testing.assert_array_equal(many[:, 4:8], one)


@every_match
def test_a_planner_resumes_exactly(name, world):
    rows = rows_of(0, 1, world=world)
    rows.reset()
    actor = make(name).setup(rows, spec_of(rows), (0, 1))
    play(rows, actor, 10)
    saved_rows, saved = rows.save(), actor.state()
    expected = play(rows, actor, 20)
    other = make(name).setup(rows, spec_of(rows), (0, 1))
    other.load(saved)
    rows.load(saved_rows)
    np.testing.assert_array_equal(play(rows, other, 20), expected)


def test_random_actions_are_uniform():
    rows = rows_of(0, each=3_000)
    actor = Random().setup(rows, spec_of(rows), (0,))
    action = act(actor, np.zeros((3_000, 6)), np.arange(3_000))
    np.testing.assert_allclose(
        np.bincount(action, minlength=3), 1_000, atol=4 * (3_000 * 2 / 9) ** 0.5
    )
    box = (
        Random()
        .setup(rows, spec_of(rows, actions=0, action_size=2), (0,))
        .act(np.zeros((3_000, 6)), np.arange(3_000))
    )
    assert (box.shape, box.dtype) == ((3_000, 2), np.float32)
    assert np.abs(box).max() <= 1
    np.testing.assert_allclose(box.mean(0), 0, atol=4 * (1 / 3 / 3_000) ** 0.5)
    np.testing.assert_allclose(box.var(0), 1 / 3, atol=0.03)


def test_a_constant_action_is_the_one_given_or_the_first_to_the_goal():
    grid, pendulum, maze = (
        rows_of(0),
        rows_of(0, world=Pendulum),
        rows_of(0, world=Pointmass, maze="easy"),
    )
    for action, rows, expected in [
        ((2,), grid, 2),
        ((), grid, 0),
        ((-0.5,), pendulum, [-0.5]),
        ((), pendulum, [0]),
    ]:
        actor = Constant(action=action).setup(rows, spec_of(rows), (0,))
        assert act(actor, np.zeros((3, 1)), np.arange(3)).tolist() == [expected] * 3
    actor = Constant().setup(maze, spec_of(maze), (0,))
    # right, out of the top left corner
    assert act(actor, np.zeros((2, 1)), np.arange(2)).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("action", "world", "message"),
    [
        ((3,), Gridworld, r"constant needs one of the actions 0 to 2, got \(3,\)"),
        ((0.5,), Gridworld, "constant needs one of the actions 0 to 2"),
        ((0, 1), Gridworld, "constant needs one of the actions 0 to 2"),
        ((1.5,), Pendulum, r"constant needs 1 numbers between -1 and 1, got \(1.5,\)"),
        ((0.0, 0.0), Pendulum, "constant needs 1 numbers between -1 and 1"),
    ],
)
def test_a_constant_action_that_the_world_does_not_have_is_refused(
    action, world, message
):
    rows = rows_of(0, world=world)
    with pytest.raises(ValueError, match=message):
        Constant(action=action).setup(rows, spec_of(rows), (0,))


# a third is right by chance
@pytest.mark.parametrize(("epsilon", "kept"), [(0, 1), (0.3, 0.8), (1, 1 / 3)])
def test_noise_replaces_its_share_of_the_actions(epsilon, kept):
    rows = rows_of(0, each=3_000)
    rows.reset()
    everyone = np.arange(3_000)
    best = act(ShortestPath().setup(rows, spec_of(rows), (0,)), rows.obs, everyone)
    action = act(
        Noisy(epsilon=epsilon).setup(rows, spec_of(rows), (0,)), rows.obs, everyone
    )
    assert (action == best).mean() == pytest.approx(
        kept, abs=4 * (kept * (1 - kept) / 3_000) ** 0.5
    )


def test_noise_in_a_box_is_uniform():
    rows = rows_of(0, each=3_000, world=Pendulum)
    action = Noisy(planner="constant", settings=("action=[0.5]",), epsilon=0.5).setup(
        rows, spec_of(rows), (0,)
    )
    torque = act(action, np.zeros((3_000, 3)), np.arange(3_000))[:, 0]
    noise = torque[torque != 0.5]
    assert len(noise) / 3_000 == pytest.approx(0.5, abs=0.04)
    assert np.quantile(noise, (0.25, 0.5, 0.75)) == pytest.approx(
        (-0.5, 0, 0.5), abs=0.1
    )


def test_noise_needs_what_the_other_planner_needs_and_remembers_what_it_remembers():
    assert (Noisy(planner="random").needs, Noisy().needs) == ("observation", "state")
    rows = rows_of(0, 1, world=Pendulum)
    rows.reset()
    noisy = Noisy(planner="mppi", settings=("samples=4", "horizon=3", "noise=1")).setup(
        rows, spec_of(rows), (0, 1)
    )
    other: Any = noisy.other
    assert (other.samples, other.horizon, other.noise) == (4, 3, 1)
    act(noisy, rows.obs, np.arange(8))
    saved = noisy.state()
    act(noisy, rows.obs, np.arange(8))
    noisy.load(saved)
    np.testing.assert_array_equal(other.plans.actions, saved["other"]["plan"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("horizon", "settings of a planner look like name=value, got 'horizon'"),
        (
            "horizn=3",
            r"no setting 'horizn'; there are: samples, .* "
            r"\(perhaps you meant horizon\)",
        ),
        ("horizon=3.5", "the setting horizon is of type int, got '3.5'"),
        ("noise=much", "the setting noise is of type float, got 'much'"),
    ],
)
def test_noise_refuses_settings_that_the_other_planner_does_not_have(settings, message):
    rows = rows_of(0, world=Pendulum)
    with pytest.raises(ValueError, match=message):
        Noisy(planner="mppi", settings=(settings,)).setup(rows, spec_of(rows), (0,))


def steps_to_goal(motion: str) -> dict[tuple[int, int, int], int]:
    """Fewest steps to the goal from every free cell and heading, by breadth-first
    search backwards."""
    walls, moves = (
        {(2, 2), (3, 4), (5, 6)},
        {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)},
    )
    free = [(r, c) for r in range(10) for c in range(10) if (r, c) not in walls]
    before: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    for row, column in free:
        for heading in range(4):
            for turn in (-1, 0, 1):
                looks = (heading + turn) % 4
                there = (row + moves[looks][0], column + moves[looks][1])
                stays = there not in free or (motion == "turn-in-place" and turn != 0)
                before.setdefault(
                    ((row, column) if stays else there) + (looks,), []
                ).append((row, column, heading))
    found = {(9, 9, heading): 0 for heading in range(4)}
    queue = deque(found)
    while queue:
        state = queue.popleft()
        for earlier in before.get(state, []):
            if earlier not in found:
                found[earlier] = found[state] + 1
                queue.append(earlier)
    return found


@pytest.mark.parametrize("motion", ["turn-and-move", "turn-in-place"])
def test_shortest_paths_are_as_short_as_a_search_finds(motion):
    expected = {state: steps for state, steps in steps_to_goal(motion).items() if steps}
    assert len(expected) == 384
    rows = rows_of(0, each=384, motion=motion)
    rows.reset()
    rows.state = np.array(list(expected))
    actor = ShortestPath().setup(rows, spec_of(rows), (0,))
    length, reward, playing = np.zeros(384), np.zeros(384), np.ones(384, bool)
    for _ in range(max(expected.values())):
        step = rows.step(act(actor, rows.obs, np.arange(384)))
        length += playing
        reward += playing * step.reward
        playing &= ~step.terminated
    assert not playing.any()
    np.testing.assert_array_equal(length, list(expected.values()))
    np.testing.assert_allclose(reward, 10.1 - 0.1 * length, atol=1e-5)


@pytest.mark.parametrize(
    ("motion", "best"), [("turn-and-move", 8.30), ("turn-in-place", 8.20)]
)
def test_the_shortest_path_from_the_corner_has_the_recorded_return(motion, best):
    rows = rows_of(0, each=1, motion=motion, start="fixed")
    rows.reset()
    actor = ShortestPath().setup(rows, spec_of(rows), (0,))
    total, over = 0.0, False
    while not over:
        step = rows.step(act(actor, rows.obs, np.array([0])))
        total, over = (
            total + step.reward[0],
            bool(step.terminated[0] or step.truncated[0]),
        )
    assert step.success[0]
    assert total == pytest.approx(best, abs=1e-5)


# means and deviations of at least 100 episodes of a controller that steers from centre
# to centre
@pytest.mark.parametrize(
    ("maze", "mean", "deviation"),
    [
        ("easy", -15.3, 2.6),
        ("medium", -21.5, 3.2),
        ("hard", -38.5, 4.9),
        ("veryhard", -69.2, 5.4),
    ],
)
def test_shortest_paths_through_the_mazes_have_the_recorded_returns(
    maze, mean, deviation
):
    reward, success = returns(
        rows_of(0, each=200, world=Pointmass, maze=maze), ShortestPath()
    )
    assert reward.mean() == pytest.approx(
        mean, abs=2 * deviation * (1 / 200 + 1 / 100) ** 0.5
    )
    assert reward.std() == pytest.approx(deviation, rel=0.25)
    assert success.all()


def test_shortest_paths_steer_to_the_next_centre_along_the_axis_that_is_farther_off():
    # row 0 "..#...", row 1 "#.#.#.", row 2 "..#.##"
    rows = rows_of(0, world=Pointmass, each=5)
    actor = ShortestPath().setup(rows, spec_of(rows), (0,))
    # right, then down; the same from elsewhere in these cells, where 0.7 to the right
    # and 0.6 down are the larger errors; and down from above the goal's cell
    rows.state = np.array([(0.5, 0.5), (0.5, 1.5), (0.9, 0.8), (0.9, 1.1), (0.5, 5.5)])
    assert act(actor, rows.world.observe(rows.state), np.arange(5)).tolist() == [
        2,
        4,
        2,
        4,
        4,
    ]


@pytest.mark.parametrize("maze", mazes.names())
def test_shortest_paths_lead_to_the_goal_of_every_maze(maze):
    rows = rows_of(0, each=20, world=Pointmass, maze=maze, start="random", noise=0.2)
    assert returns(rows, ShortestPath())[1].all()


class Hopeless(Gridworld):
    def success(self, state):
        return np.zeros(len(state), bool)


def test_worlds_without_a_shortest_path_are_refused():
    rows = rows_of(0)
    with pytest.raises(ValueError, match="no path to success"):
        ShortestPath().setup(
            NativeRows(Hopeless(), [stream(0, "environment")]), spec_of(rows), (0,)
        )
    with pytest.raises(
        ValueError, match="knows its shortest paths, or one whose states"
    ):
        ShortestPath().setup(SimpleNamespace(world=object()), spec_of(rows), (0,))


def returns(rows: NativeRows, actor: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return and success of one episode in every row."""
    rows.reset()
    actor.setup(rows, spec_of(rows), (0,))
    everyone, total, succeeded = (
        np.arange(rows.count),
        np.zeros(rows.count),
        np.zeros(rows.count, bool),
    )
    playing = np.ones(rows.count, bool)
    while playing.any():
        step = rows.step(act(actor, rows.obs, everyone))
        total += playing * step.reward
        succeeded = np.where(playing, step.success, succeeded)
        playing &= ~(step.terminated | step.truncated)
    return total, succeeded


def test_balance_keeps_every_pole_up_for_a_whole_episode():
    reward, success = returns(rows_of(0, each=200, world=CartPole), Balance())
    assert reward.tolist() == [500] * 200
    assert success.all()


def test_balance_saves_poles_that_already_lean_and_move():
    rows = rows_of(0, each=200, world=CartPole)
    rows.reset()
    actor = Balance().setup(rows, spec_of(rows), (0,))
    rows.state *= (10, 5, 2, 10)  # up to 0.5 m, 0.25 m/s, 0.1 rad and 0.5 rad/s
    for _ in range(499):
        assert not rows.step(act(actor, rows.obs, np.arange(200))).terminated.any()


def test_swing_up_is_near_the_best_return_there_is():
    reward, success = returns(rows_of(0, each=500, world=Pendulum), SwingUp())
    assert reward.mean() > -155  # the best is about -145
    assert success.all()


def test_swing_up_holds_with_a_share_of_the_motors_limit_and_pumps_along_the_motion():
    rows = rows_of(0, each=4, world=Pendulum)
    rows.reset()
    actor = SwingUp().setup(rows, spec_of(rows), (0,))
    # held: -8 * 0.1 = -0.8 of 2 N m, and -2 * -0.3 = 0.6 a whole turn on; pumped: 10 J
    # short at the bottom, 0.1 * 10 = 1; at a quarter turn 5 J short, less 36 / 6 = 6 J
    # of motion: 6 * -1 is braking in full
    rows.state[:] = [(0.1, 0), (2 * np.pi, -0.3), (np.pi, 0.1), (np.pi / 2, 6)]
    np.testing.assert_allclose(
        act(actor, rows.obs, np.arange(4))[:, 0], [-0.4, 0.3, 0.5, -1], atol=1e-3
    )


def test_swing_up_leaves_the_very_bottom():
    rows = rows_of(0, each=2, world=Pendulum)
    rows.reset()
    actor = SwingUp().setup(rows, spec_of(rows), (0,))
    rows.state[:] = [(np.pi, 0), (-7 * np.pi, 0)]
    for _ in range(150):
        step = rows.step(act(actor, rows.obs, np.arange(2)))
    assert step.success.all()


def test_noise_is_not_added_to_a_planner_that_learns():
    planner = Noisy(planner="explorer")
    with pytest.raises(ValueError, match="explorer learns in it"):
        planner.check_world(Gridworld())


@pytest.mark.parametrize(
    ("planner", "world", "message"),
    [
        (
            Balance(),
            Pendulum,
            "balance needs a pole on a cart, such as --env cartpole; "
            r"Pendulum is not one",
        ),
        (
            Balance(),
            Gridworld,
            "balance needs a pole on a cart, such as --env cartpole; "
            r"Gridworld is not one",
        ),
        (
            SwingUp(),
            CartPole,
            "swing_up needs a pendulum with a motor, such as --env pendulum; "
            r"CartPole is not",
        ),
        (SwingUp(), Gridworld, "swing_up needs a pendulum with a motor"),
        (
            ShortestPath(),
            CartPole,
            "shortest_path needs a world that knows its shortest paths, or one",
        ),
        (
            ShortestPath(),
            Pendulum,
            "shortest_path needs a world that knows its shortest paths, or one",
        ),
    ],
)
def test_a_planner_refuses_a_world_it_does_not_fit(planner, world, message):
    rows = rows_of(0, world=world)
    with pytest.raises(ValueError, match=f"^{message}"):
        planner.setup(rows, spec_of(rows), (0,))
