"""The mazes against their drawings and a search of our own, the point's moves by hand,
and recorded returns."""

import warnings
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from curriculum.envs._base.native import NativeRows
from curriculum.envs._pointmass import mazes
from curriculum.envs.pointmass import Pointmass, normals

STAY, LEFT, RIGHT, UP, DOWN = range(5)
TASKS = ["easy", "medium", "hard", "veryhard"]
FREE = {  # cells of every map that are no walls
    **{
        "small": 16,
        "cross": 40,
        "four-rooms": 104,
        "spiral-5x5": 15,
        "spiral-7x7": 21,
        "spiral-9x9": 45,
    },
    **{
        "spiral-11x11": 55,
        "maze-5x5": 9,
        "maze-6x6": 21,
        "maze-11x11": 67,
        "tunnel": 237,
        "u": 20,
        "tree": 92,
    },
    **{"u-multi": 167, "fly-trap-small": 145, "fly-trap-big": 409, "galton": 291},
}
NAMES = [
    f"curriculum/Pointmass{name}-v0" for name in ("Easy", "Medium", "Hard", "VeryHard")
]


class Still:
    """A generator whose noise is none: a length of 0 for Box and Muller."""

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        return np.zeros(size)


def step_from(
    place: tuple[float, float], action: int, maze: str = "medium", **fields
) -> list[float]:
    world = Pointmass(maze=maze, noise=0.0, **fields)
    return world.step(np.array([place]), np.array([action]), np.random.default_rng(0))[
        0
    ][0].tolist()


def rows_of(count: int = 1, seed: int = 0, **fields) -> NativeRows:
    return NativeRows(Pointmass(**fields), [np.random.default_rng(seed)], count)


# --- mazes ---


def test_every_map_has_the_free_cells_it_was_published_with():
    assert mazes.names() == TASKS + sorted(FREE)
    assert {name: int((~mazes.load(name).walls).sum()) for name in FREE} == FREE


def test_maps_are_read_row_by_row():
    assert mazes.load("maze-6x6").walls.tolist()[:2] == [
        [c == "#" for c in row] for row in ("..#...", "#.#.#.")
    ]
    assert mazes.load("u").walls.shape == (10, 3)
    assert mazes.load("tree").walls[0].tolist() == [
        c == "#" for c in "##########.##########"
    ]
    assert mazes.load("galton").walls[-1].tolist() == [
        c == "#" for c in "....#....#..#.#.#..#....#...."
    ]


@pytest.mark.parametrize(
    ("name", "shape", "free", "start", "goal", "radius", "limit", "distance"),
    [
        ("easy", (10, 10), 36, (1, 1), (9, 9), 2, 50, 16),
        ("medium", (6, 6), 21, (0.5, 0.5), (1.5, 5.5), 1, 150, 20),
        ("hard", (22, 22), 416, (2, 2), (20, 20), 2, 100, 36),
        ("veryhard", (11, 11), 67, (0.5, 0.5), (0.5, 10.5), 1, 200, 66),
    ],
)
def test_the_four_tasks_are_the_published_ones(
    name, shape, free, start, goal, radius, limit, distance
):
    world, maze = Pointmass(maze=name), mazes.load(name)
    assert (world.cells, int((~world.walls).sum()), world.max_steps) == (
        shape,
        free,
        limit,
    )
    assert (tuple(maze.start), tuple(maze.goal), maze.radius) == (start, goal, radius)
    assert maze.distance[tuple(maze.start.astype(int))] == distance
    np.testing.assert_array_equal(world.begin(np.random.default_rng(0), 2), [start] * 2)


def searched(walls: np.ndarray, goal: tuple[int, ...]) -> dict[tuple[int, ...], int]:
    """Steps to the goal from every cell that leads there, by breadth-first search."""
    found, queue = {goal: 0}, deque([goal])
    while queue:
        row, column = cell = queue.popleft()
        for beside in (
            (row + 1, column),
            (row - 1, column),
            (row, column + 1),
            (row, column - 1),
        ):
            if (
                min(beside) >= 0
                and (np.array(beside) < walls.shape).all()
                and not walls[beside]
                and beside not in found
            ):
                found[beside] = found[cell] + 1
                queue.append(beside)
    return found


@pytest.mark.parametrize("name", mazes.names())
def test_distances_are_those_of_a_search_and_the_next_cell_is_one_nearer(name):
    maze = mazes.load(name)
    goal = tuple(maze.goal.astype(int).tolist())
    found = searched(maze.walls, goal)
    assert len(found) == (~maze.walls).sum()  # all free cells hang together
    for cell in np.ndindex(maze.walls.shape):
        assert maze.distance[cell] == found.get(cell, np.inf)
        if cell in found and cell != goal:
            following = tuple((maze.ahead[cell] - 0.5).astype(int).tolist())
            assert np.abs(np.subtract(following, cell)).sum() == 1
            assert found[following] == found[cell] - 1


def test_a_map_that_is_no_task_leads_to_the_cell_farthest_from_its_first():
    world = Pointmass(maze="spiral-5x5")
    assert (tuple(world.layout.start), tuple(world.layout.goal)) == (
        (0.5, 0.5),
        (2.5, 2.5),
    )
    assert (world.layout.radius, world.max_steps) == (1, 40)  # ten steps away
    assert Pointmass(maze="u").layout.distance[0, 0] == 16


# --- moves ---


@pytest.mark.parametrize(
    ("place", "action", "following"),
    [
        ((0.5, 0.5), STAY, (0.5, 0.5)),
        ((0.5, 0.5), RIGHT, (0.5, 1.5)),
        ((0.5, 1.5), LEFT, (0.5, 0.5)),
        ((0.5, 1.5), DOWN, (1.5, 1.5)),
        ((1.5, 1.5), UP, (0.5, 1.5)),
        # the next part would end in the wall at (1, 0)
        ((0.55, 0.5), DOWN, (0.95, 0.5)),
        ((1.55, 1.55), LEFT, (1.55, 1.05)),  # the same wall from its right
        ((0.5, 1.75), RIGHT, (0.5, 1.95)),  # the wall at (0, 2)
        ((0.35, 0.5), UP, (0.05, 0.5)),  # out of the maze
        ((0.5, 5.35), RIGHT, (0.5, 5.95)),
        ((5.35, 2.5), DOWN, (5.95, 2.5)),
    ],
)
def test_a_push_goes_one_cell_in_ten_parts_and_stops_at_walls(place, action, following):
    assert step_from(place, action) == pytest.approx(following, abs=1e-12)


def pushed(
    places: list[tuple[float, float]],
    push: list[tuple[float, float]],
    maze: str = "medium",
) -> np.ndarray:
    """Places after ten moves by `push`."""
    return Pointmass(maze=maze)._slide(np.array(places, float), np.array(push).T)


def test_the_edges_belong_to_the_maze():
    # a quarter at a time, exact in binary: up to the edge and not beyond
    size = 6.0
    edges = [
        (0.25, 0.25),
        (size - 0.25, 2.25),
        (0.25, size - 0.25),
        (size, size - 1.25),
        (0.0, 0.5),
    ]
    pushes = [(-0.25, 0), (0.25, 0), (0, 0.25), (0, 0.25), (0.0, -0.25)]
    expected = [(0, 0.25), (size, 2.25), (0.25, size), (size, 5.0 - 0.25), (0, 0)]
    # (5, 5) is a wall, also at its lower edge
    np.testing.assert_array_equal(pushed(edges, pushes), expected)
    tiny = np.nextafter(0, 1)
    np.testing.assert_array_equal(pushed([(0, 0)], [(-tiny, -tiny)]), [(0, 0)])
    world = Pointmass()
    assert world.cell(
        np.array([(6, 4.5), (0, 6), (6, 6), (0, 0), (1, 2), (0.99, 1.99)])
    ).tolist() == [
        34,
        5,
        35,
        0,
        8,
        1,
    ]


def test_the_rows_go_first_and_either_half_of_a_move_may_be_blocked():
    # the map begins with ".." over "#." over "..": the wall holds the row until the
    # column has passed it, and the wall at (2, 2) stops the very last half
    np.testing.assert_array_equal(
        pushed([(0.75, 0.75)], [(0.25, 0.125)]), [(2.75, 1.875)]
    )
    # the row comes first, to 1; so the same wall holds the column until the row is 2,
    # and the edge stops it at 0.125
    np.testing.assert_array_equal(
        pushed([(0.75, 1.125)], [(0.25, -0.25)]), [(3.25, 0.125)]
    )
    # a part later the column passes above the wall, which then holds the row
    np.testing.assert_array_equal(
        pushed([(0.5, 1.125)], [(0.25, -0.25)]), [(0.75, 0.125)]
    )


def slow(world: Pointmass, place: np.ndarray, push: np.ndarray) -> tuple[float, float]:
    """The rule word for word, for one point."""
    at, size = [float(x) for x in place], world.cells
    for _ in range(10):
        for axis in (0, 1):
            there = list(at)
            there[axis] += push[axis]
            inside = 0 <= there[0] <= size[0] and 0 <= there[1] <= size[1]
            if (
                inside
                and not world.walls[
                    min(int(there[0]), size[0] - 1), min(int(there[1]), size[1] - 1)
                ]
            ):
                at = there
    return at[0], at[1]


@pytest.mark.parametrize("name", ["easy", "veryhard", "galton", "u"])
def test_moves_are_the_rules_word_for_word(name):
    world, rng = Pointmass(maze=name, start="random"), np.random.default_rng(0)
    place, push = world.begin(rng, 400), rng.normal(0, 0.2, (400, 2))
    # on the borders of cells, and by steps that meet them
    place[:100] = np.round(4 * place[:100]) / 4
    place = place[~world.walls.ravel()[world.cell(place)]]
    push = push[: len(place)]
    push[:100] = np.round(8 * push[:100]) / 8
    push[-5:] *= 1e6
    expected = [slow(world, *pair) for pair in zip(place, push, strict=True)]
    before = place.copy()
    np.testing.assert_array_equal(world._slide(place, push.T), expected)
    np.testing.assert_array_equal(place, before)


def test_noise_is_normal_and_independent():
    drawn = normals(np.random.default_rng(0), 100_000)
    assert drawn.shape == (2, 100_000)
    np.testing.assert_allclose(np.cov(drawn), np.eye(2), atol=0.02)
    np.testing.assert_allclose(drawn.mean(1), 0, atol=4 / 100_000**0.5)
    np.testing.assert_allclose(
        [np.mean(np.abs(drawn) < sd) for sd in (1, 2, 3)],
        [0.6827, 0.9545, 0.9973],
        atol=0.004,
    )
    assert abs(np.mean(drawn[0] ** 2 * drawn[1] ** 2) - 1) < 0.1
    assert np.isfinite(normals(Still(), 3)).all()  # 0 has a logarithm here


@pytest.mark.parametrize(
    ("action", "mean"),
    [(STAY, (0, 0)), (LEFT, (0, -1)), (RIGHT, (0, 1)), (UP, (-1, 0)), (DOWN, (1, 0))],
)
def test_every_push_strays_by_half_a_cell(action, mean):
    world = Pointmass(maze="fly-trap-big")
    state = np.tile([8.5, 11.5], (20_000, 1))  # in the open
    moved = (
        world.step(state, np.full(20_000, action), np.random.default_rng(1))[0] - state
    )
    np.testing.assert_allclose(moved.mean(0), mean, atol=4 * 0.5 / 20_000**0.5)
    np.testing.assert_allclose(moved.std(0), 0.5, atol=4 * 0.5 / 40_000**0.5)


# --- rewards and ends ---


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        ("sparse", [-1, -1, -1, 0, -1]),
        ("dense", [-(2.21**0.5), -(2**0.5), -1, -0.75, -(26**0.5)]),
    ],
)
def test_a_step_costs_one_or_the_distance_until_the_goal_is_nearer_than_its_radius(
    reward, expected
):
    world = Pointmass(noise=0.0, reward=reward)
    state = np.array([(0.5, 4.4), (0.5, 4.5), (0.5, 5.5), (0.75, 5.5), (0.5, 0.5)])
    _, gained, terminated = world.step(
        state, np.full(5, STAY), np.random.default_rng(0)
    )
    assert gained.dtype == np.float64
    np.testing.assert_allclose(gained, expected, rtol=1e-12)
    # (0.5, 5.5) is exactly a radius away
    assert terminated.tolist() == [False, False, False, True, False]
    assert world.success(state).tolist() == terminated.tolist()


@pytest.mark.parametrize("merged", [False, True])
def test_a_time_limit_is_a_true_end_only_on_request(merged):
    rows = rows_of(3, merge_ends=merged, time_limit=4)
    rows.reset()
    assert rows.state.shape == (3, 3 if merged else 2)
    for t in range(1, 13):
        step = rows.step(np.full(3, LEFT))
        assert step.terminated.tolist() == [merged and t % 4 == 0] * 3
        assert step.truncated.tolist() == [not merged and t % 4 == 0] * 3
        assert step.reward.tolist() == [-1] * 3
        assert not step.success.any()
    rows = rows_of(merge_ends=True, time_limit=0)
    rows.reset()
    assert not any(rows.step(np.array([LEFT])).terminated[0] for _ in range(300))


def test_merged_ends_change_nothing_else():
    plain, merged = (
        rows_of(8, maze="easy", time_limit=30),
        rows_of(8, maze="easy", time_limit=30, merge_ends=True),
    )
    world: Any = plain.world
    np.testing.assert_array_equal(plain.reset(), merged.reset())
    for _ in range(100):
        action = world.shortest_path(plain.state)
        np.testing.assert_array_equal(action, world.shortest_path(merged.state))
        one, other = plain.step(action), merged.step(action)
        np.testing.assert_array_equal(one.terminated | one.truncated, other.terminated)
        for name in ("obs", "reward", "next_obs", "success"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_observations_are_shares_of_the_maze_in_fresh_arrays():
    world = Pointmass(maze="galton")
    obs = world.observe(np.array([(0, 0), (13, 29), (6.5, 7.25)]))
    assert obs.dtype == np.float32
    np.testing.assert_array_equal(obs, [(0, 0), (1, 1), (0.5, 0.25)])
    assert all(world.observation_space.contains(one) for one in obs)


def test_random_starts_are_uniform_over_the_free_cells_away_from_the_goal():
    world = Pointmass(start="random")
    state = world.begin(np.random.default_rng(0), 40_000)
    count = np.bincount(world.cell(state), minlength=36).reshape(6, 6)
    near = [(1, 5)]  # its neighbours' centres are exactly a radius away
    assert not count[world.walls].any()
    assert not any(count[cell] for cell in near)
    assert (count > 0).sum() == 21 - len(near)
    assert ((count[count > 0] - 2_000) ** 2 / 2_000).sum() < 19 + 4 * 38**0.5
    inside = state % 1
    np.testing.assert_allclose(inside.mean(0), 0.5, atol=4 * (1 / 12 / 40_000) ** 0.5)
    np.testing.assert_allclose(inside.var(0), 1 / 12, atol=0.002)


@pytest.mark.parametrize("merged", [False, True])
def test_every_cell_is_listed_by_25_places_around_its_centre(merged):
    world = Pointmass(maze="tree", merge_ends=merged)
    states = world.states()
    assert states.shape == (13 * 21 * 25, 3 if merged else 2)
    cell = world.cell(states)
    assert np.bincount(cell).tolist() == [25] * (13 * 21)
    np.testing.assert_allclose(states[cell == 22, :2].mean(0), (1.5, 1.5))
    np.testing.assert_allclose(
        np.unique(states[cell == 22, 1]), (1.1, 1.3, 1.5, 1.7, 1.9)
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"maze": "esay"},
            "no maze 'esay'; there are: easy, medium, hard, veryhard, cross, .*u-multi",
        ),
        ({"reward": "dens"}, "no reward 'dens'; there are: sparse, dense"),
        ({"start": "goal"}, "no start 'goal'; there are: fixed, random"),
        (
            {"time_limit": -2},
            "time_limit must be at least -1, got -2",
        ),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
        ({"noise": float("nan")}, "noise must be at least 0, got nan"),
    ],
)
def test_a_wrong_field_is_told_what_is_right(fields, message):
    with pytest.raises(ValueError, match=message):
        Pointmass(**fields)


# --- recorded returns; the planner's are in test_planners.py ---


@pytest.mark.parametrize(
    ("name", "mean", "success"),
    [("easy", -49.9, 0.02), ("medium", -145.7, 0.12), ("hard", -100, 0)],
)
def test_random_play_returns_what_is_recorded(name, mean, success):
    count, rng = 1_000, np.random.default_rng(2)
    rows = rows_of(count, seed=1, maze=name)
    rows.reset()
    total, reached, playing = (
        np.zeros(count),
        np.zeros(count, bool),
        np.ones(count, bool),
    )
    while playing.any():
        step = rows.step(rng.integers(5, size=count))
        total += playing * step.reward
        reached |= playing & step.terminated
        playing &= ~(step.terminated | step.truncated)
    # of our mean and the recorded one, of at least 100 episodes
    spread = (1 / count + 1 / 100) ** 0.5
    assert total.mean() == pytest.approx(mean, abs=max(0.05, 2 * total.std() * spread))
    assert reached.mean() == pytest.approx(
        success, abs=2 * (max(success, 0.01) * (1 - success)) ** 0.5 * spread
    )
    np.testing.assert_array_equal(total[~reached], -rows.world.max_steps)


# --- rows, Gymnasium and Stable-Baselines3 ---


def test_a_seed_alone_plays_as_among_others_and_again():
    actions = np.random.default_rng(3).integers(5, size=(60, 3, 4))
    seeds = [np.random.default_rng(seed) for seed in range(3)]
    together = NativeRows(Pointmass(start="random", time_limit=9), seeds, 4)
    alone, again = (rows_of(4, seed=1, start="random", time_limit=9) for _ in range(2))
    np.testing.assert_array_equal(together.reset()[4:8], alone.reset())
    again.reset()
    for action in actions:
        steps = (
            together.step(action.ravel()),
            alone.step(action[1]),
            again.step(action[1]),
        )
        for many, one, same in zip(*steps, strict=True):
            np.testing.assert_array_equal(many[4:8], one)
            np.testing.assert_array_equal(one, same)


def test_rows_resume_exactly():
    rows, other = (
        rows_of(4, seed=0, merge_ends=True),
        rows_of(4, seed=5, merge_ends=True),
    )
    rows.reset()
    for _ in range(30):
        obs = rows.step(np.full(4, RIGHT)).obs
    saved = rows.save()
    expected = [rows.step(np.full(4, DOWN)) for _ in range(150)]
    np.testing.assert_array_equal(other.load(saved), obs)
    for step in expected:
        for was, now in zip(step, other.step(np.full(4, DOWN)), strict=True):
            np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("name", NAMES)
def test_gymnasium_and_stable_baselines_find_nothing_to_complain_about(
    name, monkeypatch
):
    from stable_baselines3.common import env_checker

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(name).unwrapped)
        env_checker.check_env(
            gym.make(name, render_mode="rgb_array"), skip_render_check=False
        )


def test_a_batch_of_64_rows_is_64_single_environments():
    fields: dict[str, Any] = {"start": "random", "time_limit": 12}
    batch = gym.make_vec("curriculum/PointmassEasy-v0", num_envs=64, **fields)
    kwargs = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    single = gym.make_vec(
        "curriculum/PointmassEasy-v0", 64, "sync", vector_kwargs=kwargs, **fields
    )
    np.testing.assert_array_equal(batch.reset(seed=7)[0], single.reset(seed=7)[0])
    rng, over = np.random.default_rng(0), np.zeros(2, int)
    for _ in range(30):
        action = rng.integers(5, size=64)
        obs, reward, terminated, truncated, infos = batch.step(action)
        expected = single.step(action)
        for ours, theirs in zip(
            (obs, reward, terminated, truncated), expected[:4], strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        for row in np.flatnonzero(terminated | truncated):
            np.testing.assert_array_equal(
                infos["final_obs"][row], expected[4]["final_obs"][row]
            )
        over += terminated.sum(), truncated.sum()
    assert (over > 0).all()


# --- the picture ---


def test_the_picture_shows_walls_goal_start_agent_and_trail():
    # cells are 80 pixels wide, inside a frame of 10
    paper, stone, green, halo, red = (
        (250, 249, 246),
        (72, 82, 96),
        (46, 160, 67),
        (190, 228, 196),
        (214, 69, 65),
    )
    blue, dark = (90, 130, 210), (40, 44, 52)
    plain = Pointmass().draw(np.array([2.5, 1.5]))
    assert (plain.shape, plain.dtype) == ((500, 500, 3), np.uint8)
    expected = {
        (5, 5): stone,
        (30, 190): stone,
        (130, 30): stone,
        (130, 110): paper,
        (400, 200): stone,
    }
    expected |= {
        (130, 450): green,
        (100, 420): halo,
        (160, 480): halo,
        (210, 130): red,
        (50, 42): dark,
    }
    assert {pixel: tuple(plain[pixel].tolist()) for pixel in expected} == expected
    assert not (plain == blue).all(-1).any()
    trail = Pointmass().draw(
        np.array([2.5, 1.5]), np.array([(0.5, 0.5), (0.5, 1.5), (2.5, 1.5)])
    )
    assert tuple(trail[50, 90].tolist()) == tuple(trail[110, 130].tolist()) == blue
    assert Pointmass(maze="u").draw(np.array([0.5, 0.5])).shape == (500, 164, 3)


def test_keys_push_and_without_a_key_the_point_stays():
    steer = Pointmass().steer
    place = np.array([0.5, 0.5])
    keys = {(0, 0): STAY, (-1, 0): LEFT, (1, 0): RIGHT, (0, -1): UP, (0, 1): DOWN}
    assert {key: steer(place, *key) for key in keys} == keys
    assert steer(place, 1, 1) == RIGHT


def test_the_trail_is_drawn_behind_the_agent():
    states = np.array([(0.5, 0.5), (0.5, 1.5), (2.5, 1.5)])
    drawn = Pointmass().draw_trail(states)
    np.testing.assert_array_equal(drawn, Pointmass().draw(states[-1], states))
