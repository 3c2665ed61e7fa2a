"""Copies of a run between machines: what is copied, and in which order."""

from pathlib import Path

import pytest

from curriculum.comparison import transfer
from curriculum.comparison.transfer import Changes, Outbox


def test_only_what_is_new_is_copied_and_what_is_gone_is_removed(tmp_path: Path):
    source, copy = tmp_path / "source", tmp_path / "copy"
    old = source / "checkpoints" / "step-1"
    old.mkdir(parents=True)
    copy.mkdir()
    (old / "state.json").write_text("1")
    (source / "metrics.jsonl").write_text("a")
    (source / ".lock").write_text("process 1")
    (source / "checkpoints" / ".step-2.draft").mkdir()
    (source / "checkpoints" / ".step-2.draft" / "state.json").write_text("half")
    outbox = Outbox(source)
    first = outbox.changes()
    assert [*first.files] == ["checkpoints/step-1/state.json", "metrics.jsonl"]
    transfer.write(copy, first)
    assert outbox.changes() == Changes({}, ())
    (old / "state.json").unlink()
    old.rmdir()
    (source / "checkpoints" / ".step-2.draft").rename(source / "checkpoints" / "step-2")
    (source / "metrics.jsonl").write_text("ab")
    second = outbox.changes()
    assert second.gone == ("checkpoints/step-1/state.json",)
    transfer.write(copy, second)
    written = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*"))
    assert written == [
        *("checkpoints", "checkpoints/step-2", "checkpoints/step-2/state.json"),
        "metrics.jsonl",
    ]
    assert (copy / "metrics.jsonl").read_text() == "ab"


def test_records_come_before_checkpoints_and_the_result_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    order = []

    def write(path: Path, data: bytes) -> None:
        order.append(path.relative_to(tmp_path).as_posix())
        path.write_bytes(data)

    monkeypatch.setattr(transfer, "write_bytes", write)
    files = {
        "checkpoints/step-1/state.json": b"1",
        "result.json": b"2",
        "metrics.jsonl": b"3",
    }
    transfer.write(tmp_path, Changes(files, ()))
    assert order == [
        *("metrics.jsonl", "checkpoints/.step-1.draft/state.json", "result.json")
    ]
    assert (tmp_path / "checkpoints" / "step-1" / "state.json").is_file()
