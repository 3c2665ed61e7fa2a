"""What is in the folder of a run; reading this needs no torch."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETTINGS = "config.yaml"
RECORDS = "metrics.jsonl"
RESUMED_RECORDS = "metrics.resumed.jsonl"
RESULT = "result.json"  # exists once the run is finished
CHECKPOINTS = "checkpoints"  # the folder of these
CHECKPOINT = re.compile(r"step-(\d+)(?:-(\d+))?")  # the name of one
MANIFEST = "manifest.json"  # of a checkpoint


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


def by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """Different paths by their names, with folders in front where two are the same."""
    places = list(dict.fromkeys(path.resolve() for path in paths))
    named = {}
    for place in places:
        others = [other for other in places if other != place]
        named[_name_among(place, others)] = place
    return named


def _name_among(place: Path, others: Sequence[Path]) -> str:
    """The last part of a path, or as many parts as no other path ends in."""
    length = 1
    while any(other.parts[-length:] == place.parts[-length:] for other in others):
        length += 1
    return "/".join(place.parts[-length:])
