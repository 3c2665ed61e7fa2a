"""MLflow: an experiment with a run for each seed, in a store of files in the run's
folder."""

import importlib
import os
from dataclasses import dataclass
from typing import Any, ClassVar

from curriculum.listeners._tracking import Points, Tracking

FOLDER = "mlruns"
# MLflow keeps its store of files for those who ask for it, and reports its use to its
# makers unless it is told not to
VARIABLES = ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY")
LONGEST = 500  # characters of a parameter


@dataclass(kw_only=True)
class Mlflow(Tracking):
    """Writes `mlruns`, which `mlflow ui --backend-store-uri` shows with the environment
    variable MLFLOW_ALLOW_FILE_STORE=true. Needs the extra [mlflow]."""

    package: ClassVar[str] = "mlflow"

    def begin(self, name: str, settings: dict[str, Any], seeds: list[int]) -> None:
        for variable in VARIABLES:
            os.environ.setdefault(variable, "true")
        tracking: Any = importlib.import_module("mlflow.tracking")
        self.entities: Any = importlib.import_module("mlflow.entities")
        store = self.folder / FOLDER
        self.client = tracking.MlflowClient(tracking_uri=store.absolute().as_uri())
        known = self.client.get_experiment_by_name(name)
        for earlier in self.client.search_runs([known.experiment_id]) if known else ():
            self.client.delete_run(earlier.info.run_id)
        experiment = (
            known.experiment_id if known else self.client.create_experiment(name)
        )
        self.runs: list[str] = []
        for seed in seeds:
            run = self.client.create_run(experiment, run_name=f"{name}-seed{seed}")
            self.runs.append(run.info.run_id)
            chosen = settings | {"seeds": seed}
            parameters = [
                self.entities.Param(key, str(value)[:LONGEST])
                for key, value in chosen.items()
            ]
            self.client.log_batch(run.info.run_id, params=parameters)

    def log(self, index: int, points: Points, position: int, time: float) -> None:
        milliseconds = int(1000 * time)
        metrics = [
            self.entities.Metric(tag, value, milliseconds, position)
            for tag, value in points.items()
        ]
        self.client.log_batch(self.runs[index], metrics=metrics)

    def end(self, index: int, finished: bool) -> None:
        status = "FINISHED" if finished else "KILLED"
        self.client.set_terminated(self.runs[index], status)
