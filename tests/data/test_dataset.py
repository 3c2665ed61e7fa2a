"""Data sets on disk: what was written comes back, and what is damaged is refused."""

from pathlib import Path

import numpy as np
import pytest

from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest, spec_of_arrays
from curriculum.data.writer import write
from curriculum.types import Episode


def episode(length: int, start: int = 0, terminated: bool = True) -> Episode:
    observations = np.arange(start, start + length + 1, dtype=np.float32)[:, None]
    return Episode(
        observation=observations[:-1],
        action=np.arange(length) % 3,
        reward=np.full(length, 0.5, np.float64),
        next_observation=observations[1:],
        terminated=terminated,
        truncated=not terminated,
        source=np.full(length, 1, np.uint8),
    )


def test_an_episode_alone_tells_no_bounds() -> None:
    one = episode(4)
    spec = spec_of_arrays(one.observation, one.action)
    assert (spec.obs_low.tolist(), spec.obs_high.tolist()) == ([-np.inf], [np.inf])
    assert (spec.actions, spec.action_size) == (3, 0)


def stacked(length: int) -> Episode:
    """Stacks of two images whose first stack repeats nothing."""
    images = np.arange(length + 2, dtype=np.uint8)[:, None, None]
    images = np.broadcast_to(images, (length + 2, 4, 4))
    stacks = np.stack([images[:-1], images[1:]], 1)
    return Episode(
        observation=stacks[:-1],
        action=np.zeros(length, np.int64),
        reward=np.zeros(length, np.float32),
        next_observation=stacks[1:],
        terminated=False,
        truncated=False,
    )


def manifest(example: Episode, frames: int = 0) -> Manifest:
    spec = spec_of_arrays(example.observation, example.action)
    return Manifest(spec=spec._replace(frames=frames), sources=("random", "noisy"))


def assert_equal(found: Episode, expected: Episode) -> None:
    for name in ("observation", "action", "reward", "next_observation"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype
    assert found.terminated == expected.terminated
    assert found.truncated == expected.truncated


def test_episodes_come_back(tmp_path: Path) -> None:
    episodes = [episode(3), episode(1, 10, terminated=False), episode(5, 20)]
    data = write(tmp_path / "data", episodes, manifest(episodes[0]))
    assert len(data) == 3
    assert data.transitions == 9
    for found, expected in zip(data.episodes(), episodes, strict=True):
        assert_equal(found, expected)
        assert found.source is not None
        assert found.source.tolist() == [1] * len(expected.reward)
    assert data.returns().tolist() == [1.5, 0.5, 2.5]
    assert data.manifest.returns["max"] == 2.5
    # 4 rows of the first episode, 2 of the second, 6 of the third
    assert data.obs_rows().tolist() == [0, 1, 2, 4, 6, 7, 8, 9, 10]
    data.verify()


def test_stacked_frames_are_stored_once(tmp_path: Path) -> None:
    episodes = [stacked(3), stacked(6)]
    data = write(tmp_path / "data", episodes, manifest(episodes[0], frames=2))
    assert data.columns.obs.shape == (9 + 2 * 2, 4, 4)
    for found, expected in zip(data.episodes(), episodes, strict=True):
        assert_equal(found, expected)


def test_manifest_keeps_infinite_bounds(tmp_path: Path) -> None:
    data = write(tmp_path / "data", [episode(2)], manifest(episode(2)))
    again = DataSet(data.folder).manifest
    assert again.spec.obs_high.tolist() == [np.inf]
    assert again.sources == ("random", "noisy")
    assert again.columns == data.manifest.columns


def test_changed_numbers_are_found(tmp_path: Path) -> None:
    data = write(tmp_path / "data", [episode(2)], manifest(episode(2)))
    path = data.folder / "reward.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"reward\.npy is damaged"):
        DataSet(data.folder).verify()


def test_shortened_column_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "data", [episode(2)], manifest(episode(2)))
    path = data.folder / "action.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"action\.npy cannot be read"):
        DataSet(data.folder)


def test_existing_folder_is_kept(tmp_path: Path) -> None:
    data = write(tmp_path / "data", [episode(2)], manifest(episode(2)))
    with pytest.raises(ValueError, match="exists"):
        write(data.folder, [episode(3)], manifest(episode(2)))
    assert len(DataSet(data.folder)) == 1


def test_error_leaves_nothing(tmp_path: Path) -> None:
    other = episode(2)._replace(action=np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="action of one step must be int64"):
        write(tmp_path / "data", [episode(2), other], manifest(episode(2)))
    assert list(tmp_path.iterdir()) == []
