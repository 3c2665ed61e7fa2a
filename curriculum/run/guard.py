"""The guard of a planner: whatever it does, only valid actions reach the run."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from torch import Tensor

from curriculum.activity import Aborted, Interrupted
from curriculum.answers import BrokenAnswer, checked_decision
from curriculum.calls import described, is_fault, watched
from curriculum.nested import require_storable
from curriculum.run.worker import Late, Worker
from curriculum.types import Batch, Decision, Planner, Rows, Spec, State

# calls after which a planner that has not given one valid answer is given up
FIRST_CALLS = 20


class Answer(NamedTuple):
    """What came of asking a planner."""

    decision: Decision | None  # None if there was a failure
    # "": none; "fault": an error, or no valid actions; "late"; "busy": it was not asked
    # because an earlier call still goes on
    failure: str
    seconds: float
    simulator_seconds: float = 0.0  # of these, those that the planner names

    @property
    def action(self) -> np.ndarray | None:
        """The actions, [n] or [n, A]; None if there was a failure."""
        return None if self.decision is None else self.decision.action

    @property
    def fresh(self) -> np.ndarray | None:
        """Rows that were planned for now, [n] bool; None: all."""
        return None if self.decision is None else self.decision.fresh


def set_up(planner: Planner, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Planner:
    """Set up a planner; ValueError says what it raised."""
    name = f"planner {type(planner).__name__}"
    try:
        with watched(name):
            return planner.setup(rows, spec, seeds)
    except (ValueError, OSError):
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        raise ValueError(
            f"{name} cannot be set up, it raised {described(error)}"
        ) from error


def ask_strictly(
    planner: Planner, spec: Spec, obs: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """The actions of a planner that is set up, for observations [n, *O] of the rows
    with indices [n]; ValueError says what it did wrong."""
    name = f"planner {type(planner).__name__}"
    try:
        with watched(name):
            answer = planner.act(obs, rows)
            gives = planner.gives
            return checked_decision(answer, spec, gives, len(rows), name).action
    except BrokenAnswer:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        raise ValueError(f"{name} raised {described(error)}") from error


class Guard:
    """Asks a planner that is set up, and survives what it does.

    An answer that takes more than `deadline_ms` per row is dropped; 0 sets no limit.
    With a deadline the planner acts in a thread of its own: a call that is late goes
    on, and the planner is not asked again before it has returned. `instead` says who
    acts where the planner fails.

    Raises ValueError if each of the planner's first calls is a fault."""

    def __init__(
        self,
        planner: Planner,
        spec: Spec,
        deadline_ms: float = 0.0,
        instead: str = "the learner acts",
    ):
        self.planner = planner
        self.name = f"planner {type(planner).__name__}"
        self.spec = spec
        self.deadline = (deadline_ms or np.inf) / 1000  # seconds per row
        self.worker = Worker() if deadline_ms else None
        self.instead = instead
        self.problem = ""  # the first fault
        self.faults = 0  # calls before the first valid answer
        self.works = False  # whether it has given a valid answer
        self.last_state: State = {}
        self.simulator_seconds = 0.0  # of the last call

    @property
    def is_busy(self) -> bool:
        """Whether a call that was late still goes on."""
        return self.worker is not None and self.worker.busy

    def ask(self, obs: np.ndarray, rows: np.ndarray) -> Answer:
        """Ask for actions in the rows with indices [n], for observations [n, *O] that
        the planner may keep."""
        if self.is_busy:
            return Answer(None, "busy", 0.0)
        started = time.perf_counter()
        decision = None
        failure = ""
        try:
            decision = self._act(obs, rows)
        except Late:
            failure = "late"
        except Interrupted:
            # no checkpoint now: the planner is in the middle of a call
            raise Aborted from None
        except BaseException as error:
            if not is_fault(error):
                raise
            failure = "fault"
            self._note(error)
        seconds = time.perf_counter() - started
        if decision is not None:
            self.works = True
            if seconds > self.deadline * len(rows):
                return Answer(None, "late", seconds)
            return Answer(decision, failure, seconds, self.simulator_seconds)
        return Answer(None, failure, seconds)

    def _act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        if self.worker:
            timeout = self.deadline * len(rows)
            answer: Decision = self.worker.call(
                self._checked, obs, rows, timeout=timeout
            )
            return answer
        with watched(self.name):
            return self._checked(obs, rows)

    def _checked(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        answer = self.planner.act(obs, rows)
        self.simulator_seconds = self.planner.simulator_seconds()
        gives = self.planner.gives
        return checked_decision(answer, self.spec, gives, len(rows), self.name)

    def interrupt(self, rows: np.ndarray) -> None:
        """Tell the planner that somebody else acted in the rows with these indices,
        [n]; ValueError says what it raised."""
        if self.is_busy:
            return
        try:
            with watched(self.name):
                self.planner.interrupt(rows)
        except BaseException as error:
            if not is_fault(error):
                raise
            raise ValueError(
                f"{self.name} cannot go on: interrupt raised {described(error)}"
            ) from error

    def _note(self, error: BaseException) -> None:
        """Print the first fault; give up a planner that has never worked."""
        self.faults += not self.works
        if not self.problem:
            self.problem = f"{self.name} raised {described(error)}"
            if isinstance(error, BrokenAnswer):
                self.problem = str(error)
            print(f"{self.problem}; where it does, {self.instead}", file=sys.stderr)
        if not self.works and self.faults >= FIRST_CALLS:
            raise ValueError(
                f"{self.name} failed in each of its first {FIRST_CALLS} calls: "
                f"{self.problem}; mend it, or choose another --planner"
            ) from error

    def visit(self, obs: np.ndarray, next_obs: np.ndarray, present: np.ndarray) -> None:
        """Show a step of all rows to a planner that learns."""
        with self._learning():
            self.planner.visit(obs, next_obs, present)

    def observe(
        self, batch: Batch, step: int, has_data: np.ndarray
    ) -> dict[str, Tensor]:
        """Let a planner learn from a batch; ValueError says what it raised."""
        with self._learning():
            return self.planner.observe(batch, step, has_data)

    def problems(self) -> dict[int, str]:
        """Why seeds, by index, cannot go on with this planner."""
        with self._learning():
            found = self.planner.problems()
        return {index: f"{self.name}: {why}" for index, why in found.items()}

    @contextmanager
    def _learning(self) -> Iterator[None]:
        try:
            with watched(self.name):
                yield
        except BaseException as error:
            if not is_fault(error):
                raise
            raise ValueError(
                f"{self.name} cannot learn, it raised {described(error)}"
            ) from error

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {
            "planner": self.planner_state(),
            "faults": self.faults,
            "works": self.works,
        }

    def planner_state(self) -> State:
        """What the planner needs to continue; ValueError if it cannot say it."""
        try:
            with watched(self.name):
                self.last_state = self.planner.state()
        except BaseException as error:
            if not is_fault(error):
                raise
            # a call that goes on may be changing what is read here
            if not (self.worker and self.worker.busy):
                raise ValueError(
                    f"{self.name} cannot be saved: state raised {described(error)}"
                ) from error
        require_storable(self.last_state, f"{self.name}: state()")
        return self.last_state

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        self.faults = state["faults"]
        self.works = state["works"]
        try:
            with watched(self.name):
                self.planner.load(state["planner"])
        except BaseException as error:
            if not is_fault(error):
                raise
            raise ValueError(
                f"{self.name} cannot continue: load raised {described(error)}"
            ) from error
        self.last_state = state["planner"]
