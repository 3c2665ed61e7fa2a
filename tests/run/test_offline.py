"""The offline phase: its clock, its records, and runs that consist of it alone."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from curriculum import train as command
from curriculum.learners.dqn import DQN
from curriculum.listeners.tensorboard import Tensorboard
from curriculum.report.curves import read_curve
from curriculum.run import checkpoint
from curriculum.run.compressions import Compressions
from curriculum.run.loop import train
from curriculum.run.run import Run
from curriculum.setting import flags
from curriculum.setting.config import Config
from curriculum.starts.random import Random
from curriculum.types import Record


def config(**changes: Any) -> Config:
    """A run of a second without environment steps."""
    settings: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16),
        "start": Random(size=64),
        "steps": 0,
        "offline_updates": 120,
        "log_every": 40,
        "eval_every": 60,
        "checkpoint_every": 50,
        "eval_episodes": 2,
        "planner_episodes": 2,
    }
    return Config(**(settings | changes))


def positions(records: Sequence[Record], kind: str) -> list[tuple[int, int | None]]:
    """Environment steps and offline updates of all records of a kind."""
    return [(record.step, record.updates) for record in records if record.kind == kind]


def words(folder: Path, *more: str) -> list[str]:
    """The flags of such a run."""
    return [
        *("--runs-dir", str(folder), "--name", "run", "--start", "random"),
        *("--start.size", "64", "--learner", "dqn", "--learner.hidden", "16"),
        *("--learner.batch-size", "16", "--steps", "0", "--offline-updates", "120"),
        *("--log-every", "40", "--eval-every", "60", "--eval-episodes", "2"),
        *("--planner.episodes", "2", "--checkpoint-every", "50", *more),
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished offline run of two seeds."""
    folder = tmp_path_factory.mktemp("offline")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensorboard, "_draw", lambda self: None)  # takes seconds
        command.main(words(folder, "--seeds", "3", "4"))
    return folder / "gridworld" / "run"


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return list(map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()))


# --- the clock ---


def test_updates_are_the_clock_of_the_offline_phase_and_its_end_is_step_zero():
    records = list(train(config(steps=40, eval_every=32)))
    logged = [(0, 40), (0, 80), (0, 120), (0, None), (40, None)]
    assert positions(records, "update") == logged
    assert positions(records, "evaluate") == [
        *[(0, updates) for updates in (0, 32, 64, 96, 120)],
        *[(0, None), (32, None), (40, None)],
    ]
    for record in records:
        begins = [tag.startswith("offline/") for tag in record.values]
        assert all(begins) if record.updates is not None else not any(begins)


def test_the_end_of_the_offline_phase_is_what_environment_step_zero_shows():
    records = [r for r in train(config()) if r.kind in ("update", "evaluate")]
    for kind, group in (("update", "train"), ("evaluate", "eval")):
        *_, offline, online = [r.values for r in records if r.kind == kind]
        shared = {tag: f"{group}/{tag.partition('/')[2]}" for tag in offline}
        shared.pop("offline/curriculum/rollbacks", None)
        assert len(shared) > 4
        for tag, renamed in shared.items():
            np.testing.assert_array_equal(offline[tag], online[renamed])


def test_offline_updates_are_taken_and_diagnosed_at_every_record():
    updates = [r.values for r in train(config()) if r.kind == "update"]
    assert [v["offline/n_updates"][0] for v in updates[:3]] == [40, 80, 120]
    q_data = [v["offline/q_data"][0] for v in updates[:3]]
    assert len(set(q_data)) == 3


def test_compression_follows_the_clock_of_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # in this process, which is quicker
    monkeypatch.setattr(Compressions, "can_be_handed_over", False)
    assert config(techniques=("quantize",)).compress_every == 120
    changed = config(techniques=("quantize",), compress_every=60)
    records = list(train(changed, tmp_path))
    assert positions(records, "compress") == [(0, 60), (0, 120), (0, None)]
    folders = {path.name for path in (tmp_path / "compressed").iterdir()}
    assert folders == {"update-000000060", "update-000000120"}


def test_a_decay_that_listens_hears_of_the_policy_that_the_offline_phase_ends_with():
    run = Run(config(decay="performance", steps=8))
    heard: list[int] = []

    def observe(scores: np.ndarray) -> np.ndarray:
        heard.append(run.updates)
        return np.zeros(len(scores), bool)

    run.decay.observe = observe  # type: ignore[method-assign]
    run.config.eval_mixed = False
    from curriculum.run.loop import advance

    list(advance(run))
    assert heard == [120, 120]  # at steps 0 and 8


# --- resuming ---


def test_a_run_of_n_updates_extended_to_2n_ends_as_one_of_2n(tmp_path: Path):
    for name, updates in (("half", 60), ("half", 120), ("whole", 120)):
        folder = tmp_path / name
        found = checkpoint.newest(folder / "checkpoints")
        newest = found[0] if found else None
        list(train(config(offline_updates=updates), folder, newest))
    for name in ("last", "best"):
        file = f"seed0/policy-{name}.cur"
        whole = (tmp_path / "whole" / file).read_bytes()
        assert (tmp_path / "half" / file).read_bytes() == whole


def test_an_offline_run_goes_on_with_environment_steps(tmp_path: Path):
    list(train(config(), tmp_path / "parts"))
    found = checkpoint.newest(tmp_path / "parts" / "checkpoints")[0]
    list(train(config(steps=40), tmp_path / "parts", found))
    list(train(config(steps=40), tmp_path / "whole"))
    file = "seed0/policy-last.cur"
    whole = (tmp_path / "whole" / file).read_bytes()
    assert (tmp_path / "parts" / file).read_bytes() == whole


def test_a_seed_alone_is_the_seed_among_others(finished: Path, tmp_path: Path):
    list(train(flags.read(words(tmp_path, "--seeds", "4")).config, tmp_path))
    file = "seed4/policy-last.cur"
    assert (tmp_path / file).read_bytes() == (finished / file).read_bytes()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--offline-updates", "60"], "give at least as many --offline-updates"),
        ([], ""),
    ],
)
def test_a_finished_offline_run_is_not_shortened(
    finished: Path, more: list[str], problem: str, capsys: Any
):
    if problem:
        with pytest.raises(SystemExit):
            command.main(["--resume", str(finished), *more])
    else:
        command.main(["--resume", str(finished), *more])
        problem = "give more than --offline-updates 120"
    assert problem in capsys.readouterr().err


# --- what listeners and readers see ---


def test_progress_csv_and_records_hold_the_updates(finished: Path):
    with (finished / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    places = [(row["step"], row["offline_updates"], row["seed"]) for row in rows]
    assert places == [
        *[("0", updates, seed) for updates in ("0", "60", "120") for seed in "34"],
        *[("0", "", seed) for seed in "34"],
    ]
    assert rows[0]["offline/mean_reward"]
    assert rows[-1]["eval/mean_reward"] == rows[-3]["offline/mean_reward"]
    assert not rows[-1]["offline/mean_reward"]
    found = [line.get("updates") for line in lines_of(finished)]
    assert found[:3] == [None, None, 0]


def test_tensorboard_shows_the_offline_phase_over_its_updates(finished: Path):
    board = EventAccumulator(str(finished / "seed3"))
    board.Reload()
    shown = [event.step for event in board.Tensors("offline/loss")]
    assert shown == [40, 80, 120]
    assert [e.step for e in board.Tensors("offline/mean_reward")] == [0, 60, 120]
    assert [event.step for event in board.Tensors("eval/mean_reward")] == [0]


def test_an_opened_run_gives_both_clocks(finished: Path):
    run = Run.open(finished)
    assert (run.step, run.updates) == (0, 120)
    offline = run.metrics("evaluate", offline=True)
    assert offline.steps.tolist() == [0, 60, 120]
    assert offline.values["offline/score"].shape == (3, 2)
    assert run.metrics("evaluate").steps.tolist() == [0]
    with pytest.raises(ValueError, match="no records of kind 'collect' in its offline"):
        run.metrics("collect", offline=True)


def test_the_curve_of_an_offline_run_is_over_its_updates(finished: Path):
    curve = read_curve(finished)
    assert curve.is_offline
    assert curve.steps.tolist() == [0, 60, 120]
    assert curve.reward.shape == (3, 2)


# --- settings ---


def test_the_old_name_of_the_setting_still_works_and_warns(tmp_path: Path, capsys: Any):
    flags._current_name.cache_clear()
    given = flags.read(["--pretrain-updates", "7"]).config
    assert given.offline_updates == 7
    assert "--pretrain-updates is now --offline-updates" in capsys.readouterr().err
    file = tmp_path / "old.yaml"
    file.write_text("pretrain_updates: 8\n")
    assert flags.read(["--config", str(file)]).config.offline_updates == 8
    assert "pretrain_updates is now --offline-updates" in capsys.readouterr().err
    with pytest.warns(FutureWarning, match="pretrain_updates is now offline_updates"):
        assert Config(pretrain_updates=9).offline_updates == 9


def test_a_run_without_steps_needs_offline_updates():
    with pytest.raises(ValueError, match="a run of 0 steps trains by offline updates"):
        Config(steps=0, offline_updates=0)
