"""Files at URLs: copies to read, sentences about what cannot be used."""

import re
from pathlib import Path

import fsspec
import numpy as np
import pytest
from data_sets import data_set, episode
from fsspec.implementations.memory import MemoryFileSystem

from curriculum import collect, runs, storage
from curriculum.data.dataset import DataSet
from curriculum.files import is_url, local_path
from curriculum.starts.dataset import Dataset
from curriculum.storage import Remote


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder and a memory of this test's own."""
    monkeypatch.setenv("CURRICULUM_CACHE", str(tmp_path / "cache"))
    MemoryFileSystem.store.clear()
    storage._data_copy.cache_clear()
    return tmp_path / "cache"


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty folder at a URL."""
    if request.param == "memory":
        return "memory://bucket"
    return f"file://{tmp_path}/bucket"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("s3://bucket/runs", True),
        ("file:///disk", True),
        ("runs", False),
        ("/disk/runs", False),
        ("C://runs", False),
        ("lab.worlds:Maze", False),
    ],
)
def test_a_url_has_a_protocol(name: str, expected: bool):
    assert is_url(name) == expected


def test_a_file_is_read_as_it_was_written(url: str, tmp_path: Path):
    remote = Remote(url)
    assert remote.read("a/b") is None
    remote.write("a/b", b"one")
    assert remote.read("a/b") == b"one"
    assert not remote.create("a/b", b"two")
    (tmp_path / "c").write_bytes(b"three")
    remote.put("a/c", tmp_path / "c")
    assert {name: file.size for name, file in remote.listing().items()} == {
        "a/b": 3,
        "a/c": 5,
    }
    remote.get("a/c", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"three"
    remote.remove("a/b")
    remote.remove("a/c")
    remote.remove("a/c")  # and its folder are gone
    assert remote.listing() == {}


def test_only_new_versions_of_files_are_copied(url: str, monkeypatch):
    remote = Remote(url)
    for name in ("x/a", "x/b", "x/unwanted"):
        remote.write(name, b"1")
    got: list[str] = []
    get = Remote.get

    def noting(self: Remote, name: str, target: Path) -> None:
        got.append(name)
        get(self, name, target)

    monkeypatch.setattr(Remote, "get", noting)

    def copy() -> Path:
        return storage.copied(remote / "x", lambda name: name != "unwanted")

    folder = copy()
    assert got == ["a", "b"]
    copy()
    assert got == ["a", "b"]
    remote.write("x/a", b"2")  # as long as before
    remote.remove("x/b")
    copy()
    assert got == ["a", "b", "a"]
    assert sorted(path.name for path in folder.iterdir()) == ["a"]
    assert (folder / "a").read_bytes() == b"2"
    assert storage.shown(folder / "a") == f"{url}/x/a"


def test_a_copy_that_breaks_off_leaves_nothing(url: str, tmp_path: Path, monkeypatch):
    remote = Remote(url)
    remote.write("a", b"whole")

    def breaks_off(self: object, path: str, target: str, **more: object) -> None:
        Path(target).write_bytes(b"who")
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr(type(remote._files), "get_file", breaks_off)
    with pytest.raises(ValueError, match=r"cannot be used .*reset by peer"):
        remote.get("a", tmp_path / "copy" / "a")
    assert [*(tmp_path / "copy").iterdir()] == []


# --- sentences ---


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://bucket", "there is no file system nosuch; .* such as file://"),
        ("memory://empty", "there is nothing at memory://empty; check the URL"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(url, message, capsys):
    with pytest.raises(SystemExit) as ended:
        runs.main([url])
    assert ended.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "Traceback" not in text
    assert re.search(message, text)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    def lacks(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacks)
    with pytest.raises(ValueError, match=r"another package, .*: Install s3fs"):
        Remote("s3://bucket").listing()


def test_errors_of_a_file_system_become_one_sentence(monkeypatch: pytest.MonkeyPatch):
    class NoCredentials(Exception):
        """No OSError: such have boto and others."""

    def refuses(self: object, path: str, **more: object) -> None:
        raise NoCredentials("Unable to locate\ncredentials")

    monkeypatch.setattr(MemoryFileSystem, "find", refuses)
    with pytest.raises(ValueError, match=r"NoCredentials: Unable to locate .*check"):
        Remote("memory://bucket").listing()


def test_nothing_but_runs_is_written_to_a_url(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="--out s3://b: only runs are written to URLs"):
        local_path("s3://b", "--out")
    with pytest.raises(SystemExit):
        collect.main(["make", "s3://bucket/data", "--episodes", "1"])
    assert "only runs are written to URLs" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == []


# --- data sets ---


def upload(folder: Path, url: str) -> None:
    for path in folder.iterdir():
        Remote(url).put(path.name, path)


def test_a_data_set_at_a_url_is_the_one_on_disk(url: str, tmp_path: Path):
    own = data_set(tmp_path / "own", [episode([[0.0], [1.0], [2.0]], [0, 1], 3.0)])
    upload(own.folder, f"{url}/data")
    start = Dataset(path=f"{url}/data")
    start.verify()
    found = start.data()
    assert found.name == f"{url}/data"
    assert np.array_equal(found.obs, own.columns.obs)
    assert np.array_equal(found.reward, [3.0, 3.0])


def test_a_changed_data_set_has_a_copy_of_its_own(url: str, tmp_path: Path):
    for name, reward in (("one", 1.0), ("two", 2.0)):
        own = data_set(tmp_path / name, [episode([[0.0], [1.0]], [0], reward)])
        upload(own.folder, f"{url}/data")
        if name == "one":
            first = DataSet(storage.data_at(f"{url}/data"))
            storage._data_copy.cache_clear()  # as in another process
    second = DataSet(storage.data_at(f"{url}/data"))
    assert first.folder != second.folder
    assert first.columns.reward[0] == 1.0
    assert second.columns.reward[0] == 2.0
