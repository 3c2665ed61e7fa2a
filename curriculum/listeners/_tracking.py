"""What listeners share that hand records to a program for tracking experiments."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.listeners._clock import Clock
from curriculum.report.records import position_of, record_of
from curriculum.types import Listener, Record

Points = dict[str, float]  # tag -> value of one seed


class Tracking(Listener):
    """Shows each seed as a run of its own, in a store on this machine.

    The axis is environment steps of one seed, or updates for tags of the offline phase.
    A resumed run takes the place of the one that was interrupted: the records up to its
    checkpoint are shown anew, so every point is shown once."""

    package: ClassVar[str]  # and the extra that installs it

    def check(self) -> None:
        if find_spec(self.package) is None:
            raise ValueError(
                f"--listeners {self.package} needs the package {self.package}: "
                f"pip install 'planning-curriculum[{self.package}]', or leave it out"
            )

    # --- what a listener defines ---

    def begin(self, name: str, settings: dict[str, Any], seeds: list[int]) -> None:
        """Begin a run for each of the seeds, named `<name>-seed<k>`, in place of an
        earlier one from this folder."""
        raise NotImplementedError

    def log(self, index: int, points: Points, position: int, time: float) -> None:
        """Show points of the seed with this index."""
        raise NotImplementedError

    def end(self, index: int, finished: bool) -> None:
        """Close the run of the seed with this index."""
        raise NotImplementedError

    # --- as a listener ---

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        self.folder = folder
        self.clock = Clock(history)
        self.logged: dict[str, int] = {}  # tag -> position of its newest point
        self.seeds: list[int] = settings["seeds"]
        self.finished = False
        self.begin(folder.name, settings, self.seeds)
        for line in history:
            self._log(record_of(line), line["time"])
        return self

    def __call__(self, record: Record) -> None:
        self._log(record, self.clock())

    def close(self) -> None:
        for index in range(len(self.seeds)):
            self.end(index, self.finished)

    def _log(self, record: Record, time: float) -> None:
        self.finished |= record.kind == "final"
        position = position_of(record)
        # a tag may be in several records of one step, and has one point there
        new = {
            tag: values
            for tag, values in record.values.items()
            if values.ndim == 1 and self.logged.get(tag) != position
        }
        self.logged |= dict.fromkeys(new, position)
        for index in range(len(self.seeds)):
            points = {
                tag: float(values[index])
                for tag, values in new.items()
                if np.isfinite(values[index])
            }
            if points:
                self.log(index, points, position, time)
