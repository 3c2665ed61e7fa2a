"""What every planner promises, and what the built-in ones do."""

from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curriculum import plugins
from curriculum.types import Spec, stream
from envs.dynamics import Rows
from envs.gridworld import Gridworld
from planners.random import Random
from planners.shortest_path import ShortestPath

FINITE = ["random", "shortest_path"]  # those that play any finite world


def rows_of(*seeds: int, each: int = 4, **fields) -> Rows:
    return Rows(Gridworld(**fields), [stream(seed, "environment") for seed in seeds], each)


def spec_of(rows: Rows, **changes) -> Spec:
    space: Any = rows.single_observation_space
    return Spec(space.shape, str(space.dtype), space.low, space.high, actions=3)._replace(**changes)


def play(rows: Rows, actor, steps: int) -> np.ndarray:
    """Actions [steps, N] of a planner in `rows`."""
    everyone = np.arange(rows.count)
    actions = []
    for _ in range(steps):
        actions.append(actor.act(rows.obs, everyone))
        rows.step(actions[-1])
    return np.array(actions)


@pytest.mark.parametrize("name", FINITE)
def test_a_planner_gives_an_allowed_action_for_any_of_the_rows(name):
    rows = rows_of(0, 1)
    rows.reset()
    actor = plugins.make("planner", name)
    assert actor.setup(rows, spec_of(rows), (0, 1)) is actor
    assert actor.needs in ("observation", "state")
    for some in (np.arange(8), np.array([1, 6, 7]), np.array([], np.int64)):
        action = actor.act(rows.obs[some], some)
        assert action.shape == some.shape
        assert action.dtype == np.int64
        assert np.isin(action, [0, 1, 2]).all()


@pytest.mark.parametrize("name", FINITE)
def test_a_seed_alone_plans_as_among_others(name):
    together, alone = rows_of(0, 1, 2), rows_of(1)
    together.reset()
    alone.reset()
    many = play(together, plugins.make("planner", name).setup(together, spec_of(together), (0, 1, 2)), 40)
    one = play(alone, plugins.make("planner", name).setup(alone, spec_of(alone), (1,)), 40)
    np.testing.assert_array_equal(many[:, 4:8], one)


@pytest.mark.parametrize("name", [name for name in FINITE if hasattr(plugins.make("planner", name), "state")])
def test_a_planner_with_memory_resumes_exactly(name):
    rows = rows_of(0, 1)
    rows.reset()
    actor = plugins.make("planner", name).setup(rows, spec_of(rows), (0, 1))
    play(rows, actor, 10)
    saved_rows, saved = rows.save(), actor.state()
    expected = play(rows, actor, 20)
    other = plugins.make("planner", name).setup(rows, spec_of(rows), (0, 1))
    other.load(saved)
    rows.load(saved_rows)
    np.testing.assert_array_equal(play(rows, other, 20), expected)


def test_random_actions_are_uniform():
    rows = rows_of(0, each=3_000)
    actor = Random().setup(rows, spec_of(rows), (0,))
    action = actor.act(np.zeros((3_000, 6)), np.arange(3_000))
    np.testing.assert_allclose(np.bincount(action, minlength=3), 1_000, atol=4 * (3_000 * 2 / 9) ** 0.5)
    box = (
        Random().setup(rows, spec_of(rows, actions=0, action_size=2), (0,)).act(np.zeros((3_000, 6)), np.arange(3_000))
    )
    assert (box.shape, box.dtype) == ((3_000, 2), np.float32)
    assert np.abs(box).max() <= 1
    np.testing.assert_allclose(box.mean(0), 0, atol=4 * (1 / 3 / 3_000) ** 0.5)
    np.testing.assert_allclose(box.var(0), 1 / 3, atol=0.03)


def steps_to_goal(motion: str) -> dict[tuple[int, int, int], int]:
    """Fewest steps to the goal from every free cell and heading, by breadth-first search backwards."""
    walls, moves = {(2, 2), (3, 4), (5, 6)}, {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    free = [(r, c) for r in range(10) for c in range(10) if (r, c) not in walls]
    before: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    for row, column in free:
        for heading in range(4):
            for turn in (-1, 0, 1):
                looks = (heading + turn) % 4
                there = (row + moves[looks][0], column + moves[looks][1])
                stays = there not in free or (motion == "turn-in-place" and turn != 0)
                before.setdefault(((row, column) if stays else there) + (looks,), []).append((row, column, heading))
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
        step = rows.step(actor.act(rows.obs, np.arange(384)))
        length += playing
        reward += playing * step.reward
        playing &= ~step.terminated
    assert not playing.any()
    np.testing.assert_array_equal(length, list(expected.values()))
    np.testing.assert_allclose(reward, 10.1 - 0.1 * length, atol=1e-5)


@pytest.mark.parametrize(("motion", "best"), [("turn-and-move", 8.30), ("turn-in-place", 8.20)])
def test_the_shortest_path_from_the_corner_has_the_recorded_return(motion, best):
    rows = rows_of(0, each=1, motion=motion, start="fixed")
    rows.reset()
    actor = ShortestPath().setup(rows, spec_of(rows), (0,))
    total, over = 0.0, False
    while not over:
        step = rows.step(actor.act(rows.obs, np.array([0])))
        total, over = total + step.reward[0], bool(step.terminated[0] or step.truncated[0])
    assert step.success[0]
    assert total == pytest.approx(best, abs=1e-5)


class Hopeless(Gridworld):
    def success(self, state):
        return np.zeros(len(state), bool)


def test_worlds_without_a_shortest_path_are_refused():
    rows = rows_of(0)
    with pytest.raises(ValueError, match="no way to success"):
        ShortestPath().setup(Rows(Hopeless(), [stream(0, "environment")]), spec_of(rows), (0,))
    with pytest.raises(ValueError, match="listed states"):
        ShortestPath().setup(SimpleNamespace(dynamics=object()), spec_of(rows), (0,))
