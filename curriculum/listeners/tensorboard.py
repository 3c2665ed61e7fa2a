"""TensorBoard: one run folder a seed, SB3's tags where they exist, hyperparameters with
metrics really logged."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import yaml
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from curriculum.report import figures
from curriculum.types import Record

METRICS = (
    "eval/mean_reward",
    "eval/success_rate",
    "eval/score",
    "planner/calls_total",
    "final/last_score",
    "final/best_score",
)


HOUSEKEEPING = (
    "name",
    "runs_dir",
    "threads",
    "log_every",
    "checkpoint_every",
    "compress_every",
    "techniques",
)


@dataclass(kw_only=True)
class Tensorboard:
    """Writes `seed<k>/events.*`, x being environment steps of one seed; draws the run's
    figures when it ends."""

    def open(
        self, folder: Path, config: dict[str, Any], history: list[dict[str, Any]]
    ) -> Self:
        """Begin in a run's folder, or again with the lines in `history`; what an
        interrupted run logged later goes."""
        self.folder, self.seeds = folder, config["seeds"]
        for old in folder.glob("seed*/events.*"):
            old.unlink()
        self.writers = [
            SummaryWriter(str(folder / f"seed{seed}")) for seed in self.seeds
        ]
        for seed, writer in zip(self.seeds, self.writers, strict=True):
            self._describe(writer, config | {"seeds": seed})
        self.past: list[Record] = []
        for line in history:
            values = {
                tag: np.array(column, float) for tag, column in line["values"].items()
            }
            self._log(Record(line["kind"], line["step"], values), line["time"])
        return self

    def _describe(self, writer: SummaryWriter, config: dict[str, Any]) -> None:
        """The configuration as text and as hyperparameters, in the run's own file
        instead of a sub-run."""
        writer.add_text(
            "config", "```yaml\n" + yaml.safe_dump(config, sort_keys=False) + "```"
        )
        given = {
            k: v
            for k, v in config.items()
            if k not in HOUSEKEEPING and not k.startswith("eval_")
        }
        plain = {
            k: v if isinstance(v, bool | int | float | str) else str(v)
            for k, v in given.items()
        }
        for summary in hparams(plain, dict.fromkeys(METRICS, 0.0)):
            writer._get_file_writer().add_summary(summary)

    def __call__(self, record: Record) -> None:
        """Log one record."""
        if record.kind == "maps":
            self.maps = record
            return
        self._log(record, time.time())
        if record.kind == "final":
            self._draw()

    def _log(self, record: Record, moment: float) -> None:
        self.past.append(record)
        for p, writer in enumerate(self.writers):
            for tag, values in record.values.items():
                if np.isfinite(values[p]):
                    writer.add_scalar(
                        tag, values[p], record.step, walltime=moment, new_style=True
                    )

    def _draw(self) -> None:
        first = {
            f"{name}-seed{self.seeds[0]}": figure
            for name, figure in self._maps(0).items()
        }
        (self.folder / "figures").mkdir(exist_ok=True)
        for name, figure in (self._curves(slice(None)) | first).items():
            figures.save(figure, self.folder / "figures" / f"{name}.png")
        for p, writer in enumerate(self.writers):
            for name, figure in (self._curves(slice(p, p + 1)) | self._maps(p)).items():
                writer.add_image(
                    f"figures/{name}",
                    figures.to_array(figure),
                    self.past[-1].step,
                    dataformats="HWC",
                )
            writer.flush()

    def _curves(self, seeds: slice) -> dict[str, Any]:
        ends: Any = {
            name: float(self._curve(f"eval/{name}_reward", slice(0, 1))[1][0, 0])
            for name in ("random", "planner")
        }
        steps, reward = self._curve("eval/mean_reward", seeds)
        mixed = (
            self._curve("eval_mixed/mean_reward", seeds)[1]
            if self._has("eval_mixed/mean_reward")
            else None
        )
        _, calls = self._curve("planner/calls_total", seeds, kind="evaluate")
        rate = self._curve("curriculum/planning_rate", seeds)
        return {
            "rate_and_return": figures.rate_and_return(
                *rate, steps, reward, mixed, **ends
            ),
            "return_against_calls": figures.return_against_calls(calls, reward, **ends),
        }

    def _maps(self, p: int) -> dict[str, Any]:
        if not hasattr(self, "maps"):
            return {}
        values = {name: value[p] for name, value in self.maps.values.items()}
        walls = np.isnan(values["value"])
        return {
            "visits": figures.visits(values["visits"], walls),
            "policy": figures.policy_map(values["value"], values["arrow"], walls),
        }

    def _has(self, tag: str) -> bool:
        return any(tag in record.values for record in self.past)

    def _curve(
        self, tag: str, seeds: slice, kind: str = ""
    ) -> tuple[np.ndarray, np.ndarray]:
        """Steps [T] and values [T, P] of one tag."""
        with_tag = [
            r for r in self.past if tag in r.values and r.kind in (kind or r.kind)
        ]
        return np.array([r.step for r in with_tag]), np.array(
            [r.values[tag][seeds] for r in with_tag], float
        )

    def close(self) -> None:
        """Write out what is buffered."""
        for writer in self.writers:
            writer.close()
