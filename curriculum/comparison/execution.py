"""Train several runs at a time, by an executor: in processes of this machine, or on a
cluster (`curriculum.comparison.cluster`).

An executor is asked whether it has room, is given a task, and answers with a job, which
is looked at until it has ended. Everything else is done here, so that both executors
do the same: what is shown, what is tried again, and how work is stopped.
"""

import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol

from curriculum.activity import phase
from curriculum.comparison import workers
from curriculum.comparison.workers import Ending, Process, Report, Task

PATIENCE = 60.0  # seconds in which a worker ends that was asked to
LAST_PATIENCE = 5.0  # the same if it was asked again
RETRIES = 3  # times that a worker which was killed is started again

Source = Callable[[], Task | None]  # the next task; None if there is none now


class Failed(ValueError):
    """A worker ended without having finished its run."""


class Job(Protocol):
    """A task that is being carried out."""

    def report(self) -> Report | None:
        """The newest report since the last call; None if there is none."""

    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""

    def ask_to_end(self) -> None:
        """Let the worker save a checkpoint and end."""

    def wait(self, patience: float) -> None:
        """Wait for its end, up to so many seconds."""

    def close(self) -> None:
        """End it at once, if it has not ended."""


class Executor(Protocol):
    """Where tasks are carried out."""

    def has_room(self, running: int) -> bool:
        """Whether a task can be started beside so many that run."""

    def start(self, task: Task) -> Job:
        """Carry out a task."""


class Local:
    """Carries out up to `jobs` tasks at a time, each in a process of its own, with as
    many threads as its settings say.

    `words` name code that is trusted."""

    def __init__(self, jobs: int, words: Sequence[str] = ()):
        self.jobs = jobs
        self.words = words

    def has_room(self, running: int) -> bool:
        return running < self.jobs

    def start(self, task: Task) -> Process:
        return Process(task.folder, self.words, task.until, task.threads)


class Ended(NamedTuple):
    """A task that was carried out, or failed."""

    task: Task
    problem: str = ""  # empty: it was carried out
    seconds: float = 0.0  # that it took

    def require_success(self) -> None:
        """Raise Failed if the task failed."""
        if self.problem:
            log = self.task.folder / workers.LOG
            raise Failed(
                f"{self.task.title} failed: {self.problem} (its messages are in {log});"
                " the same command goes on with what is left"
            )


def one_by_one(tasks: Sequence[Task]) -> Source:
    """A source of these tasks."""
    waiting = iter(tasks)
    return lambda: next(waiting, None)


def train(
    executor: Executor,
    source: Source,
    stop: Callable[[], bool],
    show: Callable[[Mapping[str, float]], None] = lambda shares: None,
    retries: int = RETRIES,
) -> Generator[Ended]:
    """Carry out tasks until the source has none and none is running; yield each that
    has ended, before the source is asked for more.

    A worker that is killed, or whose machine is lost, is started again up to `retries`
    times. `show` is called with the share of each running task that is done. Once
    `stop()` is true, or where the caller goes no further, all workers save a checkpoint
    and end."""
    running: list[_Running] = []
    with ExitStack() as stack:
        stack.callback(_end, running)
        while not stop():
            while executor.has_room(len(running)):
                task = source()
                if task is None:
                    break
                running.append(_Running(task, executor))
            if not running:
                return
            time.sleep(workers.LOOK)
            for each in [*running]:
                each.hear()
                ending = each.job.ending()
                if ending is None or each.is_restarted(ending, retries):
                    continue
                running.remove(each)
                each.close()
                yield Ended(each.task, ending.problem, each.seconds)
            show({each.task.name: each.share for each in running})


class _Running:
    """A task that is being carried out, and the phase that shows how far it is."""

    def __init__(self, task: Task, executor: Executor):
        self.task = task
        self.executor = executor
        self.job = executor.start(task)
        self.restarts = 0
        self.began = time.monotonic()
        self.share = 0.0
        self.stack = ExitStack()
        self.phase = self.stack.enter_context(
            phase(task.title, task.until or task.total, task.unit, detail="starting")
        )

    @property
    def seconds(self) -> float:
        """Since the task was begun."""
        return time.monotonic() - self.began

    def hear(self) -> None:
        """Show how far the task is, or what else its worker does meanwhile."""
        report = self.job.report()
        if report is None:
            return
        place = report.get("place", "")
        if report["unit"] == self.task.unit:
            self.share = min(report["done"] / (self.task.until or self.task.total), 1.0)
            self.phase.detail = place
            self.phase.report(report["done"])
        else:
            words = [report["text"], place]
            self.phase.report(self.phase.done, "  ".join(filter(None, words)))

    def is_restarted(self, ending: Ending, retries: int) -> bool:
        """Start a worker again that was lost, unless it was too often."""
        if not ending.is_lost or self.restarts >= retries:
            return False
        self.restarts += 1
        print(
            f"{self.task.title}: {ending.problem}; it goes on from its last checkpoint "
            f"(retry {self.restarts} of {retries})",
            file=sys.stderr,
        )
        self.job.close()
        self.job = self.executor.start(self.task)
        return True

    def close(self) -> None:
        """Show that the task is no longer carried out."""
        self.job.close()
        self.stack.close()


def _end(running: Sequence[_Running]) -> None:
    """Let all workers save and end; at once if the command is asked again."""
    try:
        _stop(running, PATIENCE)
    except BaseException:
        _stop(running, LAST_PATIENCE)
        raise
    finally:
        for each in running:
            each.close()


def _stop(running: Sequence[_Running], patience: float) -> None:
    """Ask workers to end, and wait for it."""
    for each in running:
        each.job.ask_to_end()
    ending = time.monotonic() + patience
    for each in running:
        each.job.wait(ending - time.monotonic())
