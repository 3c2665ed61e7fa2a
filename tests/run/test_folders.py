"""Run folders: one process at a time, safe names, nothing lost or shortened."""

import errno
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import files
from curriculum.listeners._clock import Clock
from curriculum.listeners.table import Table
from curriculum.run import checkpoint, folders
from curriculum.run.lock import InUse, Lock
from curriculum.setting.config import Config
from curriculum.types import Record


def run_folder(parent: Path, folder: str, name: str) -> Path:
    """The folder of an unfinished run without checkpoints."""
    (parent / folder).mkdir(parents=True)
    folders.write(parent / folder / folders.SETTINGS, {"name": name})
    return parent / folder


def save(folder: Path, name: str, records: int = 0) -> Path:
    """Write a small checkpoint."""
    path = folder / "checkpoints" / name
    state = {"run": {"step": 0, "records": records}, "array": np.arange(3)}
    return checkpoint.write(path, state)


# --- locks ---


def test_a_second_process_is_told_who_holds_a_folder(tmp_path: Path):
    run = run_folder(tmp_path, "lr", "lr")
    with Lock(run), pytest.raises(InUse, match=f"in use by process {os.getpid()} on"):
        folders.find(str(run))
    folders.find(str(run)).lock.release()


def test_the_kernel_releases_the_lock_of_a_process_that_was_killed(tmp_path: Path):
    child = os.fork()
    if not child:
        Lock(tmp_path)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert f"process {child} on" in (tmp_path / ".lock").read_text()
    Lock(tmp_path).release()


def test_a_forked_child_does_not_hold_the_lock_on(tmp_path: Path):
    lock = Lock(tmp_path)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"x")
        signal.pause()
    os.read(reading, 1)
    lock.release()
    try:
        Lock(tmp_path).release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# --- which run is resumed ---


def test_auto_takes_only_runs_of_exactly_this_name(tmp_path: Path):
    run_folder(tmp_path, "lr-3", "lr-3")
    assert folders.find_newest(tmp_path, "lr") is None
    numbered = run_folder(tmp_path, "lr-4", "lr")
    found = folders.find_newest(tmp_path, "lr")
    assert found
    assert found.folder == numbered
    found.lock.release()


def test_auto_passes_over_runs_that_are_in_use_or_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    first = run_folder(tmp_path, "lr", "lr")
    damaged = run_folder(tmp_path, "lr-2", "lr")
    (save(damaged, "step-000000008") / "state.json").write_text("{}")
    second = run_folder(tmp_path, "lr-3", "lr")
    with Lock(second):
        found = folders.find_newest(tmp_path, "lr")
        assert found
        with found.lock:
            assert found.folder == first
            assert f"{damaged} has no intact checkpoint" in capsys.readouterr().err
            with pytest.raises(InUse):
                folders.find_newest(tmp_path, "lr")


def test_auto_goes_on_with_the_newest_intact_checkpoint_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    run = run_folder(tmp_path, "lr", "lr")
    older = save(run, "step-000000008")
    (save(run, "step-000000016") / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=f"newest intact one: --resume {older}"):
        folders.find(str(run))
    found = folders.find_newest(tmp_path, "lr")
    assert found
    assert found.checkpoint == older
    found.lock.release()
    error = capsys.readouterr().err
    assert "passed over: " in error
    assert f"going on from the newest intact one, {older}" in error


@pytest.mark.parametrize("result", ["", "{", "[]", '{"finished": 1'])
def test_a_run_is_finished_only_by_a_complete_result(tmp_path: Path, result: str):
    (tmp_path / "result.json").write_text(result)
    assert not folders.is_finished(tmp_path)


def test_a_result_is_json_without_nan(tmp_path: Path):
    last: dict[str, Any] = {kind: {} for kind in folders.RESULT_KINDS}
    last["final"] = {"final/score": np.array([0.5, np.nan, np.inf])}
    folders.finish(tmp_path, {"seeds": [0, 1, 2], "steps": 8}, last)
    text = (tmp_path / "result.json").read_text()
    assert json.loads(text)["values"] == {"final/score": [0.5, None, None]}
    assert "NaN" not in text
    assert folders.is_finished(tmp_path)


# --- names ---


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/tmp/x",
        ".",
        "..",
        "-x",
        "a/b",
        "a\\b",
        "x" * 300,
        "a\0b",
        "a.",
        "a ",
    ],
)
def test_names_that_are_no_folder_names_are_refused(name: str):
    with pytest.raises(ValueError, match=r"^name .*(cannot name a folder|300 bytes)"):
        Config(name=name)


def test_ordinary_names_are_accepted():
    for name in ("lr-3", "lr=0.1", "größe 2", "a_b.c", "my_lab:Greedy"):
        Config(name=name)


# --- checkpoints ---


def test_no_checkpoint_is_written_over_and_later_ones_come_later(tmp_path: Path):
    run = run_folder(tmp_path, "lr", "lr")
    step = run / "checkpoints" / "step-000000008"
    written = [save(run, checkpoint.unused(step).name) for _ in range(12)]
    first, second = ("step-000000008", "step-000000008-0001")
    assert [path.name for path in written[:2]] == [first, second]
    assert checkpoint.newest(run / "checkpoints") == written[::-1]
    checkpoint.prune(run / "checkpoints", keep=3)
    assert checkpoint.unused(step).name == "step-000000008-0012"


def test_going_on_from_an_older_checkpoint_sets_later_ones_aside(tmp_path: Path):
    run = run_folder(tmp_path, "lr", "lr")
    names = ["step-000000008", "step-000000016", "step-000000016-0001"]
    older, middle, newest = (save(run, name) for name in names)
    (run / "result.json").write_text("{}")
    folders.set_aside_later(run, middle)
    assert checkpoint.newest(run / "checkpoints") == [middle, older]
    aside = run / "superseded-1"
    assert {path.name for path in aside.iterdir()} == {newest.name, "result.json"}
    checkpoint.read(aside / newest.name)
    folders.set_aside_later(run, older)
    assert (run / "superseded-2" / middle.name).is_dir()


def test_a_full_disk_leaves_earlier_checkpoints_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = save(tmp_path, "step-000000008")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(ValueError, match=r"could not be written \(No space left"):
        save(tmp_path, "step-000000016")
    assert list((tmp_path / "checkpoints").iterdir()) == [first]
    checkpoint.read(first)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "table.md"
    files.write_text(path, "old")

    def break_off() -> None:
        with files.replacing(path) as draft:
            draft.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        break_off()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


# --- records ---


def evaluation(step: int) -> Record:
    return Record("evaluate", step, {"eval/score": np.array([step / 8])})


def lines(folder: Path) -> list[int]:
    """The steps of the records in metrics.jsonl."""
    return [record["step"] for record in folders.records(folder)]


def test_records_are_never_fewer_than_before_while_a_run_is_resumed(tmp_path: Path):
    settings = {"seeds": [0]}
    table = Table().open(tmp_path, settings, [])
    for step in (8, 16, 24, 32):
        table(evaluation(step))
    progress = (tmp_path / "progress.csv").read_text()
    known = save(tmp_path, "step-000000016", records=2)
    # killed here, resumed, and killed again after one record
    resumed = Table().open(tmp_path, settings, folders.history(tmp_path, known))
    assert lines(tmp_path) == [8, 16, 24, 32]
    resumed(Record("evaluate", 24, {"eval/score": np.array([99.0])}))
    assert lines(tmp_path) == [8, 16, 24, 32]
    assert (tmp_path / "progress.csv").read_text() == progress
    # a checkpoint of the resumed run is read with the resumed run's own records
    newer = save(tmp_path, "step-000000024", records=3)
    history = folders.history(tmp_path, newer)
    assert history[2]["values"] == {"eval/score": [99.0]}
    again = Table().open(tmp_path, settings, history)
    again(evaluation(32))
    assert lines(tmp_path) == [8, 16, 24, 32]
    assert folders.records(tmp_path)[2]["values"] == {"eval/score": [99.0]}
    assert "99.0" in (tmp_path / "progress.csv").read_text()
    assert not (tmp_path / "metrics.resumed.jsonl").exists()


def test_a_last_line_that_is_torn_is_not_a_record(tmp_path: Path):
    table = Table().open(tmp_path, {"seeds": [0]}, [])
    table(evaluation(8))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "eval')
    assert lines(tmp_path) == [8]


def test_the_clock_never_runs_backwards(monkeypatch: pytest.MonkeyPatch):
    from curriculum.listeners import _clock

    history = [{"time": 2_000.0}, {"time": 5_000.0}]
    monkeypatch.setattr(_clock.time, "time", lambda: 1_000.0)
    clock = Clock(history)
    first = clock()
    assert first >= 5_000.0
    monkeypatch.setattr(_clock.time, "time", lambda: 0.0)
    assert clock() >= first


def test_discarding_a_new_run_keeps_its_checkpoints(tmp_path: Path):
    run = run_folder(tmp_path, "lr", "lr")
    save(run, "step-000000000")
    folders.discard(run)
    assert run.is_dir()
    shutil.rmtree(run / "checkpoints")
    folders.discard(run)
    assert not run.exists()


def test_the_reason_why_a_checkpoint_is_damaged_is_short(tmp_path: Path):
    folder = checkpoint.write(tmp_path / "step-1", {"run": {"step": 1}})
    with pytest.raises(ValueError, match="is damaged") as refused:
        checkpoint.read(folder, only=["x" * 5_000])
    assert len(str(refused.value)) < 400 + len(str(folder))
