"""The preview of a run knows its planning rate, its calls and how long it takes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import train
from curriculum.decays.linear import Linear
from curriculum.learners.dagger import DAgger
from curriculum.planners.constant import Constant
from curriculum.report import preview as report
from curriculum.run import preview
from curriculum.setting import flags
from curriculum.setting.config import Config
from curriculum.starts import expert
from curriculum.types import World

SECONDS = {"call": 0.01, "step": 0.5, "update": 2.0, "evaluation": 3.0}


def planned(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> report.Preview:
    """A preview without the probe."""
    monkeypatch.setattr(preview, "probe", lambda config: SECONDS)
    return preview.preview(small(**settings))


def small(**settings: Any) -> Config:
    """From planner to learner in 100 steps, of which 80 are taken, by 8 rows."""
    fixed: dict[str, Any] = {
        "decay": Linear(duration=100),
        "start": expert.Expert(size=20),
        "steps": 80,
        "seeds": (0, 1),
        "eval_every": 40,
        "eval_episodes": 2,
    }
    return Config(**(fixed | settings))


def test_calls_are_the_sum_of_the_rate_over_all_steps() -> None:
    config = small()
    rates = preview.planned_rates(config)
    np.testing.assert_allclose(rates, 1 - 0.08 * np.arange(10))
    calls = preview.expected_calls(config, rates)
    # the start is rounded up to 24; the rates add up to 6.4, of 8 steps each
    assert calls == {"start": 24, "training": pytest.approx(51.2), "labels": 0}


def test_a_budget_ends_the_calls(monkeypatch) -> None:
    found = planned(monkeypatch, planner_budget=60)
    assert found.total == 60
    assert "the budget of 60 ends them" in report.text(found)


def test_the_preview_is_told_in_words(monkeypatch) -> None:
    found = planned(monkeypatch)
    assert found.marks == {0: 1.0, 16: 0.84, 40: 0.6, 56: pytest.approx(0.44)}
    text = report.text(found)
    assert "linear, initial 1.0, final 0.0, duration 100" in text
    assert "1.00 at 0, 0.84 at 16, 0.60 at 40, 0.44 at 56\n" in text
    assert "75 of each seed expected: start 24, training 51" in text
    assert "2 episodes of its own before and after" in text
    assert "its share of 3 mixed evaluations" in text  # at 0, 40 and 80
    assert "10 ms a planner call, 500 ms a step of 16 rows and its updates" in text
    assert (
        "time           about 25 s: planner 2 s, online 5 s, evaluations 18 s" in text
    )


def test_a_rate_of_0_is_dated(monkeypatch) -> None:
    found = planned(monkeypatch, decay=Linear(duration=40))
    assert found.ends == 40
    assert "; 0 from 40 on" in report.text(found)


def test_what_depends_on_the_run_is_said(monkeypatch) -> None:
    listening = report.text(planned(monkeypatch, decay="performance"))
    assert "it depends on evaluations" in listening
    assert "104 of each seed at most" in listening
    gated = report.text(planned(monkeypatch, gate="horizon"))
    assert "expected if its share is the rate" in gated


def test_labels_are_asked_for_where_the_planner_does_not_act() -> None:
    config = small(label_share=0.5)
    calls = preview.expected_calls(config, preview.planned_rates(config))
    assert calls["labels"] == pytest.approx((80 - 51.2) / 2)


def test_a_probe_measures_every_part(monkeypatch) -> None:
    monkeypatch.setattr(preview, "SECONDS", 0.02)
    learner = DAgger(hidden=(8,), batch_size=16)
    settings = small(learner=learner, offline_updates=10, label_share=1.0)
    found = preview.probe(settings)
    assert found.keys() == SECONDS.keys()
    assert all(0 < value < 5 for value in found.values())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "below 1 s"), (89, "89 s"), (91, "2 min"), (5400, "2 h"), (86400, "24 h")],
)
def test_durations_are_rounded(seconds: float, words: str) -> None:
    assert report.duration(seconds) == words


class Slow(Constant):
    """A planner that says that it takes long to set up."""

    def check_world(self, world: World) -> None:
        return


def test_planners_that_may_train_are_not_measured() -> None:
    found = preview.preview(small(planner=Slow()))
    assert not found.seconds
    text = report.text(found)
    assert "not estimated: setting up the planner" in text
    assert "75 of each seed expected" in text


def test_nothing_but_the_picture_is_written(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(preview, "probe", lambda config: SECONDS)
    words = [
        "--runs-dir",
        str(tmp_path / "runs"),
        "--steps",
        "80",
        "--start.size",
        "64",
    ]
    train.main([*words, "--eval-episodes", "1", "--preview", str(tmp_path / "x.png")])
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert "x.png was written, and nothing was trained" in capsys.readouterr().out


def test_other_commands_have_no_preview() -> None:
    with pytest.raises(ValueError, match="is a flag of"):
        flags.read(["--steps", "80", "--preview", "x.png"])


def test_a_preview_of_nothing_is_refused(tmp_path: Path, capsys) -> None:
    for words in (["x.txt"], ["", "--resume", "auto"], ["a.png", "b.png"]):
        with pytest.raises(SystemExit) as end:
            train.main(["--runs-dir", str(tmp_path), "--preview", *words])
        assert end.value.code == 2
        assert "--preview" in capsys.readouterr().err
