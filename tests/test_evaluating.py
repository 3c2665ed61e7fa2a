"""`evaluate` plays what it is told to, as the run did, and writes where it is told."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import evaluate, train
from curriculum.run import opened

WORDS = """--seeds 3 5 --steps 160 --eval-every 80 --eval-episodes 4 --log-every 40
    --checkpoint-every 80 --start.size 64 --learner.hidden 32 --learner.batch-size 16
    --planner.episodes 2 --offline-updates 120 --decay constant
    --keep-policies all --name whole"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line."""
    runs = tmp_path_factory.mktemp("runs")
    train.main([*WORDS.split(), "--runs-dir", str(runs)])
    return runs / "gridworld" / "whole"


def asked(out: Path, *words: object) -> dict[str, Any]:
    """What `evaluate` writes to a folder."""
    evaluate.main([*map(str, words), "--out", str(out)])
    return json.loads((out / "evaluation.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as end:
        evaluate.main([*map(str, words)])
    assert end.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    return error


@pytest.mark.parametrize("policy", ["last", "best"])
def test_without_numbers_the_finals_of_the_run_come_back(finished, tmp_path, policy):
    found = asked(tmp_path / "out", finished, "--policy", policy)
    assert found["episodes"] == [1_000_000, 1_000_001, 1_000_002, 1_000_003]
    finals = json.loads((finished / "result.json").read_text())["values"]
    [player] = found["players"]
    assert player["seeds"] == [3, 5]
    assert {"mean_reward", "success_rate", "score"} < player["values"].keys()
    for name, values in player["values"].items():
        assert values == finals[f"final/{policy}_{name}"], name
    reward = np.array(player["episodes"]["return"])
    assert reward.mean(1).tolist() == player["values"]["mean_reward"]


def test_a_learner_that_draws_plays_its_finals_again(tmp_path):
    words = """--env pendulum --env.max-steps 20 --learner bcq --planner random
        --steps 64 --eval-every 64 --eval-episodes 2 --learner.hidden 8
        --learner.batch-size 8 --no-eval-mixed --start.size 64 --keep-policies all
        --name bcq"""
    train.main([*words.split(), "--runs-dir", str(tmp_path)])
    [folder] = tmp_path.glob("*/bcq")
    [player] = asked(tmp_path / "out", folder)["players"]
    finals = json.loads((folder / "result.json").read_text())["values"]
    assert player["values"]["mean_reward"] == finals["final/last_mean_reward"]
    # only torch runs the policies that were kept
    kept = asked(tmp_path / "kept", folder, "--policy", "all", "--episodes", 1)
    assert np.isfinite([p["values"]["mean_reward"] for p in kept["players"]]).all()


def test_kept_policies_and_mixtures_play_as_in_training(finished, tmp_path, capsys):
    recorded = (finished / "metrics.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in recorded]
    online = [x for x in lines if x["kind"] == "evaluate" and "updates" not in x]
    episodes = ["--first-episode", 0, "--episodes", 4]
    kept = asked(tmp_path / "all", finished, *episodes, "--policy", "all")
    assert (tmp_path / "all" / "returns.png").stat().st_size > 10_000
    names = ["update 0", "update 80", "update 120", "step 80", "step 160"]
    assert [player["name"] for player in kept["players"]] == names
    rewards = [player["values"]["mean_reward"] for player in kept["players"]]
    # the evaluation at step 0 is of the policy at the end of the offline phase
    assert rewards[2:] == [line["values"]["eval/mean_reward"] for line in online]
    assert rewards[3] != rewards[4]
    assert "| step 160" in capsys.readouterr().out
    mixed = asked(tmp_path / "mixed", finished, *episodes, "--planning-rate", 0.5)
    text = capsys.readouterr().out
    assert "a privilege, is seen by: planning rate 0.5." in text
    calls, ms = re.findall(r"planning rate 0.5 .*\| +([\d,]+) +\| +([\d.]+) +\|", text)[
        0
    ]
    assert int(calls) > 0
    assert 0 < float(ms) < 100
    _, player = mixed["players"]
    last = online[-1]["values"]
    assert player["values"]["mean_reward"] == last["eval_mixed/mean_reward"]
    assert player["planner/calls_total"] == last["eval_mixed/planner_calls"]


def test_others_are_compared_on_the_same_episodes(finished, tmp_path, capsys):
    other = shutil.copytree(finished, tmp_path / "other")
    before = sorted(finished.rglob("*"))
    found = asked(
        tmp_path / "out",
        finished,
        *("--against", "constant", "noisy epsilon=1", other),
    )
    assert sorted(finished.rglob("*")) == before
    whole, same, constant, noisy = found["players"]
    assert same["name"] == "other"
    assert same["minus_reference"] == [0, 0, 0]
    reward = [np.array(p["episodes"]["return"]) for p in (whole, constant, noisy)]
    assert reward[1].shape == reward[2].shape == (1, 4)
    assert noisy["planner/calls_total"] == [np.sum(noisy["episodes"]["length"])]
    gain = reward[1][0] - reward[0].mean(0)
    mean, low, high = constant["minus_reference"]
    assert mean == pytest.approx(gain.mean())
    # by the table of Student's t: 3 degrees of freedom
    half_width = 3.182 * gain.std(ddof=1) / 2
    assert high - low >= 2 * half_width * 0.999
    table = capsys.readouterr().out
    assert "| minus whole " in table
    assert "a privilege, is seen by: noisy epsilon=1." in table
    assert (tmp_path / "out" / "table.md").read_text().count("| noisy epsilon=1") == 1


def test_an_interrupted_run_is_evaluated_at_its_checkpoint(finished, tmp_path, capsys):
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "step-000000160")
    evaluate.main([str(folder), "--episodes", "2"])
    printed = capsys.readouterr().out
    assert "run is not finished: it is at step 80." in printed
    assert "Episodes 1,000,000 to 1,000,001." in printed


def test_only_a_folder_of_its_own_kind_is_written_to_again(finished, tmp_path, capsys):
    out = tmp_path / "out"
    asked(out, finished, "--episodes", 1)
    assert len(asked(out, finished, "--episodes", 2)["episodes"]) == 2
    assert f"--out {finished} exists and is no evaluation" in refused(
        capsys, finished, "--out", finished
    )
    (tmp_path / "file").touch()
    assert "is no evaluation" in refused(capsys, finished, "--out", tmp_path / "file")


def test_random_actions_of_an_evaluation_come_from_its_episodes_alone(
    finished, tmp_path
):
    def returns(name: str, *words: object) -> list[Any]:
        found = asked(tmp_path / name, finished, "--episodes", 3, *words)
        return [player["episodes"]["return"] for player in found["players"]]

    every = returns("all", "--policy", "all", "--epsilon", 1)
    assert len({str(own) for own in every}) == 1  # no policy has a say
    assert returns("last", "--epsilon", 1) == every[:1]
    assert every[0][0] == every[0][1]  # of both seeds
    assert len(set(every[0][0])) > 1
    assert returns("greedy") != every[:1]


def test_what_cannot_be_evaluated_is_refused_in_one_sentence(
    finished, tmp_path, capsys
):
    assert "usage" in refused(capsys)
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere} is not a run" in refused(capsys, nowhere)
    assert f"{tmp_path} is not a run" in refused(capsys, tmp_path)
    damaged = shutil.copytree(finished, tmp_path / "damaged")
    for path in damaged.glob("checkpoints/*/state.json"):
        path.write_text("{}")
    assert "is damaged" in refused(capsys, damaged)
    kept = shutil.copytree(finished, tmp_path / "kept")
    (kept / "policies" / "step-000000160" / "seed3" / "policy.cur").unlink()
    every = ("--policy", "all")
    assert "there is no such file" in refused(capsys, kept, *every)
    shutil.rmtree(kept / "policies")
    assert "kept no policies but" in refused(capsys, kept, *every)
    rate = ("--planning-rate", 0.5)
    assert "needs --policy last" in refused(capsys, finished, *every, *rate)
    assert "in [0, 1], got 2" in refused(capsys, finished, "--planning-rate", 2)
    assert "in [0, 1], got 2" in refused(capsys, finished, "--epsilon", 2)
    assert "between 1 and" in refused(capsys, finished, "--episodes", 0)
    assert "between 0 and" in refused(capsys, finished, "--first-episode", -1)
    assert "there are:" in refused(capsys, finished, "--against", "nobody")
    wrong = refused(capsys, finished, "--against", "noisy epsilon=2")
    assert "--against 'noisy epsilon=2': " in wrong
    assert "no flag --config" in refused(capsys, finished, "--config", "x")
    config = kept / "config.yaml"
    config.write_text(
        config.read_text().replace("env.max_steps: 100", "env.max_steps: 9")
    )
    different = refused(capsys, finished, kept)
    assert "different worlds: env.max_steps is 100 and 9" in different


def test_ctrl_c_ends_with_one_sentence(finished, tmp_path, capsys, monkeypatch):
    play = opened.play_learner

    def interrupted(*words: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return play(*words, **named)

    monkeypatch.setattr(opened, "play_learner", interrupted)
    with pytest.raises(SystemExit) as end:
        evaluate.main([str(finished), "--out", str(tmp_path / "out")])
    assert end.value.code == 130
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1] == f"{evaluate.PROG}: stopped; nothing was written"
    assert not (tmp_path / "out").exists()
