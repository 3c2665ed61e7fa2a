"""Settings of strangers run no code: plug-ins that a file names are imported only if
the user names them too, or says that the file is trusted."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from curriculum import train
from curriculum.run.run import Run
from curriculum.setting import flags
from curriculum.trust import Untrusted, trusting

PLANNER = """
from pathlib import Path

import numpy as np

Path("owned").touch()


class Zero:
    # always the first action
    def setup(self, rows, spec, seeds):
        return self

    def act(self, obs, rows):
        return np.zeros(len(rows), np.int64)
"""
TINY = {
    "env": "cartpole",
    "learner": "bc",
    "learner.hidden": [4],
    "learner.batch_size": 8,
    "start.size": 32,
    "steps": 8,
    "eval_episodes": 1,
    "eval_every": 999,
}


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plug-in that leaves a trace when it is imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger_plug_in.py").write_text(PLANNER)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def write(path: Path, **settings: Any) -> list[str]:
    content = {key.replace("__", "."): value for key, value in settings.items()}
    path.write_text(yaml.safe_dump(content))
    return ["--config", str(path)]


@pytest.mark.parametrize(
    "settings",
    [
        {"env": "cartpole", "planner": "stranger_plug_in.py"},
        {"env": "cartpole", "planner": "stranger_plug_in:Zero"},
        {"env": "stranger_plug_in:Zero"},
        {"env": "stranger_plug_in:My-v0"},
        {"env": "cartpole", "gate": "0-stranger_plug_in:Zero"},
        {"env": "gym", "env__id": "stranger_plug_in:My-v0"},
        {"env": "cartpole", "decay": "stranger_plug_in.py"},
        {"env": "cartpole", "techniques": ["stranger_plug_in:Zero"]},
        {
            "env": "cartpole",
            "planner": "noisy",
            "planner__planner": "stranger_plug_in:Zero",
        },
    ],
)
def test_code_that_a_file_names_is_not_run(stranger, settings):
    words = write(stranger / "settings.yaml", **settings)
    with pytest.raises(Untrusted, match=r"stranger_plug_in.* give --trust"):
        flags.read(words)
    assert not (stranger / "owned").exists()


def test_trust_is_not_a_setting(stranger):
    settings = {"env": "cartpole", "planner": "stranger_plug_in.py", "trust": True}
    words = write(stranger / "settings.yaml", **settings)
    with pytest.raises(ValueError, match="trust is not a setting; give --trust"):
        flags.read(words)
    assert not (stranger / "owned").exists()


@pytest.mark.parametrize(
    "extra",
    [
        "--trust",
        "--planner stranger_plug_in.py",
        "--planner=stranger_plug_in.py",
        "--planner random",
    ],
)
def test_a_user_may_trust_a_file_or_name_the_plug_in(stranger, extra):
    words = write(
        stranger / "settings.yaml", env="cartpole", planner="stranger_plug_in.py"
    )
    flags.read([*words, *extra.split()])


def test_a_run_with_a_plug_in_is_opened_and_resumed_with_trust(
    stranger, capsys, monkeypatch
):
    path = str(stranger / "stranger_plug_in.py")
    words = write(stranger / "settings.yaml", **TINY)
    train.main([*words, "--planner", path, "--name", "run", "--runs-dir", "runs"])
    folder = Path("runs/cartpole/run")
    with pytest.raises(Untrusted, match="give --trust"):
        Run.open(folder)
    assert Run.open(folder, trust=True).finished
    resume = ["--resume", str(folder), "--steps", "16"]
    with pytest.raises(SystemExit):
        train.main(resume)
    assert "give --trust" in capsys.readouterr().err
    train.main([*resume, "--planner=stranger_plug_in.py"])
    assert Run.open(folder, trust=True).step == 16
    train.main(["--resume", str(folder), "--steps", "24", "--trust"])
    with trusting():
        assert Run.open(folder).step == 24
