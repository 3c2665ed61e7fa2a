"""A call of a plug-in that never returns is ended soon after a signal, and none ends
the program on its own."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from curriculum.calls import is_fault, without_exits

# a command that ignores the first signal but for its flag, as `curriculum.train` does
SCRIPT = """
import ctypes, signal, sys, threading, time
from curriculum.activity import Interrupted
from curriculum.calls import ending_calls, watched

signal.signal(signal.SIGTERM, lambda number, frame: None)

def hang_outside():
    mutex = ctypes.create_string_buffer(64)
    libc = ctypes.CDLL(None)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)

with ending_calls(patience=0.3, last_patience=0.5):
    print("ready", flush=True)
    try:
        with watched("planner Hanging"):
            {body}
    except Interrupted:
        print("interrupted", flush=True)
        sys.exit(3)
"""


def ended(body: str) -> tuple[int, str, str]:
    """Status, output and errors of a command that hangs until it is sent SIGTERM."""
    script = SCRIPT.replace("{body}", textwrap.indent(body, 12 * " ").strip())
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize(
    "body", ["while True: pass", "time.sleep(60)", "threading.Event().wait()"]
)
def test_a_call_that_hangs_is_interrupted_after_a_signal(body: str):
    status, out, err = ended(body)
    assert (status, out, err) == (3, "interrupted\n", "")


HIDING = """
while True:
    try:
        time.sleep(60)
    except BaseException:
        pass
""".strip()


@pytest.mark.parametrize("body", [HIDING, "hang_outside()"])
def test_a_call_that_cannot_be_interrupted_ends_with_the_process(body: str):
    status, _, err = ended(body)
    assert status == 128 + signal.SIGTERM
    assert "planner Hanging does not return; stopped at once by SIGTERM" in err


def test_work_that_is_not_watched_goes_on_after_a_signal():
    status, out, _ = ended(
        "before = 1\nwith watched(''):\n    time.sleep(2)\nsys.exit(5)"
    )
    assert (status, out) == (5, "")


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit()])
def test_a_plug_in_that_leaves_the_program_is_an_error(error: BaseException):
    with (
        pytest.raises(
            ValueError, match=r"a plug-in raised .* must not end the program"
        ),
        without_exits(),
    ):
        raise error


def test_ctrl_c_is_the_users_where_nothing_handles_it_or_the_handler_raised_it():
    def catch(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def raised(by_signal: bool) -> KeyboardInterrupt:
        try:
            if by_signal:
                signal.raise_signal(signal.SIGINT)
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            return error

    assert not is_fault(raised(by_signal=True))
    before = signal.signal(signal.SIGINT, catch)
    try:
        assert not is_fault(raised(by_signal=True))
        assert is_fault(raised(by_signal=False))
    finally:
        signal.signal(signal.SIGINT, before)


# --- in a whole run ---

PLANNERS = """
import time
import numpy as np
from curriculum.types import Planner

class Leaving(Planner):
    def setup(self, rows, spec, seeds):
        self.number = 0
        return self

    def act(self, obs, rows):
        self.number += 1
        if self.number % 10 == 0:
            raise {error}
        return np.zeros(len(rows), np.int64)

class Hanging(Leaving):
    def act(self, obs, rows):
        self.number += 1
        if self.number > 150:
            print("hanging", flush=True)
            time.sleep(600)
        return np.zeros(len(rows), np.int64)
"""
TINY = "--learner bc --learner.hidden 8 --eval-episodes 2 --no-eval-mixed --steps 3000"


def command(folder: Path, name: str, error: str = "None") -> subprocess.Popen[str]:
    """Train with a planner of `PLANNERS`."""
    (folder / "bad.py").write_text(PLANNERS.replace("{error}", error))
    words = [sys.executable, "-m", "curriculum.train", *TINY.split()]
    words += ["--planner", f"bad:{name}", "--start", "none"]
    words += ["--runs-dir", str(folder / "runs"), "--decay", "constant"]
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONPATH": str(folder)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("error", ["SystemExit(0)", "KeyboardInterrupt", "ValueError"])
def test_a_run_goes_on_where_a_planner_raises_anything(error: str, tmp_path: Path):
    process = command(tmp_path, "Leaving", error)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "where it does, the learner acts" in err
    assert "last learner alone" in out


@pytest.mark.slow
def test_sigterm_ends_a_run_whose_planner_hangs_within_seconds(tmp_path: Path):
    process = command(tmp_path, "Hanging")
    assert process.stdout
    try:
        while process.stdout.readline() != "hanging\n":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert "stopped by SIGTERM" in err
