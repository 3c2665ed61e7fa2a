"""Search for the best setting of any flags.

    python -m curriculum.sweep --search "learner.alpha=loguniform(0.01,10)" --jobs 2

Every other flag is one of `curriculum.train`. Each trial trains all `--seeds`; trials
that fall behind are stopped early (ASHA). The best setting is trained again on fresh
seeds and scored on fresh episodes, since the best of many trials looks better than it
is. The same command goes on with a search that was interrupted. `--on ray` searches on
a cluster, with the same result; `sweep slurm FILE -- COMMAND` writes a job for Slurm.
"""

import math
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from curriculum import train
from curriculum.activity import Interrupted, Phase, phase
from curriculum.listeners.progress import Progress
from curriculum.setting import flags
from curriculum.trust import trusting_words

if TYPE_CHECKING:
    import numpy as np

    from curriculum.comparison.execution import Executor
    from curriculum.comparison.machines import Machines
    from curriculum.comparison.workers import Task
    from curriculum.search.schedule import Job, Schedule, Trial
    from curriculum.search.study import Study
    from curriculum.setting.config import Config

PROG = "python -m curriculum.sweep"
USAGE = f'usage: {PROG} --search "FLAG=VALUES" [FLAGS OF curriculum.train]'
SLURM = "slurm"


def main(argv: list[str] | None = None) -> None:
    """Search, then train the best setting on fresh seeds and report."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == [SLURM]:
        write_job(argv[1:])
        return
    if flags.asks_for_help(argv):
        print(f"{USAGE}\n\n{__doc__}\n{help_text()}")
        return
    status = 2  # refused before training
    folder = None
    finished = False
    trust = trusting_words(argv)
    with train.signals() as stop, Progress().following(stop), trust:
        try:
            with phase("setup", 0, "", detail="loading settings and libraries"):
                search = prepare(argv)
            folder = search.study.folder
            status = 1
            with search.study.lock:
                finished = search.run(stop)
        except (ValueError, OSError) as error:
            flags.fail(PROG, error, status)
        except Interrupted:
            pass
    if not finished:
        flags.fail(PROG, _stopped(stop, folder), 128 + stop.signal)


def help_text() -> str:
    """The flags of a search in the form of `--help`."""
    from curriculum.comparison import machines
    from curriculum.search import options

    lines = ["flags of a search:"]
    for flag, text in (options.HELP | machines.HELP).items():
        lines.append(f"  --{flag}")
        indent = " " * 6
        lines += textwrap.wrap(
            text, 76, initial_indent=indent, subsequent_indent=indent
        )
    return "\n".join(lines)


def _stopped(stop: train.Stop, folder: Path | None) -> str:
    from curriculum.run.mirror import shown

    if folder is None or not folder.is_dir():
        return "stopped before anything was written"
    return f"stopped; the same command goes on with {shown(folder)}"


def prepare(argv: list[str]) -> "Search":
    """Check what is asked for, and create the folder of the search or find it."""
    from curriculum.comparison import executors, machines
    from curriculum.search import options, samplers, space, study
    from curriculum.search.schedule import Schedule

    given, words = options.split(argv, options.KINDS | machines.KINDS)
    chosen = options.read(given)
    where = machines.read(given)
    executors.require_answer(where)
    parameters = space.parse(chosen.search)
    sampler = samplers.make(
        chosen.sampler, parameters, chosen.sampler_seed, chosen.maximize
    )
    found = study.find(chosen, words, shlex.join([*PROG.split(), *argv]))
    schedule = Schedule(
        sampler=sampler,
        rungs=found.rungs,
        seeds=len(found.base.seeds),
        most_trials=chosen.most_trials,
        factor=chosen.halving,
        concurrent=chosen.concurrent,
        budget=chosen.budget,
        maximize=chosen.maximize,
    )
    return Search(found, schedule, where, argv)


class Search:
    """Carries out a search."""

    def __init__(
        self,
        study: "Study",
        schedule: "Schedule",
        machines: "Machines",
        argv: list[str],
    ):
        self.study = study
        self.schedule = schedule
        self.machines = machines
        self.argv = argv
        self.job_of: dict[str, Job] = {}  # by the name of its task

    def run(self, stop: Callable[[], bool]) -> bool:
        """Make the search and its report; returns whether all of it was done."""
        from curriculum.comparison import executors, workers

        rungs = ", ".join(f"{rung:,}" for rung in self.study.rungs)
        print(
            f"search {self.study.folder}: rungs at {rungs}, {self.machines.text}; the "
            f"messages of a trial are in its folder, in {workers.LOG}",
            file=sys.stderr,
        )
        with executors.opened(self.machines, self.argv) as executor:
            self._advance()
            if self.schedule.first() and not self._train_trials(executor, stop):
                return False
            best = self.schedule.best()
            if best is None:
                problems = {trial.problem for trial in self.schedule.trials}
                raise ValueError(f"every trial failed: {'; '.join(sorted(problems))}")
            if not self._train_fresh(executor, best, stop):
                return False
        self._report(best)
        return True

    # --- trials ---

    def _train_trials(self, executor: "Executor", stop: Callable[[], bool]) -> bool:
        """Train trials until the schedule has none left; returns whether it came to
        that."""
        from curriculum.comparison import execution

        total = self.schedule.most_trials
        if self.study.options.sampler == "grid":
            total = min(
                total, math.prod(len(each.choices) for each in self.study.space)
            )
        with phase("search", total, "trials") as current:

            def show(shares: Mapping[str, float]) -> None:
                self._show(current)

            ended = execution.train(
                executor, self._next, stop, show, self.machines.retries
            )
            with closing(ended) as every:
                for each in every:
                    self._take(each.task, each.problem, each.seconds)
        self._advance()
        return self.schedule.first() is None

    def _show(self, current: Phase) -> None:
        best = self.schedule.best()
        detail = "" if best is None else f"best {best.values[-1]:.4g}"
        trials = self.schedule.trials
        done = sum(bool(trial.values or trial.problem) for trial in trials)
        current.report(done, detail)

    def _advance(self) -> None:
        """Take in all results that are known, in the schedule's order."""
        while True:
            self.schedule.fill()
            job = self.schedule.first()
            if job is None or job not in self.study.results:
                return
            self.study.require_same(self.schedule.trials[job.trial])
            self.schedule.tell(self.study.results[job])

    def _next(self) -> "Task | None":
        """The next part of a trial to be trained; None if there is none now."""
        from curriculum.search.schedule import Result

        while True:
            self._advance()
            job = next((job for job in self.schedule.jobs if self._is_open(job)), None)
            if job is None:
                return None
            trial = self.schedule.trials[job.trial]
            self.study.require_same(trial)
            try:
                return self._task(job, self.study.config_of(trial.settings))
            except ValueError as problem:
                failed = Result(float("nan"), problem=str(problem))
                self.study.keep(job, trial, failed)

    def _is_open(self, job: "Job") -> bool:
        """Whether a job has neither been begun nor a result."""
        return job not in self.study.results and job not in self.job_of.values()

    def _task(self, job: "Job", config: "Config") -> "Task":
        """The part of a trial that a job is."""
        from curriculum.comparison import workers

        run = self.study.run_of(job.trial)
        workers.prepare(config, run)
        name = f"{job.trial} rung {job.rung + 1}"
        self.job_of[name] = job
        until = self.study.until(job.rung, config)
        share = self.machines.gpu_share
        return workers.task_of(name, config, run, share, until=until, kind="trial")

    def _take(self, task: "Task", problem: str, seconds: float) -> None:
        """Keep the result of a part of a trial."""
        from curriculum.search.schedule import Result

        job = self.job_of[task.name]
        trial = self.schedule.trials[job.trial]
        if problem:
            print(f"{task.title} failed: {problem}", file=sys.stderr)
            result = Result(float("nan"), seconds=seconds, problem=problem)
        else:
            config = self.study.config_of(trial.settings)
            measured = self.study.measure(job, config)
            result = measured._replace(seconds=seconds)
        self.study.keep(job, trial, result)

    # --- the best one ---

    def _train_fresh(
        self, executor: "Executor", best: "Trial", stop: Callable[[], bool]
    ) -> bool:
        """Train the best setting on fresh seeds; returns whether that is done."""
        from curriculum.comparison import execution, workers
        from curriculum.run import folders

        config = self.study.fresh_config(best.settings)
        run = self.study.fresh_run
        workers.prepare(config, run)
        if folders.is_finished(run):
            return True
        share = self.machines.gpu_share
        task = workers.task_of(
            "on fresh seeds", config, run, share, kind="best setting"
        )
        source = execution.one_by_one([task])
        ended = execution.train(executor, source, stop, retries=self.machines.retries)
        with closing(ended) as every:
            for each in every:
                each.require_success()
        return folders.is_finished(run)

    def _report(self, best: "Trial") -> None:
        """Write the page, the table, the figure and the settings, and print them."""
        from curriculum.files import write_text
        from curriculum.report import figures, search_page
        from curriculum.run import folders
        from curriculum.setting.config import flat

        study = self.study
        label = study.label
        scores = search_page.Scores(
            number=best.number,
            settings=study.taken(best.settings),
            searched=best.values[-1],
            own=_final(study.run_of(best.number), study.options.measure),
            fresh=_final(study.fresh_run, study.options.measure),
        )
        lines = [
            search_page.Line(each.number, each.settings, each.values, each.problem)
            for each in self.schedule.trials
        ]
        schedule = self.schedule
        spent = search_page.spent(schedule.steps, schedule.calls, schedule.seconds)
        # a flag that the plug-ins of a trial do not have is shown as such
        shown = [
            line._replace(settings=study.shown(trial.settings))
            for line, trial in zip(lines, self.schedule.trials, strict=True)
        ]
        logs = [each.flag for each in study.space if each.is_logarithmic]
        drawn = search_page.figure(label, study.rungs, lines, logs)
        folder = study.folder
        figures.save(drawn, folder / "search.png")
        write_text(folder / "trials.csv", search_page.table(study.rungs, shown))
        settings = flat(study.config_of(best.settings))
        folders.write(folder / "best.yaml", settings)
        page = search_page.markdown(
            title=folder.name,
            command=shlex.join([*PROG.split(), *self.argv]),
            label=label,
            rungs=study.rungs,
            lines=shown,
            spent=spent,
            scores=scores,
            picture="search.png",
        )
        write_text(folder / "search.md", page)
        print(f"\n{len(lines)} trials: {spent}\n{search_page.text(label, scores)}\n")
        print(f"page      {folder}/search.md, and trials.csv, search.png beside it")
        print(f"settings  {folder}/best.yaml, for --config")


def _final(run: Path, tag: str) -> "np.ndarray":
    """The last value of a tag in a finished run [P], on episodes that chose nothing
    where it is one of evaluations; empty if the run is not finished."""
    import numpy as np

    from curriculum.report import curves, measures
    from curriculum.run import folders

    if not folders.is_finished(run):
        return np.empty(0)
    curve = curves.read_curve(run)
    [found] = measures.measures({"": curve}, measures.Terms(tags=(tag,))).values()
    return next(iter(found.values())).values


# --- Slurm ---


def write_job(argv: list[str]) -> None:
    """Write a script for Slurm."""
    from curriculum.comparison import slurm

    if flags.asks_for_help(argv) or not argv:
        print(slurm.help_text())
        return
    try:
        path = slurm.write(argv)
    except (ValueError, OSError) as error:
        flags.fail(f"{PROG} {SLURM}", error)
    print(f"job  {path}; submit it with: sbatch {shlex.quote(str(path))}")


if __name__ == "__main__":
    main()
