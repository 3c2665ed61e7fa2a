"""TensorBoard: a folder of events for each seed, with the tags of Stable-Baselines3."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import yaml
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from curriculum.listeners._board import charts, hyperparameters
from curriculum.listeners._clock import RECORDS, Clock, count_lines
from curriculum.report import figures
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
LOSS = "offline/loss_"  # begins the tags of losses in the offline phase
HIDDEN = ".superseded-"  # begins the names of events of an interrupted run


class _Curve(NamedTuple):
    """The values of one tag."""

    steps: np.ndarray  # [T]
    values: np.ndarray  # [T, P]


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
        self.writers: list[SummaryWriter] = []
        self.logged: dict[str, int] = {}  # tag -> position of its newest point
        self.evaluated = False
        self.finished = False
        self.clock = Clock(history)
        self.count = len(history)
        self.earlier_count = count_lines(folder / RECORDS)
        self._hide_events()
        for seed in self.seeds:
            writer = SummaryWriter(str(folder / f"seed{seed}"))
            text = yaml.safe_dump(settings | {"seeds": seed}, sort_keys=False)
            writer.add_text("config", f"```yaml\n{text}```")
            self.writers.append(writer)
        for line in history:
            values = {
                tag: np.array(column, float) for tag, column in line["values"].items()
            }
            record = Record(line["kind"], line["step"], values, line.get("updates"))
            self._log(record, line["time"])
        return self

    def __call__(self, record: Record) -> None:
        self.count += 1
        if record.kind == "maps":
            self.maps = record
            return
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
        for writer in self.writers:
            writer.flush()
        for old in self.hidden:
            old.unlink()
        self.hidden = []

    def close(self) -> None:
        for writer in self.writers:
            if self.evaluated:
                _add(writer, hyperparameters.end(self.finished))
            writer.close()

    def _log(self, record: Record, wall_time: float) -> None:
        self.records.append(record)
        position = _position(record)
        # a tag may be in several records of one step, and has one point there
        new = {
            tag: values
            for tag, values in record.values.items()
            if self.logged.get(tag) != position
        }
        self.logged |= dict.fromkeys(new, position)
        for index, writer in enumerate(self.writers):
            for tag, values in new.items():
                value = values[index]
                if np.isfinite(value):
                    writer.add_scalar(
                        _shown(tag),
                        value,
                        position,
                        walltime=wall_time,
                        new_style=True,
                    )
        if record.kind == "evaluate" and not self.evaluated:
            self._describe(record)
        self.finished |= record.kind == "final"

    def _describe(self, evaluation: Record) -> None:
        """Begin each seed's row of hyperparameters and metrics, which would be blank
        before the first evaluation."""
        self.evaluated = True
        missing = []
        for tag, values in evaluation.values.items():
            if not np.isfinite(values).any():
                missing.append(tag.replace("offline/", "eval/"))
        metrics = [tag for tag in METRICS if tag not in missing]
        for writer, seed in zip(self.writers, self.seeds, strict=True):
            chosen = hyperparameters.hyperparameters(self.settings, seed)
            _add(writer, hyperparameters.experiment(chosen, metrics))
            _add(writer, hyperparameters.begin(chosen))
            writer.add_custom_scalars(charts.layout())
            writer.flush()

    # --- figures ---

    def _draw(self) -> None:
        """Save the figures of all seeds and the maps of the first; log those of each
        seed."""
        folder = self.folder / "figures"
        folder.mkdir(exist_ok=True)
        curves = _render(self._curves(slice(None)))
        for name, picture in curves.items():
            figures.save_picture(picture, folder / f"{name}.png")
        step = self.records[-1].step
        for index, writer in enumerate(self.writers):
            if len(self.writers) > 1:
                curves = _render(self._curves(slice(index, index + 1)))
            maps = _render(self._maps(index))
            if index == 0:
                for name, picture in maps.items():
                    path = folder / f"{name}-seed{self.seeds[0]}.png"
                    figures.save_picture(picture, path)
            for name, picture in (curves | maps).items():
                image = figures.halve(picture)
                writer.add_image(f"figures/{name}", image, step, dataformats="HWC")
            writer.flush()

    def _curves(self, seeds: slice) -> dict[str, figures.Figure]:
        """Draw the curves of some seeds, those of each phase of the run."""
        drawn = {}
        if self.settings.get("offline_updates"):
            drawn["offline"] = self._offline(seeds)
        if self.settings.get("steps", 1):
            drawn |= self._hand_over(seeds)
        return drawn

    def _offline(self, seeds: slice) -> figures.Figure:
        tags = {tag for record in self.records for tag in record.values}
        losses = {}
        updates = np.array([])
        for tag in sorted(tag for tag in tags if tag.startswith(LOSS)):
            curve = self._curve(tag, seeds)
            losses[tag.removeprefix(LOSS)] = curve.values
            updates = curve.steps
        reward = self._curve("offline/mean_reward", seeds)
        return figures.offline(
            updates,
            losses,
            reward.steps,
            reward.values,
            random=self._baseline("eval/random_reward"),
            planner=self._baseline("eval/planner_reward"),
            data=self._baseline("eval/data_reward"),
        )

    def _hand_over(self, seeds: slice) -> dict[str, figures.Figure]:
        random = self._baseline("eval/random_reward")
        planner = self._baseline("eval/planner_reward")
        reward = self._curve("eval/mean_reward", seeds)
        # a run without steps that went on has not mixed at step 0
        mixed = self._at("eval/mean_reward", "eval_mixed/mean_reward", seeds)
        calls = self._at("eval/mean_reward", "planner/calls_total", seeds)
        rate = self._curve("curriculum/planning_rate", seeds)
        return {
            "rate_and_return": figures.rate_and_return(
                rate.steps,
                rate.values,
                reward.steps,
                reward.values,
                mixed if np.isfinite(mixed).any() else None,
                random=random,
                planner=planner,
            ),
            "return_against_calls": figures.return_against_calls(
                calls, reward.values, random=random, planner=planner
            ),
        }

    def _maps(self, index: int) -> dict[str, figures.Figure]:
        """Draw the maps of one seed, if the world has maps."""
        if self.maps is None:
            return {}
        values = {name: value[index] for name, value in self.maps.values.items()}
        walls = np.isnan(values["value"])
        return {
            "visits": figures.visits(values["visits"], walls),
            "policy": figures.policy_map(values["value"], values["arrow"], walls),
        }

    def _baseline(self, tag: str) -> float:
        """The return of random play, the planner or the data, nan where it was not
        measured."""
        values = self._curve(tag, slice(0, 1)).values
        return float(values[0, 0]) if len(values) else np.nan

    def _curve(self, tag: str, seeds: slice) -> _Curve:
        """Collect one tag from all records."""
        records = [record for record in self.records if tag in record.values]
        steps = np.array([_position(record) for record in records])
        values = [record.values[tag][seeds] for record in records]
        return _Curve(steps, np.array(values, float))

    def _at(self, curve: str, tag: str, seeds: slice) -> np.ndarray:
        """The values of one tag in the records of another, nan where they lack it."""
        records = [record for record in self.records if curve in record.values]
        unknown = np.full(len(self.seeds), np.nan)
        values = [record.values.get(tag, unknown)[seeds] for record in records]
        return np.array(values, float)


def _position(record: Record) -> int:
    """Where a record lies on the axis of its tags."""
    return record.step if record.updates is None else record.updates


def _render(drawn: dict[str, figures.Figure]) -> dict[str, np.ndarray]:
    """Pictures of figures, by name."""
    return {name: figures.render(figure) for name, figure in drawn.items()}


def _shown(tag: str) -> str:
    """A tag as TensorBoard shows it."""
    group, slash, name = tag.partition("/")
    return f"{RENAMED.get(group, group)}{slash}{name}"


def _add(writer: SummaryWriter, summary: Summary) -> None:
    """Write to the run's own file: `SummaryWriter.add_hparams` would make another run
    of it."""
    writer._get_file_writer().add_summary(summary)
