"""States of a data set, what the data say of them, and their neighbours, by hand."""

from pathlib import Path

import numpy as np
import pytest
from data_sets import data_set, episode

from curriculum.data import states
from curriculum.data.dataset import DataSet
from curriculum.types import Spec


@pytest.fixture
def line(tmp_path: Path) -> DataSet:
    """Two states, 0 and 1: an episode that terminates after rewards 1, 2, 4, and one
    that is cut after rewards 1, 1."""
    return data_set(
        tmp_path / "data",
        [
            episode(_column(0, 1, 0, 1), [0, 1, 1], [1, 2, 4]),
            episode(_column(0, 0, 1), [0, 1], 1.0, terminated=False, truncated=True),
        ],
    )


def _column(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)[:, None]


def test_returns_are_discounted_to_the_end_of_the_episode(line: DataSet) -> None:
    all_states = states.choose(line, 10, seed=0)
    np.testing.assert_allclose(all_states.returns(0.5)[:3], [3, 4, 4])
    np.testing.assert_allclose(all_states.returns(0.5, shift=-1)[:3], [1.25, 2.5, 3])


def test_returns_are_unknown_where_a_cut_takes_weight(line: DataSet) -> None:
    all_states = states.choose(line, 10, seed=0)
    assert np.isnan(all_states.returns(0.5)[3:]).all()
    # half a percent of the weight is behind two steps, 7 % behind one
    np.testing.assert_allclose(all_states.returns(0.07)[3:], [1.07, np.nan])


def test_a_batch_holds_what_happened_in_its_states(line: DataSet) -> None:
    batch = states.choose(line, 5, seed=0)
    assert batch.steps.tolist() == [0, 1, 2, 3, 4]
    assert batch.obs.ravel().tolist() == [0, 1, 0, 0, 0]
    assert batch.next_obs.ravel().tolist() == [1, 0, 1, 0, 1]
    assert batch.episode.tolist() == [0, 0, 0, 1, 1]
    assert batch.terminated.tolist() == [False, False, True, False, False]


def test_a_seed_chooses_the_same_states_again(line: DataSet) -> None:
    chosen = [states.choose(line, 3, seed).steps.tolist() for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len({tuple(steps) for steps in chosen}) > 1


def test_stacks_of_frames_are_put_together(tmp_path: Path) -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None]  # of 1x1 pixels
    stacks = np.stack([images[i : i + 2] for i in range(4)])  # [4, 2, 1, 1]
    spec = Spec((2, 1, 1), "uint8", np.zeros((2, 1, 1)), np.full((2, 1, 1), 255), 2)
    data = data_set(
        tmp_path / "data",
        [episode(stacks, [0, 1, 0])],
        spec=spec._replace(frames=2),
    )
    batch = states.choose(data, 3, seed=0)
    np.testing.assert_array_equal(batch.obs, stacks[:3])
    np.testing.assert_array_equal(batch.next_obs, stacks[1:])


def test_actions_are_counted_where_states_repeat(tmp_path: Path) -> None:
    obs = _column(0, 1, 2, 0, 1, 9)
    data = data_set(tmp_path / "data", [episode(obs, [0, 1, 0, 2, 1])])
    repeats = states.Reference(states.choose(data, 5, seed=0)).repeats(3)
    assert repeats.states.tolist() == [0, 1, 3, 4]  # 2 is visited once
    assert repeats.counts.tolist() == [[1, 0, 1], [0, 2, 0]] * 2


def test_neighbours_are_the_nearest_states_without_itself(tmp_path: Path) -> None:
    # places 0, 1, 3, 7, far from 0 where floats are coarse; the second number is the
    # same everywhere
    places = np.array([[0, 5], [1, 5], [3, 5], [7, 5], [7, 5]], float)
    places[:, 0] += 1e4
    data = data_set(
        tmp_path / "data", [episode(places.astype(np.float32), [0, 1, 2, 3])]
    )
    batch = states.choose(data, 4, seed=0)
    found = states.Reference(batch).neighbours(2)
    assert [sorted(row) for row in found.steps.tolist()] == [
        [1, 2],
        [0, 2],
        [0, 1],
        [1, 2],
    ]
    # the deviation of 0, 1, 3, 7 is sqrt(14.75 - 2.75 ** 2)
    nearest = np.array([1, 1, 2, 4]) / np.sqrt(59 / 4 - (11 / 4) ** 2)
    np.testing.assert_allclose(found.distance.min(1), nearest, rtol=1e-3)


def test_more_neighbours_than_states_are_all_others(line: DataSet) -> None:
    found = states.Reference(states.choose(line, 5, seed=0)).neighbours(99)
    assert found.steps.shape == (5, 4)
    for step, others in enumerate(found.steps):
        assert sorted(others) == [other for other in range(5) if other != step]
