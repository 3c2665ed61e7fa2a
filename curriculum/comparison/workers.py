"""Arms that are trained side by side, each in a process of its own.

A worker is told the folder of its arm, which holds the settings, and writes its
messages to `log.txt` there. How far it is goes through a pipe to the command that
started it. If that is killed, the worker notices, saves a checkpoint and ends. The
terminal's Ctrl-C reaches the command alone, which asks every worker to stop once.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from curriculum.activity import Phase, overhearing, phase
from curriculum.run.lock import InUse, Lock

LOG = "log.txt"
ENTRY = "from curriculum import compare; compare.work()"
LOOK = 0.2  # seconds between looks at workers, and between their reports
ORPHANED = 0.5  # seconds between looks whether the command is still there
PATIENCE = 60.0  # seconds in which a worker ends that was asked to
LAST_PATIENCE = 5.0  # the same if it was asked again
FREE = 60.0  # seconds in which a worker ends that was left behind
LONGEST = 200  # characters of a report


class Task(NamedTuple):
    """One arm to be trained."""

    name: str
    folder: Path  # with its settings
    total: float  # steps or updates
    unit: str  # of `total`


class Failed(ValueError):
    """A worker ended without having finished its arm."""


# --- in the command that starts workers ---


def train(
    tasks: Sequence[Task],
    jobs: int,
    words: Sequence[str],
    stop: Callable[[], bool],
    show: Callable[[Mapping[str, float]], None],
) -> Iterator[str]:
    """Train arms in up to `jobs` processes and yield the name of each that is finished.

    `words` name code that is trusted; `show` is called with the share of each arm that
    is done. Once `stop()` is true, or where the caller goes no further, all workers
    save a checkpoint and end. Raises Failed if one of them fails."""
    waiting = list(tasks)
    running: list[_Worker] = []
    shares = {task.name: 0.0 for task in tasks}
    with ExitStack() as stack:
        stack.callback(_end, running)
        while (waiting or running) and not stop():
            while waiting and len(running) < jobs:
                running.append(_Worker(waiting.pop(0), words))
            time.sleep(LOOK)
            for worker in [*running]:
                worker.hear()
                shares[worker.task.name] = worker.share
                if worker.process.poll() is None:
                    continue
                running.remove(worker)
                worker.close()
                if worker.process.returncode:
                    raise Failed(worker.problem())
                shares[worker.task.name] = 1.0
                yield worker.task.name
            show(shares)


class _Worker:
    """A process that trains one arm, and the phase that shows how far it is."""

    def __init__(self, task: Task, words: Sequence[str]):
        self.task = task
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        own = [str(task.folder), str(os.getpid()), str(writing), json.dumps([*words])]
        with (task.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ENTRY, *own],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                start_new_session=True,
            )
        os.close(writing)
        self.text = b""  # of a report that has not arrived to its end
        self.share = 0.0
        self.stack = ExitStack()
        self.phase = self.stack.enter_context(
            phase(f"arm {task.name}", task.total, task.unit, detail="starting")
        )

    def hear(self) -> None:
        """Take in what has arrived of the worker's reports."""
        try:
            arrived = os.read(self.reading, 65_536)
        except BlockingIOError:
            return
        *lines, self.text = (self.text + arrived).split(b"\n")
        for line in lines[-1:]:
            self._show(json.loads(line))

    def _show(self, told: dict[str, Any]) -> None:
        """Show how far the arm is, or what else the worker does meanwhile."""
        if told["unit"] == self.task.unit:
            self.share = told["share"]
            self.phase.detail = ""
            self.phase.report(told["done"])
        else:
            self.phase.report(self.phase.done, told["text"])

    def close(self) -> None:
        """Show that the arm is no longer being trained."""
        os.close(self.reading)
        self.stack.close()

    def problem(self) -> str:
        """Why the worker failed."""
        status = self.process.returncode
        log = self.task.folder / LOG
        lines = log.read_text(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"status {status}"
        if status < 0:
            reason = f"its process was ended by {signal.Signals(-status).name}"
        return (
            f"arm {self.task.name} failed: {reason} (its messages are in {log}); "
            "the same command goes on with what is left"
        )


def _end(running: Sequence[_Worker]) -> None:
    """Let all workers save and end; at once if the command is asked again."""
    try:
        _stop(running, PATIENCE)
    except BaseException:
        _stop(running, LAST_PATIENCE)
        raise
    finally:
        for worker in running:
            worker.process.kill()  # nothing happens if it has ended
            worker.process.wait()
            worker.close()


def _stop(running: Sequence[_Worker], patience: float) -> None:
    """Ask workers to end, and wait for it."""
    for worker in running:
        worker.process.send_signal(signal.SIGTERM)
    ending = time.monotonic() + patience
    for worker in running:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(ending - time.monotonic(), 0.0))


# --- in a worker ---


class Order(NamedTuple):
    """What a worker is told on its command line."""

    folder: Path  # of its arm
    command: int  # process that started it
    reports: int  # pipe for how far it is
    words: list[str]  # that name code that is trusted


def order() -> Order:
    """The order of this worker."""
    folder, command, reports, words = sys.argv[1:]
    return Order(Path(folder), int(command), int(reports), json.loads(words))


def end_with(command: int) -> None:
    """Ask this process to end as soon as the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == command:
            time.sleep(ORPHANED)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="orphan", daemon=True).start()


@contextmanager
def reporting(pipe: int) -> Iterator[None]:
    """Report every phase inside this context to the command."""
    os.set_blocking(pipe, False)
    latest = -LOOK

    def hear(current: Phase) -> None:
        nonlocal latest
        now = time.monotonic()
        if current.finished or now - latest < LOOK:
            return
        latest = now
        told = {
            "unit": current.unit,
            "done": current.done,
            "share": current.share,
            "text": _text(current)[:LONGEST],
        }
        # nobody reads any more, or not at the moment
        with suppress(BrokenPipeError, BlockingIOError):
            os.write(pipe, json.dumps(told).encode() + b"\n")

    with overhearing(hear):
        yield


def _text(current: Phase) -> str:
    """A phase in words."""
    if not current.total:
        return f"{current.name}: {current.detail}"
    return f"{current.name}: {current.done:,.0f} of {current.total:,.0f} {current.unit}"


# --- both ---


def wait_until_free(folder: Path) -> None:
    """Wait for a worker whose command was killed: it needs a moment to notice.

    Raises InUse if the folder remains in use."""
    ending = time.monotonic() + FREE
    while True:
        try:
            Lock(folder).release()
            return
        except InUse:
            if time.monotonic() > ending:
                raise
            time.sleep(LOOK)
