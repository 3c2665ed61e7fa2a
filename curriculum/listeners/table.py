"""Tables: records in `metrics.jsonl`, evaluations as rows of `progress.csv`."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from curriculum.files import replacing, write_text
from curriculum.listeners._clock import RECORDS, Clock, count_lines
from curriculum.types import Listener, Record

UPDATES = "offline_updates"  # column of the updates of the offline phase
OFFLINE = "offline/"  # begins the tags of its records
# kinds whose values, or when they come, depend on the clock
NOT_IN_ROWS = ("time", "compress")

Column = list[float | int | None]  # one value for each seed, null where not finite


@dataclass(kw_only=True)
class Table(Listener):
    """Writes each record at once: a process that is killed loses none that precedes its
    last checkpoint.

    The line of a record of the offline phase has its updates as well; so have rows of
    `progress.csv`, in the column `offline_updates`.

    A resumed run writes to `metrics.resumed.jsonl`, which replaces `metrics.jsonl` once
    it has as many records, and leaves `progress.csv` alone until it has as many
    rows."""

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        self.seeds: list[int] = settings["seeds"]
        # newest values by tag, without those of NOT_IN_ROWS
        self.latest: dict[str, Column] = {}
        self.evaluations: list[dict[str, Any]] = []  # all rows of progress.csv
        self.columns: list[str] = []
        self.clock = Clock(history)
        self.metrics_path = folder / RECORDS
        self.earlier_records = count_lines(self.metrics_path)
        self.progress_path = folder / "progress.csv"
        self.earlier_rows = count_lines(self.progress_path) - 1  # without the header
        self.growing_path = folder / "metrics.resumed.jsonl"
        write_text(self.growing_path, "".join(map(_line, history)))
        self.records = 0
        for line in history:
            self._take(line)
        self._write_progress([])
        self._replace_when_as_long()
        return self

    def __call__(self, record: Record) -> None:
        values = {
            tag: [_plain(value) for value in column]
            for tag, column in record.values.items()
            if column.ndim == 1
        }
        line: dict[str, Any] = {"kind": record.kind, "step": record.step}
        if record.updates is not None:
            line["updates"] = record.updates
        line |= {"time": self.clock(), "values": values}
        with self.growing_path.open("a") as file:
            file.write(_line(line))
        rows = self._take(line)
        if rows:
            self._write_progress(rows)
        self._replace_when_as_long()

    def _replace_when_as_long(self) -> None:
        """Let the records replace those of an earlier process, if there are as many."""
        if self.records >= self.earlier_records:
            if self.growing_path != self.metrics_path:
                self.growing_path.replace(self.metrics_path)
            self.growing_path = self.metrics_path

    def _take(self, line: dict[str, Any]) -> list[dict[str, Any]]:
        """Take in a record; returns the rows that it adds to progress.csv, one for each
        seed."""
        self.records += 1
        if line["kind"] not in NOT_IN_ROWS:
            self.latest |= line["values"]
        if line["kind"] != "evaluate":
            return []
        if "updates" in line:
            position = {"step": line["step"], UPDATES: line["updates"]}
        else:
            position = {"step": line["step"]}
            # values of the offline phase are not those of a later moment
            for tag in [tag for tag in self.latest if tag.startswith(OFFLINE)]:
                del self.latest[tag]
        rows = []
        for index, seed in enumerate(self.seeds):
            values = {tag: column[index] for tag, column in self.latest.items()}
            rows.append({**position, "seed": seed, **values})
        self.evaluations += rows
        return rows

    def _write_progress(self, rows: list[dict[str, Any]]) -> None:
        """Append rows to progress.csv; the first time, and for new columns, write it
        anew."""
        if len(self.evaluations) < self.earlier_rows:
            return
        tags = {tag for row in rows or self.evaluations for tag in row}
        if self.columns and tags <= set(self.columns):
            with self.progress_path.open("a", newline="") as file:
                self._writer(file).writerows(rows)
            return
        tags |= {tag for row in self.evaluations for tag in row}
        self.columns = ["step", "seed", *sorted(tags - {"step", "seed"})]
        with (
            replacing(self.progress_path) as draft,
            draft.open("w", newline="") as file,
        ):
            writer = self._writer(file)
            writer.writeheader()
            writer.writerows(self.evaluations)

    def _writer(self, file: TextIO) -> csv.DictWriter:
        return csv.DictWriter(file, self.columns, lineterminator="\n")


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _plain(number: np.generic) -> float | int | None:
    value = number.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
