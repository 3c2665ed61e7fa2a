"""What listeners make of records: tables that a resumed run continues, TensorBoard
files that nothing enters twice."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from curriculum.learners.dqn import DQN
from curriculum.listeners.tensorboard import METRICS
from curriculum.run import folders
from curriculum.run.checkpoint import newest
from curriculum.run.loop import train
from curriculum.setting import plugins
from curriculum.setting.config import Config, flat
from curriculum.starts.expert import Expert
from curriculum.types import Record

CONFIG = Config(
    learner=DQN(hidden=(16,), batch_size=16),
    start=Expert(size=64),
    steps=400,
    log_every=40,
    eval_every=200,
    eval_episodes=4,
    checkpoint_every=80,
    seeds=(3, 7),
)


def listen(
    name: str,
    folder: Path,
    history: list[dict[str, Any]],
    records: Any,
    config: Config = CONFIG,
) -> None:
    listener = plugins.make("listener", name).open(folder, flat(config), history)
    for record in records:
        listener(record)
    listener.close()


def record(kind: str, step: int, **values: Any) -> Record:
    return Record(
        kind, step, {tag.replace("__", "/"): np.array(v) for tag, v in values.items()}
    )


def test_metrics_hold_one_record_a_line_and_missing_numbers_as_null(tmp_path: Path):
    listen(
        "table",
        tmp_path,
        [],
        [
            record("collect", 8, rollout__x=[1.5, np.nan]),
            record("maps", 8, visits=[[1, 2], [3, 4]]),
        ],
    )
    first, second = (
        json.loads(line)
        for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    )
    assert {k: first[k] for k in ("kind", "step", "values")} == {
        "kind": "collect",
        "step": 8,
        "values": {"rollout/x": [1.5, None]},
    }
    assert second["values"] == {}  # pictures are no numbers
    assert first["time"] <= second["time"]


def test_progress_has_a_row_for_each_evaluation_and_seed_and_widens_for_new_columns(
    tmp_path: Path,
):
    records = [
        record("evaluate", 0, eval__score=[0.1, 0.2]),
        record("collect", 8, rollout__x=[5, 6]),
        record("time", 8, time__fps=[9.0, 9.0]),
        record("evaluate", 16, eval__score=[0.3, 0.4]),
    ]
    listen("table", tmp_path, [], records)
    rows = list(csv.DictReader((tmp_path / "progress.csv").open()))
    assert [(r["step"], r["seed"], r["eval/score"], r["rollout/x"]) for r in rows] == [
        ("0", "3", "0.1", ""),
        ("0", "7", "0.2", ""),
        ("16", "3", "0.3", "5"),
        ("16", "7", "0.4", "6"),
    ]
    assert "time/fps" not in rows[0]  # what a clock measured differs from run to run


def interrupted(folder: Path, listener: str) -> None:
    """A run whose process died 23 records on, after records that its last checkpoint
    does not know of; then resumed."""
    folder.mkdir()
    records = train(CONFIG, folder)
    listen(listener, folder, [], (next(records) for _ in range(23)))
    checkpoint = newest(folder / "checkpoints")[0]
    history = folders.history(folder, checkpoint)
    assert 0 < len(history) < 23
    listen(listener, folder, history, train(CONFIG, folder, checkpoint))


def test_tables_of_a_resumed_run_are_those_of_one_that_never_stopped(tmp_path: Path):
    interrupted(tmp_path / "broken", "table")
    (tmp_path / "whole").mkdir()
    listen("table", tmp_path / "whole", [], train(CONFIG))
    assert (tmp_path / "broken" / "progress.csv").read_bytes() == (
        tmp_path / "whole" / "progress.csv"
    ).read_bytes()


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with TensorBoard files, interrupted and resumed."""
    folder = tmp_path_factory.mktemp("logged")
    records = list(train(CONFIG, folder / "run"))
    cut = next(i for i, r in enumerate(records) if r.step > 160)
    (folder / "run").mkdir(exist_ok=True)
    listen("table", folder / "run", [], records[:cut])
    history = [
        json.loads(line)
        for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    # three records more than the checkpoint knows
    listen("tensorboard", folder / "run", [], records[: cut + 3])
    listen("tensorboard", folder / "run", history, records[cut:])
    return folder / "run"


def test_tensorboard_shows_every_point_once_after_a_resume(logged: Path):
    for seed in CONFIG.seeds:
        events = EventAccumulator(
            str(logged / f"seed{seed}"), size_guidance={"tensors": 0}
        ).Reload()
        points = Counter(e.step for e in events.Tensors("curriculum/planning_rate"))
        assert sorted(points) == list(range(0, 401, 40))
        assert set(points.values()) == {1}
        np.testing.assert_allclose(
            [e.step for e in events.Tensors("eval/mean_reward")], [0, 200, 400]
        )  # environment steps of one seed
        # in two records of a step where an evaluation follows a report
        calls = [e.step for e in events.Tensors("planner/calls_total")]
        assert calls == list(range(0, 401, 40))


def hyperparameters_in(folder: Path) -> dict[str, HParamsPluginData]:
    """What the HPARAMS page reads of one seed, by tag."""
    found = {}
    for path in folder.glob("events.*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "hparams":
                    content = value.metadata.plugin_data.content
                    found[value.tag] = HParamsPluginData.FromString(content)
    return found


def test_hyperparameters_stand_in_the_runs_own_file(logged: Path):
    folder = logged / "seed3"
    assert [p for p in folder.iterdir() if p.is_dir()] == []  # no sub-run
    assert list(folder.glob(".*")) == []  # nor what was hidden by the resume
    found = hyperparameters_in(folder)
    given = found["_hparams_/session_start_info"].session_start_info.hparams
    assert given["learner"].string_value == "dqn"
    assert given["learner.hidden"].string_value == "[16]"
    assert given["seed"].number_value == 3
    assert not {"name", "runs_dir", "log_every", "eval_every", "seeds"} & set(given)


def test_the_page_of_hyperparameters_opens_with_what_identifies_a_run(logged: Path):
    """TensorBoard shows five columns, those that are marked as differing first."""
    described = hyperparameters_in(logged / "seed3")["_hparams_/experiment"].experiment
    marked = [column.name for column in described.hparam_infos if column.differs]
    assert marked == ["env", "planner", "learner", "decay", "seed"]
    assert len(described.hparam_infos) > 20


def test_every_metric_of_a_finished_run_has_values(logged: Path):
    described = hyperparameters_in(logged / "seed3")["_hparams_/experiment"].experiment
    assert [m.name.tag for m in described.metric_infos] == list(METRICS)
    events = EventAccumulator(
        str(logged / "seed3"), size_guidance={"tensors": 0}
    ).Reload()
    assert set(METRICS) <= set(events.Tags()["tensors"])


def test_an_aborted_run_is_no_blank_row(tmp_path: Path):
    records = list(train(CONFIG))
    first = next(i for i, r in enumerate(records) if r.kind == "evaluate")
    listen("tensorboard", tmp_path / "early", [], records[:first])
    assert hyperparameters_in(tmp_path / "early" / "seed3") == {}
    listen("tensorboard", tmp_path / "late", [], records[: first + 1])
    listen("tensorboard", tmp_path / "whole", [], records)
    for name, status in (("late", STATUS_FAILURE), ("whole", STATUS_SUCCESS)):
        found = hyperparameters_in(tmp_path / name / "seed3")
        assert "_hparams_/session_start_info" in found
        assert found["_hparams_/session_end_info"].session_end_info.status == status


def test_no_column_for_success_where_the_world_reports_none(tmp_path: Path):
    nan = [np.nan, np.nan]
    evaluation = record("evaluate", 0, eval__score=[0.5, 0.6], eval__success_rate=nan)
    listen("tensorboard", tmp_path, [], [evaluation])
    found = hyperparameters_in(tmp_path / "seed7")["_hparams_/experiment"].experiment
    tags = [metric.name.tag for metric in found.metric_infos]
    assert tags == [tag for tag in METRICS if tag != "eval/success_rate"]


def test_tensorboard_opens_with_the_hand_over_and_the_evaluation(tmp_path: Path):
    """It opens with the first two groups of the alphabet."""
    config = replace(CONFIG, seeds=(3,), techniques=("quantize",), bonus="rnd")
    listen("tensorboard", tmp_path, [], train(config), config)
    events = EventAccumulator(
        str(tmp_path / "seed3"), size_guidance={"tensors": 0}
    ).Reload()
    groups = set()
    for tag in events.Tags()["tensors"]:
        plugin = events.SummaryMetadata(tag).plugin_data.plugin_name
        if plugin == "scalars":
            groups.add(tag.partition("/")[0])
    assert sorted(groups)[:2] == ["curriculum", "eval"]
    assert {"replay", "techniques"} <= groups


def test_figures_of_all_seeds_are_logged_once_and_maps_for_every_seed(logged: Path):
    for seed in CONFIG.seeds:
        events = EventAccumulator(
            str(logged / f"seed{seed}"), size_guidance={"tensors": 0}
        ).Reload()
        shown = {
            tag
            for tag in events.Tags()["tensors"] + events.Tags()["images"]
            if tag.startswith("figures/")
        }
        shared = {"figures/handover"} if seed == CONFIG.seeds[0] else set()
        assert shown == {"figures/visits", "figures/policy"} | shared
    assert (logged / "figures" / "policy-seed3.png").stat().st_size > 10_000


def test_progress_prints_plain_lines_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    listen("progress", tmp_path, [], train(CONFIG))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("        0/400 steps  rate 1.00  learner alone: return")
    assert lines[-1].startswith("      400/400 steps")
    assert "planner calls" in lines[-1]


def test_a_run_that_mixed_later_than_it_was_evaluated_is_drawn(tmp_path: Path):
    """A run without steps evaluates the learner alone, and may go on with steps."""
    alone = {"eval__mean_reward": [1.0, 2.0], "planner__calls_total": [0, 0]}
    rate = {"curriculum__planning_rate": [1.0, 1.0]}
    later = {"eval_mixed__mean_reward": [3.0, 4.0], "handover__regret": [0.5, 0.5]}
    records = [
        record("evaluate", 0, **alone, **rate),
        record("evaluate", 9, **alone, **rate, **later),
        record("final", 9, final__last_mean_reward=[1.0, 2.0]),
    ]
    listen("tensorboard", tmp_path, [], records)
    assert (tmp_path / "figures" / "handover.png").stat().st_size > 10_000


def test_without_a_hand_over_the_learning_curve_is_drawn(tmp_path: Path):
    records = [
        record("evaluate", 0, eval__mean_reward=[1.0, 2.0]),
        record("final", 9, final__last_mean_reward=[1.0, 2.0]),
    ]
    listen("tensorboard", tmp_path, [], records)
    drawn = [path.name for path in (tmp_path / "figures").iterdir()]
    assert drawn == ["learning_curve.png"]
