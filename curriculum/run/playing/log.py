"""The table of a session: one line for every step."""

import csv
import io
import resource
import sys
from pathlib import Path

import numpy as np

COLUMNS = (
    "episode",
    "step",
    "time_s",  # since the session began, when the action was chosen
    "latency_ms",  # of whoever chose it; empty for a person
    "memory_mb",  # resident memory of the process
    "action",
    "who",
    "reward",
    "cumulative_reward",
)
PAGES = Path("/proc/self/statm")


class Log:
    """Lines of text, as CSV."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.writer = csv.writer(self.text, lineterminator="\n")
        self.writer.writerow(COLUMNS)

    def add(
        self,
        episode: int,
        step: int,
        seconds: float,
        latency_ms: float | None,
        action: np.ndarray,
        who: str,
        reward: float,
        total: float,
    ) -> None:
        """Add a step whose `action` is [] or [A]."""
        line = (
            episode,
            step,
            f"{seconds:.3f}",
            "" if latency_ms is None else f"{latency_ms:.3f}",
            f"{resident_mb():.1f}",
            " ".join(f"{number:g}" for number in np.atleast_1d(action)),
            who,
            f"{reward:.4f}",
            f"{total:.4f}",
        )
        self.writer.writerow(line)


def resident_mb() -> float:
    """Memory of this process, in MB; its peak where the system does not tell more."""
    if PAGES.is_file():
        return int(PAGES.read_text().split()[1]) * resource.getpagesize() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
