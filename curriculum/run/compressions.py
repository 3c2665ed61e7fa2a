"""The compressions of a run that trains: measured in a process of their own, so that
training waits for no more than copies of weights and observations.

At the end there is nothing to hold up, and the last one is measured in this process.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from curriculum.activity import phase
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import Buffer
from curriculum.run import compression_worker as files
from curriculum.run import folders
from curriculum.run.compressing import (
    IN_TRAINING,
    measure_policy,
    originals_of,
    split,
    values_of,
)
from curriculum.setting import techniques
from curriculum.setting.config import Config, flat
from curriculum.types import Spec, Technique, World

FOLDER = "compressed"  # of a run
HINT = "--techniques or --eval-episodes"
LOOK = 0.1  # seconds between looks at the worker

Values = dict[str, np.ndarray]  # of a record of compression, [P] each


class Moment(NamedTuple):
    """When policies were handed over."""

    name: str  # of their folder
    step: int  # environment steps of one seed
    updates: int | None  # of the offline phase, if it is a moment of that
    is_online: bool  # of the online phase; both at the border of the two


class Compressions:
    """What is measured, and what waits for it: `moments`, oldest first."""

    def __init__(
        self,
        config: Config,
        world: World,
        spec: Spec,
        made: Sequence[Technique],
        folder: Path | None,
    ):
        self.config = config
        self.world = world
        self.spec = spec
        self.techniques = made
        self.moments: list[Moment] = []
        self._folder = folder / FOLDER if folder else None
        self._worker: files.Worker | None = None
        self._measured: set[tuple[str, int]] = set()  # moments and seeds
        self._ended: dict[str, str] = {}  # moment -> why it could not be measured
        self._closing = ExitStack()

    @property
    def folder(self) -> Path:
        """Where the policies go: the run's folder, or a temporary one."""
        if self._folder is None:
            self._folder = Path(self._closing.enter_context(TemporaryDirectory()))
        return self._folder

    def hand_over(
        self,
        moment: Moment,
        learner: Learner,
        buffer: Buffer,
        contracts: Sequence[dict[str, Any]],
    ) -> None:
        """Write everything that a worker needs to measure the policies of this moment.

        Raises Unsupported where a policy file cannot hold them."""
        originals = originals_of(learner, contracts, self.folder / moment.name)
        splits = split(buffer, learner.seeds)
        for original, own in zip(originals, splits, strict=True):
            files.write_observations(own, original.parent)
        self.moments.append(moment)
        if self._worker:
            self._worker.measure(moment.name)
        self._hear()

    def measure(
        self,
        moment: Moment,
        learner: Learner,
        buffer: Buffer,
        contracts: Sequence[dict[str, Any]],
    ) -> Values:
        """Measure the policies of this moment here.

        Raises Unsupported where a policy file cannot hold them."""
        originals = originals_of(learner, contracts, self.folder / moment.name)
        splits = split(buffer, learner.seeds)
        measured = []
        with phase("compression", len(originals), "seeds", HINT) as current:
            for index, seed in enumerate(learner.seeds):
                found = measure_policy(
                    originals[index],
                    splits[index],
                    self.techniques,
                    self.world,
                    self.spec,
                    range(self.config.eval_episodes),
                    seed,
                    IN_TRAINING,
                    _announce,
                )
                measured.append(found.figures)
                current.advance()
        return values_of(measured)

    @property
    def can_be_handed_over(self) -> bool:
        """Whether another process finds the world and the techniques by their names: it
        does not find what a notebook defines."""
        chosen = [techniques.parts(each) for each in self.techniques]
        plugged: list[Any] = [self.world, *(part for each in chosen for part in each)]
        kinds = map(type, plugged)
        return not any(
            kind.__module__ == "__main__" or "<locals>" in kind.__qualname__
            for kind in kinds
        )

    def has_arrived(self) -> bool:
        """Whether `take` gives or drops something."""
        if not self.moments:
            return False
        self._hear()
        return self.moments[0].name in self._ended

    def take(self) -> Iterator[tuple[Moment, Values]]:
        """What has been measured since, in order; moments that could not be are said on
        `sys.stderr`."""
        self._hear()
        while self.moments and self.moments[0].name in self._ended:
            moment = self.moments.pop(0)
            problem = self._ended.pop(moment.name)
            if problem:
                print(_failure(moment, problem), file=sys.stderr)
                continue
            yield moment, self._values(moment)

    def wait(self) -> None:
        """Wait until all moments are over; raises Interrupted once the run is asked to
        stop."""
        policies = [
            (each.name, seed) for each in self.moments for seed in self.config.seeds
        ]
        if not policies:
            return
        with phase("handed over", len(policies), "policies", HINT) as current:
            while True:
                self._hear()
                over = self._measured.union(
                    each for each in policies if each[0] in self._ended
                )
                left = sum(each.name not in self._ended for each in self.moments)
                current.update(len(over.intersection(policies)), f"{left} left")
                if not left:
                    return
                time.sleep(LOOK)

    def _values(self, moment: Moment) -> Values:
        folder = self.folder / moment.name
        return values_of(
            [files.read_measured(folder / f"seed{seed}") for seed in self.config.seeds]
        )

    def _hear(self) -> None:
        """Take in what the worker says; start one where there is none."""
        if self.moments and self._worker is None:
            self._start()
        if self._worker is None:
            return
        problem = self._worker.problem()  # before it is heard for the last time
        for told in self._worker.hear():
            if told.seed is None:
                self._ended[told.moment] = told.problem
            else:
                self._measured.add((told.moment, told.seed))
        if problem:
            self._replace_worker(problem)

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        folders.write(self.folder / files.SETTINGS, flat(self.config))
        self._worker = files.Worker(self.folder)
        for moment in self.moments:
            if moment.name not in self._ended:
                self._worker.measure(moment.name)

    def _replace_worker(self, problem: str) -> None:
        """Give up the moment at which the worker ended; the next call starts
        another."""
        assert self._worker is not None
        self._worker.close()
        self._worker = None
        left = [each.name for each in self.moments if each.name not in self._ended]
        if left:
            self._ended[left[0]] = problem

    def close(self) -> None:
        """End the worker; what is left can be measured by a run that is resumed."""
        if self._worker:
            self._worker.close()
            self._worker = None
            files.tidy(self.folder)
        self._closing.close()

    def state(self) -> list[list[Any]]:
        """The moments that are not recorded yet."""
        return [list(moment) for moment in self.moments]

    def load(self, state: Sequence[Sequence[Any]]) -> None:
        """Go on with the moments of a checkpoint whose files are left; says of others
        that they are not."""
        self.moments = []
        for moment in (Moment(*each) for each in state):
            folder = self.folder / moment.name
            seeds = [folder / f"seed{seed}" for seed in self.config.seeds]
            if all(map(files.is_left, seeds)):
                self.moments.append(moment)
            else:
                problem = f"its files are not in {folder}"
                print(_failure(moment, problem), file=sys.stderr)


def _failure(moment: Moment, problem: str) -> str:
    return f"compression at {moment.name} is left out: {problem}; training goes on"


def _announce(owner: int, problem: str) -> None:
    """Print why the return of a compressed policy is nan."""
    print(problem, file=sys.stderr)
