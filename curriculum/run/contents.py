"""What is in the folder of a run; reading this needs no torch."""

import json
from pathlib import Path
from typing import Any

SETTINGS = "config.yaml"
RECORDS = "metrics.jsonl"
RESUMED_RECORDS = "metrics.resumed.jsonl"
RESULT = "result.json"  # exists once the run is finished


def read_result(folder: Path) -> dict[str, Any] | None:
    """The complete result of a run; None if there is none, or a damaged one."""
    try:
        result = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError, RecursionError):
        return None
    is_whole = isinstance(result, dict) and "finished" in result and "values" in result
    return result if is_whole else None


def is_finished(folder: Path) -> bool:
    """Whether the run has come to its end: it has a complete result."""
    return read_result(folder) is not None
