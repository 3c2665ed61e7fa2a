"""Runs at a URL: what is copied and when, who writes, and going on elsewhere."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from curriculum import compare, evaluate, runs, summarize, sweep, train
from curriculum.run import checkpoint, folders, mirror
from curriculum.run.lock import InUse, Lock
from curriculum.setting import flags
from curriculum.storage import Remote
from curriculum.trust import Untrusted

TINY = [
    *("--seeds", "0", "--steps", "300", "--learner", "dqn", "--learner.hidden", "8"),
    *("--learner.batch-size", "8", "--offline-updates", "0", "--start.size", "32"),
    *("--eval-every", "100", "--eval-episodes", "2", "--log-every", "100"),
    *("--checkpoint-every", "40", "--planner.episodes", "2", "--no-eval-mixed"),
]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go to another machine: one with a cache folder of its own."""
    MemoryFileSystem.store.clear()
    monkeypatch.setattr(mirror, "PERIOD", 0.05)
    monkeypatch.chdir(tmp_path)

    def go_to(name: str) -> None:
        monkeypatch.setenv("CURRICULUM_CACHE", str(tmp_path / name))

    go_to("first")
    return go_to


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "memory://runs"
    return f"file://{tmp_path}/shared/runs"


def new(url: str, name: str = "run") -> Lock:
    """The locked folder of a new run at a URL."""
    return folders.create(Remote(url) / "world", name, {"name": name, "seeds": [0]})


def found(url: str, name: str = "run") -> folders.Found:
    return folders.find(f"{url}/world/{name}")


def train_at(words: list[str], polls: int = 10**9) -> Path:
    """Train a run until it is asked to stop for the so-manieth time whether to;
    returns its folder on this machine."""

    def stop() -> bool:
        nonlocal polls
        polls -= 1
        return polls < 0

    config, resume = flags.parse(words, "test")
    place = train.find_place(config, resume, words)
    assert place
    with place.lock:
        train.run(place, stop)
    return place.folder


def policies(listing: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in listing.items() if name.endswith(".cur")}


def content(url: str) -> dict[str, bytes]:
    remote = Remote(url)
    return {name: remote.read(name) or b"" for name in remote.listing()}


# --- going on elsewhere ---


def test_a_run_that_moves_twice_ends_with_the_same_bytes(url: str, machine):
    local = train_at([*TINY, "--name", "run"])
    expected = {
        path.relative_to(local).as_posix(): path.read_bytes()
        for path in local.rglob("*.cur")
    }
    assert expected
    words = [*TINY, "--name", "run", "--runs-dir", url]
    train_at(words, polls=15)
    assert "result.json" not in content(f"{url}/gridworld/run")
    machine("second")
    train_at([*words, "--resume", "auto"], polls=15)
    assert "result.json" not in content(f"{url}/gridworld/run")
    machine("third")
    train_at(["--resume", f"{url}/gridworld/run"])
    there = content(f"{url}/gridworld/run")
    assert policies(there) == expected
    assert json.loads(there[".writer.json"])["is_open"] is False
    assert json.loads(there["result.json"])["steps"] == 300


def test_a_killed_process_is_taken_over_by_another_machine(tmp_path: Path, machine):
    url = f"file://{tmp_path}/shared"
    words = [*TINY, "--steps", "60000", "--name", "run", "--runs-dir", url]
    code = (
        "from curriculum import train; from curriculum.run import mirror; "
        f"mirror.PERIOD = 0.2; mirror.FIRST = 0.1; train.main({words!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "shared" / "gridworld" / "run" / "checkpoints"
    ending = time.monotonic() + 60
    while not [*checkpoints.glob("step-*[1-9]*/manifest.json")]:
        assert process.poll() is None
        assert time.monotonic() < ending
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    machine("second")
    resumed = folders.find(f"{url}/gridworld/run")
    assert resumed.checkpoint is not None
    assert checkpoint.position(resumed.checkpoint)[0] >= 40
    resumed.lock.release()


def test_the_machine_with_the_newest_state_copies_nothing(url: str, monkeypatch):
    lock = new(url)
    (lock.folder / "metrics.jsonl").write_text("one\n")
    lock.release()
    (lock.folder / "metrics.jsonl").write_text("one\ntwo\n")  # not copied in time

    def get(self: Remote, name: str, target: Path) -> None:
        raise AssertionError("copied back")

    monkeypatch.setattr(Remote, "get", get)
    again = found(url)
    assert again.folder == lock.folder
    again.lock.release()
    assert content(f"{url}/world/run")["metrics.jsonl"] == b"one\ntwo\n"


def test_a_checkpoint_that_was_not_copied_to_its_end_is_left_out(url: str, machine):
    lock = new(url)
    state = {"run": {"step": 1, "records": 0}}
    for step in (1, 2):
        checkpoint.write(lock.folder / "checkpoints" / f"step-{step}", state)
    lock.release()
    Remote(f"{url}/world/run/checkpoints/step-2").remove("manifest.json")
    machine("second")
    again = found(url)
    assert again.checkpoint == again.folder / "checkpoints" / "step-1"
    assert not (again.folder / "checkpoints" / "step-2").exists()
    again.lock.release()


# --- what is copied, and when ---


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is copied by the clock; what is written and removed is listed."""
    monkeypatch.setattr(mirror, "PERIOD", 3600.0)
    monkeypatch.setattr(mirror, "FIRST", 3600.0)
    done: list[str] = []

    def noting(method: str, sign: str) -> None:
        original = getattr(Remote, method)

        def note(self: Remote, name: str, *more: object) -> object:
            if name != mirror.WRITER:
                done.append(sign + name)
            return original(self, name, *more)

        monkeypatch.setattr(Remote, method, note)

    for method, sign in (("write", ""), ("put", ""), ("remove", "-")):
        noting(method, sign)
    return done


def test_records_come_first_then_checkpoints_and_the_result_last(quiet: list[str]):
    lock = new("memory://runs")
    (lock.folder / "result.json").write_text("{}")
    for step in ("step-1", "step-2"):
        folder = lock.folder / "checkpoints" / step
        folder.mkdir(parents=True)
        for name in ("manifest.json", "arrays.safetensors"):
            (folder / name).write_text(step)
    (lock.folder / "metrics.jsonl").write_text("record")
    lock.release()
    assert sorted(quiet[:2]) == ["config.yaml", "metrics.jsonl"]
    assert all(name.endswith("arrays.safetensors") for name in quiet[2:4])
    assert all(name.endswith("manifest.json") for name in quiet[4:6])
    assert quiet[6:] == ["result.json"]


def test_what_says_that_something_is_whole_goes_first(quiet: list[str]):
    lock = new("memory://runs")
    assert isinstance(lock, mirror.MirroredLock)
    step = lock.folder / "checkpoints" / "step-1"
    step.mkdir(parents=True)
    for path in (step / "arrays.safetensors", step / "manifest.json"):
        path.write_text("1")
    (lock.folder / "result.json").write_text("{}")
    lock.push()
    quiet.clear()
    for path in (*step.iterdir(), lock.folder / "result.json"):
        path.unlink()
    (lock.folder / "metrics.jsonl").write_text("more")
    lock.release()
    before = "checkpoints/step-1"
    assert quiet == [
        *("-result.json", f"-{before}/manifest.json", f"-{before}/arrays.safetensors"),
        "metrics.jsonl",
    ]


def test_a_result_that_comes_while_files_are_listed_waits(quiet, monkeypatch):
    lock = new("memory://runs")
    assert isinstance(lock, mirror.MirroredLock)
    listings = []

    def state_of(folder: Path) -> mirror.State:
        listings.append(folder)
        if len(listings) == 2:
            (folder / "result.json").write_text("{}")
        return original(folder)

    original = mirror.state_of
    monkeypatch.setattr(mirror, "state_of", state_of)
    lock.push()
    assert "result.json" not in quiet
    lock.release()
    assert quiet[-1] == "result.json"


def test_a_run_that_was_discarded_leaves_nothing_at_its_url(url: str):
    lock = new(url)
    assert isinstance(lock, mirror.MirroredLock)
    lock.push()
    folders.discard(lock.folder)
    lock.release()
    assert content(f"{url}/world") == {}


def test_a_name_that_is_taken_at_the_url_gets_a_number(url: str, machine):
    new(url).release()
    machine("second")
    lock = new(url)
    assert lock.folder.name == "run-2"
    lock.release()
    assert {name.split("/")[0] for name in content(f"{url}/world")} == {"run", "run-2"}


def test_failing_copies_are_warned_of_once_and_refused_at_the_end(
    url: str, monkeypatch, capsys
):
    lock = new(url)

    def fails(self: Remote, name: str, data: bytes) -> None:
        raise ValueError("memory://runs cannot be used (OSError: no network)")

    with monkeypatch.context() as broken:
        broken.setattr(Remote, "write", fails)
        time.sleep(0.5)
        with pytest.raises(
            ValueError, match=r"no network\)\. Not everything of .* --res"
        ):
            lock.release()
    text = capsys.readouterr().err
    assert text.count("no network") == 1
    again = found(url)  # the network is there again
    assert again.folder == lock.folder
    again.lock.release()
    assert "config.yaml" in content(f"{url}/world/run")


def test_an_error_of_the_run_is_not_hidden_by_one_of_the_network(monkeypatch, capsys):
    lock = new("memory://runs")

    def fails(self: Remote, name: str, data: bytes) -> None:
        raise ValueError("no network")

    monkeypatch.setattr(Remote, "write", fails)
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    assert "no network" in capsys.readouterr().err


# --- who writes ---


def test_two_processes_do_not_write_to_the_same_url(
    url: str, machine, monkeypatch, capsys
):
    monkeypatch.setattr(mirror, "PERIOD", 0.25)
    lock = new(url)
    assert isinstance(lock, mirror.MirroredLock)
    lock.push()
    machine("second")
    with pytest.raises(
        InUse, match=f"{url}/world/run is in use by process {os.getpid()}"
    ):
        found(url)
    assert "waiting" in capsys.readouterr().err
    lock.release()
    machine("third")
    found(url).lock.release()


def test_a_writer_that_slept_gives_up_once_another_one_has_taken_over(
    url: str, machine, monkeypatch
):
    asleep = new(url)
    (asleep.folder / "metrics.jsonl").write_text("old")
    with monkeypatch.context() as paused:
        paused.setattr(mirror.MirroredLock, "_count", lambda self, is_open=True: None)
        paused.setattr(mirror.MirroredLock, "push", lambda self: None)
        time.sleep(0.2)
        Remote(f"{url}/world/run").write(
            mirror.WRITER, mirror._claim("another one", 1, is_open=False)
        )
    with pytest.raises(ValueError, match="was taken over by process"):
        asleep.release()
    assert "metrics.jsonl" not in content(f"{url}/world/run")


# --- commands ---


def test_commands_read_and_report_runs_at_a_url(machine, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # for names in full
    url = f"file://{tmp_path}/shared"
    for name in ("one", "two"):
        train.main([*TINY, "--name", name, "--runs-dir", url])
    assert f"copied to      {url}/gridworld/two\n" in capsys.readouterr().out
    machine("second")
    runs.main([url])
    text = capsys.readouterr().out
    assert f"{url}/gridworld/one" in text
    assert "2 runs: 2 finished" in text
    one, two = (f"{url}/gridworld/{name}" for name in ("one", "two"))
    evaluate.main([one, "--against", two, "--episodes", "2"])
    assert "| two" in capsys.readouterr().out
    written = content(one)["report.md"].decode()
    Remote(one).remove("report.html")
    summarize.main([one])
    assert f"{one}/report.html" in capsys.readouterr().out
    assert "report.html" in content(one)
    for page in (written, content(one)["report.md"].decode()):
        assert f"files          {one}\n" in page
        assert str(tmp_path / "first") not in page
        assert str(tmp_path / "second") not in page
    [again] = re.findall("curriculum.train --config (.+)", written)
    train.main(["--config", again, "--name", "again", "--runs-dir", "runs"])
    same = policies(content(f"file://{tmp_path}/runs/gridworld/again"))
    assert same == policies(content(one))
    compare.main(["--only-plot", one, two, "--name", "both"])
    assert (tmp_path / "runs" / "gridworld" / "both" / "table.md").is_file()


def test_a_run_that_is_being_written_to_is_listed_as_running(url: str, capsys):
    lock = new(url)
    assert isinstance(lock, mirror.MirroredLock)
    lock.push()
    with pytest.MonkeyPatch.context() as slow:
        slow.setattr(mirror, "PERIOD", 15.0)
        runs.main([url])
    assert "1 running" in capsys.readouterr().out
    lock.release()
    runs.main([url])
    assert "1 interrupted" in capsys.readouterr().out


def test_a_url_in_settings_is_not_taken_for_code(url: str, tmp_path: Path, machine):
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"start: dataset\nstart.path: {url}/data\n")
    with pytest.raises(ValueError, match="there is no data set at"):
        flags.read(["--config", str(settings)])
    settings.write_text("learner: memory://evil\n")
    with pytest.raises(Untrusted):
        flags.read(["--config", str(settings)])
    settings.write_text("start: dataset\nstart.path: memory://lab/evil.py\n")
    with pytest.raises(Untrusted):
        flags.read(["--config", str(settings)])


def test_comparisons_and_searches_go_on_at_a_url(machine, tmp_path, capsys):
    url = f"file://{tmp_path}/shared"
    arms = [*TINY, "--decay", "linear", "constant", "--name", "both"]
    compare.main([*arms, "--runs-dir", url])
    machine("second")
    capsys.readouterr()
    compare.main([*arms, "--runs-dir", url, "--resume", "auto"])
    assert "both is finished: nothing is trained" in capsys.readouterr().err
    compare.main(["--resume", f"{url}/gridworld/both"])
    assert "is finished: nothing is trained" in capsys.readouterr().err
    search = [*TINY, "--sampler", "grid", "--halving", "1", "--runs-dir", url]
    search += ["--search", "learner.learning-rate=choice(0.01,0.001)", "--name", "find"]
    sweep.main(search)
    first = content(f"{url}/gridworld/find")
    machine("third")
    sweep.main(search)
    again = content(f"{url}/gridworld/find")
    assert again["trials.csv"] == first["trials.csv"]
    assert "search-2" not in {name.split("/")[0] for name in content(url)}


def test_a_study_at_a_url_is_refused(capsys):
    words = ["--decay", "linear", "constant", "--study", "s"]
    with pytest.raises(SystemExit):
        compare.main([*TINY, *words, "--runs-dir", "memory://runs"])
    assert "give a --runs-dir of this machine" in capsys.readouterr().err
    assert content("memory://runs") == {}
