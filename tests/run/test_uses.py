"""Finished runs, runs that were stopped in their middle, and policy files can be
evaluated, played, compressed and exported, whatever kind of policy they hold."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from curriculum import compress, evaluate, export, load_policy, play, train
from curriculum.run import compressing
from curriculum.run.opened import OpenedRun
from curriculum.run.run import Run
from curriculum.shipping.compression import Timing

pytestmark = pytest.mark.slow

GRID = "--env gridworld --env.start fixed --env.max-steps 20 --start.size 64"
SWING = "--env pendulum --env.max-steps 20 --planner swing_up --start.size 64"
KINDS = {
    "dense": f"{GRID} --learner cql",
    "layer norm": f"{GRID} --learner dqn --learner.layer-norm true",
    "pictures": "--env mini_atari --env.max-steps 20 --planner random --start.size 64",
    "bcq": f"{GRID} --learner bcq",
    "box": f"{SWING} --learner sac",
    "bcq box": f"{SWING} --learner bcq",
}
SLOWLY = ["--max-latency-ms", "60000"]  # however busy the machine is
# can be taken apart
DENSE = ("dense", "layer norm", "box")
REST = """--steps 64 --seeds 3 5 --eval-every 64 --eval-episodes 2 --no-eval-mixed
    --log-every 32 --learner.hidden 8 --learner.batch-size 8 --planner.episodes 2
    --decay constant --runs-dir"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressing, "Timing", lambda: Timing(rounds=1, calls=3))


def trained(kind: str, folder: Path) -> Path:
    train.main([*KINDS[kind].split(), *REST.split(), str(folder)])
    [path] = folder.glob("*/*")
    return path


def stopped(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that gets a signal at half of its steps."""
    take_step = Run.take_step

    def take_step_or_stop(self: Run) -> None:
        take_step(self)
        if self.step == 32:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "take_step", take_step_or_stop)
    with pytest.raises(SystemExit) as end:
        trained(kind, folder)
    assert end.value.code == 128 + signal.SIGINT
    [path] = folder.glob("*/*")
    return path


def use(kind: str, given: Path, out: Path) -> list[list[float]]:
    """Do everything that can be done with a run or a file; returns its returns."""
    few = ["--episodes", "2"]
    evaluate.main([str(given), *few, "--out", str(out / "evaluated")])
    film = out / "film.gif"
    play.main([str(given), "--gif", str(film), "--max-steps", "4", *SLOWLY])
    assert film.read_bytes()[:3] == b"GIF"
    words = [str(given), *few, "--techniques", "half", "prune+quantize"]
    words += ["--prune.updates", "5", "--min-return-share", "-0"]
    compress.main([*words, "--out", str(out / "smaller")])
    found = json.loads((out / "smaller" / "compression.json").read_text())
    made = [variant["name"] for variant in found["variants"]]
    pruned = ["pruned", "pruned-int8"] if kind in DENSE else []
    assert made == ["fp32", "fp16", *pruned]
    assert list(found["refused"]) == [] if pruned else ["prune+quantize"]
    for suffix in (".cur", ".onnx"):
        export.main([str(given), str(out / f"policy{suffix}"), *last_of(given)])
    played = json.loads((out / "evaluated" / "evaluation.json").read_text())
    returns: list[list[float]] = played["players"][0]["episodes"]["return"]
    return returns


def last_of(given: Path) -> list[str]:
    return ["--which", "last"] if given.is_dir() else []


@pytest.mark.parametrize("kind", KINDS)
def test_runs_and_files_of_every_kind_can_be_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    finished = trained(kind, tmp_path / "finished")
    middle = stopped(kind, tmp_path / "stopped", monkeypatch)
    assert OpenedRun(finished).finished
    assert not OpenedRun(middle).finished
    assert OpenedRun(middle).step == 32
    for number, run in enumerate((finished, middle)):
        of_run = use(kind, run, folder(tmp_path, f"run{number}"))
        file = tmp_path / f"{number}.cur"
        shutil.copy(tmp_path / f"run{number}" / "policy.cur", file)
        assert load_policy(file).contract["trained"]["seed"] == 3
        of_file = use(kind, file, folder(tmp_path, f"file{number}"))
        assert of_file[0] == pytest.approx(of_run[0], rel=1e-3)


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
