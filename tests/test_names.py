"""Names of version 0.1, commands, and names that belong to the user."""

import runpy
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from curriculum._commands import commands
from curriculum._renamed import RENAMED

ROOT = Path(__file__).parents[1]


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", sorted(set(RENAMED.values())))
def test_every_new_name_exists(name: str):
    import_module(name)


@pytest.mark.slow
def test_old_names_work_with_a_warning():
    code = """
import warnings
from importlib import import_module
import curriculum
for old, new in {
    "curriculum.learner": "curriculum.learning.learner",
    "envs.make": "curriculum.envs._base.registration",
    "planners.mcts": "curriculum.planners.mcts",
}.items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = import_module(old)
    assert module is import_module(new), old
    messages = [str(w.message) for w in caught if w.category is FutureWarning]
    expected = f"{old} is now {new}; the old name goes in the next release"
    assert expected in messages, messages
"""
    # away from the checkout, whose folders are importable
    done = python("-c", code, cwd=ROOT / "docs")
    assert done.returncode == 0, done.stderr


def test_old_names_work_at_the_root_of_the_checkout():
    code = "import envs.make, curriculum.envs._base.registration as new\n"
    done = python("-W", "always", "-c", f"{code}assert envs.make is new", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "FutureWarning: envs.make is now curriculum.envs" in done.stderr


@pytest.mark.parametrize("name", commands())
def test_a_command_can_be_run_as_a_module(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with suppress(SystemExit):
        runpy.run_path(str(ROOT / "curriculum" / f"{name}.py"), run_name="__main__")
    assert f"python -m curriculum.{name}" in capsys.readouterr().out


def test_a_module_that_is_no_command_is_refused(tmp_path: Path):
    done = python("-m", "curriculum.types", cwd=tmp_path)
    assert done.returncode == 2
    names = ", ".join(commands())
    message = f"curriculum.types is not a command; there are: {names}\n"
    assert done.stderr == message


def test_commands_are_listed_in_short_lines(tmp_path: Path):
    done = python("-m", "curriculum", cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 88
    assert [line.split()[0] for line in lines[2:]] == list(commands())
    assert all(line.endswith(".") for line in lines[2:])


def test_files_of_the_user_do_not_hide_ours(tmp_path: Path):
    for name in ("envs", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "planners.py").write_text("raise SystemExit('imported')\n")
    mine = (
        "from curriculum.envs.gridworld import Gridworld\n\n\nclass Mine(Gridworld):\n"
    )
    (tmp_path / "envs" / "mine.py").write_text(f'{mine}    """A world."""\n')
    words = "--env ./envs/mine.py --planner random --learner bc --steps 16 --rows 2"
    small = "--start.size 32 --eval-every 16 --eval-episodes 2 --learner.hidden 8"
    small += " --learner.batch-size 16"
    flags = [*words.split(), *small.split(), "--runs-dir", "out"]
    done = python("-m", "curriculum.train", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "out").iterdir())
