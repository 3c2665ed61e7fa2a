"""A run that is trained in a process of its own.

A worker is told the folder of its run, which holds the settings, and writes its
messages to `log.txt` there. How far it is goes through a pipe to the process that
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from curriculum.activity import Phase, overhearing
from curriculum.run.lock import InUse, Lock
from curriculum.setting.config import Config, flat

LOG = "log.txt"
ENTRY = "from curriculum import compare; compare.work()"
LOOK = 0.2  # seconds between looks at workers, and between their reports
ORPHANED = 0.5  # seconds between looks whether the command is still there
FREE = 60.0  # seconds in which a worker ends that was left behind
TRAINING = ("offline", "online")  # the phases of training
LONGEST = 200  # characters of a report
# libraries of matrix products ask these for their number of threads
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Report = dict[str, Any]  # how far a worker is: unit, done, share, text


class Task(NamedTuple):
    """A run to be trained, or a part of it."""

    name: str
    folder: Path  # with its settings
    total: float  # steps or updates
    unit: str  # of `total` and `until`
    # where training pauses, with a checkpoint; 0: nowhere before its end
    until: float = 0.0
    threads: int = 1
    gpus: float = 0.0
    kind: str = "arm"  # what the display calls it

    @property
    def title(self) -> str:
        """What the display calls the task."""
        return f"{self.kind} {self.name}"


class Ending(NamedTuple):
    """How a worker ended."""

    problem: str = ""  # empty: it did what it was told
    # whether it, or its machine, was killed: it may go on from its last checkpoint
    is_lost: bool = False


def task_of(
    name: str, config: Config, folder: Path, gpu_share: float = 1.0, **more: Any
) -> Task:
    """The task of a run, with what it needs of a machine: a core for each of its
    threads and, on a GPU, a share of one."""
    total, unit = config.steps, "steps"
    if not total:
        total, unit = config.offline_updates, "updates"
    gpus = gpu_share if config.device == "cuda" else 0.0
    return Task(name, folder, total, unit, threads=config.threads, gpus=gpus, **more)


def prepare(config: Config, run: Path) -> None:
    """Make the folder of a run, with its settings."""
    from curriculum.run import folders

    # it is there if the process was killed here before
    run.mkdir(parents=True, exist_ok=True)
    wait_until_free(run)
    if not (run / folders.SETTINGS).is_file():
        folders.write(run / folders.SETTINGS, flat(config))


# --- in the process that starts a worker ---


class Process:
    """A worker, as the process that started it sees it."""

    def __init__(
        self, folder: Path, words: Sequence[str], until: float = 0.0, threads: int = 1
    ):
        self.folder = folder
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        numbers = [str(os.getpid()), str(writing), str(until)]
        own = [str(folder), *numbers, json.dumps([*words])]
        with (folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ENTRY, *own],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
                start_new_session=True,
                env=os.environ | dict.fromkeys(THREADS, str(threads)),
            )
        os.close(writing)
        self.text = b""  # of a report that has not arrived to its end

    def report(self) -> Report | None:
        """The newest report since the last call; None if there is none."""
        try:
            arrived = os.read(self.reading, 65_536)
        except BlockingIOError:
            return None
        *lines, self.text = (self.text + arrived).split(b"\n")
        return json.loads(lines[-1]) if lines else None

    def ending(self) -> Ending | None:
        """How the worker ended; None while it runs."""
        status = self.process.poll()
        if status is None:
            return None
        if not status:
            return Ending()
        log = self.folder / LOG
        lines = log.read_text(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"status {status}"
        if status < 0:
            name = signal.Signals(-status).name
            return Ending(f"its process was ended by {name}", is_lost=True)
        return Ending(reason)

    def ask_to_end(self) -> None:
        """Let the worker save a checkpoint and end."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, patience: float) -> None:
        """Wait for the worker's end, up to so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(patience, 0.0))

    def close(self) -> None:
        """End the worker at once, if it has not ended."""
        self.process.kill()  # nothing happens if it has ended
        self.process.wait()
        os.close(self.reading)


# --- in a worker ---


class Order(NamedTuple):
    """What a worker is told on its command line."""

    folder: Path  # of its arm
    command: int  # process that started it
    reports: int  # pipe for how far it is
    until: float  # steps or updates at which training pauses; 0: nowhere
    words: list[str]  # that name code that is trusted


def order() -> Order:
    """The order of this worker."""
    folder, command, reports, until, words = sys.argv[1:]
    numbers = int(command), int(reports), float(until)
    return Order(Path(folder), *numbers, json.loads(words))


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


class Pause:
    """Whether to stop training: when asked, or because it has come far enough.

    What is due at the step `until`, such as an evaluation, is done before."""

    def __init__(self, until: float, unit: str, stop: Callable[[], bool]):
        self.until = until
        self.unit = unit
        self.stop = stop
        self.is_reached = False

    def __call__(self) -> bool:
        return self.is_reached or self.stop()

    def hear(self, current: Phase) -> None:
        """Note how far training is."""
        is_training = current.name in TRAINING and current.unit == self.unit
        if self.until and is_training and current.done > self.until:
            self.is_reached = True


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
