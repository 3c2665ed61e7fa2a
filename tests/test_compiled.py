"""Kernels: how they are compiled, kept and switched off."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from curriculum import compiled
from curriculum.activity import listening

pytest.importorskip("numba", minversion="0.60")
KERNELS = """
from curriculum.compiled import kernel
from tiny.constants import FACTOR

@kernel()
def scaled(number):
    return FACTOR * number

@kernel("f8[::1]")
def total(numbers):
    found = 0.0
    for number in numbers:
        found += scaled(number)
    return found
"""
PROGRAM = """
import sys
import numpy as np
from curriculum import activity, compiled
with activity.listening(lambda phase: None, say=print):
    kernels = compiled.load("tiny.kernels", "a sum")
print(kernels.total(np.arange(4.0)))
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A package with kernels that multiply by 2."""
    package = tmp_path / "tiny"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "constants.py").write_text("FACTOR = 2\n")
    (package / "kernels.py").write_text(KERNELS)
    return package


@pytest.fixture
def unloaded() -> Iterator[None]:
    """Forget what was loaded before and after."""
    forget()
    yield
    forget()


def forget() -> None:
    compiled._imported.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "tiny"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def start(tiny: Path, cache: Path) -> subprocess.Popen[str]:
    path = f"{tiny.parent}{os.pathsep}{Path(__file__).parents[1]}"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str]) -> list[str]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.splitlines()


def loaded(tiny: Path) -> tuple[list[str], float]:
    """What is announced by a new process's first call of the kernels, and its
    result."""
    forget()
    said: list[str] = []
    with listening(lambda phase: None, say=said.append):
        kernels = compiled.load("tiny.kernels", "a sum")
    assert kernels is not None
    return said, kernels.total(np.arange(4.0))


@pytest.mark.usefixtures("unloaded")
def test_kernels_are_compiled_once_for_each_state_of_their_sources(
    tiny, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tiny.parent))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    (announcement,), result = loaded(tiny)
    assert announcement.startswith("compiling a sum to machine code")
    assert str(tmp_path / "cache") in announcement
    assert result == 12
    assert loaded(tiny) == ([], 12)
    (tiny / "constants.py").write_text("FACTOR = 3\n")
    (announcement,), result = loaded(tiny)
    assert announcement.startswith("compiling a sum")
    assert result == 18


def test_processes_may_compile_at_once(tiny, tmp_path):
    both = [start(tiny, tmp_path / "cache") for _ in range(2)]
    assert [lines(process)[-1] for process in both] == ["12.0", "12.0"]


def test_a_cache_that_cannot_be_written_is_named(tiny, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    announcement, result = lines(start(tiny, blocked))
    assert f"not kept: cannot write {blocked}" in announcement
    assert result == "12.0"


@pytest.mark.usefixtures("unloaded")
def test_kernels_that_do_not_compile_are_done_without(tiny, monkeypatch):
    monkeypatch.syspath_prepend(str(tiny.parent))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tiny.parent))
    (tiny / "kernels.py").write_text(KERNELS.replace("FACTOR *", "FACTOR.missing *"))
    message = "a sum runs in numpy alone, its kernels do not compile: .*missing"
    with pytest.warns(UserWarning, match="(?s)" + message):
        assert compiled.load("tiny.kernels", "a sum") is None
    assert compiled.load("tiny.kernels", "a sum") is None  # and says so once


@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize("how", ["off", "missing"])
def test_without_numba_or_switched_off_there_are_no_kernels(how, monkeypatch):
    if how == "off":
        monkeypatch.setenv(compiled.SWITCH, "off")
    else:
        monkeypatch.setitem(sys.modules, "numba", None)
    assert compiled.load("curriculum.envs._cellworld.kernels", "BotEvade") is None


def test_only_a_world_with_kernels_waits_for_numba():
    program = (
        "import sys, numpy\n"
        "from curriculum.envs.botevade import BotEvade\n"
        "world = BotEvade()\n"
        "world.begin(numpy.random.default_rng(0), 2)\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
