"""Read the lines of `metrics.jsonl`, and records from them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curriculum.types import Record

FIRST_READ = 16 * 1024  # bytes of the end of a file
MOST_READ = 1024 * 1024
EVALUATION = b'{"kind": "evaluate"'  # begins a line


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read all records, without a last line that was not written to its end.

    ValueError names a line that is no record."""
    content = path.read_bytes() if path.is_file() else b""
    lines = content.splitlines(keepends=True)
    records = []
    for number, line in enumerate(lines, 1):
        if line.endswith(b"\n"):
            records.append(_read(line, f"{path} is damaged in line {number}"))
    return records


class Newest(NamedTuple):
    """What stands at the end of a file of records; None where nothing does."""

    record: dict[str, Any] | None
    evaluation: dict[str, Any] | None


def read_newest(path: Path) -> Newest:
    """Read the newest record and the newest evaluation from the end of a file: of a
    long one, the last MiB at most.

    ValueError if one of them is no record."""
    length = FIRST_READ
    with path.open("rb") as file:
        size = file.seek(0, 2)
        while True:
            start = max(0, size - length)
            file.seek(start)
            lines = _whole_lines(file.read(size - start), start)
            evaluations = [line for line in lines if line.startswith(EVALUATION)]
            if evaluations or start == 0 or length >= MOST_READ:
                break
            length *= 4
    problem = f"{path} is damaged near its end"
    evaluation = _read(evaluations[-1], problem) if evaluations else None
    if lines[-1:] == evaluations[-1:]:
        return Newest(evaluation, evaluation)
    return Newest(_read(lines[-1], problem), evaluation)


def _whole_lines(content: bytes, start: int) -> list[bytes]:
    """The lines that are written from their beginning to their end, of what a file has
    from `start` on."""
    lines = content.splitlines(keepends=True)
    if start:
        del lines[:1]
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    return lines


def record_of(line: dict[str, Any]) -> Record:
    """The record in a line of `metrics.jsonl`, in which null stands for nan."""
    values = {tag: np.array(column, float) for tag, column in line["values"].items()}
    return Record(line["kind"], line["step"], values, line.get("updates"))


def position_of(record: Record) -> int:
    """Where a record lies on the axis of its tags."""
    return record.step if record.updates is None else record.updates


def _read(line: bytes, problem: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{problem}: it is not JSON") from None
    if not _is_record(record):
        raise ValueError(f"{problem}: it is not a record")
    return record


def _is_record(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and isinstance(record.get("kind"), str)
        and isinstance(record.get("step"), int)
        and isinstance(record.get("values"), dict)
        and all(isinstance(column, list) for column in record["values"].values())
    )
