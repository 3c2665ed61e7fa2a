"""The command that searches: what it finds, what it refuses, and how it goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curriculum import sweep
from curriculum.comparison import machines
from curriculum.search import options

TEXT = (
    "--seeds 0 1 --steps 240 --eval-every 80 --eval-episodes 4 --checkpoint-every 80 "
    "--log-every 80 --learner.hidden 16 --learner.batch-size 16 --learner dqn "
    "--offline-updates 0 --start.size 64 --sampler random --trials 3 --concurrent 2 "
    "--no-eval-mixed --planner.episodes 4"
)
SPACE = ["--search", "learner.learning-rate=loguniform(1e-4,1e-1)", "rows=choice(7,8)"]
WORDS = [*TEXT.split(), *SPACE]


def refused(argv: list[str], capsys: pytest.CaptureFixture) -> str:
    with pytest.raises(SystemExit) as ending:
        sweep.main(argv)
    message = capsys.readouterr().err
    assert ending.value.code == 2
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seeds", "0"], 'give --search "FLAG=VALUES"'),
        (["--search", "learner.alpha"], "--search looks like"),
        (["--search", "learner.alfa=uniform(0,1)"], "no trial has a plug-in with"),
        (["--search", "rows=int(0,4)"], "rows must be"),
        (["--search", "learner=choice(cql,nothing)"], "no learner 'nothing'"),
        ([*SPACE, "--trials", "0"], "--trials must be between 1 and"),
        ([*SPACE, "--trials", "many"], "--trials must be a whole number"),
        ([*SPACE, "--halving", "0"], "--halving must be between 1 and"),
        ([*SPACE, "--first-rung", "99999"], "--first-rung must be at most"),
        ([*SPACE, "--budget-steps", "5"], "does not pay for one trial"),
        ([*SPACE, "--budget-calls", "0"], "--budget-calls must be above 0"),
        ([*SPACE, "--measure", "time/fps"], "not known whether more or less"),
        ([*SPACE, "--fresh-seeds", "0"], "the search itself has these seeds"),
        ([*SPACE, "--fresh-seeds", "7", "7"], "--fresh-seeds must be different"),
        ([*SPACE, "--sampler", "grid"], "--sampler grid needs choices"),
        ([*SPACE, "--address", "auto"], "--address goes with --on ray"),
        ([*SPACE, "--on", "mars"], "--on must be one of local, ray"),
        (["--search", "seeds=choice(0,1)"], "--search seeds: all trials must share"),
        (["--search", "name=choice(a,b)"], "--search name: it says nothing"),
        (["--search", "resume=choice(a,b)"], "--search resume: it says nothing"),
        ([*SPACE, "--resume", "nowhere"], "leave out --resume"),
        ([*SPACE, "--rows", "8"], "--rows is given and searched for"),
        (["--search", "rows=uniform(10,20)"], "rows must be a whole number"),
        ([*SPACE, "--listeners", "nobody"], "no listener 'nobody'"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(
    capsys: pytest.CaptureFixture, tmp_path: Path, words: list[str], says: str
):
    base = ["--runs-dir", str(tmp_path), "--sampler", "random"]
    assert says in refused([*base, *words], capsys)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--on", "ray"], "--on ray needs Ray: pip install"),
        (["--sampler", "tpe"], "--sampler tpe needs Optuna: pip install"),
    ],
)
def test_what_an_extra_brings_is_named_where_it_is_missing(
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: list[str],
    says: str,
):
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    monkeypatch.setattr("curriculum.search.samplers.find_spec", lambda name: None)
    message = refused([*SPACE, "--runs-dir", str(tmp_path), *words], capsys)
    assert says in message
    assert os.listdir(tmp_path) == []


def test_a_cluster_that_does_not_answer_is_named(
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.setattr(machines, "find_spec", lambda name: True)
    words = ["--on", "ray", "--address", "127.0.0.1:1", "--sampler", "random"]
    message = refused([*SPACE, *words, "--runs-dir", str(tmp_path)], capsys)
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in message
    assert os.listdir(tmp_path) == []


def test_help_lists_the_flags_of_a_search(capsys: pytest.CaptureFixture):
    sweep.main(["--help"])
    printed = capsys.readouterr().out
    listed = re.findall(r"^  --([\w-]+)", printed, re.MULTILINE)
    assert {*listed, "trust"} == {*options.KINDS, *machines.KINDS}
    sweep.main(["slurm", "--help"])
    assert "--nodes N" in capsys.readouterr().out


# --- with training ---


def searched(runs: Path, name: str, *more: str) -> Path:
    sweep.main([*WORDS, "--runs-dir", str(runs), "--name", name, *more])
    return runs / "gridworld" / name


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by one job."""
    return searched(tmp_path_factory.mktemp("runs"), "one")


def policies(folder: Path) -> dict[str, bytes]:
    """The policies of all runs of a search."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("policy-last.cur")
    }


@pytest.mark.slow
def test_a_search_reports_its_trials_and_the_best_one_on_fresh_seeds(one: Path):
    results = json.loads((one / "search.json").read_text())["results"]
    assert [(each["trial"], each["rung"]) for each in results[:3]] == [
        *((0, 0), (1, 0), (2, 0))
    ]
    assert {each["rung"] for each in results} == {0, 1}
    page = (one / "search.md").read_text()
    assert "on fresh seeds and episodes" in page
    assert "optimism of the search" in page
    lines = (one / "trials.csv").read_text().splitlines()
    assert lines[0] == "trial,learner.learning-rate,rows,80,240,problem"
    assert len(lines) == 4
    assert (one / "search.png").stat().st_size > 10_000
    fresh = {path.name for path in (one / "fresh").glob("seed*")}
    assert fresh == {"seed1001", "seed1002"}


@pytest.mark.slow
def test_the_same_command_reads_a_finished_search(
    one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(one, tmp_path / "gridworld" / "one")
    monkeypatch.setattr(subprocess, "Popen", None)  # nothing is trained
    folder = searched(tmp_path, "one")
    assert (folder / "trials.csv").read_bytes() == (one / "trials.csv").read_bytes()
    assert os.listdir(folder.parent) == ["one"]


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_to_the_same_result(one: Path, tmp_path: Path):
    words = [*WORDS, "--runs-dir", str(tmp_path), "--name", "two", "--jobs", "2"]
    folder = tmp_path / "gridworld" / "two"
    command = [sys.executable, "-m", "curriculum.sweep", *words]
    process = subprocess.Popen(command, start_new_session=True)
    ending = time.monotonic() + 120
    while not (folder / "search.json").is_file():
        assert time.monotonic() < ending
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "search.md").exists()
    subprocess.run(command, check=True)
    assert (folder / "trials.csv").read_bytes() == (one / "trials.csv").read_bytes()
    assert policies(folder) == policies(one)


@pytest.mark.slow
def test_results_of_other_settings_are_refused(
    one: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    shutil.copytree(one, tmp_path / "gridworld" / "one")
    path = tmp_path / "gridworld" / "one" / "search.json"
    content = json.loads(path.read_text())
    content["settings"]["0"]["rows"] = "5"
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        searched(tmp_path, "one")
    assert "is now proposed with" in capsys.readouterr().err
