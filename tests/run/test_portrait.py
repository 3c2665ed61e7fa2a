"""Pictures of a data set show what is in it."""

from pathlib import Path

import numpy as np
import pytest
from data_sets import data_set, episode

from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pointmass import Pointmass
from curriculum.run import portrait


@pytest.mark.parametrize("observation", ["vector", "pose"])
def test_visits_are_counted_by_cell(tmp_path: Path, observation: str) -> None:
    world = Gridworld(observation=observation)  # type: ignore[arg-type]
    # row, column, heading; the last is where the second step leads
    states = np.array([[0, 0, 1], [0, 1, 1], [0, 1, 0], [9, 8, 1], [9, 9, 1]])
    obs = world.observe(states)
    data = data_set(tmp_path / "data", [episode(obs, [0, 1, 0, 1])])
    expected = np.zeros((10, 10))
    expected[0, 0] = 1
    expected[0, 1] = 2
    expected[9, 8] = 1
    counts = portrait.count_visits(data, world)
    assert counts is not None
    np.testing.assert_array_equal(counts, expected)


def test_places_belong_to_the_cell_they_are_in(tmp_path: Path) -> None:
    world = Pointmass()
    height, width = world.cells
    rng = np.random.default_rng(0)
    states = rng.uniform(0, 1, (500, 2)) * world.cells
    obs = world.observe(states)
    data = data_set(tmp_path / "data", [episode(obs, [0] * 499)])
    expected = np.bincount(world.cell(states)[:499], minlength=height * width)
    counts = portrait.count_visits(data, world)
    np.testing.assert_array_equal(counts, expected.reshape(height, width))


def test_no_map_where_several_cells_look_alike(tmp_path: Path) -> None:
    world = Gridworld(observation="image")
    obs = world.observe(np.array([[4, 1, 1], [4, 2, 1]]))
    data = data_set(tmp_path / "data", [episode(obs, [0])])
    assert portrait.count_visits(data, world) is None


@pytest.mark.parametrize("env", ["", "no-such-world", "pendulum"])
def test_worlds_without_cells_have_no_map(tmp_path: Path, env: str) -> None:
    obs = np.zeros((3, 4), np.float32)
    data = data_set(tmp_path / "data", [episode(obs, [0, 2])], env=env)
    assert portrait.grid_of(data) is None


def test_the_map_is_that_of_the_world_with_its_settings(tmp_path: Path) -> None:
    obs = np.zeros((3, 4), np.float32)
    made = {"env": "pointmass", "env_settings": {"maze": "hard"}}
    data = data_set(tmp_path / "data", [episode(obs, [0, 2])], **made)
    grid = portrait.grid_of(data)
    assert grid is not None
    np.testing.assert_array_equal(grid.walls, Pointmass(maze="hard").walls)
