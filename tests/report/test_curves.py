"""What a comparison reads from the folder of a run, by numbers written by hand."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import compare
from curriculum.report.curves import read_curve

Values = dict[str, list[float | None]]


def evaluation(reward: float, calls: float, seeds: int) -> Values:
    return {
        "eval/mean_reward": [reward] * seeds,
        "planner/calls_total": [calls] * seeds,
    }


def write_run(
    folder: Path, last: list[float], seeds: list[int], **changed: Values
) -> Path:
    """Write the records of a finished run of two evaluations."""
    nobody: list[float | None] = [None] * len(seeds)
    calls = [30.0, 10.0, 20.0, 40.0, 0.0][: len(seeds)]
    records: list[tuple[str, int, Values]] = [
        (
            "baseline",
            0,
            {
                "eval/random_reward": [-5.0] * len(seeds),
                "eval/planner_reward": [9.0] * len(seeds),
            },
        ),
        ("evaluate", 0, evaluation(0.0, 8.0, len(seeds))),
        ("collect", 10, {"rollout/first_success_step": nobody}),
        ("time", 10, {"time/time_elapsed": [4.0] * len(seeds)}),
        ("evaluate", 10, evaluation(2.0, 12.0, len(seeds))),
        ("collect", 40, {"rollout/first_success_step": nobody}),
        (
            "time",
            40,
            {
                "time/time_elapsed": [12.0] * len(seeds),
                "planner/seconds_total": [0.25] * len(seeds),
            },
        ),
        ("evaluate", 40, evaluation(4.0, 20.0, len(seeds))),
        (
            "final",
            40,
            {
                "final/last_mean_reward": [*last],
                "final/best_mean_reward": [99.0] * len(seeds),
                "final/last_success_rate": [0.5] * len(seeds),
                "final/last_score": [0.75] * len(seeds),
                "final/planner_calls": [*calls],
                "final/planner_reward": [8.0] * len(seeds),
                "final/planner_episodes": [50.0] * len(seeds),
                "final/episodes": [50.0] * len(seeds),
            },
        ),
    ]
    folder.mkdir(parents=True)
    with (folder / "metrics.jsonl").open("w") as file:
        for number, (kind, step, values) in enumerate(records):
            line: dict[str, Any] = {"kind": kind, "step": step, "time": 100.0 + number}
            line["values"] = values | changed.get(kind, {})
            file.write(json.dumps(line) + "\n")
    (folder / "result.json").write_text(json.dumps({"seeds": seeds}))
    return folder


def test_the_curve_of_one_seed_has_its_episodes(tmp_path: Path):
    assert read_curve(write_run(tmp_path / "run", [1], [4])).episodes == 50


def test_a_curve_holds_every_evaluation_and_the_last_values(tmp_path: Path):
    successes: Values = {"rollout/first_success_step": [20, None]}
    run = write_run(tmp_path / "run", [1, 3], [4, 7], collect=successes)
    curve = read_curve(run)
    assert curve.seeds == [4, 7]
    assert curve.steps.tolist() == [0, 10, 40]
    assert curve.reward.tolist() == [[0, 0], [2, 2], [4, 4]]
    assert curve.final["final/last_mean_reward"].tolist() == [1, 3]
    np.testing.assert_array_equal(curve.first_success, [20, np.nan])
    assert curve.baselines == pytest.approx(
        {"random": -5, "planner": 9, "data": np.nan}, nan_ok=True
    )


def test_seconds_are_those_of_the_run_not_a_sum_over_seeds(tmp_path: Path):
    assert read_curve(write_run(tmp_path / "run", [1, 3], [0, 1])).seconds == 12


def test_a_call_takes_all_seconds_by_all_calls(tmp_path: Path):
    # 0.25 + 0.25 seconds for 30 + 10 calls
    curve = read_curve(write_run(tmp_path / "run", [1, 3], [0, 1]))
    assert curve.planner_ms == pytest.approx(12.5)


def test_every_evaluation_knows_what_was_spent(tmp_path: Path):
    curve = read_curve(write_run(tmp_path / "run", [1], [0]))
    assert curve.calls.tolist() == [[8], [12], [20]]
    # 0.25 s are recorded at step 40, after 20 calls
    expected = [8 / 20 * 0.25, 12 / 20 * 0.25, 0.25]
    assert curve.planner_seconds[:, 0].tolist() == pytest.approx(expected)
    # records come 1 s apart, from 100 s on; the clock showed 4 s at 103, 12 s at 106
    assert curve.wall_seconds.tolist() == pytest.approx([2, 4 + 8 / 3, 12])


def test_in_an_offline_run_only_the_start_has_asked_the_planner(tmp_path: Path):
    run = write_run(tmp_path / "run", [1, 3], [0, 1])
    path = run / "metrics.jsonl"
    lines = []
    for line in map(json.loads, path.read_text().splitlines()):
        if line["kind"] == "evaluate":
            line["updates"] = line["step"]
            reward = line["values"]["eval/mean_reward"]
            line["values"] = {"offline/mean_reward": reward}
        lines.append(json.dumps(line | {"step": 0}) + "\n")
    path.write_text("".join(lines))
    curve = read_curve(run)
    assert curve.is_offline
    assert curve.steps.tolist() == [0, 10, 40]  # updates
    assert curve.calls.tolist() == [[30, 10]] * 3  # those of the record "final"


def test_every_recorded_tag_is_a_series(tmp_path: Path):
    successes: Values = {"rollout/success_rate": [0.5]}
    curve = read_curve(write_run(tmp_path / "run", [1], [0], collect=successes))
    assert curve.series["rollout/success_rate"].steps.tolist() == [10, 40]
    assert curve.series["rollout/success_rate"].values.tolist() == [[0.5], [0.5]]
    assert "final/last_score" not in curve.series


def test_without_calls_a_call_takes_no_known_time(tmp_path: Path):
    nobody: Values = {"final/planner_calls": [0.0, 0.0]}
    run = write_run(tmp_path / "run", [1, 3], [0, 1], final=nobody)
    assert np.isnan(read_curve(run).planner_ms)


def test_a_run_that_did_not_end_is_refused(tmp_path: Path):
    run = write_run(tmp_path / "run", [1, 3], [0, 1])
    path = run / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="is not finished; continue it with"):
        read_curve(run)


def test_a_run_without_the_planner_on_its_final_episodes_is_refused(tmp_path: Path):
    run = write_run(tmp_path / "run", [1, 3], [0, 1])
    path = run / "metrics.jsonl"
    path.write_text(path.read_text().replace("final/planner_reward", "final/other"))
    with pytest.raises(ValueError, match="has no final/planner_reward"):
        read_curve(run)


def compared(capsys: pytest.CaptureFixture[str], *runs: Path) -> list[list[str]]:
    """The cells of the tables that `compare` prints of finished runs."""
    words = [word for run in runs for word in ("--with", str(run))]
    compare.main([*words, "--runs-dir", str(runs[0].parents[1] / "compared")])
    printed = capsys.readouterr().out.splitlines()
    rows = [line for line in printed if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in rows]


def test_compare_subtracts_the_first_run_from_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    world = tmp_path / "world"
    low = write_run(world / "low", [1, 2, 3, 2], [0, 1, 2, 3])
    high = write_run(world / "high", [11, 12.1, 12.9, 12], [0, 1, 2, 3])
    titles, first, second, minus, difference, *_ = compared(capsys, low, high)
    assert [titles[0], first[0], second[0]] == ["arm", "low", "high"]
    assert [first[1], second[1]] == ["2.00 +- 0.82", "12.00 +- 0.78"]
    assert minus[0] == "minus low"
    assert difference[:3] == ["high", "final return", "+10.00 [+9.87, +10.13]"]
    assert difference[-1] == "high wins"


@pytest.mark.parametrize(
    ("seeds", "episodes", "message"),
    [
        ([0, 2], 50.0, r"must have the seeds \[0, 1\].* has \[0, 2\]"),
        ([0, 1], 20.0, "has 20 final episodes, the others have 50"),
    ],
)
def test_runs_of_other_seeds_or_episodes_are_not_paired(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    seeds: list[int],
    episodes: float,
    message: str,
):
    world = tmp_path / "world"
    one = write_run(world / "one", [1, 2], [0, 1])
    changed: Values = {"final/episodes": [episodes] * 2}
    other = write_run(world / "other", [1, 2], seeds, final=changed)
    with pytest.raises(SystemExit):
        compared(capsys, one, other)
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "compared").exists()
