"""Every data set format: what is written is read, and damaged files are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.formats._flat.columns import COLUMNS, join
from curriculum.setting import plugins
from curriculum.types import Episode, Format

every_format = pytest.mark.parametrize("name", plugins.names("format"))


def episode(steps: int, terminated: bool = True, **changes: Any) -> Episode:
    """An episode whose observations are its own."""
    rng = np.random.default_rng(steps)
    observations = rng.random((steps + 1, 3), np.float32)
    whole = Episode(
        observation=observations[:-1],
        action=rng.integers(0, 4, steps),
        reward=rng.random(steps, np.float32),
        next_observation=observations[1:],
        terminated=terminated,
        truncated=not terminated,
    )
    return whole._replace(**changes)


BOX = [episode(n, action=np.full((n, 2), n / 9, np.float32)) for n in (1, 7, 9)]
FRAMES = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 2, 3)
STACKED = [episode(4, observation=FRAMES[:-1], next_observation=FRAMES[1:])]
DATASETS = {
    "discrete": [episode(5), episode(1, False), episode(3, truncated=True)],
    "box": BOX,
    "frames": STACKED,
}


@every_format
@pytest.mark.parametrize("dataset", DATASETS)
def test_what_is_written_is_read(name: str, dataset: str, tmp_path: Path):
    chosen = plugins.make("format", name)
    assert Format in type(chosen).__mro__
    path = tmp_path / "data"
    chosen.write(path, iter(DATASETS[dataset]), {"env": "gridworld"})
    assert [file.name for file in tmp_path.iterdir()] == ["data"]
    found = list(chosen.read(path))
    for mine, theirs in zip(DATASETS[dataset], found, strict=True):
        for column in Episode._fields:
            expected = getattr(mine, column)
            array = getattr(theirs, column)
            np.testing.assert_array_equal(array, expected)
            assert np.asarray(array).dtype == np.asarray(expected).dtype


INFINITE = np.array([0, 0, np.inf, 0], np.float32)
JUMP = np.zeros((4, 3), np.float32)


@every_format
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": INFINITE}, "reward is not finite at step 2"),
        ({"reward": INFINITE[:0]}, r"reward must be \[T\], T > 0, got \[0\]"),
        ({"reward": np.zeros(4)}, "reward must be float32, got float64"),
        ({"action": np.zeros(3, np.int64)}, "one action for each of 4 rewards"),
        ({"action": np.zeros(4, np.float32)}, "float32 actions must have 2 axes"),
        ({"action": np.full((4, 1), 1.5, np.float32)}, r"must be in \[-1, 1\]"),
        ({"observation": np.full((4, 3), None)}, "observation must be float32 or"),
        ({"next_observation": JUMP}, "step 1 does not begin where step 0 ended"),
        ({"next_observation": JUMP[:, :2]}, r"float32 \[3\], got float32 \[2\]"),
        ({"terminated": False, "truncated": False}, "neither terminated nor truncated"),
    ],
)
def test_an_episode_that_makes_no_sense_is_not_written(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
):
    wrong = episode(4, **changes)
    with pytest.raises(ValueError, match=f"^episode 1: .*{message}"):
        plugins.make("format", name).write(tmp_path / "x", [episode(2), wrong], {})
    assert not list(tmp_path.iterdir())


@every_format
def test_episodes_of_different_worlds_are_not_written_together(name, tmp_path):
    with pytest.raises(ValueError, match=r"^episode 1: action of one step must be"):
        plugins.make("format", name).write(tmp_path / "x", [episode(2), BOX[0]], {})
    with pytest.raises(ValueError, match=r"^there are no episodes"):
        plugins.make("format", name).write(tmp_path / "x", [], {})


@every_format
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.97])
def test_a_file_that_is_cut_off_is_refused(name: str, kept: float, tmp_path: Path):
    path = tmp_path / "data"
    chosen = plugins.make("format", name)
    chosen.write(path, DATASETS["discrete"], {})
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=f"^data set {path}"):
        list(chosen.read(path))
    path.unlink()
    with pytest.raises(ValueError, match=f"^there is no data set {path}$"):
        list(chosen.read(path))


# --- npz ---


def saved(path: Path, **changes: Any) -> Path:
    """An archive with other arrays than `write` makes of two episodes; None: without
    one."""
    columns = join([episode(2), episode(3)]) | changes
    arrays = {name: array for name, array in columns.items() if array is not None}
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": None, "action": None}, "has no array action, reward$"),
        ({"reward": np.zeros(4, np.float32)}, "observation has 5 steps, reward has 4$"),
        ({"action": np.array([None] * 5)}, "cannot be read: Object arrays cannot"),
        ({"truncated": np.zeros(5)}, r"truncated must be bool \[N\], got float64"),
        ({"reward": np.float32(1)}, "reward must have an axis of steps"),
        (
            {"reward": np.array([0, 0, 0, np.nan, 0], np.float32)},
            "episode 1: reward is not finite at step 1$",
        ),
        # the border between the two is lost, so the first observation does not follow
        (
            {"terminated": np.array([0, 0, 0, 0, 1], bool)},
            "episode 0: step 2 does not begin where step 1 ended$",
        ),
        (
            {"terminated": np.array([0, 1, 0, 0, 0], bool)},
            "episode 1: no step is terminated or truncated, so it has no end$",
        ),
    ],
)
def test_an_archive_of_other_arrays_is_refused(changes, message, tmp_path: Path):
    path = saved(tmp_path / "data.npz", **changes)
    with pytest.raises(ValueError, match=f"^data set {path}.*{message}"):
        list(plugins.make("format", "npz").read(path))


def test_arrays_of_an_archive_have_the_names_of_columns(tmp_path: Path):
    path = saved(tmp_path / "data.npz", label=np.zeros(5))  # and others are ignored
    assert len(list(plugins.make("format", "npz").read(path))) == 2
    plugins.make("format", "npz").write(path, [episode(2)], {"seed": 3})
    with np.load(path) as archive:
        assert set(archive.files) == {*COLUMNS, "manifest"}
        assert archive["manifest"].tobytes() == b'{"seed": 3}'
