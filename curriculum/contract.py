"""What every planner promises, put to the test in any world:
`check_planner(MyPlanner(), "gridworld")`."""

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from curriculum.run.loop import spec_of
from curriculum.setting import plugins
from curriculum.types import Rows, State, World, stream

# share of the rows that a planner is asked for, step by step
ASKED = (1.0, 0.5, 0.0, 0.5)
# of rows: what tells more than observations do
HIDDEN = ("state", "simulator", "save", "envs")
SHOWN = 6  # rows named in a sentence


class ContractError(ValueError):
    """The planner breaks promises; `broken` has a sentence for each."""

    def __init__(self, planner: str, world: str, broken: Sequence[str]):
        self.broken = tuple(broken)
        super().__init__(
            "\n- ".join([f"planner {planner} breaks its contract in {world}:", *broken])
        )


@dataclass(frozen=True)
class Report:
    """What a planner that keeps its promises costs."""

    planner: str
    world: str
    needs: str
    calls: int  # of `act` for at least one row
    actions: int  # asked for in these calls: what a budget counts
    median_ms: float  # a call takes for each of its rows
    p95_ms: float
    # share of the calls that take more than the deadline for each row; None without one
    late: float | None

    def __str__(self) -> str:
        lines = [
            f"planner {self.planner} keeps its contract in {self.world}; it needs the {self.needs}",
            f"{self.actions} actions in {self.calls} calls: {self.median_ms:.3g} ms each (median), "
            f"{self.p95_ms:.3g} ms (95th percentile)",
        ]
        return "\n".join(
            lines
            + ([] if self.late is None else [f"share of late calls: {self.late:.3g}"])
        )


def check_planner(
    planner: Any,
    env: World | str,
    seeds: Sequence[int] = (0, 1),
    rows_each: int = 3,
    steps: int = 50,
    deadline_ms: float | None = None,
) -> Report:
    """Play `steps` steps several times over in `env` and report what that took;
    ContractError names broken promises.

    `planner` is an instance that was not set up, or a name; a planner that refuses the
    world raises its own ValueError."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    world, planner = plugins.make("env", env), plugins.make("planner", planner)
    names = (
        plugins.name_of("planner", planner),
        world.title or plugins.name_of("env", world),
    )
    broken = _unready(planner)
    try:
        first = _Stage(planner, world, seeds, rows_each, watched=True)
        first.play(steps // 2)
        middle = first.snapshot()
        first.play(steps - steps // 2)
    except _BrokenPromise as error:
        raise ContractError(*names, [*broken, str(error)]) from None
    broken += first.broken
    for promise in (_repeats, _is_alone_as_among_others, _resumes, _serves_other_rows):
        try:
            promise(first, planner, middle)
        except _BrokenPromise as error:
            broken.append(str(error))
    if broken:
        raise ContractError(*names, broken)
    taken = np.array(first.ms_per_action)
    late = None if deadline_ms is None else float((taken > deadline_ms).mean())
    median, p95 = np.percentile(taken, (50, 95))
    return Report(
        *names,
        planner.needs,
        len(taken),
        first.actions,
        float(median),
        float(p95),
        late,
    )


class _BrokenPromise(Exception):
    """A promise that is broken so that what follows makes no sense."""


class _Stage:
    """A planner in rows of its own. Who is asked and what the other rows do is drawn by
    each seed alone."""

    def __init__(
        self,
        planner: Any,
        world: World,
        seeds: Sequence[int],
        rows_each: int,
        watched: bool = False,
    ):
        self.world, self.seeds, self.rows_each, self.watched = (
            world,
            tuple(seeds),
            rows_each,
            watched,
        )
        self.rows: Rows = world.rows(
            [stream(seed, "environment") for seed in seeds], rows_each
        )
        self.chance = [stream(seed, "contract") for seed in seeds]
        self.seen = (
            _Veil(self.rows)
            if watched and planner.needs == "observation"
            else self.rows
        )
        self.broken: list[str] = []  # promises whose breach stops nothing
        self.answers: list[np.ndarray] = []  # [N (, A)] each, nan where not asked
        self.ms_per_action: list[float] = []
        self.actions = 0
        self.planner = copy.deepcopy(planner)
        self.setup(self.planner)
        self.rows.reset()

    def setup(self, planner: Any) -> None:
        try:
            if planner.setup(self.seen, spec_of(self.world), self.seeds) is not planner:
                self._blame("setup must return the planner itself")
        except ValueError:
            raise
        except Exception as error:
            raise _BrokenPromise(
                f"setup must work before the rows are reset, it raised {error!r}"
            ) from error

    def play(self, steps: int) -> None:
        """Ask for some of the rows, and step them all."""
        space: Any = self.rows.single_action_space
        for _ in range(steps):
            share = ASKED[len(self.answers) % len(ASKED)]
            drawn = np.concatenate(
                [
                    g.random((self.rows_each, 1 + sum(space.shape or (1,))))
                    for g in self.chance
                ]
            )
            rows = np.flatnonzero(drawn[:, 0] < share)
            action = (
                2 * drawn[:, 1:].astype(np.float32) - 1
                if space.shape
                else (drawn[:, 1] * space.n).astype(int)
            )
            action[rows] = answer = self._asked(rows)
            self.answers.append(np.full(action.shape, np.nan))
            self.answers[-1][rows] = answer
            self.rows.step(action)

    def snapshot(self) -> State:
        """Planner, rows and chance as they are now, the planner's memory as a
        checkpoint would bring it back."""
        memory = {"memory": _stored(getattr(self.planner, "state", dict)())}
        chance = [g.bit_generator.state for g in self.chance]
        return copy.deepcopy(
            {"rows": self.rows.save(), "chance": chance, "step": len(self.answers)}
            | memory
        )

    def _asked(self, rows: np.ndarray) -> np.ndarray:
        """The planner's answer for these rows, looked at from all sides."""
        given = self.rows.obs[rows]
        obs, before = (
            given.copy(),
            copy.deepcopy((self.rows.save(), self.rows.obs)) if self.watched else None,
        )
        where = f"when asked for rows {_some(rows)} in step {len(self.answers)}"
        began = time.perf_counter()
        try:
            action = self.planner.act(given, rows.copy())
        except Exception as error:
            raise _BrokenPromise(
                f"act must answer for any of the rows, it raised {error!r} {where}"
            ) from error
        if len(rows):
            self.ms_per_action.append(1000 * (time.perf_counter() - began) / len(rows))
            self.actions += len(rows)
        if self.watched and not _equal(before, (self.rows.save(), self.rows.obs)):
            self._blame(
                "act must leave the rows as they are; it changed them or drew from their generators"
            )
        if not _equal(obs, given):
            self._blame("act must not write into the observations it is given")
        if isinstance(self.seen, _Veil) and self.seen.touched:
            self._blame(
                f'a planner that uses env.{min(self.seen.touched)} must declare needs = "state"'
            )
        self._allow(action, len(rows), where)
        return action

    def _allow(self, action: Any, count: int, where: str) -> None:
        space: Any = self.rows.single_action_space
        shape, kind = (
            (count, *(space.shape or ())),
            np.floating if space.shape else np.integer,
        )
        wanted = f"{'floating' if space.shape else 'whole'} numbers of shape {shape}"
        if not isinstance(action, np.ndarray):
            raise _BrokenPromise(
                f"act must return an array of {wanted}, got {type(action).__name__} {where}"
            )
        if action.shape != shape or not np.issubdtype(action.dtype, kind):
            raise _BrokenPromise(
                f"act must return {wanted}, got shape {action.shape} of {action.dtype} {where}"
            )
        low, high = (-1, 1) if space.shape else (0, space.n - 1)
        allowed = (action >= low) & (action <= high)  # nan is not
        if not allowed.all():
            raise _BrokenPromise(
                f"actions must lie between {low} and {high}, got {action[~allowed][0]:.7g} {where}"
            )

    def _blame(self, sentence: str) -> None:
        if sentence not in self.broken:
            self.broken.append(sentence)


class _Veil:
    """Rows that note who looks behind the observations."""

    def __init__(self, rows: Rows):
        self.rows, self.touched = rows, set[str]()

    def __getattr__(self, name: str) -> Any:
        if name in HIDDEN:
            self.touched.add(name)
        return getattr(self.rows, name)


def _unready(planner: Any) -> list[str]:
    """Promises about a planner that was not set up."""
    broken = []
    if getattr(planner, "needs", None) not in ("observation", "state"):
        raise ContractError(
            type(planner).__name__,
            "any world",
            ['needs must be "observation" or "state"'],
        )
    if is_dataclass(planner):
        more = sorted(vars(planner).keys() - {field.name for field in fields(planner)})
        broken = [
            f"a constructor must only store its fields, but there is {name!r}; that is setup's"
            for name in more
        ]
    try:
        copy.deepcopy(planner)
    except Exception as error:
        sentence = (
            f"a planner must let itself be copied before setup, it raised {error!r}"
        )
        raise ContractError(type(planner).__name__, "any world", [sentence]) from error
    return broken


def _repeats(first: _Stage, planner: Any, middle: State) -> None:
    again = _Stage(planner, first.world, first.seeds, first.rows_each)
    again.play(len(first.answers))
    _same(
        first.answers,
        again.answers,
        "the same seeds must bring the same actions, a second run differs",
    )


def _is_alone_as_among_others(first: _Stage, planner: Any, middle: State) -> None:
    own = slice(-first.rows_each, None)
    alone = _Stage(planner, first.world, first.seeds[-1:], first.rows_each)
    alone.play(len(first.answers))
    among = [answer[own] for answer in first.answers]
    _same(
        among, alone.answers, "a seed alone must plan as among others, alone it differs"
    )


def _resumes(first: _Stage, planner: Any, middle: State) -> None:
    other = _Stage(planner, first.world, first.seeds, first.rows_each)
    other.rows.load(middle["rows"])
    for generator, state in zip(other.chance, middle["chance"], strict=True):
        generator.bit_generator.state = state
    other.answers = first.answers[: middle["step"]]
    try:
        if middle["memory"]:
            other.planner.load(middle["memory"])
    except Exception as error:
        raise _BrokenPromise(
            f"load must take what state gave, through JSON, it raised {error!r}"
        ) from error
    other.play(len(first.answers) - middle["step"])
    remedy = (
        "load must bring back what state gave"
        if middle["memory"]
        else "it has memory, but no state and load"
    )
    _same(
        first.answers,
        other.answers,
        f"a planner must go on exactly after a pause: {remedy}, a resumed run differs",
    )


def _serves_other_rows(first: _Stage, planner: Any, middle: State) -> None:
    """Set the planner that has played up for more rows."""
    more = _Stage(planner, first.world, first.seeds, first.rows_each + 2)
    more.planner = first.planner
    more.setup(more.planner)
    try:
        more.play(2)
    except _BrokenPromise as error:
        raise _BrokenPromise(
            f"setup must prepare for any number of rows, but after a second one: {error}"
        ) from error


def _same(expected: list[np.ndarray], found: list[np.ndarray], sentence: str) -> None:
    for step, (mine, other) in enumerate(zip(expected, found, strict=True)):
        if not _equal(mine, other):
            raise _BrokenPromise(f"{sentence} from step {step} on")


def _stored(state: Any, where: str = "state()") -> Any:
    """What a checkpoint makes of `state`: arrays as they are, everything else through
    JSON."""
    if isinstance(state, dict) and all(isinstance(key, str) for key in state):
        return {
            key: _stored(value, f"{where}[{key!r}]") for key, value in state.items()
        }
    if (
        hasattr(state, "dtype")
        and hasattr(state, "shape")
        and state.shape is not None
        and hasattr(state, "__len__")
    ):
        return copy.deepcopy(state)
    try:
        return json.loads(json.dumps(state))
    except (TypeError, ValueError) as error:
        what = f"{where} must be nested dicts of arrays and JSON values, but {error}"
        raise _BrokenPromise(what) from None


def _equal(a: Any, b: Any) -> bool:
    """Whether two nests of arrays and plain values are the same, nan and all."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(
            a, b, equal_nan=a.dtype.kind == "f"
        )
    return bool(a == b)


def _some(rows: np.ndarray) -> str:
    return f"[{' '.join(map(str, rows[:SHOWN]))}{' ...' if len(rows) > SHOWN else ''}]"
