"""Read the lines of `metrics.jsonl`, and records from them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.types import Record


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
