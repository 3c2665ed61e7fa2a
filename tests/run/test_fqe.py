"""Off-policy evaluation: what FQE estimates, what it leaves alone, and what is reported
beside it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curriculum import train as command
from curriculum.activity import Phase, listening
from curriculum.data.manifest import Manifest, spec_of_arrays
from curriculum.data.writer import write
from curriculum.envs.gridworld import Gridworld
from curriculum.learners.bc import BC
from curriculum.learners.dqn import DQN
from curriculum.listeners.tensorboard import Tensorboard
from curriculum.run import checkpoint, fqe, loop
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.starts.dataset import Dataset
from curriculum.starts.expert import Expert
from curriculum.starts.random import Random
from curriculum.types import Episode

# of the shortest path, 18 steps: 10 * 0.99^17 - 10 (1 - 0.99^17)
VALUE_OF_START = 6.859
LAST_BEST = ("last", "best")


def data(folder: Path, episodes: list[Episode]) -> Dataset:
    """A data set of an unknown world."""
    obs, action, *_ = zip(*episodes, strict=True)
    spec = spec_of_arrays(np.concatenate(obs), np.concatenate(action))
    write(folder, episodes, Manifest(spec=spec))
    return Dataset(path=str(folder))


def step(obs: int, next_obs: int, action: Any, reward: float, ends: bool) -> Episode:
    """An episode of a single step between two states."""
    states = np.eye(2, dtype=np.float32)
    return Episode(
        observation=states[[obs]],
        action=np.asarray([action]),
        reward=np.array([reward], np.float32),
        next_observation=states[[next_obs]],
        terminated=ends,
        truncated=not ends,
    )


def prepared(start: Dataset, **learner: Any) -> Run:
    """A run on data without a world, before its first update."""
    settings: dict[str, Any] = {"hidden": (32, 32), "batch_size": 32, "discount": 0.5}
    config = Config(
        start=start,
        learner=BC(**settings | learner),
        steps=0,
        offline_updates=1,
        evaluation=False,
        seeds=(0, 1),
    )
    run = loop.prepare(config)
    list(loop.begin(run))
    return run


# --- what it estimates ---


@pytest.mark.parametrize(
    ("ends", "value", "scaling"),
    [
        (True, 2.5, {}),
        (False, 3.5, {"reward_shift": -3.0, "reward_scale": 7.0, "n_step": 3}),
    ],
)
def test_a_cut_episode_goes_on_and_a_terminated_one_does_not(
    tmp_path: Path, ends: bool, value: float, scaling: dict[str, Any]
):
    # state 1 earns 2 in every step, worth 2 / (1 - 0.5) = 4; the step from state 0 to
    # state 1 earns 1 and is worth 1 + 0.5 * 4 = 3, or 1 if it terminates
    chain = [step(0, 1, action, 1, ends) for action in (0, 1)]
    chain += [step(1, 1, action, 2, False) for action in (0, 1)]
    run = prepared(data(tmp_path / "data", chain * 8), **scaling)
    estimate = fqe.estimate(run.learner, run.buffer, 300)
    np.testing.assert_allclose(estimate, value, rtol=0.03)


def test_box_actions_are_valued_at_what_the_policy_does(tmp_path: Path):
    # the data's actions earn 1 on average, those of the policy 1 + 0.6
    actions = np.linspace(-1, 1, 41)
    bandit = [step(0, 1, [action], 1 + action, True) for action in actions]
    run = prepared(data(tmp_path / "data", bandit))

    def choose(obs: torch.Tensor) -> torch.Tensor:
        return torch.full((*obs.shape[:2], 1), 0.6)

    run.learner.choose = choose  # type: ignore[method-assign]
    estimate = fqe.estimate(run.learner, run.buffer, 500)
    np.testing.assert_allclose(estimate, 1.6, rtol=0.03)


def scripted(**changed: Any) -> Config:
    """Clone the shortest path from the corner: 8 episodes of 18 steps."""
    settings: dict[str, Any] = {
        "env": Gridworld(start="fixed"),
        "learner": BC(hidden=(64, 64), learning_rate=3e-3),
        "start": Expert(size=144),
        "steps": 0,
        "offline_updates": 200,
        "eval_every": 200,
        "eval_episodes": 2,
        "log_every": 200,
        "capacity": 1_000,
        "ope": "fqe",
        "ope_updates": 800,
    }
    return Config(**settings | changed)


def test_the_perfect_policy_is_worth_what_dynamic_programming_says():
    *_, last = loop.train(scripted(ope_updates=500))
    values = last.values
    np.testing.assert_allclose(values["final/last_mean_reward"], 8.3, atol=1e-5)
    for name in ("last", "best"):
        true = values[f"final/{name}_discounted_reward"]
        np.testing.assert_allclose(true, VALUE_OF_START, atol=1e-3)
        assert values[f"final/{name}_discounted_error"].tolist() == [0]
        estimate = values[f"final/{name}_fqe"]
        np.testing.assert_allclose(estimate, VALUE_OF_START, rtol=0.05)


def offline(seeds: tuple[int, ...]) -> Run:
    """A run that has trained on random play, whose amounts of episodes differ."""
    config = Config(
        learner=DQN(hidden=(16,), batch_size=16),
        start=Random(size=400),
        steps=0,
        offline_updates=32,
        evaluation=False,
        seeds=seeds,
    )
    run = loop.prepare(config)
    list(loop.advance(run))
    return run


def test_a_seed_is_estimated_as_if_it_were_alone():
    together = offline((2, 3))
    starts = together.buffer.first_obs(1_000)
    assert len(starts[0]) != len(starts[1])
    alone = offline((3,))
    found = [fqe.estimate(run.learner, run.buffer, 64) for run in (together, alone)]
    assert found[0][1] == pytest.approx(found[1][0], rel=1e-5)
    assert found[0][0] != found[0][1]


def test_a_seed_without_a_first_step_has_no_estimate():
    run = offline((0, 1))
    run.buffer.episodes.columns.time[1] += 1
    estimate = fqe.estimate(run.learner, run.buffer, 32)
    assert np.isfinite(estimate).tolist() == [True, False]


# --- what it leaves alone ---


def test_training_goes_on_as_if_nothing_had_been_estimated():
    runs = [offline((0, 1)), offline((0, 1))]
    fqe.estimate(runs[0].learner, runs[0].buffer, 64)
    for run in runs:
        run.trainer.update_offline(16)
    first, second = (run.learner.snapshot() for run in runs)
    for name, weights in first.items():
        assert torch.equal(weights, second[name]), name


def policies(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.rglob("policy-*.cur"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_policies_are_the_same_with_and_without_estimates(tmp_path: Path):
    with_estimates = scripted(steps=16, offline_updates=20, ope_updates=40)
    *_, final = loop.train(with_estimates, tmp_path / "with")
    *_, plain = loop.train(replace(with_estimates, ope=""), tmp_path / "without")
    written = policies(tmp_path / "with")
    assert set(written) == {f"seed0/policy-{name}.cur" for name in LAST_BEST}
    assert written == policies(tmp_path / "without")
    added = final.values.keys() - plain.values.keys()
    figures = ("fqe", "discounted_reward", "discounted_error")
    assert added == {
        f"final/{name}_{figure}" for name in LAST_BEST for figure in figures
    }


def test_a_run_that_is_stopped_while_it_estimates_loses_nothing(tmp_path: Path):
    config = scripted(offline_updates=20, ope_updates=96)
    seen: list[Phase] = []

    def is_estimating() -> bool:
        return bool(seen) and seen[-1].done >= 64

    def show(current: Phase) -> None:
        if current.name == "off-policy evaluation":
            assert (current.total, current.unit) == (96, "updates")
            assert current.hint == "--ope-updates"
            seen.append(current)

    with listening(show, stop=is_estimating):
        records = list(loop.train(config, tmp_path / "parts"))
    assert records[-1].kind != "final"
    newest = checkpoint.newest(tmp_path / "parts/checkpoints")[0]
    stopped = policies(tmp_path / "parts")
    *_, resumed = loop.train(config, tmp_path / "parts", newest)
    *_, whole = loop.train(config, tmp_path / "whole")
    assert stopped == policies(tmp_path / "whole")
    for tag, value in whole.values.items():
        np.testing.assert_array_equal(resumed.values[tag], value)


# --- what is reported ---


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensorboard, "_draw", lambda self: None)  # takes seconds


@pytest.mark.usefixtures("quick")
def test_a_finished_run_is_estimated_when_it_is_resumed_for_that(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    chain = [step(0, 1, action, 1, True) for action in (0, 1)]
    start = data(tmp_path / "data", chain * 8)
    words = ["--start", "dataset", "--start.path", start.path, "--no-evaluation"]
    words += ["--steps", "0", "--offline-updates", "4", "--runs-dir", str(tmp_path)]
    words += ["--learner", "bc", "--learner.hidden", "32", "32"]
    words += ["--learner.batch-size", "8"]
    command.main([*words, "--name", "run"])
    assert "discounted return" not in capsys.readouterr().out
    folder = tmp_path / "data" / "run"
    before = policies(folder)
    again = ["--resume", str(folder), "--ope", "fqe", "--ope-updates", "300"]
    command.main(again)
    text = capsys.readouterr().out
    values = json.loads((folder / "result.json").read_text())["values"]
    assert values["final/last_fqe"] == [pytest.approx(1, rel=0.2)]
    assert "final/best_fqe" not in values
    estimate = f"{values['final/last_fqe'][0]:.2f}"
    assert f"last policy {estimate}" in " ".join(text.split())
    assert "true" not in text
    assert policies(folder) == before
    command.main(again)
    assert "nothing to do" in capsys.readouterr().err


class Unclipped(Gridworld):
    """A world whose policies are evaluated in another one."""

    def evaluated(self) -> Gridworld:
        return Gridworld(max_steps=10)


def test_returns_of_another_world_are_not_called_true():
    *_, last = loop.train(scripted(env=Unclipped(), offline_updates=20, ope_updates=8))
    tags = [tag for tag in last.values if "discounted" in tag]
    assert "final/last_fqe" in last.values
    assert tags == []


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"ope": "is"}, "ope must be one of '', fqe, got 'is'"),
        ({"ope_updates": 0}, "ope_updates must be at least 1, got 0"),
    ],
)
def test_settings_that_make_no_estimate_are_refused(
    wrong: dict[str, Any], sentence: str
):
    with pytest.raises(ValueError, match=sentence):
        scripted(**wrong)
