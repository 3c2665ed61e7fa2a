"""HDF5 files in D4RL's layout."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from generated import Kind, episode

from curriculum.formats.hdf5 import HDF5

OBS = np.arange(12, dtype=np.float32).reshape(6, 2)
BOX = Kind(np.dtype("f4"), (2,), 1, np.dtype("f4"), np.dtype("f4"), False)


def saved(path: Path, **more: np.ndarray) -> Path:
    """A file of two episodes: 4 steps and 2 steps."""
    columns = {
        "observations": OBS,
        "actions": np.zeros((6, 1), np.float32),
        "rewards": np.arange(6, dtype=np.float32),
        "terminals": np.array([0, 0, 0, 1, 0, 0], np.uint8),
    }
    with h5py.File(path, "w") as file:
        for name, rows in (columns | more).items():
            file[name] = rows
        file["infos/qpos"] = np.zeros((6, 3))
        file["metadata/algorithm"] = "SAC"
    return path


def test_a_file_of_d4rl_without_next_observations_is_read(tmp_path: Path):
    timeouts = np.array([0, 0, 0, 0, 0, 1], bool)
    path = saved(tmp_path / "x.hdf5", timeouts=timeouts)
    first, second = HDF5().read(path, pytest.fail)
    assert first.next_observation[:3].tolist() == OBS[1:4].tolist()
    assert (len(first.reward), first.terminated, first.truncated) == (4, True, False)
    assert second.reward.tolist() == [4]  # its last step has no next observation
    assert second.next_observation.tolist() == [OBS[5].tolist()]
    assert (second.terminated, second.truncated) == (False, True)


def test_the_end_of_a_recording_is_a_timeout_for_other_readers(tmp_path: Path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.hdf5"
    HDF5().write(path, [episode(rng, BOX, 3, end) for end in range(4)], {})
    with h5py.File(path) as file:
        assert file["timeouts"][2::3].tolist() == [True, False, True, True]
        assert file["terminals"][2::3].tolist() == [False, True, False, True]
        assert file["infos/truncated"][2::3].tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (h5py.ExternalLink("other.h5", "/rewards"), "rewards is a link to somewhere"),
        (h5py.SoftLink("/actions"), "rewards is a link to somewhere"),
    ],
)
def test_links_are_not_followed(link, message: str, tmp_path: Path):
    saved(tmp_path / "other.h5")
    path = saved(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file["rewards"] = link
    with pytest.raises(ValueError, match=f"{path} cannot be read: {message}"):
        list(HDF5().read(path, pytest.fail))


def test_data_in_other_files_are_not_read(tmp_path: Path):
    (tmp_path / "secret").write_bytes(bytes(24))
    path = saved(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        del file["rewards"]
        place = [(str(tmp_path / "secret"), 0, 24)]
        file.create_dataset("rewards", (6,), "f4", external=place)
    with pytest.raises(ValueError, match="rewards lies in another file"):
        list(HDF5().read(path, pytest.fail))


def test_arrays_that_claim_more_than_is_stored_are_refused(tmp_path: Path):
    path = saved(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        del file["rewards"]
        file.create_dataset("rewards", (10**12,), "f4", chunks=(1_000,))
    with pytest.raises(ValueError, match="rewards claims 4,000,000,000,000 bytes"):
        list(HDF5().read(path, pytest.fail))
