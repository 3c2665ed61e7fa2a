"""BotEvade against trajectories recorded from the original simulator, and what the
corrected dynamics promise."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from curriculum.envs._base.native import NativeRows
from curriculum.envs._cellworld.cells import Cellworld, cellworld
from curriculum.envs._cellworld.columns import (
    COLUMN,
    COLUMNS,
    LAST_SEEN,
    NO_CELL,
    Agents,
    Columns,
)
from curriculum.envs._cellworld.encounter import Encounter
from curriculum.envs._cellworld.observation import OBSERVED
from curriculum.envs._cellworld.pursuit import Pursuit
from curriculum.envs._cellworld.rules import PREDATOR_BODY, REACH
from curriculum.envs._cellworld.sight import BOXES, OccluderIndex, sees_body
from curriculum.envs._cellworld.visibility import visibility_polygon
from curriculum.envs._cellworld.worlds import WORLDS
from curriculum.envs.botevade import BotEvade

EXCERPT = Path(__file__).with_name("recorded") / "botevade.npz"
# the complete recording; the tables of the world in it have no licence
DATA = Path(__file__).parents[3] / "shared" / "data"
recorded = pytest.mark.skipif(
    not DATA.exists(), reason="the complete recording is not on this machine"
)


def excerpt() -> dict[str, np.ndarray]:
    with np.load(EXCERPT) as file:
        return dict(file)


def tables(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"botevade_{name}.npz") as file:
        return dict(file)


class Shipped(Cellworld):
    """A cellworld with the tables that the original came with, ties of its float32
    arithmetic included."""

    @classmethod
    def of(cls, name: str) -> Any:
        given = tables(f"static_{name}")
        sight = np.unpackbits(given["visible"], axis=1)[:, :331].astype(bool)
        closed = given["occluded"] | given["occluded"][:, None]
        cells = cls(WORLDS[name], sight, np.where(closed, -1, given["next_hop"]))
        vars(cells).update(
            spawn=given["spawn_cells"].astype(int), points=given["lppo"].astype(int)
        )
        vars(cells).update(ties=given["nearest_map_float64_diff"])
        return cells

    def nearest(self, xy: np.ndarray) -> np.ndarray:
        cell, pixel = super().nearest(xy), np.floor(1000 * xy)
        for *at, theirs, _ in vars(self)["ties"]:
            cell[(pixel == at).all(-1)] = theirs
        return cell


def shipped(name: str = "21_05", **fields: Any) -> BotEvade:
    """A world with the recorded tables."""
    world = BotEvade(world=name, **fields)
    vars(world)["layout"] = Shipped.of(name)
    return world


# --- the original, sub-step by sub-step ---


class RecordedSight(Encounter):
    """Sees what was recorded. States have one more column: the recorded row in which
    the episode began."""

    los: np.ndarray

    def look(self, columns, rows):
        super().look(columns, rows)
        if len(columns.array) > len(COLUMNS) and rows.size:
            began = columns.array[-1, rows]
            at = began + np.rint(columns.time[rows] / 0.025)
            columns.visible[rows] = self.los[at.astype(int)]


class Scripted:
    """A generator that returns the given numbers."""

    def __init__(self, numbers: np.ndarray):
        self.numbers = numbers

    def random(self, size: tuple[int, ...]) -> np.ndarray:
        assert self.numbers.shape == size
        return self.numbers


AGENTS = (("prey", "prey"), ("predator", "pred"))
POSES = {
    f"{ours}_{a}": f"{theirs}_{b}"
    for ours, theirs in AGENTS
    for a, b in zip(("x", "y", "heading"), ("x", "y", "dir"), strict=True)
}
COUNTERS = (
    ("waypoint", "waypoint"),
    ("destination", "dest"),
    ("destination_wait", "dest_wait"),
    ("plan_wait", "plan_wait"),
)
EXACT = {
    "puffs": "puff_count",
    "puffed": "puffed",
    "visible": "predator_visible",
    "cooldown": "cooldown",
}
EXACT |= {
    f"{ours}_{a}": f"{theirs}_{b}" for ours, theirs in AGENTS for a, b in COUNTERS
}
GROUPS: dict[str, tuple[dict[str, Any], list[int]]] = {  # fields of the world, episodes
    "cells": ({}, [0, 9]),
    "more cells": ({}, [1, 2, 3, 4, 10, 11, 12]),
    "points": ({"actions": "points"}, [5, 6, 7, 8]),
    "fast predator": ({"predator": "fast"}, [13]),
    "another world": ({"world": "20_05"}, [14, 15]),
}


@recorded
@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, marks=pytest.mark.slow if group == "more cells" else ())
        for group in GROUPS
    ],
)
def test_recorded_episodes_are_replayed_to_the_last_digit(group):
    fields, episodes = GROUPS[group]
    layout = Shipped.of(fields.get("world", "21_05"))
    check_replay(tables("public"), layout, fields, episodes)


@pytest.mark.parametrize("episode", range(3))
def test_an_excerpt_of_the_recording_is_replayed_to_the_last_digit(episode):
    data = excerpt()
    layout = replace(cellworld(WORLDS["21_05"]))
    waypoint = layout.waypoint.copy()
    cell, goal, following = data["routes"].T
    waypoint[cell, goal] = following
    vars(layout)["routes"] = layout.routes._replace(waypoint=waypoint)
    fields: dict[str, Any] = [{}, {"actions": "points"}, {"predator": "fast"}][episode]
    check_replay(data, layout, fields, [episode])


def check_replay(
    data: dict[str, np.ndarray],
    layout: Cellworld,
    fields: dict[str, Any],
    episodes: list[int],
) -> None:
    """Play the recorded actions and draws, and compare all that was recorded."""
    world: Any = BotEvade(dynamics="original", hide_distance=False, **fields)
    encounter = RecordedSight(layout, pursues=False)
    vars(encounter)["los"] = data["los"]
    vars(world).update(layout=layout, _encounter=encounter)
    begin, first, seen = (
        data[f"{kind}_ptr"][episodes].astype(int) for kind in ("sub", "step", "obs")
    )
    last = data["step_ptr"][np.array(episodes) + 1]
    draw = (np.searchsorted(world.layout.open, data["rand_draw"]) + 0.5) / len(
        world.layout.open
    )
    spawn = world.layout.nearest(
        np.stack([data["pred_x"][begin], data["pred_y"][begin]], -1)
    )
    spawn = (np.searchsorted(world.layout.spawn, spawn) + 0.5) / len(world.layout.spawn)
    state = np.column_stack(
        [world.begin(Scripted(np.stack([spawn, draw[begin]], -1)), len(begin)), begin]
    )
    np.testing.assert_array_equal(world.observe(state), data["obs"][seen])
    states, rows = [state], [begin]
    while (on := first < last).any():
        state, begin, first, last, seen = (
            state[on],
            begin[on],
            first[on],
            last[on],
            seen[on],
        )
        at = begin + np.rint(state[:, COLUMN["time"]] / 0.025).astype(int)
        coming = np.minimum(at[:, None] + np.arange(1, 12), len(draw) - 1)
        state, reward, terminated = world.step(
            state, data["action"][first], Scripted(draw[coming])
        )
        states, rows = [*states, state], [*rows, at + data["n_sub"][first]]
        assert (reward == data["reward"][first]).all()
        assert (terminated == data["terminated"][first]).all()
        first, seen = first + 1, seen + 1
        assert (world.observe(state) == data["obs"][seen]).all()
    state, at = np.concatenate(states), np.concatenate(rows)
    for ours, theirs in POSES.items():
        limit = 1e-12 * (360 if "heading" in ours else 1)
        np.testing.assert_allclose(
            state[:, COLUMN[ours]], data[theirs][at], rtol=0, atol=limit
        )
    for ours, theirs in EXACT.items():
        np.testing.assert_array_equal(state[:, COLUMN[ours]], data[theirs][at], ours)
    for ours, theirs in AGENTS:
        cell, goal, left = (
            state[:, COLUMN[f"{ours}_waypoint"]].astype(int),
            state[:, COLUMN[f"{ours}_destination"]].astype(int),
            0,
        )
        while (walking := cell != NO_CELL).any():
            left, cell = (
                left + walking,
                np.where(
                    walking & (cell != goal), world.layout.waypoint[cell, goal], NO_CELL
                ),
            )
        np.testing.assert_array_equal(left, data[f"{theirs}_path_len"][at])


def test_agents_at_the_wall_turn_or_move_or_stay_as_recorded():
    data = excerpt()
    agents = Agents.of(np.zeros((10, 2, 400)))
    x, y, heading, speed, turn_rate = data["wall_in"].transpose(2, 1, 0)
    agents.position[:] = x, y
    agents.heading[:] = heading
    agents.speed[:] = speed
    agents.turn_rate[:] = turn_rate
    cells = cellworld(WORLDS["21_05"])
    Pursuit(cells, np.ones((2, 1)), np.ones((2, 1)), solid=False).move(agents)
    x, y, heading = data["wall_out"].transpose(2, 1, 0)
    np.testing.assert_array_equal(agents.position, [x, y])
    np.testing.assert_array_equal(agents.heading, heading)


@recorded
@pytest.mark.parametrize(
    ("predator", "success", "steps", "capped", "capped_steps"),
    [
        ("slow", 0.725, 6, 0.671, 7),
        pytest.param("fast", 0.518, 6, 0.419, 7, marks=pytest.mark.slow),
        pytest.param("equal", 0.415, 12, 0.479, 10, marks=pytest.mark.slow),
    ],
)
def test_going_straight_for_the_goal_succeeds_as_often_as_in_the_original(
    predator, success, steps, capped, capped_steps
):
    world = shipped(dynamics="original", predator=predator)
    played = play(world, 1_000, world.shortest_path)
    # standard error of a difference at 0.5
    assert played["success"] == pytest.approx(success, abs=4 * 0.0223)
    assert played["steps"] == steps
    vars(world).pop("_arena", None)  # made of the pursuit
    vars(world)["_pursuit"] = replace(world._pursuit, capped=True)
    played = play(world, 1_000, world.shortest_path)
    assert played["success"] == pytest.approx(capped, abs=4 * 0.0223)
    assert played["steps"] == capped_steps


@recorded
@pytest.mark.slow
@pytest.mark.parametrize(
    ("predator", "anywhere", "points", "still"),
    [
        ("slow", 70.9, 50.1, 135.1),
        ("fast", 88.5, 78.1, 150.4),
        ("equal", 126.8, 124.3, 150.2),
    ],
)
def test_simple_policies_are_puffed_as_often_as_in_the_original(
    predator, anywhere, points, still
):
    for fields, policy, puffs in (
        ({}, None, anywhere),
        ({"actions": "points"}, None, points),
        ({}, 0, still),
    ):
        world, rng = (
            shipped(dynamics="original", predator=predator, **fields),
            np.random.default_rng(7),
        )
        size = int(world.action_space.n)  # type: ignore[union-attr]
        played = play(
            world,
            200,
            lambda s, p=policy, n=size, r=rng: (
                r.integers(n, size=len(s)) if p is None else s[:, 0] * 0
            ),
        )
        assert played["puffs"] == pytest.approx(puffs, abs=4.5), (
            predator,
            fields,
            policy,
        )


def play(world: BotEvade, rows: int, policy: Any, seed: int = 0) -> dict[str, float]:
    """Play an episode in each row."""
    rng = np.random.default_rng(seed)
    state, on = world.begin(rng, rows), np.arange(rows)
    success, puffs, steps = np.zeros((3, rows))
    for step in range(1, world.max_steps + 1):
        state, _, terminated = world.step(state, policy(state).astype(int), rng)
        success[on], puffs[on], steps[on] = (
            world.success(state),
            state[:, COLUMN["puffs"]],
            step,
        )
        state, on = state[~terminated], on[~terminated]
        if not on.size:
            break
    return {"success": success.mean(), "puffs": puffs.mean(), "steps": steps.mean()}


# --- line of sight ---


def test_sight_agrees_with_the_original_except_for_grazing_lines():
    """Lines are grazing where occluders 3 % smaller or larger give another answer: the
    same as scaling everything else by the inverse."""
    data, cells = excerpt(), cellworld(WORLDS["21_05"])
    eye, centre, heading = (
        data["los_prey_xy"].T,
        data["los_pred_xy"].T,
        data["los_pred_dir"],
    )
    blocks = cells.occluder_centres
    near = np.hypot(*(centre - eye)) <= 1
    seen = {
        k: sees_body(eye / k, centre / k, heading, PREDATOR_BODY / k, blocks / k) & near
        for k in (0.97, 1.0, 1.03)
    }
    np.testing.assert_array_equal(seen[1.0], data["los_exact"])
    inside = (
        np.abs(
            (eye.T[:, None] - blocks)
            @ np.array([(1, 0), (0.5, 3**0.5 / 2), (0.5, -(3**0.5) / 2)]).T
        )
        < 3 / 128
    ).all(-1)
    sure = (seen[0.97] == seen[1.03]) & ~inside.any(-1)
    assert (seen[0.97] == seen[1.03]).sum() == 964
    np.testing.assert_array_equal(seen[1.0][sure], data["los_upstream"][sure])


def test_a_body_is_in_sight_iff_the_line_to_a_corner_is_free():
    cells, rng = cellworld(WORLDS["21_05"]), np.random.default_rng(0)
    eye, centre, turn = (
        rng.random((2, 6_000)),
        rng.random((2, 6_000)),
        rng.random(6_000) * 360,
    )
    # near ones too
    centre[:, :2_000] = eye[:, :2_000] + 0.1 * (centre[:, :2_000] - 0.5)
    turned = np.exp(1j * np.radians(turn))
    seen = np.zeros(6_000, bool)
    for ahead, left in PREDATOR_BODY:
        corner = (ahead + 1j * left) * turned
        seen |= cells.sees(eye.T, centre.T + np.stack([corner.real, corner.imag], -1))
    assert 0.3 < seen.mean() < 0.7
    np.testing.assert_array_equal(
        sees_body(eye, centre, turn, PREDATOR_BODY, cells.occluder_centres), seen
    )


def test_the_visibility_polygon_holds_the_points_in_sight():
    pygame = pytest.importorskip("pygame")
    cells, eye = cellworld(WORLDS["21_05"]), np.array([0.42, 0.64])
    surface = pygame.Surface((500, 500))
    pygame.draw.polygon(
        surface,
        (255, 255, 255),
        (500 * visibility_polygon(eye, cells.arena, cells.occluders)).tolist(),
    )
    light = pygame.surfarray.array3d(surface)[..., 0] > 0  # [x, y]
    pixels = np.argwhere(np.ones((500, 500), bool))
    place = (pixels + 0.5) / 500
    turn = np.radians([30, 90, 150])
    inside = (
        np.abs((place - 0.5) @ np.stack([np.cos(turn), np.sin(turn)])) < 0.43
    ).all(-1)
    same = light[tuple(pixels[inside].T)] == cells.sees(
        np.tile(eye, (inside.sum(), 1)), place[inside]
    )
    assert same.mean() > 0.98  # but for pixels on the edges


# --- the corrected dynamics ---


def test_nobody_enters_an_occluder_goes_too_fast_or_stays_stuck():
    world, rng = BotEvade(predator="equal", max_steps=0), np.random.default_rng(1)
    blocks, state = (
        world.layout.occluder_centres,
        world.begin(np.random.default_rng(0), 192),
    )
    axes = np.array([(1, 0), (0.5, 3**0.5 / 2), (0.5, -(3**0.5) / 2)]).T
    still = np.zeros((2, 192), int)
    for step in range(150):
        if step % 12 == 0:
            action = rng.integers(294, size=192)  # not the goal
        before = Columns.of(state.T).agents.position
        state, _, over = world.step(state, action, rng)
        agents = Columns.of(state.T).agents
        place = agents.position
        offset = place.reshape(2, -1).T[:, None] - blocks
        assert (np.abs(offset @ axes).max(-1) >= 3 / 128).all()
        moved = np.hypot(*(place - before))
        assert moved.max() <= 0.5 * 0.25 + 10e-9
        going = agents.waypoint != NO_CELL
        still = np.where(going & (moved < 1e-3), still + 1, 0)
        assert still.max() < 12  # 3 s, more than anyone needs to turn round
        state[over] = world.begin(rng, int(over.sum()))
        still[:, over] = 0


def test_a_predator_pursues_a_prey_in_sight():
    # without occluders both see each other from the start, when the predator has no way
    # to go yet
    def pending(dynamics: Any) -> np.ndarray:
        return BotEvade(world="00_00", dynamics=dynamics).begin(
            np.random.default_rng(0), 64
        )[:, COLUMN["predator_pending"]]

    assert (pending("corrected") == LAST_SEEN).all()
    assert (pending("original") != LAST_SEEN).all()
    world, rng = BotEvade(), np.random.default_rng(0)
    state = world.begin(rng, 64)
    for _ in range(40):
        ready = state[:, COLUMN["cooldown"]] == 0
        state, _, over = world.step(state, rng.integers(294, size=64), rng)
        aiming = (
            ready
            & (state[:, COLUMN["visible"]] > 0)
            & (state[:, COLUMN["cooldown"]] == 0)
            & ~over
        )
        assert (state[aiming, COLUMN["predator_pending"]] == LAST_SEEN).all()
        state[over] = world.begin(rng, int(over.sum()))


def test_a_predator_out_of_sight_is_not_observed():
    world, rng = BotEvade(), np.random.default_rng(2)
    state = world.begin(rng, 128)
    cooling = 0
    for _ in range(60):
        state, _, over = world.step(state, rng.integers(294, size=128), rng)
        obs = world.observe(state)
        agents = Columns.of(state.T).agents
        predator, prey = agents.position.swapaxes(0, 1)
        seen = sees_body(
            prey,
            predator,
            agents.heading[0],
            PREDATOR_BODY,
            world.layout.occluder_centres,
        )
        np.testing.assert_array_equal(state[:, COLUMN["visible"]] > 0, seen)
        np.testing.assert_array_equal(obs[~seen, 3:6], 0)
        np.testing.assert_array_equal(obs[~seen, 7], 1)
        np.testing.assert_allclose(
            obs[seen, 7], np.hypot(*(predator - prey))[seen], rtol=1e-6
        )
        cooling += (~seen & (state[:, COLUMN["cooldown"]] > 0)).sum()
        state[over] = world.begin(rng, int(over.sum()))
    assert cooling > 0  # it happened
    shown = replace(world, hide_distance=False).observe(state)
    np.testing.assert_allclose(shown[:, 7], state[:, COLUMN["distance"]], rtol=1e-6)


def beside(world: BotEvade, rows: int = 1) -> np.ndarray:
    """States with the predator 0.05 east of the prey."""
    state = world.begin(np.random.default_rng(0), rows)
    state[:, [COLUMN["predator_x"], COLUMN["predator_y"]]] = 0.1, 0.5
    return state


@pytest.mark.parametrize("dynamics", ["corrected", "original"])
def test_a_puff_comes_every_twenty_sub_steps(dynamics):
    # the first sub-step puffs and counts down at once: 0.475 s are left, after 10
    # sub-steps 0.25 s, after 20 nothing
    world, rng = BotEvade(world="00_00", dynamics=dynamics), np.random.default_rng(0)
    state, rewards, cooldown, flags = beside(world), [], [], []
    # from where the rounded clock counts ten
    state[:, COLUMN["time"]] = 1.0 if dynamics == "original" else 0.0
    for _ in range(5):
        state, reward, terminated = world.step(state, np.array([0]), rng)
        rewards.append(reward[0])
        cooldown.append(state[0, COLUMN["cooldown"]])
        flags.append(state[0, COLUMN["puffed"]])
    assert not terminated.any()
    if dynamics == "corrected":
        assert rewards == [-1, 0, -1, 0, -1]
        assert flags == [1, 0, 1, 0, 1]
        np.testing.assert_allclose(cooldown, [0.25, 0, 0.25, 0, 0.25], atol=1e-12)
    assert state[0, COLUMN["puffs"]] == 3
    ended = replace(world, end_on_puff=True).step(beside(world), np.array([0]), rng)
    assert ended[2].all()
    assert ended[0][0, COLUMN["cooldown"]] == pytest.approx(0.475)  # and at once


def test_a_new_episode_keeps_nothing_of_the_last():
    world = BotEvade(world="00_00", max_steps=7)
    rows, fresh = (NativeRows(world, [np.random.default_rng(0)], 32) for _ in range(2))
    rows.reset()
    actions = np.random.default_rng(1).integers(331, size=(7, 32))
    for action in actions:
        step = rows.step(action)
    assert step.truncated.any()
    first = fresh.reset()
    changing = [
        "predator_x",
        "predator_y",
        "predator_pending",
        "last_seen_x",
        "last_seen_y",
        "distance",
    ]
    same = [COLUMN[name] for name in COLUMNS if name not in changing]
    np.testing.assert_array_equal(rows.state[:, same], fresh.state[:, same])
    np.testing.assert_array_equal(step.obs, first)
    assert not rows.state[
        :,
        [
            COLUMN["puffed"],
            COLUMN["puffs"],
            COLUMN["cooldown"],
            COLUMN["finished"],
            COLUMN["time"],
        ],
    ].any()


# --- rewards, success, actions, worlds ---


def test_success_is_the_goal_without_a_puff():
    state = np.zeros((3, len(COLUMNS)))
    state[:, COLUMN["finished"]], state[:, COLUMN["puffs"]] = [1, 1, 0], [0, 1, 0]
    assert BotEvade().success(state).tolist() == [True, False, False]


def test_rewards_are_weighted_fields_and_offsets():
    state, rng = beside(BotEvade(world="00_00")), np.random.default_rng(0)

    def reward(*rules: str) -> float:
        return float(
            BotEvade(world="00_00", rewards=rules).step(state, np.array([0]), rng)[1][0]
        )

    assert reward("puffed=-100", "finished=10") == -100
    assert reward("puffed=2+3", "finished=10+-0.5") == 4.5
    assert reward() == 0
    obs = BotEvade(world="00_00").observe(
        BotEvade(world="00_00").step(state, np.array([0]), rng)[0]
    )[0]
    named = dict(zip(OBSERVED, obs.tolist(), strict=True))
    assert reward("prey_goal_distance=-2+1") == pytest.approx(
        1 - 2 * named["prey_goal_distance"], rel=1e-5
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rewards": ("puff=-1",)}, "no field 'puff' to reward; there are: prey_x"),
        (
            {"rewards": ("puffed",)},
            "a reward is written field=multiplier or .*, got 'puffed'",
        ),
        ({"rewards": ("puffed=much",)}, "got 'puffed=much'"),
        ({"world": "21_99"}, "no world '21_99'; there are: 21_05, 20_05"),
        ({"world": "random:x"}, "no world 'random:x'"),
        (
            {"world": "0,5"},
            "between the first cell, 0, and the last, 330; got 0,5",
        ),
        ({"predator": "slower"}, "no predator 'slower'; there are: slow, fast, equal"),
        ({"max_steps": -1}, "max_steps must be at least 0, got -1"),
    ],
)
def test_impossible_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        BotEvade(**fields)


def test_worlds_are_named_or_random_or_lists_of_cells():
    assert BotEvade(world="3,18,24").layout.occluded == (3, 18, 24)
    assert len(BotEvade(world="random:5").layout.occluded) == 36
    assert BotEvade(world="random:5").layout is BotEvade(world="random:5").layout
    state = BotEvade(world="00_00").begin(np.random.default_rng(0), 3)
    np.testing.assert_allclose(
        state[:, [COLUMN["predator_x"], COLUMN["predator_y"]]], 0.5
    )


def test_actions_name_cells_planning_points_or_places():
    points, cells, places = (
        BotEvade(actions="points"),
        BotEvade(),
        BotEvade(actions="continuous"),
    )
    assert (points.action_space.n, cells.action_space.n) == (35, 295)  # type: ignore[union-attr]
    state = cells.begin(np.random.default_rng(0), 35)
    target = np.isin(cells.layout.open, points.layout.points).nonzero()[0]
    near = cells.layout.xy[points.layout.points] + 0.009
    expected = cells.step(state, target, np.random.default_rng(1))[0]
    for world, action in ((points, np.arange(35)), (places, near.astype(np.float32))):
        np.testing.assert_array_equal(
            world.step(state, action, np.random.default_rng(1))[0], expected
        )
    for world in (points, cells, places):
        rows = NativeRows(world, [np.random.default_rng(0)], 8)
        rows.reset()
        finished = [
            rows.step(world.shortest_path(rows.state)).terminated for _ in range(12)
        ]
        assert np.array(finished).any(0).all()


# --- the contract ---


@pytest.mark.parametrize(
    "fields",
    [{}, {"actions": "continuous"}, {"dynamics": "original", "actions": "points"}],
)
def test_gymnasium_and_stable_baselines_accept_the_environment(fields, monkeypatch):
    from gymnasium.utils.env_checker import check_env
    from stable_baselines3.common import env_checker

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
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
        check_env(gym.make("curriculum/BotEvade-v0", **fields).unwrapped)
        env_checker.check_env(
            gym.make("curriculum/BotEvade-v0", render_mode="rgb_array", **fields)
        )


@pytest.mark.parametrize("dynamics", ["corrected", "original"])
def test_a_batch_of_rows_equals_single_environments(dynamics):
    fields = {"dynamics": dynamics, "max_steps": 4}
    batch: Any = gym.make_vec("curriculum/BotEvade-v0", num_envs=64, **fields)
    same_step = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}
    single = gym.make_vec(
        "curriculum/BotEvade-v0", 64, "sync", vector_kwargs=same_step, **fields
    )
    np.testing.assert_array_equal(batch.reset(seed=7)[0], single.reset(seed=7)[0])
    actions = np.random.default_rng(0).integers(295, size=(6, 64))
    actions[:, :8] = 294
    for action in actions:
        for ours, theirs in zip(
            batch.step(action)[:4], single.step(action)[:4], strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_a_seed_alone_plays_as_among_others_and_steps_keep_their_input():
    world, actions = (
        BotEvade(max_steps=9),
        np.random.default_rng(3).integers(295, size=(25, 3, 4)),
    )
    together = NativeRows(world, [np.random.default_rng(seed) for seed in range(3)], 4)
    alone = NativeRows(world, [np.random.default_rng(1)], 4)
    np.testing.assert_array_equal(together.reset()[4:8], alone.reset())
    for action in actions:
        before, copy = together.state, together.state.copy()
        for many, one in zip(
            together.step(action.ravel()), alone.step(action[1]), strict=True
        ):
            np.testing.assert_array_equal(many[4:8], one)
        np.testing.assert_array_equal(before, copy)


def test_a_picture_shows_goal_agents_and_what_is_hidden():
    world = BotEvade()
    state = world.begin(np.random.default_rng(0), 1)[0]
    state[
        [COLUMN["prey_x"], COLUMN["prey_y"], COLUMN["predator_x"], COLUMN["predator_y"]]
    ] = (
        0.3,
        0.7,
        0.5,
        0.3,
    )
    for seen, colour in ((1, (208, 66, 58)), (0, (228, 182, 178))):
        state[COLUMN["visible"]] = seen
        picture = world.draw(state)
        assert (picture.shape, picture.dtype) == ((632, 720, 3), np.uint8)
        for (x, y), expected in (
            ((0.96, 0.5), (196, 230, 196)),
            ((0.3, 0.7), (52, 108, 200)),
            ((0.5, 0.3), colour),
        ):
            column, row = 360 + (x - 0.5) * 704, 316 - (y - 0.5) * 704
            around = picture[
                int(row) - 3 : int(row) + 4, int(column) - 3 : int(column) + 4
            ].astype(int)
            assert np.abs(around - expected).sum(-1).min() <= 6


@pytest.mark.parametrize(
    "world",
    ["21_05", pytest.param("20_05", marks=pytest.mark.slow), "random:4", "00_00"],
)
def test_preselecting_occluders_does_not_change_what_is_seen(world):
    cells, rng = BotEvade(world=world).layout, np.random.default_rng(0)
    blocks = cells.occluder_centres
    index, seen = OccluderIndex.of(blocks, REACH[0, 0]), []
    for size in (20_000, 20_000, 10_000):
        eye, centre = rng.random((2, 2, size))
        # near ones too
        centre[:, ::4] = (eye[:, ::4] + 0.2 * (centre[:, ::4] - 0.5)).clip(0, 0.999)
        # in the corners of boxes
        eye[:, 1::4] = (np.rint(eye[:, 1::4] * BOXES) / BOXES - 1e-12).clip(0)
        centre[:, 2::4] = (np.rint(centre[:, 2::4] * BOXES) / BOXES).clip(0, 0.999)
        turn = rng.random(size) * 360
        seen.append(
            sees_body(
                eye,
                centre,
                turn,
                PREDATOR_BODY,
                index.centres,
                index.between(eye, centre),
            )
        )
        np.testing.assert_array_equal(
            seen[-1], sees_body(eye, centre, turn, PREDATOR_BODY, blocks)
        )
    assert world == "00_00" or 0.1 < np.concatenate(seen).mean() < 0.9


@pytest.mark.parametrize("actions", ["all", "points", "continuous"])
def test_keys_send_the_prey_where_they_point(actions: str):
    world = BotEvade(world="00_00", actions=actions)  # type: ignore[arg-type]
    rows = NativeRows(world, [np.random.default_rng(0)])
    rows.reset()

    def moved(right: int, down: int, steps: int) -> np.ndarray:
        """How far the prey moves, x and y."""
        columns = [COLUMN["prey_x"], COLUMN["prey_y"]]
        before = rows.state[0, columns].copy()
        for _ in range(steps):
            rows.step(np.array([world.steer(rows.state[0], right, down)]))
        return rows.state[0, columns] - before

    if actions == "points":  # there are few of them
        assert world.steer(rows.state[0], 1, 0) in range(len(world.places))
        return
    moved(1, 0, 2)  # from the edge, until it has speed
    east = moved(1, 0, 2)
    assert east[0] == pytest.approx(0.25, rel=0.1)  # at full speed
    assert abs(east[1]) < 0.03
    moved(0, -1, 1)
    assert moved(0, -1, 1)[1] > 0.08  # up is north
    moved(0, 0, 3)
    assert np.hypot(*moved(0, 0, 3)) < 0.03  # it stays


def test_the_trail_of_the_prey_is_drawn():
    world = BotEvade()
    states = np.tile(world.begin(np.random.default_rng(0), 1), (2, 1))
    states[:, COLUMN["prey_x"]] = 0.3, 0.5
    states[:, COLUMN["prey_y"]] = 0.9
    row, column = int(316 - 0.4 * 704), int(360 - 0.1 * 704)  # half-way
    wanted = (150, 180, 228)
    trail = world.draw_trail(states)[row - 2 : row + 3, column]
    assert np.abs(trail.astype(int) - wanted).max(-1).min() < 12
    plain = world.draw(states[-1])[row - 2 : row + 3, column]
    assert np.abs(plain.astype(int) - wanted).max(-1).min() > 12
