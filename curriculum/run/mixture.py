"""Planner or learner, row by row: asks the gate who acts, counts what the planner costs
and where it fails."""

import sys
import time
import traceback
from collections.abc import Sequence

import numpy as np

from curriculum.replay.buffer import SOURCE
from curriculum.types import Gate, Moment, Planner, State, stream

OVERSHOOT = 1e-6  # by how much rounding may carry a box action over its bounds


class Mixture:
    """Acts for P seeds of E rows each, rows in order of seeds.

    A seed's planner acts no more once it was asked `budget` times. Where it raises an
    error, or takes more than `deadline_ms` for a row, the learner acts in its place for
    that step, in all rows of the call, whichever their seed. A budget or deadline of 0
    sets no limit."""

    def __init__(
        self,
        planner: Planner,
        learner,
        gate: Gate,
        seeds: Sequence[int],
        rows_each: int,
        name: str = "gate",
        budget: int = 0,
        deadline_ms: float = 0.0,
    ):
        self.planner, self.learner, self.gate = planner, learner, gate
        # calls; seconds a row
        self.budget, self.deadline = budget or np.inf, (deadline_ms or np.inf) / 1000
        self.shape = (len(seeds), rows_each)
        self.coins = [stream(seed, name) for seed in seeds]
        self.calls = np.zeros(len(seeds), np.int64)  # actions the planner was asked for
        # of these: where it raised an error
        self.faults = np.zeros(len(seeds), np.int64)
        # of these: where it missed its deadline
        self.late = np.zeros(len(seeds), np.int64)
        # wall time spent in the planner, shared out by rows
        self.seconds = np.zeros(len(seeds))

    def act(
        self,
        obs: np.ndarray,
        age: np.ndarray,
        rate: np.ndarray,
        explore: bool,
        playing: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions [P, E] or [P, E, A], and sources [P, E], for observations [P, E, *O].

        The episodes are `age` [P, E] steps old. Where a mask `playing` [P, E] is given,
        the planner is not asked for other rows."""
        coin = np.stack([g.random(self.shape[1]) for g in self.coins])
        planned = self.gate.planner_acts(Moment(rate, age, coin, obs, self.learner))
        if playing is not None:
            planned = planned & playing
        planned = planned & (
            np.cumsum(planned, 1) <= (self.budget - self.calls)[:, None]
        )
        action = self.learner.act(obs, explore)
        if planned.any():
            answer = self.plan(obs, planned)
            if answer is None:
                planned = np.zeros_like(planned)
            else:
                action[planned] = answer
        return action, np.where(planned, SOURCE["planner"], SOURCE["learner"])

    @property
    def spent(self) -> np.ndarray:
        """Which seeds' planners may not be asked any more, [P] bool."""
        return self.calls >= self.budget

    def plan(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """The planner's actions for the rows in mask [P, E], counted and timed; None
        where it failed or was late."""
        asked, began = rows.sum(1), time.perf_counter()
        self.calls += asked
        try:
            answer = np.asarray(self.planner.act(obs[rows], np.flatnonzero(rows)))
        except Exception as error:
            self._report(error)
            self.faults += asked
            return None
        finally:
            seconds = time.perf_counter() - began
            self.seconds += seconds * asked / asked.sum()
        if seconds > self.deadline * asked.sum():
            self.late += asked
            return None
        check = self._whole if self.learner.head.actions else self._box
        return check(answer, int(asked.sum()))

    def _report(self, error: Exception) -> None:
        """Say aloud, the first time, what the planner raised and where."""
        if not self.faults.any():
            at = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {error} ({at.filename}, line {at.lineno})"
            print(
                f"planner {type(self.planner).__name__} raised {what}; where it does, the learner acts",
                file=sys.stderr,
            )

    def _whole(self, action: np.ndarray, rows: int) -> np.ndarray:
        """The action as it is; refuses what cannot be one, before it reaches the world
        or the buffer."""
        actions, name = self.learner.head.actions, type(self.planner).__name__
        if action.shape != (rows,) or not np.issubdtype(action.dtype, np.integer):
            raise ValueError(
                f"planner {name} must return {rows} whole numbers, one for each row it is given, "
                f"got shape {action.shape} of {action.dtype}"
            )
        if action.min() < 0 or action.max() >= actions:
            raise ValueError(
                f"planner {name} must choose actions 0 to {actions - 1}, got {action.min()} to {action.max()}"
            )
        return action

    def _box(self, action: np.ndarray, rows: int) -> np.ndarray:
        """The action within [-1, 1] to the last digit; refuses what cannot be one."""
        size, name = self.learner.head.action_size, type(self.planner).__name__
        if action.shape != (rows, size) or not np.issubdtype(action.dtype, np.floating):
            raise ValueError(
                f"planner {name} must return floating numbers of shape ({rows}, {size}), an action for each row it is "
                f"given, got shape {action.shape} of {action.dtype}"
            )
        if not (np.abs(action) <= 1 + OVERSHOOT).all():  # neither is nan
            raise ValueError(
                f"planner {name} must choose actions between -1 and 1, which are scaled to the world's bounds later, "
                f"got {action.min():.7g} to {action.max():.7g}"
            )
        return action.clip(-1, 1).astype(np.float32)

    def state(self) -> State:
        """Counters, coins, and the gate's and the planner's memory where they have
        one."""
        memory = {"gate": self.gate.state()}
        if hasattr(self.planner, "state"):
            memory["planner"] = self.planner.state()
        counts = {"calls": self.calls, "faults": self.faults, "late": self.late}
        return {
            **counts,
            "coins": [g.bit_generator.state for g in self.coins],
            **memory,
        }

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        for name in ("calls", "faults", "late"):
            getattr(self, name)[:] = state[name]
        for generator, saved in zip(self.coins, state["coins"], strict=True):
            generator.bit_generator.state = saved
        self.gate.load(state["gate"])
        if hasattr(self.planner, "load"):
            self.planner.load(state["planner"])
