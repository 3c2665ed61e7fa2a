"""Collection by several processes, in rounds that are the same however fast each is.

The rows of every seed are divided among N workers, each with a planner of its own. In
a round all workers play the same number of steps with the same weights; their steps are
joined in order of workers and enter the buffer one after the other, each followed by
the updates that it has earned. While the learner trains on one round, the workers play
up to `rounds_ahead` further ones, and no more: weights are at most `rounds_ahead + 1`
rounds old, and a slow learner is waited for. What a round holds depends on the rounds
before it, never on the clock, so a run can be resumed exactly.

Workers are told everything they need to play a round, and their states come back with
it. A worker that ends is therefore replaced, from the state it had before the rounds
that it still owes.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from curriculum.activity import Interrupted, is_stopping, phase
from curriculum.envs._base.door import name_of
from curriculum.envs._base.native import Grid
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import SOURCE, Buffer
from curriculum.replay.layout import Transition
from curriculum.run import folders, messages
from curriculum.run.collection_worker import ACTING
from curriculum.run.collector import Conditions, Foresee, Visit
from curriculum.run.health import Health
from curriculum.run.ledger import Ledger
from curriculum.run.planner_use import COUNTED, PlannerUse
from curriculum.run.tracks import Tracks
from curriculum.setting.config import Config, flat
from curriculum.types import Collector as CollectorProtocol
from curriculum.types import Planner, State, World

MOST_DEATHS = 3  # of one worker without a round in between
SETTINGS = "settings.yaml"


class Worker(Protocol):
    """A worker as the trainer sees it; `collection_worker.Link` is one."""

    def send(self, order: State) -> None: ...
    def receive(self, look: Callable[[], None]) -> State: ...
    def problem(self) -> str: ...
    def close(self) -> None: ...


@dataclass
class Round:
    """Steps that all workers play with the same weights."""

    order: State  # what the workers are told
    version: int  # updates that its weights have had
    # what was played, [n, P, E, ...] by name; empty while the workers play
    fields: State
    use: State  # of the planner, [n, P] by name
    stopped: list[list[Any]]  # indices of seeds, and why they were stopped
    taken: int = 0  # steps that have entered the buffer

    @property
    def left(self) -> int:
        """Steps that have not entered the buffer."""
        steps: int = self.order["steps"]
        return steps - self.taken


class Collectors(CollectorProtocol):
    """Steps E rows of each of P seeds in `config.collectors` processes; see
    `curriculum.run.collector.Collector`, in whose place it stands."""

    planner: Planner | None = None  # each worker has its own
    advisor = None  # planners there do not listen to the learner

    def __init__(
        self,
        config: Config,
        world: World,
        learner: Learner,
        buffer: Buffer,
        health: Health,
        hint: str = "",
        visit: Visit = lambda obs, next_obs, healthy: None,
        tracks: Tracks | None = None,
    ):
        self.config = config
        self.world = world
        self.learner = learner
        self.buffer = buffer
        self.health = health
        self.hint = hint
        self.visit = visit
        self.tracks = tracks
        seeds = len(config.seeds)
        self.shape = (seeds, config.rows)  # (P, E)
        self.use = PlannerUse(seeds)
        self.rounds: deque[Round] = deque()
        self.states: list[State] = []  # of the workers, before what they still owe
        self.answers: list[State] = []  # of the round that is waited for
        self.deaths = [0] * config.collectors
        self.knows_success = np.full(seeds, world.has_success)
        self.ledger = Ledger(*self.shape, (0,))
        self.inexact_resumes = np.zeros(seeds, np.int64)
        self.start_steps = 0
        self.waited = 0.0  # seconds for workers, since the last report
        self.reported = time.monotonic()
        # since the last report: steps, and the updates that their weights were behind
        self.behind = np.zeros(3, np.int64)
        self.messages: set[str] = set()  # of workers, that were printed
        self.closing = ExitStack()
        self.begin_start()

    # --- processes ---

    def begin(
        self, start: Callable[[Path, int], Worker], one_first: bool = False
    ) -> None:
        """Start the workers, each by its number and the file of settings, and their
        first episodes; with `one_first`, the others find what the first one has
        prepared for its planner.

        ValueError says what a worker could not do."""
        folder = Path(self.closing.enter_context(TemporaryDirectory()))
        folders.write(folder / SETTINGS, flat(self.config))
        self.start: Callable[[int], Worker] = lambda i: start(folder / SETTINGS, i)
        self.workers: list[Worker] = []
        answers: list[State] = []
        for index in range(self.config.collectors):
            self.workers.append(self.start(index))
            self.workers[index].send({"do": "reset"})
            if one_first and index == 0:
                answers.append(self._receive(0))
        for index in range(len(answers), self.config.collectors):
            answers.append(self._receive(index))
        if answers[0]["has_cells"]:
            assert isinstance(self.world, Grid)
            self.ledger = Ledger(*self.shape, self.world.cells)
        self._keep_states(answers)

    def reset(self) -> None:
        """The episodes have begun with the processes."""
        self.health.require_any()

    def close(self) -> None:
        """End the processes."""
        for worker in getattr(self, "workers", []):
            worker.close()
        self.workers = []
        self.closing.close()

    def _receive(self, index: int) -> State:
        """The next answer of a worker; a worker that has ended is replaced.

        Raises Interrupted once the run is asked to stop."""
        while True:
            try:
                return self._checked(self.workers[index].receive(_look))
            except messages.Ended:
                self._replace(index)
                if not self.states:
                    self.workers[index].send({"do": "reset"})
                    continue
                self._restore(index)
                for each in self.rounds:
                    if not each.fields:
                        self.workers[index].send(_own(each.order, index))

    def _restore(self, index: int) -> State:
        """Let a worker go on from its state; returns its answer."""
        while True:
            self.workers[index].send({"do": "load", "state": self.states[index]})
            try:
                return self._checked(self.workers[index].receive(_look))
            except messages.Ended:
                self._replace(index)

    def _checked(self, answer: State) -> State:
        """An answer whose messages are printed; ValueError says what a worker could
        not do."""
        for line in answer["notes"].splitlines():
            if line not in self.messages:
                self.messages.add(line)
                print(line, file=sys.stderr)
        if "problem" in answer:
            raise ValueError(answer["problem"])
        return answer

    def _replace(self, index: int) -> None:
        """Start another process where one has ended; ValueError if that happens again
        and again."""
        problem = self.workers[index].problem()
        self.workers[index].close()
        self.deaths[index] += 1
        place = f"collector {index + 1} of {self.config.collectors} {problem}"
        if self.deaths[index] >= MOST_DEATHS:
            raise ValueError(
                f"{place}, {MOST_DEATHS} times without having played a round; what "
                "was saved stands, so the run can be resumed with --resume"
            )
        print(f"{place}; another one goes on from its last state", file=sys.stderr)
        self.workers[index] = self.start(index)

    def _keep_states(self, answers: Sequence[State]) -> None:
        self.states = [answer["state"] for answer in answers]
        knows = [answer["knows_success"] for answer in answers]
        self.knows_success = np.any(knows, axis=0)
        self.deaths = [0] * len(answers)

    # --- rounds ---

    def await_step(self, left: int, conditions: Foresee) -> None:
        """Wait until the next step of the online phase can be taken, of `left` steps of
        all rows; `conditions` says how they are played.

        Raises Interrupted once the run is asked to stop; nothing has changed then."""
        self._await("collect", left, conditions)

    def _await(
        self, kind: str, left: int, conditions: Foresee, noise: float = 0.0
    ) -> None:
        """Have rounds played of which at most `left` steps are to be taken, and wait
        for the first one."""
        if self.rounds and self.rounds[0].fields:
            return
        while len(self.rounds) <= self.config.rounds_ahead:
            asked = sum(each.left for each in self.rounds)
            steps = min(self.config.round_steps, left - asked)
            if steps <= 0:
                break
            self._ask(kind, steps, conditions(asked, steps), noise)
        began = time.monotonic()
        try:
            while len(self.answers) < self.config.collectors:
                self.answers.append(self._receive(len(self.answers)))
        finally:
            self.waited += time.monotonic() - began
        self._join(self.rounds[0], self.answers)
        self._keep_states(self.answers)
        self.answers = []

    def _ask(self, kind: str, steps: int, conditions: Conditions, noise: float) -> None:
        """Have a round played with the present weights."""
        members = self.learner.weights.members
        weights: dict[str, Tensor] = {
            name: own.vector.cpu().clone()
            for name, own in members.items()
            if name.startswith(ACTING)
        }
        granted = self._grants(steps)
        order: State = {
            "do": "play",
            "kind": kind,
            "steps": steps,
            "noise": noise,
            "rate": conditions.rate,
            "exploration": conditions.exploration,
            "healthy": self.health.healthy.copy(),
            "weights": weights,
        }
        self.rounds.append(
            Round(order | {"granted": granted}, self.learner.updates, {}, {}, [])
        )
        self._send(self.rounds[-1])

    def _send(self, asked: Round) -> None:
        """Tell all workers to play a round, unless they have played it."""
        if asked.fields:
            return
        for index, worker in enumerate(self.workers):
            worker.send(_own(asked.order, index))

    def _grants(self, steps: int) -> np.ndarray:
        """Calls that each worker may make for each seed in a round, [N, P]: what is
        left of the budget, shared evenly. What rounds that are not over may still use
        is not left."""
        workers = self.config.collectors
        seeds, rows = self.shape
        if not self.config.planner_budget:
            return np.full((workers, seeds), np.inf)
        reserved = sum(each.order["granted"].sum(0) for each in self.rounds)
        left = self.config.planner_budget - self.use.calls - reserved
        left = np.clip(left, 0, steps * rows).astype(np.int64)
        first = np.arange(workers)[:, None] < left % workers
        return left // workers + first

    def _join(self, played: Round, answers: Sequence[State]) -> None:
        """Take in what the workers have played, in their order."""
        names = answers[0]["fields"]
        for name in names:
            shares = [answer["fields"][name] for answer in answers]
            played.fields[name] = np.concatenate(shares, axis=2)
        for name in COUNTED:
            used = [np.asarray(answer["use"][name]) for answer in answers]
            played.use[name] = np.sum(used, axis=0)
        # a list: arrays hold no wall times
        played.use["seconds"] = played.use["seconds"].tolist()
        for answer in answers:
            played.stopped += answer["stopped"]
        played.order = {
            name: played.order[name] for name in ("do", "kind", "steps", "granted")
        }

    def _take(self, keep: str) -> tuple[Transition, np.ndarray]:
        """Put the next step that was played into the buffer, or what of it has the
        source `keep`; also returns the successes [P, E].

        Raises ValueError once every seed was stopped."""
        played = self.rounds[0]
        step = played.taken
        played.taken += 1
        fields = {name: value[step] for name, value in played.fields.items()}
        success = fields.pop("success", np.zeros(self.shape, bool))
        cell = fields.pop("cell", None)
        transition = Transition(**fields)
        counts = {name: np.asarray(played.use[name][step]) for name in COUNTED}
        self.use.add_counts(counts)
        self._count_age(played.version)
        for index, problem in played.stopped:
            self.health.stop(index, problem)
        mask = None if keep == "all" else transition.source == SOURCE[keep]
        if self.health.problems:
            self.health.require_any()
            healthy = self.health.healthy[:, None].repeat(self.shape[1], 1)
            mask = healthy if mask is None else mask & healthy
        self.buffer.add(transition, mask)
        self.visit(transition.obs, transition.next_obs, self.health.healthy)
        if self.tracks:
            self.tracks.add(transition)
        if cell is not None:
            self.ledger.visit(cell)
        if not played.left:
            self.rounds.popleft()
        return transition, success

    def _count_age(self, version: int) -> None:
        """Count by how many updates the weights behind a step are old."""
        age = self.learner.updates - version
        self.behind += (1, age, 0)
        self.behind[2] = max(self.behind[2], age)

    # --- what a run asks for ---

    def collect(self, rate: np.ndarray, step: int) -> None:
        """Take one step in every row, to environment step `step`; `await_step` has
        said at which rates."""
        transition, success = self._take(self.config.store)
        self.ledger.add(step, transition, success)

    def begin_start(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Begin to fill the buffer, or begin again; see `Collector.begin_start`."""
        self.passed_over = 0
        self.after_step = after_step

    def play_planner(self, transitions: int, noise: float = 0.0) -> None:
        self._fill("planner", transitions, noise)

    def play_random(self, transitions: int) -> None:
        self._fill("random", transitions)

    def steps_for(self, transitions: int) -> int:
        """Steps of all rows that give each seed at least so many transitions."""
        return -(-transitions // self.shape[1])

    def _fill(self, kind: str, transitions: int, noise: float = 0.0) -> None:
        """Take the steps of a start, but those that were taken before, as a phase."""
        rows = self.shape[1]
        steps = self.steps_for(transitions)

        def conditions(asked: int, more: int) -> Conditions:
            exploration = self.learner.exploration_now
            played = np.ones((more, self.shape[0]))
            return Conditions(played, played * exploration)

        with phase("start", steps * rows, "transitions", self.hint) as current:
            for number in range(steps):
                if self.passed_over < self.start_steps:
                    self.passed_over += 1
                    current.report(current.done + rows)
                    continue
                self._await(kind, steps - number, conditions, noise)
                self._take("all")
                self.start_steps += 1
                self.passed_over += 1
                self.after_step()
                current.advance(rows)

    @property
    def spent(self) -> np.ndarray:
        """Which seeds have spent their planner's budget, [P] bool."""
        return self.use.calls >= (self.config.planner_budget or np.inf)

    @property
    def grid_world(self) -> Grid | None:
        """The world, if it has cells whose visits are counted."""
        return self.world if isinstance(self.world, Grid) else None

    def episode_values(self) -> dict[str, np.ndarray]:
        """Averages over recent episodes, and how old the weights were that played, [P]
        each."""
        values = self.ledger.values(self.knows_success)
        if self.inexact_resumes.any():
            values["rollout/inexact_resumes"] = self.inexact_resumes.copy()
        steps, total, largest = self.behind.tolist()
        seeds = self.shape[0]
        values["collectors/staleness_updates"] = np.full(seeds, total / max(steps, 1))
        values["collectors/staleness_updates_max"] = np.full(seeds, largest)
        self.behind[:] = 0
        return values

    def time_values(self) -> dict[str, np.ndarray]:
        """What the planner took, and the share of the time since the last report for
        which the learner waited for workers, [P] each."""
        now = time.monotonic()
        share = self.waited / max(now - self.reported, 1e-9)
        self.waited = 0.0
        self.reported = now
        waits = {"collectors/wait_share": np.full(self.shape[0], share)}
        return self.use.time_values() | waits

    # --- checkpoints ---

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here, whatever the
        workers are doing."""
        return {
            "collectors": self.config.collectors,
            "workers": self.states,
            "rounds": [dict(vars(each)) for each in self.rounds],
            "use": self.use.state(),
            "ledger": self.ledger.state(),
            "start_steps": self.start_steps,
            "inexact_resumes": self.inexact_resumes,
            "behind": self.behind.copy(),
            "tracks": self.tracks.state() if self.tracks else {},
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned; the workers play again what they owed."""
        if state.get("collectors") != self.config.collectors:
            raise ValueError(
                f"the checkpoint is of a run with {state.get('collectors', 0)} "
                f"collectors, this one has {self.config.collectors}"
            )
        self.use.load(state["use"])
        self.ledger.load(state["ledger"])
        if self.tracks:
            self.tracks.load(state["tracks"])
        self.start_steps = state["start_steps"]
        self.behind[:] = state["behind"]
        self.rounds = deque(Round(**each) for each in state["rounds"])
        self.answers = []
        self.states = list(state["workers"])
        answers = [self._restore(index) for index in range(len(self.workers))]
        self._keep_states(answers)
        for each in self.rounds:
            self._send(each)
        self.inexact_resumes[:] = state["inexact_resumes"]
        inexact = np.any([answer["inexact"] for answer in answers], axis=0)
        self.inexact_resumes += inexact
        if inexact.any():
            print(
                f"world {name_of(self.world)} replays differently, so this run "
                "continues, but not exactly; draw all random numbers of the world from "
                "the generator that reset(seed=...) seeds",
                file=sys.stderr,
            )


def _look() -> None:
    """Stop to wait once the run is asked to stop."""
    if is_stopping():
        raise Interrupted


def _own(order: State, index: int) -> State:
    """The order of a round as one worker is told it."""
    return order | {"granted": order["granted"][index]}
