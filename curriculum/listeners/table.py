"""Tables: every record as a line of `metrics.jsonl`, every evaluation as a row of `progress.csv`."""

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
    """Writes each record at once, so that a killed process loses none that came before its last checkpoint."""

    def open(self, folder: Path, config: dict[str, Any], history: list[dict[str, Any]]) -> Self:
        """Begin in a run's folder; `history` holds the lines of an interrupted run that its checkpoint knows of."""
        self.seeds: list[int] = config["seeds"]
        self.last: dict[str, list] = {}
        self.columns: list[str] = []
        self.lines, self.rows = ((folder / name).open("w") for name in ("metrics.jsonl", "progress.csv"))
        for line in history:
            self._write(**line)
        return self

    def __call__(self, record: Record) -> None:
        """Write one record."""
        numbers = {tag: [_plain(x) for x in v] for tag, v in record.values.items() if v.ndim == 1}
        self._write(record.kind, record.step, time.time(), numbers)

    def _write(self, kind: str, step: int, time: float, values: dict[str, list]) -> None:
        self.lines.write(json.dumps({"kind": kind, "step": step, "time": time, "values": values}) + "\n")
        self.lines.flush()
        self.last |= {tag: column for tag, column in values.items() if kind != "time"}
        if kind == "evaluate":
            self._row(step)

    def _row(self, step: int) -> None:
        writer = csv.writer(self.rows, lineterminator="\n")
        if not self.columns:
            self.columns = sorted(self.last)
            writer.writerow(["step", "seed", *self.columns])
        for p, seed in enumerate(self.seeds):
            writer.writerow([step, seed, *(self.last[tag][p] for tag in self.columns)])
        self.rows.flush()

    def close(self) -> None:
        """Close both files."""
        self.lines.close()
        self.rows.close()


def _plain(x: Any) -> float | int | None:
    value = x.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
