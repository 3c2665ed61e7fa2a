"""Tables: records in `metrics.jsonl`, evaluations as rows of `progress.csv`."""

import csv
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from curriculum.types import Listener, Record

Column = list[float | int | None]  # one value for each seed, null where not finite


@dataclass(kw_only=True)
class Table(Listener):
    """Writes each record at once: a process that is killed loses none that precedes its
    last checkpoint."""

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        self.seeds: list[int] = settings["seeds"]
        # newest values by tag, without durations
        self.latest: dict[str, Column] = {}
        self.evaluations: list[dict[str, Any]] = []  # all rows of progress.csv
        self.columns: list[str] = []
        self.metrics_path = folder / "metrics.jsonl"
        self.progress_path = folder / "progress.csv"
        self.metrics_path.write_text("")
        self.progress_path.write_text("")
        for line in history:
            self._write(**line)
        return self

    def __call__(self, record: Record) -> None:
        values = {
            tag: [_plain(value) for value in column]
            for tag, column in record.values.items()
            if column.ndim == 1
        }
        self._write(record.kind, record.step, time.time(), values)

    def _write(
        self, kind: str, step: int, time: float, values: dict[str, Column]
    ) -> None:
        line = {"kind": kind, "step": step, "time": time, "values": values}
        with self.metrics_path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if kind != "time":
            self.latest |= values
        if kind == "evaluate":
            self._write_evaluation(step)

    def _write_evaluation(self, step: int) -> None:
        """Append a row for each seed; new columns rewrite the file."""
        rows: list[dict[str, Any]] = []
        for index, seed in enumerate(self.seeds):
            values = {tag: column[index] for tag, column in self.latest.items()}
            rows.append({"step": step, "seed": seed, **values})
        self.evaluations += rows
        new_columns = rows[0].keys() - set(self.columns)
        if not new_columns:
            self._write_rows(rows, mode="a")
            return
        tags = {*self.columns, *new_columns} - {"step", "seed"}
        self.columns = ["step", "seed", *sorted(tags)]
        self._write_rows(self.evaluations, mode="w")

    def _write_rows(self, rows: list[dict[str, Any]], mode: str) -> None:
        with self.progress_path.open(mode, newline="") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)


def _plain(number: np.generic) -> float | int | None:
    value = number.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
