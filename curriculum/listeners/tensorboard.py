"""TensorBoard: a folder of events for each seed, with the tags of Stable-Baselines3."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml

from curriculum.files import write_bytes
from curriculum.listeners._board import charts, events, hyperparameters
from curriculum.listeners._clock import RECORDS, Clock, count_lines
from curriculum.listeners._moments import moment_of
from curriculum.report.records import position_of, record_of
from curriculum.types import Listener, Record

# shown beside the hyperparameters
METRICS = (
    "final/last_score",
    "final/best_score",
    "eval/mean_reward",
    "eval/score",
    "eval/success_rate",
    "planner/calls_total",
)
# TensorBoard opens with the first two groups of the alphabet, which are to be
# curriculum/ and eval/
RENAMED = {"buffer": "replay", "compress": "techniques"}
HIDDEN = ".superseded-"  # begins the names of events of an interrupted run


@dataclass(kw_only=True)
class Tensorboard(Listener):
    """Writes `seed<k>/events.*`; draws the run's figures at the end.

    The axis of a curve is environment steps of one seed; that of the group `offline` is
    updates of the offline phase."""

    def open(
        self, folder: Path, settings: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        """Write events anew, from `history` on: TensorBoard cannot remove what an
        interrupted run logged after its last checkpoint.

        The events of the interrupted run are hidden, and removed once there are new
        ones for as many records."""
        self.folder = folder
        self.settings = settings
        self.seeds: list[int] = settings["seeds"]
        self.records: list[Record] = []
        self.maps: Record | None = None
        self.files: list[events.EventFile] = []
        self.logged: dict[str, int] = {}  # tag -> position of its newest point
        self.evaluated = False
        self.finished = False
        self.clock = Clock(history)
        self.count = len(history)
        self.earlier_count = count_lines(folder / RECORDS)
        self._hide_events()
        for seed in self.seeds:
            file = events.EventFile(folder / f"seed{seed}")
            text = yaml.safe_dump(settings | {"seeds": seed}, sort_keys=False)
            file.write([events.text("config", f"```yaml\n{text}```")])
            self.files.append(file)
        for line in history:
            self._log(record_of(line), line["time"])
        return self

    def __call__(self, record: Record) -> None:
        self.count += 1
        if record.kind == "maps":
            self.maps = record
            return
        if record.kind == "survey":
            self._show_maps(record)
        self._log(record, self.clock())
        if record.kind == "final":
            self._draw()
        if self.count >= self.earlier_count:
            self._remove_hidden_events()

    def _hide_events(self) -> None:
        for old in self.folder.glob("seed*/events.*"):
            # TensorBoard reads every file with "tfevents" in its name
            name = old.name.replace("tfevents", "tf-events")
            old.rename(old.with_name(f"{HIDDEN}{name}"))
        self.hidden = list(self.folder.glob(f"seed*/{HIDDEN}*"))

    def _remove_hidden_events(self) -> None:
        if not self.hidden:
            return
        for old in self.hidden:
            old.unlink()
        self.hidden = []

    def close(self) -> None:
        for file in self.files:
            if self.evaluated:
                file.write([hyperparameters.end(self.finished)])
            file.close()

    def _log(self, record: Record, wall_time: float) -> None:
        self.records.append(record)
        position = position_of(record)
        # a tag may be in several records of one step, and has one point there
        new = {
            tag: values
            for tag, values in record.values.items()
            if self.logged.get(tag) != position
        }
        self.logged |= dict.fromkeys(new, position)
        for index, file in enumerate(self.files):
            points = []
            for tag, values in new.items():
                if values.ndim > 1:
                    continue  # a map
                value = float(values[index])
                if math.isfinite(value):
                    points.append(events.scalar(_shown(tag), value))
            if points:
                file.write(points, position, wall_time)
        if record.kind == "evaluate" and not self.evaluated:
            self._describe(record)
        self.finished |= record.kind == "final"

    def _show_maps(self, record: Record) -> None:
        """Log the first seed's maps of this moment: those of all would slow down
        training."""
        # matplotlib takes a second to import
        from curriculum.report import atlas, png, style

        first = {tag: value[0] for tag, value in record.values.items()}
        drawn = atlas.picture(first, moment_of(record))
        encoded = png.encoded(drawn, style.DPI)
        shown = events.picture("maps", encoded, *drawn.shape[:2])
        self.files[0].write([shown], position_of(record))

    def _describe(self, evaluation: Record) -> None:
        """Begin each seed's row of hyperparameters and metrics, which would be blank
        before the first evaluation."""
        self.evaluated = True
        missing = []
        for tag, values in evaluation.values.items():
            if not np.isfinite(values).any():
                missing.append(tag.replace("offline/", "eval/"))
        metrics = [tag for tag in METRICS if tag not in missing]
        for file, seed in zip(self.files, self.seeds, strict=True):
            chosen = hyperparameters.hyperparameters(self.settings, seed)
            page = [
                hyperparameters.experiment(chosen, metrics),
                hyperparameters.begin(chosen),
                events.chart_page(charts.layout()),
            ]
            file.write(page)

    def _draw(self) -> None:
        """Save the figures of all seeds and the maps of the first; log the former once,
        with the first seed, and each seed's own maps."""
        # matplotlib takes a second to import
        from curriculum.report import figures
        from curriculum.report.run_figures import Drawing

        folder = self.folder / "figures"
        folder.mkdir(exist_ok=True)
        drawing = Drawing(self.settings, self.records, self.maps)
        shared = {}
        for name, figure in drawing.curves().items():
            shared[name] = figures.picture(figure)
            write_bytes(folder / f"{name}.png", shared[name].png)
        step = self.records[-1].step
        for index, file in enumerate(self.files):
            pictures = shared if index == 0 else {}
            dpi = figures.SCREEN_DPI if index else figures.FILE_DPI
            for name, figure in drawing.cell_maps(index).items():
                pictures[name] = figures.picture(figure, dpi)
                if index == 0:
                    path = folder / f"{name}-seed{self.seeds[0]}.png"
                    write_bytes(path, pictures[name].png)
            shown = []
            for name, picture in pictures.items():
                shown.append(events.picture(f"figures/{name}", *picture))
            file.write(shown, step)


def _shown(tag: str) -> str:
    """A tag as TensorBoard shows it."""
    group, slash, name = tag.partition("/")
    return f"{RENAMED.get(group, group)}{slash}{name}"
