"""Programs for tracking experiments: every point is shown once, in their own stores."""

import importlib
import json
import struct
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import train
from curriculum.listeners import _tracking
from curriculum.listeners._tracking import Points, Tracking
from curriculum.report.records import read_records
from curriculum.setting import plugins
from curriculum.types import Record

NAMES = ("mlflow", "trackio", "wandb")
SETTINGS = {"seeds": [3, 7], "steps": 8, "learner": "iql"}
Shown = dict[str, list[tuple[int, float]]]  # tag -> positions and values, in order


def record(kind: str, step: int, updates: int | None = None, **values: Any) -> Record:
    arrays = {tag.replace("__", "/"): np.array(v) for tag, v in values.items()}
    return Record(kind, step, arrays, updates)


def line(record: Record) -> dict[str, Any]:
    """A record as the history of a resumed run holds it."""
    found: dict[str, Any] = {"kind": record.kind, "step": record.step, "time": 1e9}
    if record.updates is not None:
        found["updates"] = record.updates
    values = {tag: value.tolist() for tag, value in record.values.items()}
    return json.loads(json.dumps(found | {"values": values}))


RECORDS = (
    record("evaluate", 0, updates=50, offline__score=[0.25, 0.5]),
    record("collect", 4, rollout__x=[1.0, 2.0], planner__calls_total=[4, 5]),
    record("evaluate", 4, eval__score=[0.5, np.nan], planner__calls_total=[4, 5]),
    record("survey", 4, map__density=[[[0.5]], [[0.5]]]),
    record("collect", 8, rollout__x=[3.0, 4.0], planner__calls_total=[8, 9]),
    record("final", 8, final__score=[0.75, 1.0]),
)
# of the first seed
EXPECTED: Shown = {
    "offline/score": [(50, 0.25)],
    "rollout/x": [(4, 1.0), (8, 3.0)],
    "planner/calls_total": [(4, 4.0), (8, 8.0)],
    "eval/score": [(4, 0.5)],
    "final/score": [(8, 0.75)],
}


class Kept(Tracking):
    """Keeps what is shown."""

    package = "numpy"

    def begin(self, name: str, settings: dict[str, Any], seeds: list[int]) -> None:
        self.name = name
        self.shown: list[Shown] = [{} for _ in seeds]
        self.ended: list[bool] = []

    def log(self, index: int, points: Points, position: int, time: float) -> None:
        for tag, value in points.items():
            self.shown[index].setdefault(tag, []).append((position, value))

    def end(self, index: int, finished: bool) -> None:
        self.ended.append(finished)


def test_every_seed_has_its_points_once(tmp_path: Path):
    listener = Kept().open(tmp_path / "run", SETTINGS, [])
    for each in RECORDS:
        listener(each)
    listener.close()
    assert listener.name == "run"
    assert listener.shown[0] == EXPECTED
    assert "eval/score" not in listener.shown[1]  # its value is not finite
    assert listener.ended == [True, True]


def test_a_resumed_run_shows_what_its_checkpoint_knows_and_goes_on(tmp_path: Path):
    listener = Kept().open(tmp_path, SETTINGS, [line(each) for each in RECORDS[:3]])
    for each in RECORDS[3:]:
        listener(each)
    assert listener.shown[0] == EXPECTED


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_is_named_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(_tracking, "find_spec", lambda package: None)
    words = ["--listeners", name, "--runs-dir", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as ending:
        train.main(words)
    assert ending.value.code == 2
    said = capsys.readouterr().err
    assert f"pip install 'planning-curriculum[{name}]'" in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


def test_an_unknown_listener_is_refused_with_those_there_are(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        train.main(["--listeners", "wanbd", "--runs-dir", str(tmp_path / "runs")])
    assert "there are: mlflow, trackio, wandb" in capsys.readouterr().err


# --- their own stores ---


def of_mlflow(folder: Path) -> Shown:
    tracking = importlib.import_module("mlflow.tracking")
    client = tracking.MlflowClient(tracking_uri=(folder / "mlruns").as_uri())
    [experiment] = [e for e in client.search_experiments() if e.name == folder.name]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    [run] = [each for each in runs if each.info.run_name.endswith("-seed3")]
    assert run.data.params["seeds"] == "3"
    assert run.info.status == "FINISHED"
    return {
        tag: [
            (point.step, point.value)
            for point in client.get_metric_history(run.info.run_id, tag)
        ]
        for tag in run.data.metrics
    }


def of_trackio(folder: Path) -> Shown:
    storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
    runs = storage.get_runs("planning-curriculum")
    [run] = [each for each in runs if each.startswith(f"{folder.name}-seed3-")]
    shown: Shown = {}
    for logged in storage.get_logs("planning-curriculum", run):
        for tag in logged.keys() - {"step", "timestamp"}:
            shown.setdefault(tag, []).append((logged["step"], logged[tag]))
    return shown


def records_of(path: Path) -> Iterator[bytes]:
    """The records of a file of Weights & Biases: a log of LevelDB behind 7 bytes."""
    data = path.read_bytes()
    position = 7
    whole = b""
    while position + 7 <= len(data):
        left = 32_768 - position % 32_768  # of this block
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        whole += data[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def of_wandb(folder: Path) -> Shown:
    protocol = importlib.import_module("wandb.proto.wandb_internal_pb2")
    runs = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == 2
    found = {}
    for path in runs:
        name = ""
        shown: Shown = {}
        for data in records_of(path):
            entry = protocol.Record()
            entry.ParseFromString(data)
            name = entry.run.display_name or name
            items = {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in entry.history.item
            }
            for tag in items:
                if "/" in tag:
                    axis = "offline_updates" if tag[:8] == "offline/" else ""
                    position = items[axis or "environment_steps"]
                    shown.setdefault(tag, []).append((position, items[tag]))
        found[name] = shown
    return found[f"{folder.name}-seed3"]


READERS = {"mlflow": of_mlflow, "trackio": of_trackio, "wandb": of_wandb}


@pytest.mark.slow  # imports a large package
@pytest.mark.parametrize("name", NAMES)
def test_the_store_of_a_run_that_was_resumed_has_every_point_once(
    name: str, tmp_path: Path, monkeypatch
):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install '.[{name}]'")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / f"run-of-{name}"
    folder.mkdir()
    interrupted = plugins.make("listener", name).open(folder, SETTINGS, [])
    for each in RECORDS[:5]:  # the last two are behind the checkpoint
        interrupted(each)
    interrupted.close()
    history = [line(each) for each in RECORDS[:3]]
    resumed = plugins.make("listener", name).open(folder, SETTINGS, history)
    for each in RECORDS[3:]:
        resumed(each)
    resumed.close()
    shown = READERS[name](folder)
    assert {tag: sorted(points) for tag, points in shown.items()} == EXPECTED


@pytest.mark.slow  # trains
@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_is_trained_on_shows_what_its_metrics_hold(
    name: str, tmp_path: Path, monkeypatch, capsys
):
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install '.[{name}]'")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    words = (
        f"--runs-dir {tmp_path} --name tracked --seeds 3 7 --steps 80 --log-every 40 "
        f"--eval-every 40 --eval-episodes 2 --start.size 64 --learner.hidden 16 "
        f"--learner.batch-size 16 --listeners {name}"
    )
    train.main(words.split())
    folder = tmp_path / "gridworld" / "tracked"
    train.main(["--resume", str(folder), "--steps", "120"])
    shown = READERS[name](folder)
    for tag, points in shown.items():
        positions = Counter(position for position, _ in points)
        assert max(positions.values()) == 1, tag
    scores = {
        line["step"]: line["values"]["eval/score"][0]
        for line in read_records(folder / "metrics.jsonl")
        if line["kind"] == "evaluate" and "updates" not in line
    }
    assert dict(shown["eval/score"]) == pytest.approx(scores)
