"""The description of a data set counts what is in it."""

from pathlib import Path

import numpy as np
from data_sets import data_set, episode

from curriculum.data import describe


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_metadata_are_the_four_lines_of_the_gridworld_document(tmp_path: Path) -> None:
    long = episode(column(0, 1, 2, 3), [0, 1, 2], [-0.1, -0.1, 10])
    short = episode(column(5, 6), [1], 1.0)
    data = data_set(tmp_path / "data", [long, short])
    assert describe.metadata(data).splitlines() == [
        "Num Episodes: 2",
        "Avg Episode Reward: 5.40",
        "Avg Episode Length: 2.00",
        "Total Transitions: 4",
    ]


def test_whoever_acted_most_owns_an_episode(tmp_path: Path) -> None:
    mixed = episode(column(0, 1, 2, 3), [0, 0, 0])
    mixed = mixed._replace(source=np.array([1, 0, 1], np.uint8))
    own = episode(column(0, 1), [0], source=0)
    data = data_set(tmp_path / "data", [mixed, own, mixed])
    assert describe.source_of_episodes(data).tolist() == [1, 0, 1]
    assert describe.episode_of(data).tolist() == [0, 0, 0, 1, 2, 2, 2]


def test_observations_do_not_cross_episodes(tmp_path: Path) -> None:
    episodes = [episode(column(0, 1, 2), [0, 0]), episode(column(7, 8), [0])]
    data = data_set(tmp_path / "data", episodes)
    found = describe.observations(data, np.arange(3))
    assert found.tolist() == [[0], [1], [7]]


def test_stacked_frames_are_one_row_that_keeps_distances(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (41, 8, 8), np.uint8)
    stacks = np.stack([images[:-1], images[1:]], 1)
    one = episode(stacks, np.zeros(39, np.int64))
    spec = describe_spec(one)
    data = data_set(tmp_path / "data", [one], spec=spec)
    found = describe.observations(data, np.arange(39))
    assert found.shape == (39, describe.MOST_NUMBERS)
    flat = stacks[:39].reshape(39, -1).astype(float)
    true = np.linalg.norm(flat[:19] - flat[20:], axis=1)
    ratio = np.linalg.norm(found[:19] - found[20:], axis=1) / true
    # the deviation of one ratio is 1 / sqrt(2 * 64) = 0.09
    assert abs(ratio.mean() - 1) < 0.1
    assert np.abs(ratio - 1).max() < 0.4


def describe_spec(one):
    from curriculum.data.manifest import spec_of_arrays

    return spec_of_arrays(one.observation, one.action)._replace(frames=2)


def test_transitions_are_spread_over_the_whole(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", [episode(column(*range(11)), [0] * 10)])
    assert describe.spread_evenly(data, 5).tolist() == [0, 2, 4, 6, 8]
    assert describe.spread_evenly(data, 99).tolist() == list(range(10))
