"""Damaged records are refused by the line they are in."""

from pathlib import Path

import pytest

from curriculum.report.curves import read_curve
from curriculum.report.records import read_records

GOOD = '{"kind": "final", "step": 3, "values": {"a": [1, null]}}\n'


def test_a_line_that_was_not_written_to_its_end_is_left_out(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(GOOD + GOOD[:20])
    assert [record["step"] for record in read_records(path)] == [3]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"kind": "final"}', "[" * 100_000, "\x00", GOOD.replace("[", '["')],
)
def test_a_damaged_line_is_named(line: str, tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{GOOD}{line.strip()}\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl is damaged in line 2"):
        read_records(path)


def test_records_without_what_a_comparison_needs_are_refused(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text(GOOD)
    with pytest.raises(ValueError, match=str(tmp_path)):
        read_curve(tmp_path)
