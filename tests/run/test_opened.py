"""A run opened from its folder acts, evaluates and reports as it did while training."""

import importlib.util
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from curriculum import summarize
from curriculum import train as command
from curriculum.learners.bcq import BCQ
from curriculum.run import checkpoint, folders
from curriculum.run.loop import train
from curriculum.run.opened import OpenedRun
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config, flat
from curriculum.shipping.standalone import load_policy
from curriculum.starts.expert import Expert
from curriculum.starts.random import Random

WORDS = """--seeds 3 5 --steps 160 --eval-every 80 --eval-episodes 4 --log-every 40
    --checkpoint-every 40 --start.size 64 --learner.hidden 16 --learner.batch-size 16
    --no-eval-mixed --name whole"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line."""
    runs = tmp_path_factory.mktemp("runs")
    command.main([*WORDS.split(), "--runs-dir", str(runs)])
    return runs / "gridworld" / "whole"


def final(folder: Path) -> dict[str, list[float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["values"]


def written(folder: Path, config: Config, records: int | None = None) -> Path:
    """Train in a folder, up to so many records."""
    folder.mkdir()
    folders.write(folder / "config.yaml", flat(config))
    for _ in itertools.islice(train(config, folder), records):
        pass
    return folder


def test_a_finished_run_is_summarized_on_a_page(finished, tmp_path, capsys):
    names = ("report.html", "report.md", "report.csv")
    written = [(finished / name).read_text() for name in names]
    summarize.main([str(finished)])
    assert [(finished / name).read_text() for name in names] == written
    page, markdown, table = written
    reward = final(finished)["final/last_mean_reward"]
    assert f"the learner alone returns {np.mean(reward):,.2f} (mean of 2" in page
    assert "![The hand-over: the learner alone" in markdown
    assert f"final/last_mean_reward,5,{reward[1]!r}\n" in table
    with pytest.raises(SystemExit) as end:
        summarize.main([str(finished.parent)])
    assert end.value.code == 2
    assert "is not a run" in capsys.readouterr().err
    (tmp_path / "compare.yaml").touch()
    with pytest.raises(SystemExit):
        summarize.main([str(tmp_path)])
    assert f"compare --resume {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_finished_run_evaluates_exactly_as_it_did_at_its_end(finished, which):
    run = Run.open(finished)
    assert run.finished
    assert (run.seeds, run.step, run.config.steps) == ((3, 5), 160, 160)
    evaluation = run.evaluate(which=which)
    assert evaluation.seeds == (3, 5)
    assert evaluation.reward.shape == evaluation.score.shape == (2, 4)
    expected = final(finished)
    assert evaluation.mean_reward.tolist() == expected[f"final/{which}_mean_reward"]
    assert evaluation.success_rate.tolist() == expected[f"final/{which}_success_rate"]
    scores = evaluation.score.mean(-1)
    assert scores.tolist() == expected[f"final/{which}_score"]


def test_an_opened_run_plays_the_episodes_it_is_given(finished):
    run = Run.open(str(finished))
    evaluation = run.evaluate(range(2))
    np.testing.assert_array_equal(
        evaluation.reward, run.evaluate(range(6)).reward[:, :2]
    )


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_policy_acts_as_the_file_of_its_seed(finished, which):
    run = Run.open(finished)
    low = np.maximum(run.spec.obs_low, -9)
    high = np.minimum(run.spec.obs_high, 9)
    rng = np.random.default_rng(0)
    obs = rng.uniform(low, high, (20, *run.spec.obs_shape)).astype(np.float32)
    for seed in run.seeds:
        policy = run.policy(seed, which=which)
        shipped = load_policy(finished / f"seed{seed}" / f"policy-{which}.cur")
        expected = shipped.act(obs)
        np.testing.assert_array_equal(policy.act(obs), expected)
        assert policy.act(obs[0]) == expected[0]
        assert np.ndim(policy.act(obs[0])) == 0


@pytest.mark.parametrize(
    ("episodes", "says"),
    [
        ([], "at least one whole number"),
        ([-1], "none below 0"),
        (5, "episodes must be a list of whole numbers, got 5"),
        (["a"], "episodes must be a whole number, got 'a'"),
    ],
)
def test_episodes_that_cannot_be_played_are_refused(finished, episodes, says):
    run = Run.open(finished)
    with pytest.raises(ValueError, match=says):
        run.evaluate(episodes)


def test_what_a_run_does_not_have_is_named(finished):
    run = Run.open(finished)
    with pytest.raises(ValueError, match=r"^no seed 0; there are: 3, 5$"):
        run.policy(0)
    with pytest.raises(ValueError, match=r"^no policy 'first'; there are: last, best$"):
        run.policy(3, which="first")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"an observation has shape \(6,\), .* \(5,\)"):
        run.policy(3).act(np.zeros(5))
    with pytest.raises(ValueError, match="no records of kind 'loss'; there are: base"):
        run.metrics("loss")


def test_metrics_are_arrays_by_tag(finished):
    run = Run.open(finished)
    metrics = run.metrics()
    assert metrics.steps.tolist() == [0, 80, 160]
    assert metrics.values["eval/mean_reward"].shape == (3, 2)
    ended = run.metrics("final").values["final/last_mean_reward"]
    assert ended.tolist() == [final(finished)["final/last_mean_reward"]]
    collected = run.metrics("collect").values["rollout/first_success_step"]
    assert collected.dtype == float  # null is nan


def test_an_interrupted_run_is_opened_at_its_newest_checkpoint(tmp_path: Path):
    config = Config(
        learner="iql",
        start=Expert(size=64),
        steps=400,
        eval_every=80,
        eval_episodes=2,
        checkpoint_every=80,
        log_every=80,
    )
    # the checkpoint at step 80 is written before the records of step 160
    folder = written(tmp_path / "run", config, records=8)
    run = Run.open(folder)
    assert not run.finished
    assert run.step == 80
    assert np.isfinite(run.evaluate().mean_reward).all()
    newest = checkpoint.newest(folder / "checkpoints")[0]
    (newest / "state.json").write_text("{}")
    assert Run.open(folder).step == 0  # the newest one that is intact


def test_opening_says_what_was_loaded_and_what_was_not(finished, tmp_path, monkeypatch):
    run = Run.open(finished)
    assert "learner/updates" in run.loaded.loaded
    assert run.loaded.missing == run.loaded.unexpected == ()
    assert str(run.loaded).endswith("entries loaded; missing: none; unexpected: none")
    read = checkpoint.read

    def changed(folder: Path, only: Any = ()) -> dict[str, Any]:
        state = read(folder, only)
        state["learner"]["surprise"] = 1
        return state

    monkeypatch.setattr(checkpoint, "read", changed)
    run = Run.open(finished)
    assert run.loaded.unexpected == ("learner/surprise",)
    assert not hasattr(run.learner, "surprise")


def test_opening_needs_no_buffer_and_no_planner(finished, monkeypatch):
    monkeypatch.setattr("curriculum.replay.buffer.Buffer.setup", None)
    planner = "curriculum.planners.shortest_path.ShortestPath.setup"
    monkeypatch.setattr(planner, None)
    run = Run.open(finished)
    assert isinstance(run, OpenedRun)
    run.evaluate(range(1))


def test_a_folder_without_a_run_is_named_in_one_sentence(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"nowhere is not a run: it has no config.yaml"
    ):
        Run.open(tmp_path / "nowhere")
    folders.write(tmp_path / "config.yaml", flat(Config()))
    with pytest.raises(
        ValueError, match="has no checkpoint yet; resume it to train it"
    ):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("steps: many", "many"),
        ("steps: 0", "steps"),
        ("stepps: 100", "stepps"),
        ("learner: nobody", "nobody"),
        ("learner: [iql, dqn]", "takes one value"),
        ("gate: ./gone.py", "gone.py"),
        ("seeds: []", "seeds"),
        ("seeds: {3: 5}", "flat list"),
        ("seeds: [3", "not valid YAML"),
        ("env: cartpole", "there is no setting .env."),
        ("learner.hidden: [8]", "does not fit"),
        ("seeds: [4, 6]", "seeds 3, 5, config.yaml has 4, 6"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_damaged_or_edited_configuration_is_refused_in_one_sentence(
    finished: Path, tmp_path: Path, line: str, reason: str
):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "config.yaml"
    key = line.split(":")[0]
    settings = yaml.safe_load(path.read_text())
    settings.pop(key, None)
    text = f"{yaml.safe_dump(settings, sort_keys=False)}{line}\n"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=reason) as refusal:
        Run.open(folder)
    message = str(refusal.value)
    assert str(folder) in message
    assert "\n" not in message


def test_a_damaged_last_checkpoint_is_never_replaced_unnoticed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    folder = shutil.copytree(finished, tmp_path / "run")
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    arrays = newest / "arrays.safetensors"
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(ValueError, match=r"^the last checkpoint of the finished run"):
        Run.open(folder)
    (folder / "result.json").unlink()  # as if it had been interrupted
    assert Run.open(folder).checkpoint != newest
    assert "is damaged" in capsys.readouterr().err


def test_a_bcq_policy_of_box_actions_acts(tmp_path: Path):
    config = Config(
        env="pendulum",
        learner=BCQ(hidden=(16,), batch_size=16),
        start=Expert(size=64),
        steps=40,
        eval_every=40,
        eval_episodes=2,
    )
    run = Run.open(written(tmp_path / "run", config))
    obs = np.random.default_rng(0).normal(size=(5, 3))
    action = run.policy().act(obs)
    assert action.shape == (5, 1)
    assert (np.abs(action) <= 1).all()
    alone = run.learner.act(obs[None].astype(np.float32))[0]
    np.testing.assert_allclose(action, alone, atol=1e-5)


def test_a_convolutional_policy_acts(tmp_path: Path):
    if not importlib.util.find_spec("ale_py"):
        pytest.skip("ALE/Pong-v5 needs ale_py, an optional package")
    config = Config(
        env=plugins.make("env", "atari", max_steps=8),
        learner=plugins.make("learner", "dqn", hidden=(8,), batch_size=4),
        planner="random",
        planner_episodes=1,
        start=Random(size=8),
        steps=8,
        rows=2,
        eval_every=8,
        eval_episodes=1,
        eval_mixed=False,
    )
    run = Run.open(written(tmp_path / "run", config))
    obs = np.zeros((3, *run.spec.obs_shape), np.uint8)
    assert run.policy().act(obs).shape == (3,)
    assert run.evaluate().reward.shape == (1, 1)
