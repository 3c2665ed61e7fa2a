"""The training loop, a generator of records: `for record in train(config): ...`.

Two phases follow one another, each with a clock of its own: the offline phase, which
counts updates, and the online phase, which counts environment steps.

A run knows what it still has to do before its next step or update: `Run.pending`
holds the names of methods of `Run`, in order. Each one either finishes, or leaves the
run as it was, or counts how far it came; so a checkpoint can be written between any
two of them and wherever one of them is interrupted.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch

from curriculum.activity import Aborted, Interrupted, is_stopping, phase
from curriculum.calls import without_exits
from curriculum.run import advice, checkpoint, folders
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.types import Record


def train(
    config: Config,
    folder: Path | None = None,
    resume: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Record]:
    """Train all seeds of `config` side by side and yield records.

    Checkpoints and policies are written to `folder`, if given. `resume` names a
    checkpoint to continue from, bit for bit. Once `stop()` is true, or a phase is
    interrupted, a checkpoint is written and the loop ends.

        for record in train(Config(learner="iql", steps=5_000)):
            print(record.kind, record.step, record.values)
    """
    run = prepare(config, folder, resume)
    if folder and resume:
        folders.set_aside_later(folder, resume)
    yield from advance(run, stop)


def prepare(
    config: Config, folder: Path | None = None, resume: Path | None = None
) -> Run:
    """Set up a run, at the checkpoint `resume` if one is given; writes nothing.

    `advance` closes its environments, or `Run.close`."""
    torch.set_num_threads(config.threads)
    detail = "making the world, the planner and the learner"
    with ExitStack() as on_failure:
        with phase("setup", 0, "", detail=detail), without_exits():
            run = Run(config, folder)
            on_failure.callback(run.close)
            if resume:
                run.load(checkpoint.read(resume))
        on_failure.pop_all()
    return run


def advance(run: Run, stop: Callable[[], bool] = lambda: False) -> Iterator[Record]:
    """Take a run from where it is to its end, or until `stop()` is true, and close its
    environments."""
    try:
        if not (yield from _do_pending(run, stop)):
            return
        for course in _courses(run):
            if not (yield from _complete(run, course, stop)):
                return
        with without_exits():
            records = run.finish()
        yield from records
    except Aborted:
        raise
    except Interrupted:
        # within a step, or within the last evaluation: the newest checkpoint counts
        return
    finally:
        run.close()


def begin(run: Run) -> Iterator[Record]:
    """Do everything that precedes the first environment step, or the first update of
    the offline phase."""
    yield from _do_pending(run)


class _Course(NamedTuple):
    """One of the two phases of training."""

    name: str
    unit: str
    hint: str
    total: int
    done: Callable[[], int]
    advance: Callable[[], None]


def _courses(run: Run) -> tuple[_Course, _Course]:
    """The phases of a run, in order."""
    offline = _Course(
        name="offline",
        unit="updates",
        hint=advice.OFFLINE,
        total=run.config.offline_updates,
        done=lambda: run.updates,
        advance=run.take_updates,
    )
    online = _Course(
        name="online",
        unit="steps",
        hint=advice.ONLINE,
        total=run.config.steps,
        done=lambda: run.step,
        advance=run.take_step,
    )
    return offline, online


def _complete(
    run: Run, course: _Course, stop: Callable[[], bool]
) -> Generator[Record, None, bool]:
    """Take a phase of training to its end; returns whether it came to it.

    Otherwise the run was asked to stop, and has written a checkpoint."""
    name, unit, hint, total, done, advance = course
    if done() >= total:
        return True
    with phase(name, total, unit, hint, done=done()) as current:
        while done() < total:
            if stop() or is_stopping():
                run.save()
                return False
            with without_exits():
                advance()
            # `stop` is asked above, where a checkpoint can be written
            current.report(done())
            if not (yield from _do_pending(run, stop)):
                return False
    return True


def _do_pending(
    run: Run, stop: Callable[[], bool] = lambda: False
) -> Generator[Record, None, bool]:
    """Do what is due before the next step or update; returns whether all of it was
    done.

    Otherwise the run was asked to stop, and has written a checkpoint."""
    while run.pending:
        name = run.pending[0]
        try:
            with without_exits():
                records = getattr(run, name)()
        except Aborted:
            raise
        except Interrupted:
            run.save()
            return False
        run.pending.pop(0)
        yield from records
        if stop() and run.pending:
            run.save()
            return False
    return True
