"""What listeners that write files share: wall time and the count of records."""

import time
from pathlib import Path
from typing import Any

RECORDS = "metrics.jsonl"


class Clock:
    """Wall time in seconds that never runs backwards: neither when the system's clock
    is set, nor behind the records of the run that is resumed."""

    def __init__(self, history: list[dict[str, Any]]):
        latest = max((line["time"] for line in history), default=0.0)
        self.offset = max(time.time(), latest) - time.monotonic()

    def __call__(self) -> float:
        return self.offset + time.monotonic()


def count_lines(path: Path) -> int:
    """Lines of a file that are written to their end; 0 if there is no file."""
    if not path.is_file():
        return 0
    return path.read_bytes().count(b"\n")
