"""Workers: what they report, how they fail, and how they end with their command."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from curriculum.activity import Phase, listening, phase
from curriculum.comparison import workers
from curriculum.comparison.workers import Failed, Task
from curriculum.run.lock import InUse, Lock

# workers that train nothing, and so import nothing large
HEAD = """
import os, sys, time
from curriculum.activity import phase
from curriculum.comparison import workers
workers.LOOK = workers.ORPHANED = 0.02
order = workers.order()
"""
FINISHES = """
with workers.reporting(order.reports), phase("online", 100, "steps") as current:
    for step in range(5):
        current.report(20 * (step + 1))
        time.sleep(0.05)
print(*order.words)
"""
FAILS = "print('first'); sys.exit('the reason')"
WAITS = """
import signal
def stop(number, frame):
    open(order.folder / "asked", "a").write(signal.Signals(number).name)
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
workers.end_with(order.command)
print("ready", os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let workers run this code."""
    monkeypatch.setattr(workers, "LOOK", 0.02)
    return lambda code: monkeypatch.setattr(workers, "ENTRY", HEAD + code)


def tasks(folder: Path, *names: str) -> list[Task]:
    for name in names:
        (folder / name).mkdir()
    return [Task(name, folder / name, 100, "steps") for name in names]


def nothing(shares: Mapping[str, float]) -> None:
    pass


def wait_for(condition: Callable[[], bool]) -> None:
    ending = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ending
        time.sleep(0.02)


def process(task: Task) -> int:
    """The process of a worker that is ready, 0 before."""
    log = task.folder / workers.LOG
    words = log.read_text().split() if log.is_file() else []
    return int(words[1]) if len(words) > 1 else 0


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_arms_are_trained_side_by_side_and_show_how_far_they_are(
    tmp_path: Path, entry: Callable[[str], None]
):
    entry(FINISHES)
    shown: list[tuple[str, float]] = []
    shares: list[dict[str, float]] = []

    def show(current: Phase) -> None:
        shown.append((current.name, current.done))

    wanted = tasks(tmp_path, "a", "b", "c")
    with listening(show):
        done = workers.train(
            wanted, 2, ["--trust"], lambda: False, lambda s: shares.append(dict(s))
        )
        assert sorted(done) == ["a", "b", "c"]
    amounts = [amount for name, amount in shown if name == "arm a"]
    assert amounts == sorted(amounts)
    assert max(amounts) > 50
    third = next(index for index, (name, _) in enumerate(shown) if name == "arm c")
    assert {name for name, _ in shown[:third]} == {"arm a", "arm b"}
    assert shares[-1] == {"a": 1, "b": 1, "c": 1}
    assert (tmp_path / "a" / workers.LOG).read_text() == "--trust\n"


def test_a_worker_that_fails_is_named_with_its_reason_and_ends_the_others(
    tmp_path: Path, entry: Callable[[str], None]
):
    wanted = tasks(tmp_path, "bad", "good")
    log = str(wanted[1].folder / workers.LOG)
    until = f"while 'ready' not in open({log!r}).read(): time.sleep(0.02)"
    entry(f"if order.folder.name == 'bad':\n    {until}\n    {FAILS}\n{WAITS}")
    message = re.escape(
        f"arm bad failed: the reason (its messages are in {tmp_path}/bad/log.txt); "
        "the same command goes on"
    )
    with pytest.raises(Failed, match=message):
        list(workers.train(wanted, 2, [], lambda: False, nothing))
    assert (wanted[1].folder / "asked").read_text() == "SIGTERM"
    assert not is_alive(process(wanted[1]))


def test_workers_are_asked_once_to_stop(tmp_path: Path, entry: Callable[[str], None]):
    entry(WAITS)
    wanted = tasks(tmp_path, "a", "b")

    def stop() -> bool:
        return all(process(task) for task in wanted)

    assert list(workers.train(wanted, 2, [], stop, nothing)) == []
    for task in wanted:
        assert (task.folder / "asked").read_text() == "SIGTERM"
        assert not is_alive(process(task))


def test_a_worker_ends_with_the_command_that_started_it(
    tmp_path: Path, entry: Callable[[str], None]
):
    [task] = tasks(tmp_path, "a")
    code = f"""
from pathlib import Path
from curriculum.comparison import workers
workers.ENTRY = {HEAD + WAITS!r}
task = workers.Task("a", Path({str(task.folder)!r}), 100, "steps")
list(workers.train([task], 1, [], lambda: False, lambda shares: None))
"""
    command = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: process(task) > 0)
    command.send_signal(signal.SIGKILL)
    command.wait()
    wait_for(lambda: not is_alive(process(task)))
    assert (task.folder / "asked").read_text() == "SIGTERM"


def test_a_folder_is_waited_for_until_a_worker_left_behind_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    child = os.fork()
    if not child:
        Lock(tmp_path)
        time.sleep(0.5)
        os._exit(0)
    wait_for(lambda: (tmp_path / ".lock").is_file())
    workers.wait_until_free(tmp_path)
    os.waitpid(child, 0)
    monkeypatch.setattr(workers, "FREE", 0.0)
    with Lock(tmp_path), pytest.raises(InUse):
        workers.wait_until_free(tmp_path)


def test_reports_nobody_reads_are_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "LOOK", 0.0)
    reading, writing = os.pipe()
    with workers.reporting(writing), phase("online", 2_000, "steps") as current:
        for step in range(2_000):  # more than a pipe holds
            current.report(step)
        first = json.loads(os.read(reading, 65_536).split(b"\n")[1])
        os.close(reading)
        current.report(5)
    os.close(writing)
    assert (first["unit"], first["text"]) == ("steps", "online: 0 of 2,000 steps")
