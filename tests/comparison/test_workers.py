"""Workers: what they report, how they fail, and how they end with their command."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from curriculum.activity import Phase, listening, phase
from curriculum.comparison import execution, workers
from curriculum.comparison.execution import Ended, Failed, Local
from curriculum.comparison.workers import Pause, Task
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


def never() -> bool:
    return False


def train(
    wanted: Sequence[Task], stop: Callable[[], bool], retries: int = 0
) -> Generator[Ended]:
    """Train two at a time."""
    source = execution.one_by_one(wanted)
    return execution.train(Local(2), source, stop, retries=retries)


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

    def hear(running: Mapping[str, float]) -> None:
        shares.append(dict(running))

    with listening(show):
        source = execution.one_by_one(wanted)
        ended = execution.train(Local(2, ["--trust"]), source, never, hear)
        assert sorted(each.task.name for each in ended) == ["a", "b", "c"]
    amounts = [amount for name, amount in shown if name == "arm a"]
    assert amounts == sorted(amounts)
    assert max(amounts) > 50
    third = next(index for index, (name, _) in enumerate(shown) if name == "arm c")
    assert {name for name, _ in shown[:third]} == {"arm a", "arm b"}
    assert {name for each in shares for name in each} == {"a", "b", "c"}
    assert shares[-1] == {}
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
    with closing(train(wanted, never)) as ended:
        failed = next(ended)
    with pytest.raises(Failed, match=message):
        failed.require_success()
    assert (wanted[1].folder / "asked").read_text() == "SIGTERM"
    assert not is_alive(process(wanted[1]))


def test_a_worker_that_is_killed_is_started_again_so_many_times(
    tmp_path: Path, entry: Callable[[str], None], capsys: pytest.CaptureFixture
):
    entry(f"""
tries = order.folder / "tries"
with tries.open("a") as file:
    file.write("x")
if order.folder.name == "always" or len(tries.read_text()) < 2:
    os.kill(os.getpid(), {int(signal.SIGKILL)})
""")
    wanted = tasks(tmp_path, "always", "once")
    problems = {each.task.name: each.problem for each in train(wanted, never, 2)}
    assert problems == {"always": "its process was ended by SIGKILL", "once": ""}
    assert (tmp_path / "always" / "tries").read_text() == "xxx"
    assert (tmp_path / "once" / "tries").read_text() == "xx"
    assert "goes on from its last checkpoint (retry 2 of 2)" in capsys.readouterr().err


def test_a_worker_has_as_many_threads_as_its_task(
    tmp_path: Path, entry: Callable[[str], None]
):
    entry("print(*(os.environ[name] for name in workers.THREADS))")
    [task] = tasks(tmp_path, "a")
    list(train([task._replace(threads=3)], never))
    assert (task.folder / workers.LOG).read_text() == "3 3 3\n"


def test_training_pauses_behind_a_step_where_its_evaluation_is_done():
    pause = Pause(40, "steps", never)
    with listening(pause.hear), phase("online", 100, "steps") as current:
        current.report(40)
        assert not pause()
        current.report(48)
        assert pause()


def test_workers_are_asked_once_to_stop(tmp_path: Path, entry: Callable[[str], None]):
    entry(WAITS)
    wanted = tasks(tmp_path, "a", "b")

    def stop() -> bool:
        return all(process(task) for task in wanted)

    assert list(train(wanted, stop)) == []
    for task in wanted:
        assert (task.folder / "asked").read_text() == "SIGTERM"
        assert not is_alive(process(task))


def test_a_worker_ends_with_the_command_that_started_it(
    tmp_path: Path, entry: Callable[[str], None]
):
    [task] = tasks(tmp_path, "a")
    code = f"""
from pathlib import Path
from curriculum.comparison import execution, workers
workers.ENTRY = {HEAD + WAITS!r}
task = workers.Task("a", Path({str(task.folder)!r}), 100, "steps")
source = execution.one_by_one([task])
list(execution.train(execution.Local(1), source, lambda: False))
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
