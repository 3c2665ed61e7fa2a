"""Tables: every record as a line of `metrics.jsonl`, every evaluation as a row of
`progress.csv`."""

import csv
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from curriculum.types import Record


@dataclass(kw_only=True)
class Table:
    """Writes each record at once, so that a killed process loses none that came before
    its last checkpoint."""

    def open(
        self, folder: Path, config: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        """Begin in a run's folder; `history` holds the lines of an interrupted run that
        its checkpoint knows of."""
        self.seeds: list[int] = config["seeds"]
        # newest values by tag, without what a clock measured
        self.last: dict[str, list] = {}
        self.rows: list[dict[str, Any]] = []
        self.columns: list[str] = []
        self.lines, self.progress = (
            folder / name for name in ("metrics.jsonl", "progress.csv")
        )
        for path in (self.lines, self.progress):
            path.write_text("")
        for line in history:
            self._write(**line)
        return self

    def __call__(self, record: Record) -> None:
        """Write one record."""
        numbers = {
            tag: [_plain(x) for x in v]
            for tag, v in record.values.items()
            if v.ndim == 1
        }
        self._write(record.kind, record.step, time.time(), numbers)

    def _write(
        self, kind: str, step: int, time: float, values: dict[str, list]
    ) -> None:
        with self.lines.open("a") as file:
            file.write(
                json.dumps({"kind": kind, "step": step, "time": time, "values": values})
                + "\n"
            )
        self.last |= {tag: column for tag, column in values.items() if kind != "time"}
        if kind == "evaluate":
            self._rows(step)

    def _rows(self, step: int) -> None:
        new = [
            {"step": step, "seed": seed}
            | {tag: column[p] for tag, column in self.last.items()}
            for p, seed in enumerate(self.seeds)
        ]
        self.rows += new
        wider = set(new[0]) - set(self.columns)
        # then the file begins again, with a column for everything known by now
        if wider:
            self.columns = [
                "step",
                "seed",
                *sorted((set(self.columns) | wider) - {"step", "seed"}),
            ]
        with self.progress.open("w" if wider else "a", newline="") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            if wider:
                writer.writeheader()
            writer.writerows(self.rows if wider else new)

    def close(self) -> None:
        """Nothing is left to write."""


def _plain(x: Any) -> float | int | None:
    value = x.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
