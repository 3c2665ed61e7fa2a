"""Runs that the machine cannot hold are refused before anything is written."""

from pathlib import Path

import pytest

from curriculum import train
from curriculum.__main__ import main
from curriculum.contract.resources import machine_bytes, needs
from curriculum.setting.config import Config


def refused(capsys: pytest.CaptureFixture, run, words: list[str]) -> str:
    with pytest.raises(SystemExit) as ending:
        run(words)
    assert ending.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert len(message) < 400
    return message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--capacity 1000000000000", "for the buffer: lower --capacity"),
        ("--learner.hidden 1000000 1000000", "for networks: lower --learner.hidden"),
        ("--rows 1e12 --capacity 2e12", "of memory, this machine has"),
        ("--eval-episodes 1e12", "for evaluation: lower --eval-episodes"),
        ("--threads 4000", "the cores of this machine, got 4000"),
        (
            "--learner.batch-size 1e6 --offline-updates 0",
            "a batch of 1,000,000 transitions never",
        ),
        ("--learner.n-step 900 --capacity 800", "lower --learner.n-step"),
    ],
)
def test_a_run_that_is_too_large_is_refused_before_anything_is_written(
    words: str, says: str, capsys: pytest.CaptureFixture, tmp_path: Path
):
    message = refused(capsys, train.main, [*words.split(), "--runs-dir", str(tmp_path)])
    assert says in message
    assert list(tmp_path.iterdir()) == []


def test_networks_take_four_numbers_a_weight():
    config = Config(seeds=(0, 1))
    config.learner = "dqn"
    [networks] = [need for need in needs(config) if need.part == "networks"]
    # six observations, two layers of 128; four bytes, four copies, two seeds
    assert networks.bytes == 4 * 4 * 2 * (6 * 128 + 128 * 128)
    assert machine_bytes() > 1e8


def test_a_container_has_the_memory_of_its_smallest_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    limits = {"unlimited": "max\n", "large": "3000000\n", "small": "2000000\n"}
    for name, text in limits.items():
        (tmp_path / name).write_text(text)
    paths = [tmp_path / name for name in ("absent", *limits)]
    monkeypatch.setattr("curriculum.contract.resources.GROUP_LIMITS", paths)
    assert machine_bytes() == 2e6


def test_the_package_runs_its_commands(capsys: pytest.CaptureFixture):
    message = refused(capsys, main, ["train", "--decay", "exponentail"])
    assert message.startswith("python -m curriculum.train: no decay 'exponentail'")


@pytest.mark.parametrize(
    ("word", "hint"), [("trian", " (perhaps you meant train)"), ("nosuch", "")]
)
def test_the_package_refuses_what_is_no_command(
    word: str, hint: str, capsys: pytest.CaptureFixture
):
    message = refused(capsys, main, [word])
    names = (
        "collect, compare, compress, diagnose, evaluate, export, play, runs, "
        "summarize, sweep, train"
    )
    listed = f"there are: {names}{hint}"
    assert f"{word!r} is not a command; {listed}" in message
