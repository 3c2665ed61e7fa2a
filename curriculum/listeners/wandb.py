"""Weights & Biases, offline: a run for each seed in the run's folder."""

import importlib
import shutil
from dataclasses import dataclass
from typing import Any, ClassVar

from curriculum.listeners._tracking import Points, Tracking

STEPS = "environment_steps"  # the axes of curves
UPDATES = "offline_updates"
OFFLINE = "offline/"  # begins the tags of the offline phase


@dataclass(kw_only=True)
class Wandb(Tracking):
    """Writes `wandb/offline-run-*`, which `wandb sync` uploads; nothing leaves the
    machine before. Needs the extra [wandb]."""

    package: ClassVar[str] = "wandb"

    def begin(self, name: str, settings: dict[str, Any], seeds: list[int]) -> None:
        wandb: Any = importlib.import_module("wandb")
        shutil.rmtree(self.folder / "wandb", ignore_errors=True)
        quiet = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
        )
        self.runs = []
        for seed in seeds:
            run = wandb.init(
                mode="offline",
                dir=str(self.folder),
                project="planning-curriculum",
                group=name,
                name=f"{name}-seed{seed}",
                config=settings | {"seeds": seed},
                reinit="create_new",
                settings=quiet,
            )
            run.define_metric("*", step_metric=STEPS)
            run.define_metric(f"{OFFLINE}*", step_metric=UPDATES)
            self.runs.append(run)

    def log(self, index: int, points: Points, position: int, time: float) -> None:
        is_offline = any(tag.startswith(OFFLINE) for tag in points)
        axis = UPDATES if is_offline else STEPS
        self.runs[index].log(points | {axis: position})

    def end(self, index: int, finished: bool) -> None:
        self.runs[index].finish(exit_code=0 if finished else 1)
