"""Uniform-cost search: the best paths, and what tells the states of worlds apart."""

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from curriculum.contract import check_planner
from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.spec import spec_of
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pendulum import Pendulum
from curriculum.planners.shortest_path import ShortestPath
from curriculum.planners.uniform_cost import UniformCost
from curriculum.run.evaluation import play_planner
from curriculum.types import stream

DOOR_KEY = "MiniGrid-DoorKey-5x5-v0"
LEFT = 0  # MiniGrid's actions
DONE = 6


@dataclass(kw_only=True)
class Graph(Dynamics):
    """Places with two ways out of each; it begins at place 0."""

    leads_to: Any  # [S, 2], -1: the end
    pays: Any  # [S, 2]

    max_steps: int = 50
    action_space: ClassVar[Any] = gym.spaces.Discrete(2)
    observation_space: ClassVar[gym.spaces.Box] = gym.spaces.Box(
        -np.inf, np.inf, (1,), np.float32
    )

    def begin(self, rng, rows):
        return np.zeros((rows, 1), np.int64)

    def observe(self, state):
        return state.astype(np.float32)

    def success(self, state):
        return state[:, 0] < 0

    def draw(self, state):
        return np.zeros((1, 1, 3), np.uint8)

    def step(self, state, action, rng):
        place = state[:, 0]
        after = np.asarray(self.leads_to)[place, action]
        return after[:, None], np.asarray(self.pays, float)[place, action], after < 0


def ready(planner: UniformCost, world: Any, each: int = 1) -> tuple[Any, Any]:
    rows = world.rows([stream(0, "environment")], each)
    rows.reset()
    return planner.setup(rows, spec_of(world), (0,)), rows


def episode(planner: UniformCost, world: Any) -> list[int]:
    """The actions of the first episode."""
    actor, rows = ready(planner, world)
    actions = []
    over = False
    while not over:
        action = actor.act(rows.obs, np.arange(1))
        actions.append(int(action[0]))
        step = rows.step(action)
        over = bool(step.terminated[0] or step.truncated[0])
    return actions


def best_return(world: Graph) -> float:
    """The highest return within 30 steps, by value iteration."""
    leads_to = np.asarray(world.leads_to)
    value = np.zeros(len(leads_to) + 1)  # the last one stands for the end
    value[:-1] = -np.inf
    for _ in range(30):
        value[:-1] = (np.asarray(world.pays) + value[leads_to]).max(1)
    return value[0]


# straight to the end for a toll of 5, or three steps for 1 each
TOLLS = Graph(
    leads_to=[[1, 2], [-1, 1], [3, 2], [1, 3]],
    pays=[[-5, -1], [9, -1], [-1, -1], [-1, -1]],
)
# two ways for nothing, and the second is shorter
FREE = Graph(
    leads_to=[[2, 1], [-1, 0], [3, 2], [-1, 3]],
    pays=[[0, 0], [1, 0], [0, 0], [1, 0]],
)
# ends that do not pay are nearer than the one that does
FAILURE = Graph(leads_to=[[-1, 1], [-1, 2], [-1, -1]], pays=[[0, 0], [-1, 0], [0, 1]])
# no end pays
COSTS = Graph(leads_to=[[-1, 1], [1, -1]], pays=[[-9, -1], [-1, -2]])


@pytest.mark.parametrize(
    ("world", "actions"),
    [(TOLLS, [1, 0, 0, 0]), (FREE, [1, 0]), (FAILURE, [1, 1, 1]), (COSTS, [1, 1])],
    ids=["tolls", "free", "failure", "costs"],
)
def test_the_best_path_is_found(world, actions):
    assert episode(UniformCost(), world) == actions


def test_no_path_through_random_graphs_has_a_higher_return():
    rng = np.random.default_rng(0)
    solved = 0
    for _ in range(40):
        leads_to = rng.integers(-1, 12, size=(12, 2))
        pays = np.where(leads_to < 0, 10.0, -rng.integers(0, 5, size=(12, 2)))
        world = Graph(leads_to=leads_to, pays=pays)
        best = best_return(world)
        if np.isinf(best):
            continue
        played = play_planner(UniformCost(), world, spec_of(world), range(1))
        assert played.reward[0] == pytest.approx(best)
        solved += 1
    assert solved > 20


def test_the_gridworld_is_crossed_by_shortest_paths():
    world = Gridworld()
    best = play_planner(ShortestPath(), world, spec_of(world), range(25))
    found = play_planner(UniformCost(), world, spec_of(world), range(25))
    np.testing.assert_allclose(found.reward, best.reward, atol=1e-5)


def test_states_on_earlier_paths_need_no_search(monkeypatch):
    corridor = Graph(
        leads_to=[[0, 1], [0, 2], [1, 3], [2, -1]], pays=[[0, 0]] * 3 + [[0, 1]]
    )
    actor, rows = ready(UniformCost(), corridor)
    actor.act(rows.obs, np.arange(1))
    monkeypatch.setattr(actor.simulator, "step", None)
    rows.state[:] = 2
    assert actor.act(rows.obs, np.arange(1)).tolist() == [1]


def test_seeds_share_searches_but_not_what_they_remember(monkeypatch):
    world = Graph(leads_to=[[0, 1], [0, -1]], pays=[[0, 0], [0, 1]])
    rows = world.rows([stream(seed, "environment") for seed in (0, 1)])
    rows.reset()
    actor = UniformCost().setup(rows, spec_of(world), (0, 1))
    actor.act(rows.obs[:1], np.array([0]))
    monkeypatch.setattr(actor.simulator, "step", None)
    rows.state[:] = [[0], [1]]
    with pytest.raises(TypeError):  # it searches: only the first seed has been there
        actor.act(rows.obs[1:], np.array([1]))
    rows.state[:] = 0
    assert actor.act(rows.obs, np.array([0, 1])).tolist() == [1, 1]


def test_only_the_newest_actions_are_remembered():
    corridor = Graph(
        leads_to=[[0, 1], [0, 2], [1, 3], [2, -1]], pays=[[0, 0]] * 3 + [[0, 1]]
    )
    actor, rows = ready(UniformCost(memory=2), corridor)
    actor.act(rows.obs, np.arange(1))
    kept = actor.simulator.keys(np.array([[2], [3]]))
    assert list(actor.best[0].actions) == kept
    assert actor.act(rows.obs, np.arange(1)).tolist() == [1]


def test_a_search_that_is_cut_short_says_so_and_goes_on_from_where_it_got():
    steps = 30  # along a corridor, with the choice to stay
    leads_to = [[place, place + 1] for place in range(steps)]
    leads_to[-1][1] = -1
    pays = [[0, 0]] * (steps - 1) + [[0, 1]]
    corridor = Graph(leads_to=leads_to, pays=pays)
    with pytest.warns(UserWarning, match="met 8 states of Graph.* raise --planner"):
        assert episode(UniformCost(states=8), corridor) == [1] * steps


@pytest.mark.filterwarnings("ignore:uniform_cost met")
@pytest.mark.parametrize("states", [20_000, 10])
def test_searching_keeps_the_contract_whether_cut_short_or_not(states):
    check_planner(UniformCost(states=states), Gridworld(), seeds=(3, 1), steps=12)


class _Keyless:
    world = Gridworld()

    def simulator(self):
        return object()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UniformCost(states=1), "states must be at least 2, got 1"),
        (lambda: UniformCost(memory=0), "memory must be at least 1, got 0"),
        (
            lambda: ready(UniformCost(), Pendulum()),
            r"uniform_cost needs discrete actions, Pendulum has box actions",
        ),
        (
            lambda: UniformCost().setup(_Keyless(), spec_of(Gridworld()), (0,)),  # type: ignore[arg-type]
            "uniform_cost needs copies that can be told apart, those of Gridworld have",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


# --- MiniGrid ---


def door_key(actions: list[int], carried: Any = None, seed: int = 3) -> Any:
    """Rows after these actions, then with something in the agent's hands."""
    pytest.importorskip("minigrid", reason="an optional package")
    rows = Gym(id=DOOR_KEY).rows([stream(seed, "environment")])
    rows.reset()
    for action in actions:
        rows.step(np.array([action]))
    env: Any = rows.envs[0].unwrapped
    env.carrying = carried
    return rows


def key_of(rows: Any) -> bytes:
    simulator = rows.simulator()
    return simulator.keys(simulator.states(np.arange(1)))[0]


def test_keys_leave_out_the_time_and_where_the_random_numbers_come_from():
    start = key_of(door_key([]))
    assert key_of(door_key([DONE, DONE])) == start
    assert key_of(door_key([LEFT] * 4)) == start
    rows = door_key([])
    same = Gym(id=DOOR_KEY).rows([stream(4, "environment")])
    same.reset()
    ours: Any = rows.envs[0].unwrapped
    other: Any = same.envs[0].unwrapped
    other.grid = ours.grid
    other.agent_pos = ours.agent_pos
    other.agent_dir = ours.agent_dir
    assert same.seeds[0] != rows.seeds[0]
    assert key_of(same) == start


def test_keys_know_the_direction_and_what_minigrids_hash_leaves_out():
    objects = pytest.importorskip("minigrid.core.world_object", reason="optional")
    key = objects.Key("yellow")
    carrying = [
        None,
        key,
        objects.Key("red"),
        objects.Box("red"),
        objects.Box("red", contains=key),
    ]
    states = [door_key([], carried) for carried in carrying]
    assert len({rows.envs[0].unwrapped.hash() for rows in states}) == 1
    keys = {key_of(rows) for rows in (*states, door_key([LEFT]))}
    assert len(keys) == 6


def fewest_steps(env: Any) -> int:
    """Steps to the goal, by breadth-first search in the rules of the task: walk to the
    key, carry it to the door, and through it."""
    grid = {
        (x, y): getattr(env.grid.get(x, y), "type", "floor")
        for x in range(env.width)
        for y in range(env.height)
    }
    moves = [(1, 0), (0, 1), (-1, 0), (0, -1)]  # right, down, left, up
    start = (*map(int, env.agent_pos), int(env.agent_dir), False, False)
    found = {start: 0}
    queue = deque(found)
    while queue:
        state = queue.popleft()
        x, y, direction, has_key, is_open = state
        if grid[x, y] == "goal":
            return found[state]
        ahead = (x + moves[direction][0], y + moves[direction][1])
        thing = grid[ahead]
        after = [(x, y, (direction + turn) % 4, has_key, is_open) for turn in (-1, 1)]
        free = thing in ("floor", "goal") or (thing == "door" and is_open)
        if free or (thing == "key" and has_key):
            after.append((*ahead, direction, has_key, is_open))
        if thing == "key":
            after.append((x, y, direction, True, is_open))
        if thing == "door" and has_key:
            after.append((x, y, direction, True, True))
        for other in after:
            if other not in found:
                found[other] = found[state] + 1
                queue.append(other)
    raise AssertionError("no path to the goal")


def test_the_door_is_opened_and_the_goal_reached_in_the_fewest_steps():
    pytest.importorskip("minigrid", reason="an optional package")
    actor, rows = ready(UniformCost(), Gym(id=DOOR_KEY))
    for _ in range(3):
        fewest = fewest_steps(rows.envs[0].unwrapped)
        terminated = False
        reward = 0.0
        steps = 0
        while not terminated:
            step = rows.step(actor.act(rows.obs, np.arange(1)))
            terminated = bool(step.terminated[0])
            reward = float(step.reward[0])
            steps += 1
        assert steps == fewest
        assert reward == pytest.approx(1 - 0.9 * fewest / 250)
