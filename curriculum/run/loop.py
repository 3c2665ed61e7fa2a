"""The training loop, a generator of records: `for record in train(config): ...`.

A run knows what it still has to do before its next environment step: `Run.pending`
holds the names of methods of `Run`, in order. Each one either finishes, or leaves the
run as it was, or counts how far it came; so a checkpoint can be written between any
two of them and wherever one of them is interrupted.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import torch

from curriculum.activity import Aborted, Interrupted, phase
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
        steps = run.config.steps
        with phase("online", steps, "steps", advice.ONLINE, done=run.step) as current:
            while run.step < steps:
                if stop():
                    run.save()
                    return
                with without_exits():
                    run.take_step()
                # `stop` is asked above, where a checkpoint can be written
                current.report(run.step)
                if not (yield from _do_pending(run, stop)):
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
    """Do everything that precedes the first environment step."""
    yield from _do_pending(run)


def _do_pending(
    run: Run, stop: Callable[[], bool] = lambda: False
) -> Generator[Record, None, bool]:
    """Do what is due before the next step; returns whether all of it was done.

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
