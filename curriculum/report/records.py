"""Read the lines of `metrics.jsonl`, and records from them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.types import Record

FIRST_READ = 16 * 1024  # bytes of the end of a file
MOST_READ = 1024 * 1024
BEGINNING = re.compile(rb'\{"kind": "(\w+)"')  # of a line, as it is written


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


def read_newest(path: Path) -> dict[str, dict[str, Any]]:
    """Read the newest record of each kind, the newest kind first, from the end of a
    file, back to its last evaluation but one; of a long file the last MiB at most.

    ValueError if one of them is no record."""
    size = path.stat().st_size
    length = FIRST_READ
    while True:
        lines = _last_lines(path, size, length)
        evaluations = sum(line.startswith(b'{"kind": "evaluate"') for line in lines)
        if evaluations > 1 or length >= min(size, MOST_READ):
            break
        length *= 4
    newest: dict[str, dict[str, Any]] = {}
    evaluations = 0
    for line in reversed(lines):
        kind = _kind(line, path)
        evaluations += kind == "evaluate"
        if evaluations > 1:
            break
        if kind not in newest:
            newest[kind] = _read(line, f"{path} is damaged near its end")
    return newest


def _last_lines(path: Path, size: int, length: int) -> list[bytes]:
    """The lines among the last bytes of a file that are written from their beginning to
    their end."""
    start = max(0, size - length)
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read(size - start).splitlines(keepends=True)
    if start:
        del lines[:1]
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    return lines


def _kind(line: bytes, path: Path) -> str:
    beginning = BEGINNING.match(line)
    if beginning:
        return beginning[1].decode()
    kind: str = _read(line, f"{path} is damaged near its end")["kind"]
    return kind


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
