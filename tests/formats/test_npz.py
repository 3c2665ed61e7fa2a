"""NumPy archives, such as others write."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.activity import listening
from curriculum.formats._flat.arrays import StoredArray
from curriculum.formats.npz import NPZ

OBS = np.arange(14, dtype=np.float32).reshape(7, 2)
# an episode of 3 steps that terminates, one of 4
COLUMNS = {
    "observations": OBS,
    "actions": np.array([0, 1, 2, 0, 1, 2, 0]),
    "rewards": np.arange(7) / 2,
    # float64: both are
    "next_observations": np.concatenate([OBS[1:3], [[50, 50]], OBS[4:], [[60, 60]]]),
    "dones": np.array([0, 0, 1, 0, 0, 0, 1], bool),
}


def test_rows_stored_column_by_column_are_read_block_after_block(tmp_path: Path):
    np.save(tmp_path / "obs.npy", np.asfortranarray(OBS))
    with (tmp_path / "obs.npy").open("rb") as file:
        stored = StoredArray(file, "obs")
        blocks = [stored.rows(count).tolist() for count in (3, 4)]
    assert blocks == [OBS[:3].tolist(), OBS[3:].tolist()]


def saved(path: Path, **changes: Any) -> Path:
    """An archive as the gridworld's replay buffer; None: without this array."""
    columns = COLUMNS | changes
    arrays = {name: array for name, array in columns.items() if array is not None}
    np.savez_compressed(path, **arrays)
    return path


def lengths(path: Path, reports: list[str], **settings: Any) -> list[int]:
    found = NPZ(**settings).read(path, reports.append)
    return [len(episode.reward) for episode in found]


def test_a_replay_buffer_of_dones_is_read(tmp_path: Path):
    path = saved(tmp_path / "replay_buffer.npz")
    reports: list[str] = []
    first, second = NPZ().read(path, reports.append)
    assert first.observation.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert first.next_observation.tolist() == [[2, 3], [4, 5], [50, 50]]
    assert first.reward.tolist() == [0, 0.5, 1]
    assert second.action.tolist() == [0, 1, 2, 0]
    assert (second.terminated, second.truncated) == (True, False)
    assert reports == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": None}, "it has no column rewards, reward"),
        ({"dones": None}, "no column that says where episodes end"),
        ({"rewards": np.zeros(4)}, "different numbers of rows: .*rewards 4"),
        ({"actions": np.array([None] * 7)}, "actions holds Python objects"),
        ({"actions": np.array(["up"] * 7)}, "actions holds <U2, not numbers"),
        ({"dones": np.arange(7)}, "terminated holds 2, not only 0 and 1"),
        ({"rewards": np.float32(1)}, "rewards is one number"),
        ({"rewards": np.zeros((7, 2))}, r"reward has shape \[2\] for one step"),
    ],
)
def test_an_archive_of_other_arrays_is_refused(changes, message, tmp_path: Path):
    path = saved(tmp_path / "data.npz", **changes)
    with pytest.raises(
        ValueError, match=f"^data set {path} cannot be read: .*{message}"
    ):
        lengths(path, [])


def test_a_damaged_header_is_refused(tmp_path: Path):
    path = saved(tmp_path / "data.npz")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["actions.npy"] = members["actions.npy"].replace(b"}", b" ")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(
        ValueError, match="cannot be read: actions is no array of NumPy"
    ):
        lengths(path, [])


def test_a_damaged_episode_is_left_out_and_reported(tmp_path: Path):
    rewards = COLUMNS["rewards"].copy()
    rewards[1] = np.nan
    reports: list[str] = []
    assert lengths(saved(tmp_path / "data.npz", rewards=rewards), reports) == [4]
    assert reports == ["episode 0: reward is not finite at step 1"]


def test_an_episode_that_does_not_go_on_without_a_flag_was_cut_short(tmp_path: Path):
    dones = np.array([0, 0, 0, 0, 0, 0, 1], bool)  # the first border is not said
    path = saved(tmp_path / "data.npz", dones=dones)
    reports: list[str] = []
    with listening(lambda current: None, say=reports.append):
        first, second = NPZ().read(path, pytest.fail)
    assert (len(first.reward), first.terminated, first.truncated) == (3, False, True)
    assert (len(second.reward), second.terminated, second.truncated) == (4, True, False)
    assert reports == [
        "1 episodes, the first of them episode 0, end where the next observation is "
        "not the following one, without a flag: they count as truncated"
    ]
    truncated = np.zeros(7, bool)  # the file says that there is no border
    path = saved(tmp_path / "flagged.npz", dones=dones, timeouts=truncated)
    reports = []
    assert lengths(path, reports) == []
    assert reports == ["episode 0: step 3 does not begin where step 2 ended"]


def test_a_time_limit_cuts_where_the_file_says_nothing(tmp_path: Path):
    dones = np.array([0, 0, 1, 0, 0, 0, 0], bool)
    path = saved(tmp_path / "data.npz", dones=dones)
    found = list(NPZ(max_steps=3).read(path, pytest.fail))
    ends = [(len(e.reward), e.terminated, e.truncated) for e in found]
    # done in the last step that the limit allows: that is the limit's doing
    assert ends == [(3, False, True), (3, False, True), (1, False, False)]


def test_without_next_observations_the_last_step_needs_a_true_end(tmp_path: Path):
    timeouts = np.array([0, 0, 0, 0, 0, 0, 1], bool)
    dones = np.array([0, 0, 1, 0, 0, 0, 0], bool)
    path = saved(
        tmp_path / "data.npz", next_observations=None, dones=dones, timeouts=timeouts
    )
    first, second = NPZ().read(path, pytest.fail)
    assert first.next_observation.tolist() == [[2, 3], [4, 5], [4, 5]]
    assert second.next_observation.tolist() == [[8, 9], [10, 11], [12, 13]]
    assert (len(second.reward), second.truncated) == (3, True)


def test_an_episode_may_be_longer_than_a_block(tmp_path: Path):
    steps = 200_000
    obs = np.arange(steps + 1, dtype=np.float64).reshape(-1, 1)
    dones = np.zeros(steps, bool)
    dones[[0, 150_000]] = True
    path = tmp_path / "data.npz"
    np.savez(
        path, obs=obs[:-1], action=np.zeros(steps, int), reward=obs[:-1], done=dones,
        next_obs=np.asfortranarray(obs[1:]),
    )  # fmt: skip
    found = list(NPZ().read(path, pytest.fail))
    assert [len(episode.reward) for episode in found] == [1, 150_000, 49_999]
    assert found[1].reward[-1] == 150_000
    assert not found[2].terminated
