"""TLPPO, which evades a predator it cannot see: its belief, its plans and its
results."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from planning import act

from curriculum import compiled
from curriculum.envs._base.door import Door
from curriculum.envs._base.native import NativeRows
from curriculum.envs._cellworld.cells import cellworld
from curriculum.envs._cellworld.columns import COLUMN, COLUMNS
from curriculum.envs._cellworld.lattice import CELLS as CELL_COUNT
from curriculum.envs._cellworld.lattice import GOAL, SPACING, START
from curriculum.envs._cellworld.rules import PREY_SPEED, STEP_SECONDS
from curriculum.envs._cellworld.worlds import WORLDS
from curriculum.envs.botevade import BotEvade
from curriculum.envs.gridworld import Gridworld
from curriculum.planners._tlppo.belief import (
    SQUARES,
    Belief,
    cell_of_square,
    shifted,
)
from curriculum.planners._tlppo.options import Options, Prey
from curriculum.planners._tlppo.predators import Chase, Predators
from curriculum.planners._tlppo.scenarios import Rollouts, Weights
from curriculum.planners._tlppo.search import Search
from curriculum.planners._tlppo.tree import Tree
from curriculum.planners.tlppo import TLPPO
from curriculum.run.evaluation import evaluation_door, play
from curriculum.types import Spec, stream

CELLS = cellworld(WORLDS["21_05"])
WEST = CELLS.xy[START]


def spec_of(rows: Any) -> Spec:
    space, acted = rows.single_observation_space, rows.single_action_space
    return Spec(
        space.shape,
        "float32",
        space.low,
        space.high,
        int(getattr(acted, "n", 0)),
        sum(acted.shape or ()),
    )


def rows_of(*seeds: int, each: int = 2, **fields: Any) -> NativeRows:
    rows = NativeRows(
        BotEvade(**fields), [stream(seed, "environment") for seed in seeds], each
    )
    rows.reset()
    return rows


def observation(
    prey: Any, predator: Any = None, heading: float = 0.0, looks: float = np.pi
) -> np.ndarray:
    seen = (0, 0, 0) if predator is None else (*predator, looks)
    return np.array([[*prey, heading, *seen, 0.5, 1, 0, 0, 0]], np.float32)


def belief(world: str = "00_00", step: float = 0.02, **components: bool) -> Belief:
    return Belief(
        cellworld(WORLDS[world]), predator_step=step, prey_step=0.125, **components
    ).setup(1)


def moments(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = (field[..., None] * SQUARES).sum((0, 1))
    return mean, (field[..., None] * (SQUARES - mean) ** 2).sum((0, 1)) ** 0.5


ROW = np.array([0])


def test_squares_belong_to_cells():
    cell = cell_of_square(CELLS)
    assert cell.shape == (86, 100)
    # middles, not corners
    np.testing.assert_allclose(
        SQUARES[[0, -1], [0, -1]], [(0.005, 0.075), (0.995, 0.925)]
    )
    for x, y in ((0.504, 0.502), (0.101, 0.408), (0.988, 0.501), (0.303, 0.895)):
        row, column = int((y - 0.07) / 0.01), int(x / 0.01)
        assert np.abs(SQUARES[row, column] - (x, y)).max() <= 0.005
        near = int(np.linalg.norm(CELLS.xy - SQUARES[row, column], axis=-1).argmin())
        assert cell[row, column] == (near if near not in CELLS.occluded else -1)
    # the corners are outside of the arena
    assert (cell[[0, 0, -1, -1], [0, -1, 0, -1]] == -1).all()
    arena, occluder = 3 * 3**0.5 / 8, 3**0.5 / 2 * 0.046875**2
    assert (cell >= 0).mean() * 0.86 == pytest.approx(arena - 36 * occluder, abs=0.01)


def test_an_unseen_predator_is_anywhere_out_of_sight():
    maps = belief("21_05", diffusion=False)
    maps.update(ROW, np.array([0]), observation(WEST))
    field = maps.map[0]
    assert field.sum() == pytest.approx(1, abs=1e-5)
    assert field[cell_of_square(CELLS) < 0].max() == 0
    sees = CELLS.sees(np.tile(WEST, (8_600, 1)), SQUARES.reshape(-1, 2)).reshape(
        86, 100
    )
    assert field[sees].max() == 0
    hidden = ~sees & (cell_of_square(CELLS) >= 0)
    np.testing.assert_allclose(field[hidden], 1 / hidden.sum(), rtol=1e-4)


def test_a_predator_in_sight_is_where_it_is_seen():
    maps = belief()
    maps.update(ROW, np.array([3]), observation(WEST, (0.283, 0.527)))
    mean, deviation = moments(maps.map[0])
    np.testing.assert_allclose(mean, (0.283, 0.527), atol=0.001)
    np.testing.assert_allclose(deviation, 0.01, atol=0.001)


def test_an_unseen_predator_spreads_by_its_own_speed_each_step():
    maps = belief(step=0.03, directed=False, visibility=False)
    maps.update(ROW, np.array([0]), observation(WEST, (0.5, 0.5)))
    for steps in (1, 4):
        maps.update(ROW, maps.time + steps, observation(WEST))
        assert maps.map[0].sum() == pytest.approx(1, abs=1e-5)
    # variances add up: 0.01^2 of the sighting and 0.03^2 / 2 along each axis in each of
    # five steps
    np.testing.assert_allclose(
        moments(maps.map[0])[1], (0.01**2 + 5 * 0.03**2 / 2) ** 0.5, rtol=0.05
    )


def test_a_predator_that_was_seen_goes_to_where_it_saw_the_prey():
    maps = belief(step=0.05, diffusion=False, visibility=False)
    prey, predator, east = (
        np.array([0.5, 0.5]),
        np.array([0.7, 0.5]),
        np.array([1.0, 0.0]),
    )
    maps.update(ROW, np.array([0]), observation(prey, predator))
    for steps, x in ((1, 0.15), (2, 0.1), (3, 0.05)):
        maps.update(ROW, np.array([steps]), observation(prey + 0.01 * east))
        np.testing.assert_allclose(moments(maps.map[0])[0], prey + x * east, atol=0.02)
    maps.update(ROW, np.array([20]), observation(prey))
    # and stops there
    np.testing.assert_allclose(moments(maps.map[0])[0], prey, atol=0.02)


def test_a_map_moves_by_whole_squares():
    field = np.zeros((86, 100))
    field[10, 20] = 1
    assert np.argwhere(shifted(field, 3, -4)).tolist() == [[13, 16]]
    assert np.argwhere(shifted(field, -10, 79)).tolist() == [[0, 99]]
    assert not shifted(field, -11, 0).any()


def test_unobserved_steps_count_and_another_episode_starts_from_the_prior():
    watched, unwatched, fresh = belief("21_05"), belief("21_05"), belief("21_05")
    for maps in (watched, unwatched):
        maps.update(ROW, np.array([0]), observation(WEST, (0.3, 0.5)))
    hidden = observation(WEST)
    watched.visibility = unwatched.visibility = fresh.visibility = False
    for time in range(1, 6):
        watched.update(ROW, np.array([time]), hidden)
    unwatched.update(ROW, np.array([5]), hidden)
    np.testing.assert_allclose(unwatched.map, watched.map, atol=1e-6)
    fresh.update(ROW, np.array([2]), hidden)
    # time ran backwards, or the prey leapt
    for time, prey in ((2, WEST), (6, CELLS.xy[GOAL])):
        unwatched.load(watched.state())
        unwatched.update(ROW, np.array([time]), observation(prey))
        assert unwatched.map[0].max() < 0.01
        assert unwatched.destination[0] == -1
    unwatched.load(watched.state())
    unwatched.update(ROW, np.array([2]), hidden)
    np.testing.assert_allclose(unwatched.map, fresh.map, atol=1e-7)


def test_a_belief_that_is_proved_wrong_is_reset():
    maps = belief("21_05", step=1e-6)
    maps.update(ROW, np.array([0]), observation(WEST, WEST))
    # it cannot have gone, and is not there
    maps.update(ROW, np.array([1]), observation(WEST))
    afresh = belief("21_05")
    afresh.update(ROW, np.array([0]), observation(WEST))
    np.testing.assert_allclose(maps.map, afresh.map, atol=1e-6)
    everywhere = belief("00_00")
    everywhere.update(ROW, np.array([0]), observation(WEST))  # nothing is out of sight
    assert everywhere.map[0].sum() == pytest.approx(1, abs=1e-5)


def heading_for(obs: np.ndarray, **fields: Any) -> np.ndarray:
    """Where it heads for with one observation in world 00_00, or another."""
    world = BotEvade(**({"world": "00_00", "actions": "continuous"} | fields))
    rows = NativeRows(world, [stream(0, "environment")])
    rows.reset()
    action = act(TLPPO().setup(rows, spec_of(rows), (0,)), obs, ROW)
    return (action[0] + 1) / 2


def test_with_no_predator_near_it_goes_straight_for_the_goal():
    target = heading_for(observation((0.5, 0.5), (0.1, 0.5)))
    assert np.linalg.norm(target - (1, 0.5)) < 0.1


def test_it_does_not_run_into_a_predator_that_stands_in_the_way():
    prey, predator = np.array([0.5, 0.5]), np.array([0.68, 0.5])
    target = heading_for(observation(prey, predator))
    to, off = target - prey, predator - prey
    nearest = np.clip(to @ off / max(to @ to, 1e-9), 0, 1) * to
    assert np.linalg.norm(nearest - off) > 0.1


def test_a_predator_behind_is_no_reason_to_turn_back():
    target = heading_for(
        observation((0.6, 0.5), (0.3, 0.5), looks=0.0), predator="equal"
    )
    assert target[0] > 0.7


@pytest.mark.parametrize("actions", ["all", "points", "continuous"])
def test_it_acts_in_every_kind_of_action(actions):
    rows = rows_of(0, actions=actions)
    space = rows.single_action_space
    planner = TLPPO(simulations=20).setup(rows, spec_of(rows), (0,))
    for _ in range(3):
        action = act(planner, rows.obs, np.arange(2))
        assert all(space.contains(a) for a in action)
        rows.step(action)
    none = act(planner, rows.obs[:0], np.arange(0))
    assert (none.shape, none.dtype) == ((0, *(space.shape or ())), space.dtype)


def test_staying_is_an_option_only_where_an_action_names_the_cell():
    for actions in ("all", "points"):
        rows = rows_of(0, actions=actions)
        planner = TLPPO(simulations=20).setup(rows, spec_of(rows), (0,))
        world: Any = rows.world
        named = np.isin(np.arange(CELL_COUNT), world.places)
        may_stay = planner.search.allowed[:, -1]
        assert may_stay[named].any()
        assert not may_stay[~named].any()


def play_some(rows: NativeRows, planner: TLPPO, steps: int) -> np.ndarray:
    """Actions [steps, N]; every third step, half of the rows go their own way."""
    taken = []
    for step in range(steps):
        action = np.full(rows.count, GOAL % 295)
        asked = np.arange(rows.count)[:: 2 if step % 3 == 2 else 1]
        action[asked] = act(planner, rows.obs[asked], asked)
        taken.append(action)
        rows.step(action)
    return np.array(taken)


def test_a_seed_alone_plans_as_among_others():
    together, alone = rows_of(3, 4, predator="equal"), rows_of(4, predator="equal")
    both = play_some(together, TLPPO().setup(together, spec_of(together), (3, 4)), 6)
    one = play_some(alone, TLPPO().setup(alone, spec_of(alone), (4,)), 6)
    np.testing.assert_array_equal(both[:, 2:], one)


def test_it_resumes_exactly_from_what_it_saved():
    rows = rows_of(0, predator="equal")
    planner = TLPPO().setup(rows, spec_of(rows), (0,))
    play_some(rows, planner, 3)
    saved, saved_rows = planner.state(), rows.save()
    expected = play_some(rows, planner, 4)
    other = TLPPO().setup(rows, spec_of(rows), (0,))
    other.load(saved)
    rows.load(saved_rows)
    np.testing.assert_array_equal(play_some(rows, other, 4), expected)


def test_the_state_that_is_not_observed_does_not_matter():
    rows = rows_of(0, each=1)
    first, second = (TLPPO().setup(rows, spec_of(rows), (0,)) for _ in range(2))
    obs = rows.obs.copy()
    expected = act(first, obs, ROW)
    rows.state[:, [COLUMN["predator_x"], COLUMN["predator_y"]]] = (
        0.123  # wherever the predator really is
    )
    np.testing.assert_array_equal(act(second, obs, ROW), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"simulations": 0}, "simulations must be at least 1, got 0"),
        ({"discount": 1.5}, "discount must be between 0 and 1, got 1.5"),
        ({"exploration": -1.0}, "exploration must be at least 0, got -1"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    rows = rows_of(0)
    with pytest.raises(ValueError, match=f"^{message}$"):
        TLPPO(**fields).setup(rows, spec_of(rows), (0,))


def test_other_worlds_are_refused():
    with pytest.raises(
        ValueError, match=r"such as --env botevade; Gridworld\(.*\) is not one"
    ):
        TLPPO().setup(
            SimpleNamespace(world=Gridworld(), count=1), spec_of(rows_of(0)), (0,)
        )


def successes(
    episodes: int, **fields: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Success and steps of the planner, and success of always going straight for the
    goal, on the same episodes."""
    world = BotEvade(**fields)
    door = evaluation_door(world, range(episodes))
    planned = play(
        partial(act, TLPPO().setup(door.rows, spec_of(door.rows), (0,))), door
    )
    door = evaluation_door(world, range(episodes))
    straight = play(
        lambda obs, now: world.shortest_path(np.zeros((len(now), len(COLUMNS)))), door
    )
    return planned.success, planned.length, straight.success


@pytest.mark.slow
def test_it_evades_a_slow_predator():
    success, length, _ = successes(20, max_steps=60)
    assert success.mean() >= 0.85
    assert length.mean() <= 20


@pytest.mark.slow
def test_it_hardly_ever_fails_against_a_slow_predator():
    success, length, _ = successes(200)
    assert success.mean() >= 0.97
    assert length.mean() <= 15


@pytest.mark.slow
def test_it_beats_going_straight_against_an_equal_predator():
    success, _, straight = successes(200, predator="equal")
    difference = success.astype(float) - straight
    assert difference.mean() > 1.96 * difference.std(ddof=1) / 200**0.5


@pytest.mark.parametrize("exploration", [0.0, np.inf])
def test_random_and_greedy_search_still_find_the_goal(exploration):
    rows = rows_of(0, each=1, max_steps=60)
    planner = TLPPO(exploration=exploration).setup(rows, spec_of(rows), (0,))
    assert play(partial(act, planner), Door(rows)).success.all()


# --- predators of a rollout ---


def chase(name: str, cells_per_step: int = 3) -> Chase:
    """A predator that need not turn, at this speed."""
    speed = cells_per_step * SPACING / STEP_SECONDS
    return Chase(cells=cellworld(WORLDS[name]), speed=speed, gain=1e6)


def predators(model: Chase, cell: int, destination: int) -> Predators:
    return Predators(
        cell=np.array([[cell]]),
        destination=np.array([[destination]]),
        heading=model.bearing[[[cell * CELL_COUNT + destination]]],
        progress=np.full((1, 1), 0.5, np.float32),
        survival=np.ones((1, 1), np.float32),
    )


def apart(model: Chase, first: int, second: int) -> float:
    return float(np.hypot(*(model.cells.xy[first] - model.cells.xy[second])))


def test_a_predator_chases_the_prey_that_it_sees():
    model = chase("00_00")  # nothing is in the way
    west = int(model.cells.nearest(np.array([[0.2, 0.5]]))[0])
    middle = int(model.cells.nearest(np.array([[0.5, 0.5]]))[0])
    moved, _ = model.step(predators(model, middle, west), np.array([[GOAL]]))
    assert moved.destination[0, 0] == GOAL
    assert apart(model, moved.cell[0, 0], GOAL) < apart(model, middle, GOAL) - SPACING


def test_a_predator_goes_on_where_it_does_not_see_the_prey():
    model = chase("21_05")
    hidden = np.argwhere(
        ~model.cells.visible & (model.cells.next_hop >= 0) & (np.arange(331) != GOAL)
    )
    cell, prey = next((a, b) for a, b in hidden if model.cells.next_hop[a, GOAL] >= 0)
    moved, _ = model.step(predators(model, cell, GOAL), np.array([[prey]]))
    assert moved.destination[0, 0] == GOAL
    assert moved.cell[0, 0] == model.ahead[3 * CELL_COUNT**2 + cell * CELL_COUNT + GOAL]


def test_a_predator_catches_in_passing():
    model = chase("00_00", cells_per_step=8)
    model.__dict__["visible"] = np.zeros(CELL_COUNT**2, bool)  # blind: it runs past
    middle = int(model.cells.nearest(np.array([[0.3, 0.5]]))[0])
    moved, caught = model.step(predators(model, middle, GOAL), np.array([[middle]]))
    assert model.danger[moved.cell[0, 0] * CELL_COUNT + middle] == 0  # far behind
    assert caught.tolist() == [1]
    assert moved.survival.tolist() == [[0]]


@pytest.mark.parametrize("scenarios", [1, 7, 32, 150])
def test_kernels_chase_as_numpy_does_to_the_last_bit(scenarios, monkeypatch):
    pytest.importorskip("numba", minversion="0.60")
    rng = np.random.default_rng(scenarios)
    model = Chase(cells=CELLS, speed=0.3, gain=5)
    shape = (40, scenarios)
    start = Predators(
        cell=rng.choice(CELLS.open, shape),
        destination=rng.choice(CELLS.open, shape),
        heading=rng.uniform(-400, 400, shape).astype(np.float32),
        progress=rng.random(shape).astype(np.float32),
        survival=rng.random(shape).astype(np.float32),
    )
    prey = rng.choice(CELLS.open, (40, 20))
    length = rng.integers(0, 21, 40)
    before = start.copy()
    by_kernels, caught = model.run(start, prey, length)
    monkeypatch.setenv(compiled.SWITCH, "off")
    by_numpy, expected = model.run(start, prey, length)
    assert caught.any()
    assert caught.tobytes() == expected.tobytes()
    for ours, theirs, kept, given in zip(
        by_kernels, by_numpy, start, before, strict=True
    ):
        assert ours.tobytes() == theirs.tobytes()
        np.testing.assert_array_equal(kept, given)


def test_plans_do_not_depend_on_kernels(monkeypatch):
    pytest.importorskip("numba", minversion="0.60")
    first, second = (rows_of(0, each=3, predator="equal") for _ in range(2))
    planner = TLPPO(simulations=40)
    expected = play_some(first, planner.setup(first, spec_of(first), (0,)), 5)
    monkeypatch.setenv(compiled.SWITCH, "off")
    other = TLPPO(simulations=40).setup(second, spec_of(second), (0,))
    np.testing.assert_array_equal(play_some(second, other, 5), expected)


def test_turning_away_from_its_way_costs_a_prey_time():
    cells = CELLS
    options = Options(cells=cells, gain=5)
    first = cells.waypoint[START, GOAL]
    way = cells.xy[first] - cells.xy[START]
    ahead = float(np.degrees(np.arctan2(way[1], way[0])))
    headings = np.array([ahead, ahead + 180])
    prey = Prey(
        cell=np.array([START, START]),
        xy=cells.xy[[START, START]],
        heading=headings,
        time=np.zeros(2, np.int64),
        over=np.zeros(2, bool),
    )
    whole = options.trip(prey, np.full(2, options.goal), 1_000).whole
    unturned = options.paths.steps[START, options.goal]
    assert whole[0] == unturned
    # ln(1 + (180 / 8)^2) / (2 * 5) = 0.62 s, in steps of 0.25 s
    assert whole[1] == unturned + 2
    west = options.targets.tolist().index(86)  # through 227, due west of 247
    facing = prey._replace(
        cell=np.array([247, 247]),
        xy=cells.xy[[247, 247]],
        heading=np.array([180.0, 0.0]),
    )
    whole = options.trip(facing, np.full(2, west), 1_000).whole
    unturned = options.paths.steps[247, west]
    assert whole.tolist() == [unturned, unturned + 2]


def test_a_trip_ends_in_the_centre_of_its_point_and_staying_where_it_began():
    options = Options(cells=CELLS, gain=5)
    beside = CELLS.xy[2] + 0.01
    prey = Prey(
        cell=np.array([2, 2]),
        xy=np.array([beside, beside]),
        heading=np.zeros(2),
        time=np.zeros(2, np.int64),
        over=np.zeros(2, bool),
    )
    to_start = options.targets.tolist().index(START)
    stay = len(options.targets) - 1
    end = options.trip(prey, np.array([to_start, stay]), 1_000).end()
    assert end.cell.tolist() == [START, 2]
    np.testing.assert_array_equal(end.xy, [CELLS.xy[START], beside])


# --- values of a tree ---


def known(discount: float = 0.25) -> Tree:
    """A tree of two options: rewards -1 and -2 on their ways, -8 and -4 later."""
    prey = Prey(
        cell=np.array([START]),
        xy=np.zeros((1, 2)),
        heading=np.zeros(1),
        time=np.zeros(1, np.int64),
        over=np.zeros(1, bool),
    )
    root = Rollouts(prey, predators(chase("00_00"), START, GOAL))
    tree = Tree(root, nodes=2, options=2, discount=discount)
    record(tree, node=0, reward=(-1, -2), later=(-8, -4), root=root)
    return tree


def record(tree: Tree, node: int, reward: Any, later: Any, root: Rollouts) -> None:
    twice = np.zeros(2, np.int64)
    tree.record(
        twice,
        twice + node,
        np.arange(2),
        np.array(reward, float),
        np.array(later, float),
        root.at(twice),
    )


@pytest.mark.parametrize(
    ("discount", "values"), [(0.25, [-7, -5]), (0, [-9, -6]), (1, [-1, -2])]
)
def test_what_comes_after_the_way_is_discounted_once(discount, values):
    assert known(discount).value[0, 0].tolist() == values


# a node below the second option, whose best is better than what was known, or worse
@pytest.mark.parametrize(("best", "value"), [(-1, -2.75), (-6, -5)])
def test_the_best_that_is_known_after_an_option_is_backed_up(best, value):
    tree = known()
    node = tree.add(np.array([0]), np.array([0]), np.array([1]))
    ends = tree.ends_of(np.array([0]), np.array([0]), np.array([1]))
    record(tree, node=1, reward=(best, -9), later=(0, 0), root=ends)
    tree.back_up(np.array([0]), node)
    assert tree.value[0, 0].tolist() == [-7, value]
    assert tree.visits[0, 0].tolist() == [1, 2]


def test_where_an_option_ends_is_kept_with_its_predators():
    ends = known().ends_of(np.array([0]), np.array([0]), np.array([1]))
    assert ends.predators.destination.tolist() == [[GOAL]]
    assert ends.predators.survival.tolist() == [[1]]


def test_an_option_after_which_nothing_is_left_to_try_is_closed():
    tree = known()
    node = tree.add(np.array([0]), np.array([0]), np.array([1]))
    tree.close(np.array([0]), node)
    assert tree.open[0, 0].tolist() == [True, False]


@pytest.mark.parametrize(("distance", "target"), [(0.9, 7), (1.1, 5)])
def test_a_point_within_one_step_is_left_out_of_the_way(distance, target):
    """The best option leads to cell 5, the best one after it to cell 7."""
    step = PREY_SPEED * STEP_SECONDS
    model: Any = SimpleNamespace(
        options=SimpleNamespace(targets=np.array([5, 7])), cells=CELLS
    )
    search = Search(
        scenarios=model,
        allowed=np.ones((CELL_COUNT, 2), bool),
        simulations=1,
        depth=1,
        exploration=1.0,
        discount=0.1,
        weights=Weights(0, 0),
    )
    tree: Any = SimpleNamespace(
        size=np.array([2]),
        value=np.array([[[-1.0, -2.0], [-2.0, -1.0]]]),
        child=np.array([[[1, -1], [-1, -1]]]),
    )
    xy = CELLS.xy[[5]] + [[distance * step, 0]]
    root: Any = SimpleNamespace(prey=SimpleNamespace(cell=np.array([5]), xy=xy))
    assert search._best(tree, root).tolist() == [target]
