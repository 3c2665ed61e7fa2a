"""The promises of planners."""

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np

from curriculum.answers import BrokenAnswer, checked_decision
from curriculum.calls import is_fault
from curriculum.contract.batches import copy_of, random_batch
from curriculum.contract.counsel import Counsel
from curriculum.contract.promises import (
    BrokenPromise,
    ContractError,
    calling,
    copied,
    equal,
    require,
    stored,
    world_name,
)
from curriculum.envs._base.door import close_rows
from curriculum.envs._base.spec import spec_of
from curriculum.setting import plugins
from curriculum.types import (
    Computing,
    Decision,
    Planner,
    Rows,
    State,
    World,
    action_of,
    stream,
)

# share of the rows that a planner is asked for, step by step
ASKED = (1.0, 0.5, 0.0, 0.5)
# members of rows that tell more than observations do
PRIVILEGED = ("state", "simulator", "save", "envs")
TOLERANCE = 1e-5  # of box actions that were computed among others, or alone
MOST_NAMED = 6  # rows named in a message
Parts = dict[str, np.ndarray]  # of a decision, by name


@dataclass(frozen=True)
class Report:
    """What a planner that keeps its promises costs."""

    planner: str
    world: str
    needs: str
    calls: int  # of `act` for at least one row
    actions: int  # asked for in these calls: what a budget counts
    median_ms: float  # duration of a call, divided by its rows
    p95_ms: float
    # share of the calls that take more than the deadline for each row; None without one
    late: float | None

    def __str__(self) -> str:
        lines = [
            f"planner {self.planner} keeps its contract in {self.world}; "
            f"it needs the {self.needs}",
            f"{self.actions} actions in {self.calls} calls: {self.median_ms:.3g} ms "
            f"each (median), {self.p95_ms:.3g} ms (95th percentile)",
        ]
        if self.late is not None:
            lines.append(f"share of late calls: {self.late:.3g}")
        return "\n".join(lines)


def check_planner(
    planner: Any,
    env: World | str,
    seeds: Sequence[int] = (0, 1),
    rows_per_seed: int = 3,
    steps: int = 50,
    deadline_ms: float | None = None,
) -> Report:
    """Play `steps` steps several times over in `env` and report their cost.

    One that learns also learns in between, from random batches; one that is advised
    gets an advisor that is not ready at first, and is also tried without. ContractError
    names every broken promise. `planner` is a name, or an instance that
    is not set up; a planner that refuses the world raises its own ValueError."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    world = plugins.make("env", env)
    plugin = plugins.make("planner", planner)
    with ExitStack() as opened:
        first = partial(_Course, plugin, world, seeds, rows_per_seed, opened)
        return _check(plugin, world, first, steps, deadline_ms)


def _check(
    plugin: Planner,
    world: World,
    begin: Callable[..., "_Course"],
    steps: int,
    deadline_ms: float | None,
) -> Report:
    name = plugins.name_of("planner", plugin)
    broken: list[str] = []
    try:
        broken += _check_fields(plugin)
        first = begin(is_watched=True)
        first.play(steps // 2)
        middle = first.snapshot()
        first.play(steps - steps // 2)
    except BrokenPromise as error:
        broken.append(str(error))
        raise ContractError(f"planner {name}", broken, world_name(world)) from None
    broken += first.broken
    for promise in (
        _check_repeats,
        _check_alone,
        _check_resumes,
        _check_other_rows,
        _check_without_advice,
    ):
        try:
            promise(first, plugin, middle)
        except BrokenPromise as error:
            broken.append(str(error))
    if broken:
        raise ContractError(f"planner {name}", broken, world_name(world))
    return _report(name, first, deadline_ms)


def _report(name: str, course: "_Course", deadline_ms: float | None) -> Report:
    durations = np.array(course.ms_per_action)
    median, p95 = np.percentile(durations, (50, 95))
    late = None
    if deadline_ms is not None:
        late = float((durations > deadline_ms).mean())
    return Report(
        planner=name,
        world=world_name(course.world),
        needs=course.planner.needs,
        calls=len(durations),
        actions=course.actions,
        median_ms=float(median),
        p95_ms=float(p95),
        late=late,
    )


def _check_fields(planner: Planner) -> list[str]:
    """Check a planner that is not set up; returns what does not stop the check."""
    require(
        planner.needs in ("observation", "state"),
        'needs must be "observation" or "state"',
    )
    require(isinstance(planner.advised, bool), "advised must be True or False")
    copied("planner", planner)
    if not is_dataclass(planner):
        return []
    names = {field.name for field in fields(planner)}
    return [
        f"a constructor must only store its fields, but there is {name!r}; "
        "make it in setup"
        for name in sorted(vars(planner).keys() - names)
    ]


class _Course:
    """A copy of a planner in rows of its own.

    Each seed draws on its own for which of its rows the planner is asked, and what the
    other rows do."""

    def __init__(
        self,
        planner: Planner,
        world: World,
        seeds: Sequence[int],
        rows_per_seed: int,
        opened: ExitStack,
        is_watched: bool = False,
        is_advised: bool = True,
    ):
        self.world = world
        self.seeds = tuple(seeds)
        self.rows_per_seed = rows_per_seed
        self.is_watched = is_watched
        generators = [stream(seed, "environment") for seed in seeds]
        self.opened = opened
        self.rows: Rows = world.rows(generators, rows_per_seed)
        opened.callback(close_rows, self.rows)
        self.generators = [stream(seed, "contract") for seed in seeds]
        self.veil: _Veil | None = None
        if is_watched and planner.needs == "observation":
            self.veil = _Veil(self.rows)
        self.broken: list[str] = []  # broken promises that do not stop the check
        # parts of decisions by name, [N, ...] each, nan where not asked
        self.answers: list[Parts] = []
        self.ms_per_action: list[float] = []
        self.actions = 0
        self.planner: Planner = copied("planner", planner)
        self.spec = spec_of(world)
        self.counsel: Counsel | None = None
        if is_advised and self.planner.advised:
            self.counsel = Counsel(self.spec, self.seeds)
        self.setup(self.planner)
        self.rows.reset()

    def setup(self, planner: Planner) -> None:
        rows: Any = self.veil or self.rows
        try:
            if planner.learns:
                planner.learn_on(Computing())
            result = planner.setup(rows, self.spec, self.seeds)
        except ValueError:
            raise
        except BaseException as error:
            if not is_fault(error):
                raise
            raise BrokenPromise(
                f"setup must work before the rows are reset, it raised {error!r}"
            ) from error
        if result is not planner:
            self._note("setup must return the planner itself")
        if self.counsel:
            with calling("listen"):
                planner.listen(self.counsel)

    def play(self, steps: int) -> None:
        """Ask for some of the rows, and step them all."""
        for _ in range(steps):
            share = ASKED[len(self.answers) % len(ASKED)]
            if self.counsel:
                self.counsel.steps = len(self.answers)
            drawn = self._draw()
            rows = np.flatnonzero(drawn[:, 0] < share)
            action = self._random_actions(drawn[:, 1:])
            decision = self._ask(rows)
            action[rows] = decision.action
            self.answers.append(_recorded(decision, rows, self.rows.count))
            others = np.setdiff1d(np.arange(self.rows.count), rows)
            with calling("interrupt"):
                self.planner.interrupt(others)
            before = self.rows.obs.copy()
            step = self.rows.step(action)
            if self.planner.learns:
                self._teach(before, step.next_obs)

    def _teach(self, obs: np.ndarray, next_obs: np.ndarray) -> None:
        """Show the planner a step, and let it learn from a random batch."""
        number = len(self.answers)
        shape = (len(self.seeds), self.rows_per_seed, *self.spec.obs_shape)
        everyone = np.ones(len(self.seeds), bool)
        batch = random_batch(self.spec, self.seeds, number)
        before = copy_of(batch)
        with calling("visit"):
            self.planner.visit(obs.reshape(shape), next_obs.reshape(shape), everyone)
        with calling("observe"):
            values = self.planner.observe(batch, number, everyone)
        require(equal(before, copy_of(batch)), "observe must not change the batch")
        for name, value in values.items():
            require(
                value.shape == (len(self.seeds),),
                f"observe must return a number for each seed, got {value} for {name}",
            )
        with calling("problems"):
            self.planner.problems()

    def snapshot(self) -> State:
        """Return planner, rows and generators, as a checkpoint restores them."""
        return copy.deepcopy(
            {
                "rows": self.rows.save(),
                "generators": [g.bit_generator.state for g in self.generators],
                "step": len(self.answers),
                "planner": stored(self.planner.state()),
                "counsel": self.counsel.state() if self.counsel else {},
            }
        )

    def restore(self, snapshot: State, answers: list[Parts]) -> None:
        """Continue from a snapshot; `answers` are those before it."""
        self.rows.load(snapshot["rows"])
        for generator, state in zip(
            self.generators, snapshot["generators"], strict=True
        ):
            generator.bit_generator.state = state
        self.answers = answers
        if self.counsel:
            self.counsel.load(snapshot["counsel"])
        try:
            self.planner.load(snapshot["planner"])
        except BaseException as error:
            if not is_fault(error):
                raise
            raise BrokenPromise(
                f"load must take what state gave, it raised {error!r}"
            ) from error

    def _draw(self) -> np.ndarray:
        """Uniform numbers for each row: who is asked, then a random action."""
        space: Any = self.rows.single_action_space
        size = 1 + sum(space.shape or (1,))
        drawn = [g.random((self.rows_per_seed, size)) for g in self.generators]
        return np.concatenate(drawn)

    def _random_actions(self, uniform: np.ndarray) -> np.ndarray:
        space: Any = self.rows.single_action_space
        if space.shape:
            return 2 * uniform.astype(np.float32) - 1
        return (uniform[:, 0] * space.n).astype(int)

    def _ask(self, rows: np.ndarray) -> Decision:
        """Ask the planner for these rows, and check everything about its answer."""
        given = self.rows.obs[rows]
        obs = given.copy()
        before = self._rows_now()
        where = f"when asked for rows {_some(rows)} in step {len(self.answers)}"
        start = time.perf_counter()
        try:
            answer = self.planner.act(given, rows.copy())
        except BaseException as error:
            if not is_fault(error):
                raise
            raise BrokenPromise(
                f"act must answer for any of the rows, it raised {error!r} {where}"
            ) from error
        if len(rows):
            milliseconds = 1000 * (time.perf_counter() - start)
            self.ms_per_action.append(milliseconds / len(rows))
            self.actions += len(rows)
        if not equal(before, self._rows_now()):
            self._note(
                "act must leave the rows as they are; it changed them or drew from "
                "their generators"
            )
        if not equal(obs, given):
            self._note("act must not write into the observations it is given")
        if self.veil and self.veil.touched:
            self._note(
                f"a planner that uses env.{min(self.veil.touched)} must declare "
                'needs = "state"'
            )
        self._check_action(action_of(answer), len(rows), where)
        try:
            return checked_decision(
                answer, self.spec, self.planner.gives, len(rows), "act"
            )
        except BrokenAnswer as error:
            raise BrokenPromise(f"{error} {where}") from None

    def _rows_now(self) -> Any:
        if not self.is_watched:
            return None
        return copy.deepcopy((self.rows.save(), self.rows.obs))

    def _check_action(self, action: Any, count: int, where: str) -> None:
        space: Any = self.rows.single_action_space
        is_box = bool(space.shape)
        shape = (count, *space.shape)
        kind = np.floating if is_box else np.integer
        expected = f"{'floating' if is_box else 'whole'} numbers of shape {shape}"
        require(
            isinstance(action, np.ndarray),
            f"act must return an array of {expected}, "
            f"got {type(action).__name__} {where}",
        )
        require(
            action.shape == shape and np.issubdtype(action.dtype, kind),
            f"act must return {expected}, "
            f"got shape {action.shape} of {action.dtype} {where}",
        )
        low = -1 if is_box else 0
        high = 1 if is_box else space.n - 1
        allowed = (action >= low) & (action <= high)  # false for nan
        if not allowed.all():
            raise BrokenPromise(
                f"actions must lie between {low} and {high}, "
                f"got {action[~allowed][0]:.7g} {where}"
            )

    def _note(self, sentence: str) -> None:
        if sentence not in self.broken:
            self.broken.append(sentence)


class _Veil:
    """Rows that note access to more than observations."""

    def __init__(self, rows: Rows):
        self.rows = rows
        self.touched: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in PRIVILEGED:
            self.touched.add(name)
        return getattr(self.rows, name)


def _check_repeats(first: _Course, planner: Planner, middle: State) -> None:
    again = _Course(
        planner, first.world, first.seeds, first.rows_per_seed, first.opened
    )
    again.play(len(first.answers))
    _require_same(
        first.answers,
        again.answers,
        "the same seeds must bring the same actions, a second run differs",
    )


def _check_alone(first: _Course, planner: Planner, middle: State) -> None:
    alone = _Course(
        planner, first.world, first.seeds[-1:], first.rows_per_seed, first.opened
    )
    alone.play(len(first.answers))
    _require_same(
        [_last(answer, first.rows_per_seed) for answer in first.answers],
        alone.answers,
        "a seed alone must plan as among others, alone it differs",
    )


def _check_resumes(first: _Course, planner: Planner, middle: State) -> None:
    other = _Course(
        planner, first.world, first.seeds, first.rows_per_seed, first.opened
    )
    other.restore(middle, first.answers[: middle["step"]])
    other.play(len(first.answers) - middle["step"])
    remedy = "load must restore what state gave"
    if not middle["planner"]:
        remedy = "it has memory, but no state and load"
    _require_same(
        first.answers,
        other.answers,
        f"a planner must continue exactly after a pause: {remedy}, "
        "a resumed run differs",
    )


def _check_other_rows(first: _Course, planner: Planner, middle: State) -> None:
    """Set the planner that has played up for more rows."""
    more = _Course(
        planner, first.world, first.seeds, first.rows_per_seed + 2, first.opened
    )
    more.planner = first.planner
    more.setup(more.planner)
    try:
        more.play(2)
    except BrokenPromise as error:
        raise BrokenPromise(
            "setup must prepare for any number of rows, but after a second one: "
            f"{error}"
        ) from error


def _check_without_advice(first: _Course, planner: Planner, middle: State) -> None:
    """Where a planner is measured alone, there is no learner to advise it."""
    if not first.counsel:
        return
    alone = _Course(
        planner,
        first.world,
        first.seeds,
        first.rows_per_seed,
        first.opened,
        is_advised=False,
    )
    try:
        alone.play(2)
    except BrokenPromise as error:
        raise BrokenPromise(
            f"an advised planner must act without an advisor, too: {error}"
        ) from error


def _require_same(expected: list[Parts], found: list[Parts], sentence: str) -> None:
    for step, (answer, other) in enumerate(zip(expected, found, strict=True)):
        for name, part in answer.items():
            place = f"from step {step} on"
            if name != "action":
                place = f"in its {name} {place}"
            require(_agree(name, part, other[name]), f"{sentence} {place}")


def _last(parts: Parts, count: int) -> Parts:
    return {name: part[-count:] for name, part in parts.items()}


def _recorded(decision: Decision, rows: np.ndarray, count: int) -> Parts:
    """The parts of a decision for these rows, [N, ...] each, nan elsewhere."""
    found = {}
    for name, part in decision._asdict().items():
        if part is not None:
            found[name] = np.full((count, *part.shape[1:]), np.nan)
            found[name][rows] = part
    return found


def _agree(name: str, part: np.ndarray, other: np.ndarray) -> bool:
    """Whether discrete actions [N] are the same, and all other numbers are up to
    rounding in networks."""
    if name == "action" and part.ndim == 1:
        return equal(part, other)
    return np.allclose(part, other, TOLERANCE, TOLERANCE, equal_nan=True)


def _some(rows: np.ndarray) -> str:
    """The indices of some rows, in brackets."""
    named = " ".join(map(str, rows[:MOST_NAMED]))
    more = " ..." if len(rows) > MOST_NAMED else ""
    return f"[{named}{more}]"
