"""While a run trains, another process measures its compressed policies: the figures are
those of this process, nothing of it is lost, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.activity import Interrupted, listening
from curriculum.learners.dqn import DQN
from curriculum.run import checkpoint, compression_worker, compressions, loop
from curriculum.run.compression_worker import Told
from curriculum.run.compressions import Compressions
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.shipping.compression import Timing
from curriculum.starts.expert import Expert
from curriculum.techniques.prune import Prune
from curriculum.types import Record

OWN = """
from curriculum.shipping import compact


class Nudge:
    '''Moves all weights by a little.'''

    def compress(self, policy, obs, seed):
        def moved(name, layer):
            changed = compact.half(layer).layer
            changed.weight.data += 0.01 + float(obs.mean()) / 1_000
            return changed

        return {"nudged": compact.replaced(policy, moved)}
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure latencies in this process in a moment."""
    monkeypatch.setattr(compressions, "IN_TRAINING", Timing(rounds=1, calls=3))


def config(**changed: Any) -> Config:
    settings: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16, layer_norm=True),
        "start": Expert(size=32),
        "seeds": (0, 1),
        "steps": 64,
        "log_every": 32,
        "eval_every": 32,
        "eval_episodes": 3,
        "eval_mixed": False,
        "decay": "constant",
        "techniques": ("quantize",),
        "compress_every": 32,
    }
    return Config(**settings | changed)


def compressed(records: list[Record]) -> list[Record]:
    return [record for record in records if record.kind == "compress"]


def without_latencies(record: Record) -> dict[str, list[float]]:
    return {
        tag: value.tolist()
        for tag, value in record.values.items()
        if not tag.endswith("_us")
    }


@pytest.mark.slow
def test_a_worker_measures_what_this_process_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "nudge.py").write_text(OWN)
    own = plugins.make("technique", str(tmp_path / "nudge.py"))
    settings = config(techniques=(Prune(updates=20), own))
    run = tmp_path / "run"
    found = list(loop.train(settings, run))
    monkeypatch.setattr(Compressions, "can_be_handed_over", False)
    expected = compressed(list(loop.train(settings)))
    evaluated = {record.step: record for record in found if record.kind == "evaluate"}
    for record, other in zip(compressed(found), expected, strict=True):
        assert record.step == other.step
        assert without_latencies(record) == without_latencies(other)
        # the policy of that step, on the episodes of its evaluation
        reward = evaluated[record.step].values["eval/mean_reward"]
        np.testing.assert_allclose(record.values["compress/fp32/return"], reward)
    files = {path.name for path in (run / "compressed").rglob("seed1/*")}
    variants = {"fp32.cur", "pruned.cur", "nudged.cur"}
    assert files == variants | {"measured.json"}
    # neither settings nor an empty log
    left = {path.name for path in (run / "compressed").iterdir()}
    assert left == {"step-000000032", "step-000000064"}


# --- in place of a process ---


class Colleague:
    """Measures every moment at once, or never."""

    is_diligent = True
    asked: list[str]
    dies = ""

    def __init__(self, folder: Path):
        self.folder = folder
        self.asked = []

    def measure(self, moment: str) -> None:
        self.asked.append(moment)

    def hear(self) -> Iterator[Told]:
        while self.asked and self.is_diligent:
            moment = self.asked.pop(0)
            for seed in (0, 1):
                figures = {"fp32": {"return": float(seed), "success": None}}
                path = self.folder / moment / f"seed{seed}" / "measured.json"
                path.write_text(json.dumps(figures))
                yield Told(moment, seed)
            yield Told(moment)

    def problem(self) -> str:
        return self.dies

    def close(self) -> None:
        pass


@pytest.fixture
def colleague(monkeypatch: pytest.MonkeyPatch) -> type[Colleague]:
    monkeypatch.setattr(compression_worker, "Worker", Colleague)
    monkeypatch.setattr(Colleague, "is_diligent", True)
    monkeypatch.setattr(compressions, "LOOK", 0.0)
    return Colleague


def interrupted(folder: Path) -> Path:
    """The checkpoint of a run that was stopped while it waited for its worker."""
    waiting = False

    def show(current: Any) -> None:
        nonlocal waiting
        waiting |= current.name == "handed over"

    with listening(show, lambda: waiting):
        found = list(loop.train(config(), folder))
    assert waiting
    assert not compressed(found)
    newest = checkpoint.newest(folder / "checkpoints")[0]
    [moment] = checkpoint.read(newest)["run"]["compressions"]
    assert moment == ["step-000000032", 32, None, True]
    return newest


def test_a_resumed_run_measures_what_was_left(colleague, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(colleague, "is_diligent", False)
    folder = tmp_path / "run"
    newest = interrupted(folder)
    monkeypatch.setattr(colleague, "is_diligent", True)
    found = compressed(list(loop.train(config(), folder, newest)))
    assert [record.step for record in found] == [32, 64]
    values = found[0].values
    assert values["compress/fp32/return"].tolist() == [0, 1]
    assert np.isnan(values["compress/fp32/success"]).all()
    assert "compress/int8/bytes" in found[1].values
    assert not capsys.readouterr().err
    # elsewhere there are no files
    elsewhere = tmp_path / "elsewhere"
    found = compressed(list(loop.train(config(), elsewhere, newest)))
    assert [record.step for record in found] == [64]
    [says] = capsys.readouterr().err.strip().splitlines()
    assert says == (
        "compression at step-000000032 is left out: its files are not in "
        f"{elsewhere}/compressed/step-000000032; training goes on"
    )


def test_a_worker_that_dies_costs_one_moment(colleague, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(colleague, "is_diligent", False)
    run = Run(config(), tmp_path)
    list(loop.begin(run))
    run.step = 32
    run.compress()
    run.step = 40
    run.compress()
    monkeypatch.setattr(colleague, "dies", "its process was ended by SIGKILL")
    assert run.compressions.has_arrived()
    monkeypatch.setattr(colleague, "dies", "")
    monkeypatch.setattr(colleague, "is_diligent", True)
    [record] = run.await_compressions()
    run.close()
    assert record.step == 40
    [says] = capsys.readouterr().err.strip().splitlines()
    assert says == (
        "compression at step-000000032 is left out: its process was ended by SIGKILL; "
        "training goes on"
    )


def test_waiting_ends_when_the_run_is_asked_to_stop(colleague, monkeypatch, tmp_path):
    monkeypatch.setattr(colleague, "is_diligent", False)
    run = Run(config(), tmp_path)
    list(loop.begin(run))
    run.compress()
    with listening(lambda phase: None, lambda: True), pytest.raises(Interrupted):
        run.await_compressions()
    run.close()
    assert len(run.compressions.moments) == 1


# --- processes ---


def children_of(process: int) -> list[int]:
    own = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in own.read_text().split()]


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Any, seconds: float = 120.0) -> None:
    ending = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ending
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_training(tmp_path: Path, number: signal.Signals):
    words = """--steps 400000 --start.size 64 --decay constant --eval-episodes 2
        --compress-every 100 --techniques distil --distil.updates 1000000 --name own"""
    train = [sys.executable, "-m", "curriculum.train", *words.split()]
    train += ["--runs-dir", str(tmp_path)]
    trainer = subprocess.Popen(train, stderr=subprocess.DEVNULL)
    try:
        until(lambda: children_of(trainer.pid))
        [worker] = children_of(trainer.pid)
        time.sleep(5)
        assert is_alive(worker)
        os.kill(trainer.pid, number)
        trainer.wait(60)
        until(lambda: not is_alive(worker), 20)
    finally:
        trainer.kill()
        trainer.wait()
