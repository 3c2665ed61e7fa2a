"""`python -m curriculum.export`: what it writes, what it refuses, and that a file which
disagrees with its run is not kept."""

import sys
from pathlib import Path
from shutil import which
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import curriculum
from curriculum import export as command
from curriculum import train
from curriculum.run import exporting
from curriculum.run.deployment import write_policies
from curriculum.run.exporting import Format
from curriculum.run.run import Run
from curriculum.shipping import onnx_model, policy_file
from curriculum.shipping.artefact import fill

WORDS = """--steps 80 --eval-every 40 --eval-episodes 2 --checkpoint-every 40
    --start.size 32 --rows 2 --learner.hidden 8 --learner.batch-size 8
    --no-eval-mixed --name run"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    words = f"--env pendulum --planner random --learner td3bc --seeds 3 5 {WORDS}"
    train.main([*words.split(), "--runs-dir", str(runs)])
    return next(runs.glob("*/run"))


def exported(run: Path, out: Path, *words: str) -> None:
    command.main([str(run), str(out), *words])


@pytest.mark.parametrize(("seed", "policy"), [(3, "best"), (5, "last")])
def test_an_exported_policy_is_that_of_the_run(
    finished: Path, tmp_path: Path, capsys: Any, seed: int, policy: Any
):
    out = tmp_path / "policy.cur"
    exported(finished, out, "--seed", str(seed), "--which", policy)
    assert "agrees with the original on 1,000 of 1,000" in capsys.readouterr().out
    assert out.read_bytes() == (
        (finished / f"seed{seed}" / f"policy-{policy}.cur").read_bytes()
    )
    loaded = curriculum.load_policy(out)
    obs = np.array([[0.6, 0.8, 1.0], [1.0, 0.0, -8.0]], np.float32)
    expected = Run.open(finished).policy(seed, policy).act(obs)
    # torques of the pendulum lie in [-2, 2]
    np.testing.assert_allclose(loaded.act(obs), 2 * expected, atol=1e-5)


def test_a_policy_says_where_it_comes_from(finished: Path):
    contract = curriculum.load_policy(finished / "seed5" / "policy-last.cur").contract
    assert contract["world"]["name"] == "pendulum"
    assert contract["observation"]["high"] == [1.0, 1.0, 8.0]
    assert contract["action"]["low"] == [-2.0]
    trained = contract["trained"]
    assert trained["learner"] == "td3bc"
    assert trained["settings"]["hidden"] == [8]
    found = {name: trained[name] for name in ("seed", "step", "policy")}
    assert found == {"seed": 5, "step": 80, "policy": "last"}


def test_a_c_header_is_exported(finished: Path, tmp_path: Path, capsys: Any):
    if not any(map(which, exporting.c_header.COMPILERS)):
        pytest.skip("this machine has no C compiler, of any version")
    exported(finished, tmp_path / "policy.h")
    assert "agrees with the original" in capsys.readouterr().out
    assert "void policy_act(" in (tmp_path / "policy.h").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["policy.x"], "policy.x must end in .cur, .onnx, .h"),
        (["none/policy.h"], "none/policy.h cannot be written: name a file in an exist"),
        (["policy.cur", "--seed", "4"], "no seed 4 in"),
        (["policy.cur", "--which", "first"], "--which"),
        ([], "usage: python -m curriculum.export RUN|FILE.cur OUT.cur|OUT.onnx|OUT.h"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    finished: Path, tmp_path: Path, capsys: Any, monkeypatch: Any, words: list, says
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        command.main([str(finished), *words])
    assert end.value.code == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [2e-5, np.nan])
def test_a_file_that_disagrees_is_not_kept(
    finished: Path, tmp_path: Path, capsys: Any, monkeypatch: Any, error: float
):
    right = exporting.FORMATS[".cur"].scores

    def wrong(path: Path, obs: np.ndarray) -> np.ndarray:
        found = right(path, obs)
        found[7] += error
        return found

    broken = Format(policy_file.write, wrong)
    monkeypatch.setitem(exporting.FORMATS, ".cur", broken)
    out = tmp_path / "policy.cur"
    out.write_text("the policy of before")
    with pytest.raises(SystemExit) as end:
        exported(finished, out)
    assert end.value.code == 1
    problem = "differs from the original by more than 1e-05 on 1 of 1,000 observ"
    assert problem in capsys.readouterr().err
    assert out.read_text() == "the policy of before"
    assert list(tmp_path.iterdir()) == [out]


def test_without_the_extra_nothing_is_left_of_an_onnx_model(
    finished: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(
        exporting,
        "FORMATS",
        {".onnx": Format(policy_file.write, onnx_model.scores)},
    )
    with pytest.raises(SystemExit) as end:
        exported(finished, tmp_path / "policy.onnx")
    assert end.value.code == 1
    assert "needs the package onnxruntime" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_choice_at_a_tie_is_no_disagreement():
    expected = np.zeros((200, 1), np.float32)
    found = expected.copy()
    found[0] = 1
    assert exporting._agreement(found, expected, ties=0.01).startswith("agrees")
    with pytest.raises(ValueError, match=r"on 1 of 200 observations"):
        exporting._agreement(found, expected, ties=0.0)


def test_scores_of_excluded_actions_do_not_hide_a_difference():
    expected = np.array([[1, -1e30]], np.float32)
    found = np.array([[1.001, -1e30]], np.float32)
    with pytest.raises(ValueError, match=r"on 1 of 1 observations"):
        exporting._agreement(found, expected, ties=0.0)


class Doubled(nn.Module):
    """A layer that no operation of a policy file describes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def test_the_weights_of_an_unknown_kind_of_policy_are_kept(tmp_path: Path, capsys: Any):
    policy = nn.Sequential(nn.Linear(2, 3), Doubled())
    learner: Any = SimpleNamespace(seeds=(7,), export=lambda index: policy)
    write_policies(learner, tmp_path, "policy", [{}])
    assert [path.name for path in tmp_path.glob("seed7/*")] == ["policy.safetensors"]
    assert "no operation of a policy file describes Doubled" in capsys.readouterr().err
    again = nn.Sequential(nn.Linear(2, 3), Doubled())
    fill(again, tmp_path / "seed7" / "policy.safetensors")
    assert torch.equal(again(torch.ones(1, 2)), policy(torch.ones(1, 2)))
