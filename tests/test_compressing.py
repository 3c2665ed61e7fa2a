"""`compress` measures variants of a run, picks one in limits, and repeats itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import curriculum
from curriculum import compress, train
from curriculum.report import figures
from curriculum.run import compressing
from curriculum.run.opened import OpenedRun
from curriculum.shipping.compression import Timing

WORDS = """--seeds 3 5 --steps 80 --eval-every 80 --eval-episodes 4 --log-every 40
    --checkpoint-every 80 --start.size 64 --learner.hidden 32 --learner.batch-size 16
    --planner.episodes 2 --offline-updates 120 --decay constant --name whole"""
TECHNIQUES = ["--techniques", "half", "prune+quantize", "--prune.updates", "20"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Measure latencies in a moment, and draw no figure unless a test is about it."""
    monkeypatch.setattr(compressing, "Timing", lambda: Timing(rounds=1, calls=3))
    if "files_are_policies" not in request.node.name:
        monkeypatch.setattr(figures, "save", lambda figure, path: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line."""
    runs = tmp_path_factory.mktemp("runs")
    train.main([*WORDS.split(), "--runs-dir", str(runs)])
    return runs / "gridworld" / "whole"


def asked(out: Path, *words: object) -> dict[str, Any]:
    """What `compress` writes to a folder."""
    compress.main([*map(str, words), "--out", str(out)])
    return json.loads((out / "compression.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *words: object, status: int = 2) -> str:
    with pytest.raises(SystemExit) as end:
        compress.main([*map(str, words)])
    assert end.value.code == status
    return capsys.readouterr().err.strip().splitlines()[-1]


def without_latencies(found: dict[str, Any]) -> list[dict[str, Any]]:
    for variant in found["variants"]:
        figures = variant["figures"]
        variant["figures"] = {k: v for k, v in figures.items() if k[-3:] != "_us"}
    return found["variants"]


def test_the_original_returns_what_the_run_returned_and_files_are_policies(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    found = asked(out, finished, *TECHNIQUES, "--min-return-share", "0")
    printed = capsys.readouterr().out
    names = [variant["name"] for variant in found["variants"]]
    assert names == ["fp32", "fp16", "pruned", "pruned-int8"]
    finals = json.loads((finished / "result.json").read_text())["values"]
    original = np.array(found["variants"][0]["episodes"]["return"])
    assert original.mean(1).tolist() == finals["final/last_mean_reward"]
    # the smallest of all is picked, and it is a policy
    assert found["picked"] == "pruned-int8"
    chosen = (out / "policy.cur").read_bytes()
    assert chosen == (out / "seed3" / "pruned-int8.cur").read_bytes()
    policy = curriculum.load_policy(out / "policy.cur")
    assert policy.contract["compressed"] == {
        "technique": "prune+quantize",
        "variant": "pruned-int8",
    }
    assert policy.contract["trained"]["seed"] == 3
    assert "picked  pruned-int8 is the smallest of 4 within the limits" in printed
    table = (out / "table.md").read_text()
    for name in names:
        assert table.count(f"| {name} ") == 2  # a line in both tables
        assert (out / "seed5" / "pruned.cur").is_file()
    assert (out / "table.csv").read_text().splitlines()[3].startswith("pruned,")
    assert (out / "pareto.png").stat().st_size > 10_000


def test_settings_repeat_a_table_and_flags_win(finished: Path, tmp_path: Path):
    words = [*TECHNIQUES, "--episodes", "3", "--min-return-share", "-0"]
    once = asked(tmp_path / "once", finished, *words)
    settings = tmp_path / "once" / "config.yaml"
    assert yaml.safe_load(settings.read_text())["prune.updates"] == 20
    again = asked(tmp_path / "again", finished, "--config", settings)
    assert again["settings"] == once["settings"]
    assert again["episodes"] == [1_000_000, 1_000_001, 1_000_002]
    assert without_latencies(again) == without_latencies(once)
    changed = asked(
        tmp_path / "changed",
        *(finished, "--config", settings, "--techniques", "half"),
        *("--episodes", "1", "--policy", "best"),
    )
    assert [variant["name"] for variant in changed["variants"]] == ["fp32", "fp16"]
    assert len(changed["episodes"]) == 1
    assert changed["policy"] == "best"


def test_a_file_is_compressed_as_its_run_is(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    file = finished / "seed5" / "policy-last.cur"
    words = ["--techniques", "half", "prune", "--prune.updates", "20"]
    words += ["--min-return-share", "0"]
    out = tmp_path / "out"
    found = asked(out, file, *words)
    assert "the policy itself played" in capsys.readouterr().out
    assert found["seeds"] == [5]
    own = found["variants"][0]
    assert [each["name"] for each in found["variants"]] == ["fp32", "fp16", "pruned"]
    # the same episodes as the final ones of the run by default have the same returns
    episodes = found["episodes"][:4]
    finals = OpenedRun(finished).evaluate(episodes)
    assert own["episodes"]["return"][0][:4] == finals.reward[1].tolist()
    # random play is measured: a file does not know it
    assert found["random_return"] is not None
    made = curriculum.load_policy(out / "seed5" / "pruned.cur")
    assert made.contract["trained"]["seed"] == 5
    assert (out / "seed5" / "fp32.cur").read_bytes() == file.read_bytes()
    says = refused(capsys, file, "--shares", "planner=1")
    assert f"--shares is for runs, and {file} is a single policy" in says
    says = refused(capsys, file, "--policy", "best")
    assert "has no best policy; it has: last" in says
    says = refused(capsys, out / "seed5" / "fp16.cur", status=1)
    assert (
        "holds float16 weights already; give the policy that it was made from" in says
    )


def test_limits_that_nothing_meets_are_named_with_the_nearest(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    words = [finished, "--techniques", "half", "--episodes", 1, "--out", out]
    words += ["--min-return-share", 0]
    says = refused(capsys, *words, "--max-bytes", 1_000, status=1)
    assert "no policy fits 1,000 bytes; fp16 comes nearest: " in says
    # everything but the policy is written
    assert (out / "table.md").is_file()
    assert not (out / "policy.cur").exists()


def test_observations_come_from_the_sources_that_are_wanted(finished: Path):
    run = OpenedRun(finished)
    buffer = compressing.open_buffer(run)
    everything, other = compressing.split(buffer, run.seeds)
    rows = {obs.tobytes() for obs in everything.used}
    assert len(rows) == len(everything.used)  # all differ
    assert not np.array_equal(everything.used[:9], other.used[:9])
    again = compressing.split(buffer, run.seeds)[0]
    np.testing.assert_array_equal(again.used, everything.used)
    np.testing.assert_array_equal(again.held_out, everything.held_out)
    assert 0 < len(everything.held_out) < buffer.size[0] / 3
    drawn = buffer.split_obs(
        20, 9, [np.random.default_rng(0)] * 2, {"expert": 3, "planner": 1}
    )
    assert len(drawn[0].used) == 20
    with pytest.raises(ValueError, match="no observations of source dataset; it has:"):
        compressing.split(buffer, run.seeds, {"dataset": 1.0})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--techniques", "squash"], "no technique 'squash'"),
        (["--techniques", "half", "--distil.hidden", "8"], "needs --techniques distil"),
        (["--max-bytes", "0"], "--max-bytes must be positive, got 0"),
        (["--min-return-share", "3"], "--min-return-share must be between 0 and 2"),
        (["--episodes", "0"], "--episodes must be between 1 and 100,000, got 0"),
        (["--shares", "planner"], "shares look like planner=0.5 learner=0.5"),
        (["--shares", "nobody=1"], "shares names nobody; sources are: expert"),
        (["--planner", "random"], "no flag '--planner'; there are: --episodes"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml: there is no such file"),
    ],
)
def test_words_that_make_no_sense_are_refused(
    finished: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
):
    assert says in refused(capsys, finished, *words)


def test_what_is_no_run_or_no_compression_is_refused(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert "is not a run" in refused(capsys, tmp_path)
    (tmp_path / "notes").write_text("mine")
    says = refused(capsys, finished, "--out", tmp_path)
    assert "is no compression (it has no compression.json)" in says
    settings = tmp_path / "settings.yaml"
    settings.write_text("episode: 3\n")
    says = refused(capsys, finished, "--config", settings)
    assert "there is no setting 'episode'" in says
    settings.write_text("techniques: [./mine.py]\n")
    says = refused(capsys, finished, "--config", settings)
    assert "give --trust if you trust it" in says
