"""Trackio: a run for each seed in its store of this user."""

import contextlib
import importlib
import io
import zlib
from dataclasses import dataclass
from typing import Any, ClassVar

from curriculum.listeners._tracking import Points, Tracking

PROJECT = "planning-curriculum"


@dataclass(kw_only=True)
class Trackio(Tracking):
    """Writes to Trackio's store, which `trackio show --project planning-curriculum`
    shows; the environment variable TRACKIO_DIR moves it. A run is named after its
    folder, with eight letters that tell folders of the same name apart. Needs the extra
    [trackio]."""

    package: ClassVar[str] = "trackio"

    def begin(self, name: str, settings: dict[str, Any], seeds: list[int]) -> None:
        trackio: Any = importlib.import_module("trackio")
        storage: Any = importlib.import_module("trackio.sqlite_storage")
        place = zlib.crc32(str(self.folder.absolute()).encode())
        self.runs = []
        for seed in seeds:
            own = f"{name}-seed{seed}-{place:08x}"
            with contextlib.redirect_stdout(io.StringIO()):
                storage.SQLiteStorage.delete_run(PROJECT, own)
                run = trackio.init(
                    project=PROJECT,
                    name=own,
                    group=name,
                    config=settings | {"seeds": seed},
                    embed=False,
                    auto_log_cpu=False,
                    auto_log_gpu=False,
                )
            self.runs.append(run)

    def log(self, index: int, points: Points, position: int, time: float) -> None:
        self.runs[index].log(points, step=position)

    def end(self, index: int, finished: bool) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.runs[index].finish()
