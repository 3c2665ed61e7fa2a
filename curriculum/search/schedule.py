"""Which trial is trained next, and how far: asynchronous successive halving (ASHA; Li
et al., 2020, arXiv 1810.05934).

A trial is trained up to a rung, a number of steps; the best of those that came to a
rung, one of `factor`, go on to the next. In ASHA that is decided as results arrive, so
it depends on which worker is faster. Here results are taken in by a clock of the
search's own, on which a job lasts as long as it has steps and `concurrent` jobs run at
a time: a search has the same result on one machine, on many, and when it is resumed.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from curriculum.search.space import Settings

MOST_PROPOSALS = 100  # of settings that were tried before: then there are no others
MOST_FAILURES = 3  # of the first trials, all of them: then the search ends


class Job(NamedTuple):
    """A trial that is to be trained up to a rung."""

    trial: int
    rung: int  # index


class Result(NamedTuple):
    """What a job brought."""

    value: float  # nan where it failed
    calls: float = 0.0  # of the planner
    seconds: float = 0.0
    problem: str = ""  # why it failed


@dataclass(kw_only=True, eq=False)
class Trial:
    """A setting and its results so far."""

    number: int
    settings: Settings
    rungs: int  # of the search
    values: list[float] = field(default_factory=list)  # at each rung it came to
    is_running: bool = False
    problem: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether it was trained to the end."""
        return len(self.values) == self.rungs


class Budget(NamedTuple):
    """What a search may spend; infinite: no limit."""

    steps: float = math.inf  # environment steps of all seeds; updates of offline runs
    calls: float = math.inf  # of the planner
    seconds: float = math.inf  # of training, all runs added up


class Proposes(Protocol):
    """A sampler (`curriculum.search.samplers`)."""

    def propose(self, trials: Sequence[Trial]) -> Settings | None: ...


class Schedule:
    """Decides what a search does next.

    Call `fill`, take in the result of the job `first` by `tell`, and so on, until
    `first` is None."""

    def __init__(
        self,
        sampler: Proposes,
        rungs: Sequence[int],
        seeds: int,
        most_trials: int,
        factor: int,
        concurrent: int,
        budget: Budget,
        maximize: bool = True,
    ):
        self.sampler = sampler
        self.rungs = rungs
        self.seeds = seeds
        self.most_trials = most_trials
        self.factor = factor
        self.concurrent = concurrent
        self.budget = budget
        self.sign = 1.0 if maximize else -1.0
        self.trials: list[Trial] = []
        self.promoted: list[set[int]] = [set() for _ in rungs]
        self.running: list[tuple[float, int, Job]] = []  # end, order; a heap
        self.now = 0.0
        self.begun = 0
        self.steps = 0.0  # of the jobs that have begun
        self.calls = 0.0  # of the jobs that have ended
        self.seconds = 0.0
        self.is_exhausted = False  # whether there is no other setting

    # --- what is to be done ---

    @property
    def jobs(self) -> list[Job]:
        """The jobs under way, in the order in which they began."""
        return [job for _, _, job in sorted(self.running, key=lambda each: each[1])]

    def first(self) -> Job | None:
        """The job whose result is taken in next; None if the search is over."""
        return self.running[0][2] if self.running else None

    def fill(self) -> None:
        """Begin jobs as long as there is room for them."""
        while len(self.running) < self.concurrent:
            job = self._promotion() or self._new() or self._last_promotion()
            if job is None:
                return
            self._begin(job)

    def cost(self, rung: int) -> int:
        """Steps of all seeds from the rung before up to this one."""
        before = self.rungs[rung - 1] if rung else 0
        return (self.rungs[rung] - before) * self.seeds

    def _begin(self, job: Job) -> None:
        cost = self.cost(job.rung)
        self.steps += cost
        self.begun += 1
        self.trials[job.trial].is_running = True
        heapq.heappush(self.running, (self.now + cost, self.begun, job))

    def _is_affordable(self, rung: int) -> bool:
        return (
            self.steps + self.cost(rung) <= self.budget.steps
            and self.calls < self.budget.calls
            and self.seconds < self.budget.seconds
        )

    def _promotion(self) -> Job | None:
        """The best trial that may go on, of the highest rung that has one."""
        for rung in reversed(range(len(self.rungs) - 1)):
            ranked = self._ranked(rung)
            among = ranked[: len(ranked) // self.factor]
            for trial in among:
                if trial.number not in self.promoted[rung]:
                    return self._promote(trial, rung)
        return None

    def _promote(self, trial: Trial, rung: int) -> Job | None:
        if not self._is_affordable(rung + 1):
            return None
        self.promoted[rung].add(trial.number)
        return Job(trial.number, rung + 1)

    def _new(self) -> Job | None:
        """A new trial."""
        is_over = len(self.trials) >= self.most_trials or self.is_exhausted
        if is_over or not self._is_affordable(0) or self._all_failed():
            return None
        settings = self._other_setting()
        if settings is None:
            self.is_exhausted = True
            return None
        number = len(self.trials)
        trial = Trial(number=number, settings=settings, rungs=len(self.rungs))
        self.trials.append(trial)
        return Job(number, 0)

    def _other_setting(self) -> Settings | None:
        """A setting that was not tried: the same one has the same result. None if the
        sampler has no other one, or finds none."""
        tried = [trial.settings for trial in self.trials]
        for _ in range(MOST_PROPOSALS):
            settings = self.sampler.propose(self.trials)
            if settings not in tried:
                return settings
        return None

    def _last_promotion(self) -> Job | None:
        """The best trial of the highest rung, at the end of a search in which none came
        to the last rung: its result is to be that of a whole run."""
        if self.running:
            return None
        for rung in reversed(range(len(self.rungs))):
            ranked = self._ranked(rung)
            if ranked:
                is_last = rung == len(self.rungs) - 1
                return None if is_last else self._promote(ranked[0], rung)
        return None

    def _ranked(self, rung: int) -> list[Trial]:
        """The trials that came to a rung, the best first."""
        there = [trial for trial in self.trials if len(trial.values) > rung]
        return sorted(there, key=lambda trial: -self.sign * trial.values[rung])

    def _all_failed(self) -> bool:
        failed = [trial for trial in self.trials if trial.problem]
        return len(failed) >= MOST_FAILURES and len(failed) == len(self.trials)

    # --- what has happened ---

    def tell(self, result: Result) -> None:
        """Take in the result of the job `first`."""
        self.now, _, job = heapq.heappop(self.running)
        trial = self.trials[job.trial]
        trial.is_running = False
        trial.problem = result.problem
        self.calls += result.calls
        self.seconds += result.seconds
        if not result.problem:
            trial.values.append(result.value)

    def best(self) -> Trial | None:
        """The best trial of the highest rung that any came to; None if all failed."""
        for rung in reversed(range(len(self.rungs))):
            ranked = self._ranked(rung)
            if ranked:
                return ranked[0]
        return None


def rungs_of(total: int, first: int, factor: int, every: int) -> list[int]:
    """The rungs of a search in runs of `total` steps: the last one is its end, each
    other one a `factor` lower, at an evaluation, which there is `every` so many steps,
    and not below `first`."""
    rungs = [total]
    while factor > 1:
        lower = math.ceil(rungs[0] / factor / every) * every
        if lower < first or lower >= rungs[0]:
            break
        rungs.insert(0, lower)
    return rungs
