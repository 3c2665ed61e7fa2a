"""Compare settings on shared seeds.

    python -m curriculum.compare --start expert random --seeds 0 1 2 3 4

Any flag of `curriculum.train` may take several values, and every combination is an arm;
`--arm "NAME: FLAGS"` is one by hand; `--with RUN` adds a finished run, and
`--only-plot RUN RUN` compares finished runs alone. All arms share seeds and evaluation
episodes, so differences are paired. The same command goes on with a comparison that was
interrupted; arms that are finished are not trained again. `--jobs N` trains N arms at a
time, `--on ray` on a cluster.
`--study NAME` makes the comparisons of a study (`--study list` prints all), or gathers
comparisons in a folder of this name.
"""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from curriculum import train
from curriculum.activity import Interrupted, Phase, overhearing, phase
from curriculum.comparison import options
from curriculum.listeners.progress import Progress
from curriculum.setting import arms, flags, studies
from curriculum.setting.config import Config
from curriculum.trust import trusting_words

if TYPE_CHECKING:
    from curriculum.comparison.plan import Comparison
    from curriculum.comparison.workers import Task
    from curriculum.report.curves import Curve
    from curriculum.setting.studies import Study

PROG = "python -m curriculum.compare"
FIRST_SHARE = 0.05  # of the first arm, from which on time is estimated
HINT = "--steps, or leave out arms"
USAGE = f"usage: {PROG} [FLAGS OF curriculum.train] [--arm 'NAME: FLAGS'] [--with RUN]"


def main(argv: list[str] | None = None) -> None:
    """Train every arm, then draw the figures and write the tables."""
    argv = sys.argv[1:] if argv is None else argv
    if flags.asks_for_help(argv):
        print(f"{USAGE}\n\n{__doc__}\n{options.help_text()}")
        return
    work = Work()
    trust = trusting_words(argv)
    with train.signals() as stop, Progress().following(stop) as progress, trust:
        try:
            plots = any(flag.name == "only-plot" for flag in flags.scan(argv))
            # a study may be a file, which is no name for a folder
            found = [] if plots else studies.find(argv)
            if found:
                work.do_studies(found, argv, stop, progress)
            elif plots or arms.names_only_finished_runs(options.read(argv)[1]):
                compare_finished(argv)
            else:
                work.do(argv, stop, progress)
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, work.status)
        except Interrupted:
            work.is_stopped = True
    if work.is_stopped:
        flags.fail(PROG, stop.message(PROG, work.folder), 128 + stop.signal)


class Work:
    """Makes comparisons, and knows how far it is where it is interrupted."""

    def __init__(self) -> None:
        self.status = 2  # refused before training; 1: failed while training
        self.folder: Path | None = None  # of the comparison that is being made
        self.is_stopped = False

    def do(self, words: list[str], stop: train.Stop, progress: Progress) -> bool:
        """Make the comparison of a command line; returns whether it is finished."""
        with phase("setup", 0, "", detail="loading settings and libraries"):
            found = find_comparison(words)
        self.folder = found.lock.folder
        self.status = 1
        with found.lock:
            self.is_stopped = not compare(found, stop, progress)
        return not self.is_stopped

    def do_studies(
        self,
        found: Sequence["Study"],
        argv: list[str],
        stop: train.Stop,
        progress: Progress,
    ) -> None:
        """Make all comparisons of studies, one after the other, and write their
        pages."""
        from curriculum.comparison import cost, study

        for each in found:  # all are checked before the first begins
            with phase("cost", 0, "", detail=f"measuring arms of {each.name}"):
                costs = cost.costs(each)
            print(cost.text(each, costs))
        problems = []
        for each in found:
            folders = []
            for words in each.command_lines:
                try:
                    if not self.do(words, stop, progress):
                        return
                except SeedsStopped as problem:
                    problems.append(str(problem))
                assert self.folder is not None
                folders.append(self.folder)
            command = [*PROG.split(), *argv]
            print(f"study   {study.write(each, command, folders)}")
        if problems:
            raise ValueError("; ".join(problems))


class SeedsStopped(ValueError):
    """Some seeds of a finished comparison were stopped."""


def find_comparison(argv: list[str]) -> "Comparison":
    """Create the folder of a comparison, or find the one to go on with."""
    from curriculum.comparison import executors, plan

    wanted, _ = options.read(argv)
    executors.require_answer(wanted.machines)
    return plan.find(argv)


# --- training ---


def compare(comparison: "Comparison", stop: train.Stop, progress: Progress) -> bool:
    """Train the arms that are not finished, and write figures and tables; returns
    whether all of it was done."""
    from curriculum.comparison import report

    train_arms = _train_in_turn
    if comparison.options.machines.are_many or comparison.is_split:
        train_arms = _train_side_by_side
    curves = train_arms(comparison, stop, progress)
    if len(curves) < len(comparison.configs):
        return False
    folder = comparison.lock.folder
    report.write(curves | comparison.finished, folder, comparison.options.terms)
    if comparison.options.study:
        print(f"study   {report.write_index(folder.parents[1])}")
    _require_healthy(curves)
    return True


def _train_in_turn(
    comparison: "Comparison", stop: train.Stop, progress: Progress
) -> dict[str, "Curve"]:
    """Train one arm after the other; returns the curves of those that are finished."""
    from curriculum.comparison.plan import read_arm

    curves: dict[str, Curve] = {}
    total = len(comparison.configs)

    def hear(inner: Phase) -> None:
        """Count what is done of the present arm, too."""
        if inner.name == ("online" if config.steps else "offline"):
            current.share = share_done(len(curves), inner.share, total)
            current.share_is_estimate = True

    with phase("comparison", total, "arms", HINT) as current, overhearing(hear):
        for name, config in comparison.configs.items():
            current.report(len(curves), f"now {name}")
            print(f"\narm {len(curves) + 1} of {total}: {name}", file=sys.stderr)
            if not _train_arm(config, comparison.folder_of(name), stop, progress):
                break
            curves[name] = read_arm(comparison, name)
            current.report(len(curves))
    return curves


def share_done(arms: int, of_next: float, total: int) -> float:
    """Share of a comparison that is done: `arms` of `total`, and a share of the next.

    It is 0 as long as the first arm has hardly begun: other work precedes its steps, so
    nothing is known about the time that is left."""
    if arms == 0 and of_next < FIRST_SHARE:
        return 0.0
    return (arms + of_next) / total


def _train_arm(
    config: Config, run: Path, stop: Callable[[], bool], progress: Progress
) -> bool:
    """Train one arm in the folder `run`, or what is left of it; returns whether it is
    finished."""
    from curriculum.comparison import workers
    from curriculum.run import folders

    workers.prepare(config, run)
    if folders.is_finished(run):
        return True
    place = _place(config, run)
    try:
        with place.lock:
            return train.run(place, stop, progress)
    except ValueError as error:
        if not folders.is_finished(run):
            raise
        print(f"{PROG}: {error}", file=sys.stderr)  # some seeds were stopped
        return True


def _place(config: Config, run: Path) -> train.Place:
    """Where the training of an arm begins or continues."""
    from curriculum.run import folders

    found = folders.find(str(run))
    return train.Place(config, run, found.checkpoint, found.lock)


def _require_healthy(curves: dict[str, "Curve"]) -> None:
    """Raise SeedsStopped, at the very end, if some seeds were stopped."""
    stopped = [
        f"{seed} of the arm {name}"
        for name, curve in curves.items()
        for seed, is_stopped in zip(curve.seeds, curve.stopped, strict=True)
        if is_stopped
    ]
    if stopped:
        raise SeedsStopped(
            f"seeds that were stopped: {', '.join(stopped)}; their results are those "
            "of their last good policy"
        )


# --- side by side ---


def _train_side_by_side(
    comparison: "Comparison", stop: train.Stop, progress: Progress
) -> dict[str, "Curve"]:
    """Train several arms at a time; returns the curves of those that are finished."""
    from curriculum.comparison import execution, executors, workers
    from curriculum.comparison.plan import read_arm

    tasks = []
    arm_of: dict[Path, str] = {}
    waiting: dict[str, int] = {}  # unfinished runs of each arm that has some
    for name in comparison.configs:
        own = _tasks(comparison, name)
        tasks += own
        arm_of |= {task.folder: name for task in own}
        if own:
            waiting[name] = len(own)
    done = [name for name in comparison.configs if name not in waiting]
    total = len(comparison.configs)
    left = len(tasks)
    runs = sum(len(comparison.runs_of(name)) for name in comparison.configs)

    def show(shares: Mapping[str, float]) -> None:
        unfinished = left - sum(shares.values())
        current.report(len(done), share=1 - unfinished / runs)

    print(
        f"{len(waiting)} of {total} arms to train, {comparison.options.machines.text}; "
        f"the messages of a run are in its folder, in {workers.LOG}",
        file=sys.stderr,
    )
    with ExitStack() as stack:
        current = stack.enter_context(
            phase("comparison", total, "arms", HINT, done=len(done))
        )
        for name in done:
            read_arm(comparison, name)
        chosen = comparison.options.machines
        words = comparison.words
        executor = stack.enter_context(executors.opened(chosen, words))
        source = execution.one_by_one(tasks)
        every = execution.train(executor, source, stop, show, chosen.retries)
        for ended in stack.enter_context(closing(every)):
            ended.require_success()
            left -= 1
            name = arm_of[ended.task.folder]
            waiting[name] -= 1
            if waiting[name]:
                continue  # other seeds of it are not finished
            done.append(name)
            read_arm(comparison, name)
            print(f"arm {len(done)} of {total} is finished: {name}", file=sys.stderr)
    return {
        name: read_arm(comparison, name) for name in comparison.configs if name in done
    }


def _tasks(comparison: "Comparison", arm: str) -> list["Task"]:
    """The runs of an arm that are not finished."""
    from curriculum.comparison import workers
    from curriculum.run import folders

    tasks = []
    for run, config in comparison.runs_of(arm).items():
        workers.prepare(config, run)
        if folders.is_finished(run):
            continue
        name = f"{arm}, {run.name}" if comparison.is_split else arm
        share = comparison.options.machines.gpu_share
        tasks.append(workers.task_of(name, config, run, share))
    return tasks


def work() -> None:
    """Train one run for a command in another process, or a part of it."""
    from curriculum.comparison import workers
    from curriculum.run import folders

    order = workers.order()
    workers.end_with(order.command)
    is_paused = False
    trust = trusting_words(order.words)
    with train.signals() as stop, Progress().following(stop) as progress, trust:
        try:
            settings = str(order.folder / folders.SETTINGS)
            config = flags.parse(["--config", settings], PROG).config
            unit = "steps" if config.steps else "updates"
            pause = workers.Pause(order.until, unit, stop)
            with overhearing(pause.hear), workers.reporting(order.reports):
                finished = _train_arm(config, order.folder, pause, progress)
            is_paused = pause.is_reached
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, 1)
        except MemoryError:
            flags.fail(PROG, "there is not enough memory for this run", 1)
        except Interrupted:
            finished = False
    if not finished and not is_paused:
        raise SystemExit(128 + stop.signal)


# --- finished runs ---


def compare_finished(argv: list[str]) -> Path:
    """Compare the finished runs that a command line names, without training.

    Returns the folder of the report."""
    from curriculum.comparison import plan, report
    from curriculum.files import is_url, local_path
    from curriculum.report.curves import read_curve
    from curriculum.run import folders, mirror
    from curriculum.run.contents import by_name

    wanted, words = options.read(argv)
    scanned = flags.scan(words)
    given = {flag.name: flag.values for flag in scanned}
    others = [f"--{name}" for name in given if name not in arms.OF_FINISHED]
    if others:
        raise ValueError(f"--only-plot trains nothing; leave out {' '.join(others)}")
    beside = [run for flag in scanned if flag.name == "with" for run in flag.values]
    named = [*wanted.only_plot, *beside]
    runs = [mirror.readable(run) for run in named]
    curves = {name: read_curve(run) for name, run in by_name(runs).items()}
    if len(curves) < 2:
        raise ValueError("give at least two runs by --only-plot or --with")
    first = next(iter(curves.values()))
    plan.check_pairs(curves, first.seeds, first.episodes)
    plan.require_tags(curves, wanted.terms)
    world = runs[0].resolve().parent
    if (world / plan.DESCRIPTION).is_file():  # an arm of a comparison
        world = world.parent
    beside_first = "runs" if is_url(named[0]) else str(world.parent)
    [parent] = given.get("runs-dir") or [beside_first]
    [name] = given.get("name") or ["compare"]
    place = local_path(parent, "--runs-dir") / wanted.study / world.name
    described = {"command": shlex.join([*PROG.split(), *argv])}
    lock = folders.create(place, name, described, file=plan.DESCRIPTION)
    with lock:
        report.write(curves, lock.folder, wanted.terms)
        if wanted.study:
            print(f"study   {report.write_index(lock.folder.parents[1])}")
    return lock.folder


if __name__ == "__main__":
    main()
