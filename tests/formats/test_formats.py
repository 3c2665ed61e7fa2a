"""Every data set format: what is written is read, and damaged data are refused."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from generated import Kind, assert_same, data_sets, episode
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.formats._episodes import damage
from curriculum.setting import plugins
from curriculum.types import Episode, Format

NAMES = plugins.names("format")
PICTURES = ("rlu", "slim")  # formats of stacked frames with discrete actions
GENERAL = [name for name in NAMES if name not in PICTURES]
RECORDED = Path(__file__).parent / "recorded"
every_format = pytest.mark.parametrize("name", NAMES)
general_formats = pytest.mark.parametrize("name", GENERAL)
VECTOR = Kind(np.dtype("f4"), (3,), 0, np.dtype("f4"), np.dtype("f4"), False)
MANIFEST = {"env": "gridworld", "sources": ["planner", "random"], "seeds": [3]}


def unexpected(text: str) -> None:
    pytest.fail(f"reported: {text}")


def some(count: int, kind: Kind = VECTOR) -> list[Episode]:
    rng = np.random.default_rng(count)
    return [episode(rng, kind, 3 + n, 1 + n % 2) for n in range(count)]


def write(name: str, path: Path, episodes: Any) -> Path:
    plugins.make("format", name).write(path, iter(episodes), MANIFEST)
    return path


@general_formats
@given(data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
def test_episodes_come_back_bit_for_bit(name: str, data: st.DataObject):
    expected = data.draw(data_sets())
    chosen = plugins.make("format", name)
    with tempfile.TemporaryDirectory() as folder:
        path = write(name, Path(folder) / "data", expected)
        assert_same(list(chosen.read(path, unexpected)), expected)
        assert [file.name for file in Path(folder).iterdir()] == ["data"]


@general_formats
def test_the_manifest_comes_back(name: str, tmp_path: Path):
    path = write(name, tmp_path / "data", some(2))
    found = plugins.make("format", name).metadata(path)
    assert MANIFEST.items() <= found.items()


@every_format
def test_a_format_inherits_from_its_protocol(name: str):
    assert Format in type(plugins.make("format", name)).__mro__


INFINITE = np.array([0, 0, np.inf, 0], np.float32)
JUMP = np.zeros((4, 3), np.float32)


def wrong(**changes: Any) -> Episode:
    rng = np.random.default_rng(4)
    return episode(rng, VECTOR, 4, 1)._replace(**changes)


@general_formats
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": INFINITE}, "reward is not finite at step 2"),
        ({"reward": INFINITE[:0]}, r"reward must be \[T\], T > 0, got \[0\]"),
        ({"reward": np.zeros(4, int)}, "reward must be float32 or float64, got int64"),
        ({"action": np.zeros(3, np.int64)}, "one action for 4 rewards"),
        ({"action": np.zeros(4, np.float32)}, "float32 actions must have 2 axes"),
        ({"action": np.full((4, 1), 1.5, np.float32)}, r"must be in \[-1, 1\]"),
        ({"action": np.full(4, -1)}, "discrete actions must be 0 to 999,999, got -1"),
        ({"observation": np.full((4, 3), None)}, "observation must be float32 or"),
        ({"next_observation": JUMP}, "step 1 does not begin where step 0 ended"),
        ({"next_observation": JUMP[:, :2]}, r"float32 \[3\], got float32 \[2\]"),
        ({"source": np.zeros(3, np.uint8)}, r"source must be uint8 \[4\]"),
    ],
)
def test_an_episode_that_makes_no_sense_is_not_written(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
):
    with pytest.raises(ValueError, match=f"^episode 2: .*{message}"):
        write(name, tmp_path / "x", [*some(2), wrong(**changes)])
    assert not list(tmp_path.iterdir())


def test_whole_numbers_have_the_bounds_of_their_dtype_in_minari(tmp_path: Path):
    pytest.importorskip("h5py", reason="an optional package")
    rng = np.random.default_rng(4)
    kind = VECTOR._replace(observation=np.dtype("int64"))
    write("minari", tmp_path / "x", [episode(rng, kind, 4, 1)])
    spec = plugins.make("format", "minari").metadata(tmp_path / "x")["spec"]
    assert (spec["obs_low"], spec["obs_high"]) == ([-(2.0**63)] * 3, [2.0**63] * 3)


@general_formats
def test_episodes_of_different_worlds_are_not_written_together(name, tmp_path):
    box = some(1, VECTOR._replace(action_size=2))
    with pytest.raises(ValueError, match=r"^episode 2: action of one step must be"):
        write(name, tmp_path / "x", [*some(2), *box])
    with pytest.raises(ValueError, match=r"^there are no episodes"):
        write(name, tmp_path / "x", [])


def files(path: Path) -> list[Path]:
    """The files of a data set, a file or a folder."""
    return [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]


@general_formats
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.97])
def test_a_file_that_is_cut_off_is_refused(name: str, kept: float, tmp_path: Path):
    path = write(name, tmp_path / "data", some(30))
    chosen = plugins.make("format", name)
    largest = max(files(path), key=lambda file: file.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[: int(kept * len(content))])
    reports: list[str] = []
    with pytest.raises(ValueError, match=f"^data set {path} cannot be read: "):
        list(chosen.read(path, reports.append))


@pytest.mark.parametrize(("name", "library"), [("hdf5", "h5py"), ("minari", "pyarrow")])
def test_a_missing_library_is_named(name: str, library: str, monkeypatch):
    monkeypatch.setattr(damage, "find_spec", lambda name: None)
    path = {
        "h5py": RECORDED / "d3rlpy-box.h5",
        "pyarrow": RECORDED / "minari-box-arrow",
    }
    with pytest.raises(
        ValueError, match=f"needs {library}, which is not installed: pip"
    ):
        list(plugins.make("format", name).read(path[library], unexpected))


@every_format
def test_what_is_not_there_is_said(name: str, tmp_path: Path):
    path = tmp_path / "data"
    chosen = plugins.make("format", name)
    for call in (chosen.metadata, lambda path: list(chosen.read(path, unexpected))):
        with pytest.raises(ValueError, match=f"{path} cannot be read: there is no"):
            call(path)
