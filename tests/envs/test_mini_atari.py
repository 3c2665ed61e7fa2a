"""The miniature games: Atari's stacks, sticky actions and lives, rules worked out by
hand, and copies that know what happens next."""

import warnings
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from curriculum.contract import check_world
from curriculum.envs._base.native import NativeRows
from curriculum.envs._base.spec import spec_of
from curriculum.envs._mini_atari import bricks, maze
from curriculum.envs._mini_atari.bricks import Bricks, Court
from curriculum.envs._mini_atari.maze import OPEN, Chase, Maze
from curriculum.envs.mini_atari import MiniAtari
from curriculum.types import stream

both = pytest.mark.parametrize("game", ["bricks", "maze"])
DRAWN = np.full((1, 7), 0.5)


def rows(*seeds: int, **fields: Any) -> NativeRows:
    made = MiniAtari(**fields).rows([stream(seed, "environment") for seed in seeds])
    made.reset()
    return made


def actions(world: Any, steps: int, count: int, seed: int = 0) -> np.ndarray:
    drawn = stream(seed, "actions").integers(world.action_space.n, size=(steps, count))
    return drawn.repeat(4, 0)  # held, so that something happens


# --- what all games share ---


@both
def test_an_observation_stacks_four_screens_the_first_three_black(game):
    made = rows(0, game=game)
    assert made.single_observation_space == gym.spaces.Box(
        0, 255, (4, 84, 84), np.uint8
    )
    assert spec_of(made.world).frames == 4
    before = made.obs
    assert not before[0, :3].any()
    assert before[0, 3].std() > 10
    for action in actions(made.world, 3, 1):
        step = made.step(action)
        assert made.single_observation_space.contains(step.obs[0])
        np.testing.assert_array_equal(step.obs[0, :3], before[0, 1:])
        before = step.obs
    assert (before[0, 3] != before[0, 0]).any()
    assert (made.picture(0).shape, made.picture(0).dtype) == ((504, 504, 3), np.uint8)


def test_the_maze_keeps_the_contract_of_worlds():
    check_world(MiniAtari(game="maze", max_steps=30))


@both
def test_gymnasium_accepts_a_game_under_its_name(game):
    env = gym.make(f"curriculum/Mini{game.title()}-v0").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


@both
def test_a_game_ends_with_its_last_life_and_its_score_is_the_sum_of_rewards(game):
    made = rows(9, game=game, lives=2, max_steps=0, clip_rewards=False)
    lives = [2]
    total = 0.0
    for action in actions(made.world, 2_000, 1, seed=9):
        step = made.step(action)
        state = made.last_state if step.terminated[0] else made.state
        columns = made.world.rules.columns  # type: ignore[attr-defined]
        table = state[0, -columns:]
        total += step.reward[0]
        lives.append(int(table[3]))
        if step.terminated[0]:
            break
    assert lives == sorted(lives, reverse=True)
    assert set(lives) == {0, 1, 2}
    assert table[2] == total > 0
    assert made.state[0, -columns:][3] == 2  # the next game
    assert not made.obs[0, :3].any()
    assert step.next_obs[0, :3].any()


@both
def test_a_quarter_of_the_steps_repeats_the_action_before(game):
    world = MiniAtari(game=game)
    chance = np.random.default_rng(0)
    state = world.begin(chance, 3_000)
    action = np.full(3_000, 1)
    for asked in (1, 2, 1):
        state, _, _ = world.step(state, np.full(3_000, asked), chance)
        before = action
        action = state[:, -world.rules.columns :][:, 1]
    could_stick = before == 2  # 1 was asked for
    assert could_stick.mean() == pytest.approx(0.75, abs=0.04)
    stuck = action[could_stick] == 2
    assert stuck.mean() == pytest.approx(0.25, abs=0.04)


def test_copies_do_what_the_game_then_does_and_count_the_score():
    made = rows(0, 1, sticky=0.0)
    plan = actions(made.world, 60, 2)
    copies = made.simulator()
    state = copies.states(np.arange(2))
    kept = state.copy()
    for action in plan:
        imagined = copies.step(state, action, np.random.default_rng(0))
        step = made.step(action)
        if made.state[:, -bricks.Bricks.columns + 3].min() < 3:
            break  # served anew by chance
        np.testing.assert_array_equal(imagined.state, made.state)
        np.testing.assert_array_equal(np.minimum(imagined.reward, 1), step.reward)
        state = imagined.state
    np.testing.assert_array_equal(rows(0, 1, sticky=0.0).state, kept)


def test_training_clips_rewards_but_neither_evaluations_nor_copies_do():
    state = court(y=20, x=2, speed_y=-2)
    world = MiniAtari(sticky=0.0)
    full = np.concatenate([np.zeros((1, 33), np.int64), state], 1)
    paid = [
        each.step(full, np.array([0]), np.random.default_rng(0))[1][0]
        for each in (world, world.evaluated(), world.imagined())
    ]
    assert paid == [1, 7, 7]
    assert MiniAtari().imagined().sticky == 0
    assert MiniAtari().evaluated().sticky == 0.25


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"game": "pong"}, "no game 'pong'; there are: bricks, maze"),
        ({"sticky": 1.5}, "sticky must be between 0 and 1, got 1.5"),
        ({"lives": 6}, "lives must be between 1 and 5, got 6"),
        ({"frames": 0}, "frames must be at least 1, got 0"),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        MiniAtari(**fields)


# --- bricks ---


def court(**fields: int) -> np.ndarray:
    """A table of one game with a ball in flight."""
    table = Bricks().begin(3, DRAWN)
    named = Court(*table.T)._replace(pause=np.zeros(1, np.int64))
    changed = {name: np.array([value]) for name, value in fields.items()}
    return np.stack(named._replace(**changed), -1)


def after(table: np.ndarray, action: int = 0) -> tuple[Court, int]:
    following, points = Bricks().step(table, np.array([action]), DRAWN)
    return Court(*following[0].tolist()), int(points[0])


@pytest.mark.parametrize(
    ("y", "row", "points", "speed"), [(37, 5, 1, 2), (31, 3, 4, 2), (22, 0, 7, 3)]
)
def test_a_brick_is_broken_pays_by_its_row_and_turns_the_ball(y, row, points, speed):
    # bricks below that row are gone; the ball rises 2 pixels into it, in column 3
    left = (1 << 10 * (row + 1)) - 1
    found, paid = after(court(x=26, y=y, speed_x=0, speed_y=-2, bricks=left))
    assert paid == found.score == points
    assert found.bricks == left - (1 << 10 * row + 3)
    assert (found.y, found.speed_y) == (y, speed)


@pytest.mark.parametrize(
    ("x", "speed"), [(29, -3), (31, -2), (33, -1), (35, 1), (37, 2), (39, 3), (41, 3)]
)
def test_the_part_of_the_paddle_that_is_hit_aims_the_ball(x, speed):
    found, _ = after(court(paddle=30, x=x, y=74, speed_x=0, speed_y=2))
    assert (found.speed_x, found.speed_y) == (speed, -2)
    assert found.y == bricks.PADDLE_TOP - bricks.BALL


@pytest.mark.parametrize(("x", "y"), [(27, 74), (43, 74), (35, 78)])
def test_a_ball_beside_or_below_the_paddle_passes(x, y):
    found, _ = after(court(paddle=30, x=x, y=y, speed_x=0, speed_y=2))
    assert (found.speed_y, found.lives) == (2, 3)


def test_a_ball_that_is_lost_costs_a_life_and_is_served_after_a_pause():
    found, _ = after(court(paddle=30, x=60, y=82, speed_x=0, speed_y=2))
    assert (found.lives, found.pause, found.y) == (2, 10, bricks.SERVE_HEIGHT)
    again, _ = after(np.array([list(found)]))
    assert (again.pause, again.x, again.y) == (9, found.x, found.y)


def test_the_paddle_stops_and_the_ball_turns_at_the_frame():
    left, _ = after(court(paddle=3, x=3, y=50, speed_x=-3), bricks.LEFT)
    right, _ = after(court(paddle=69, x=79, y=50, speed_x=3), bricks.RIGHT)
    assert (left.paddle, left.x, left.speed_x) == (2, 4, 3)
    assert (right.paddle, right.x, right.speed_x) == (70, 78, -3)
    top, _ = after(court(x=40, y=11, speed_x=0, speed_y=-3))
    assert (top.y, top.speed_y) == (12, 3)


def test_a_cleared_wall_is_built_again_once_the_ball_is_below():
    assert after(court(y=20, speed_y=2, bricks=0))[0].bricks == 0
    assert after(court(y=40, speed_y=2, bricks=0))[0].bricks == bricks.FULL


# --- maze ---


def chase(**fields: int) -> np.ndarray:
    table = Maze().begin(3, DRAWN)
    changed = {name: np.array([value]) for name, value in fields.items()}
    return np.stack(Chase(*table.T)._replace(**changed), -1)


def played(table: np.ndarray, *plan: int) -> tuple[Chase, list[int]]:
    points = []
    for action in plan:
        table, paid = Maze().step(table, np.array([action]), DRAWN)
        points.append(int(paid[0]))
    return Chase(*table[0].tolist()), points


def test_a_cell_takes_three_steps_and_its_pellet_pays_once():
    found, points = played(chase(), *[maze.RIGHT] * 3)
    assert (found.row, found.column) == (21, 18)  # from row 7, column 5
    assert points == [0, 0, 1]
    _, points = played(chase(), *[maze.RIGHT] * 3, *[maze.LEFT] * 3, *[maze.RIGHT] * 3)
    assert points == [0, 0, 1, 0, 0, 1, 0, 0, 0]


def test_the_agent_turns_where_the_way_is_free_and_keeps_its_heading_otherwise():
    # right to column 6, where down is free, with down asked for all the time
    found, _ = played(chase(), maze.RIGHT, *[maze.DOWN] * 5)
    assert (found.row, found.column, found.heading) == (24, 18, maze.DOWN)
    found, _ = played(chase(), maze.RIGHT, maze.UP, maze.UP)  # between cells
    assert (found.row, found.column) == (21, 18)
    found, _ = played(chase(), maze.DOWN, maze.NOOP)  # a wall
    assert (found.row, found.column) == (21, 15)
    found, _ = played(chase(), maze.RIGHT, maze.LEFT, maze.NOOP)  # back, and on
    assert (found.row, found.column) == (21, 14)


def test_who_is_caught_loses_a_life_and_starts_anew():
    near = chase(row=9, column=12, chaser_row=9, chaser_column=9, chaser_heading=2)
    found, _ = played(near, maze.NOOP)
    assert (found.lives, found.row, found.column) == (2, 21, 15)
    assert (found.chaser_row, found.chaser_column) == (3, 27)


def test_pellets_grow_again_when_the_last_is_eaten():
    last = 1 << int(OPEN.ravel()[: 7 * 11 + 6].sum())  # in row 7, column 6
    found, points = played(chase(pellets=last), *[maze.RIGHT] * 3)
    assert points == [0, 0, 1]
    assert found.pellets == (1 << OPEN.sum()) - 1


def test_the_chaser_comes_nearer_along_the_ways_of_the_maze():
    target = (7, 5)
    steps = {target: 0}
    waiting = deque([target])
    while waiting:
        row, column = waiting.popleft()
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            ahead = (row + down, column + right)
            if OPEN[ahead] and ahead not in steps:
                steps[ahead] = steps[row, column] + 1
                waiting.append(ahead)
    assert len(steps) == OPEN.sum()  # every cell can be reached
    for corner in ((1, 1), (1, 9)):
        place = {"chaser_row": 3 * corner[0], "chaser_column": 3 * corner[1]}
        for moved in range(1, steps[corner]):
            found, _ = played(chase(**place), *[maze.NOOP] * 3 * moved)
            cell = (int(found.chaser_row) // 3, int(found.chaser_column) // 3)
            assert steps[cell] == steps[corner] - moved


def test_arrow_keys_steer():
    assert [Bricks().steer(right, 0) for right in (-1, 0, 1)] == [2, 0, 1]
    directions = [(0, 0), (0, -1), (1, 0), (-1, 0), (0, 1)]
    assert [Maze().steer(*each) for each in directions] == [0, 1, 2, 3, 4]
