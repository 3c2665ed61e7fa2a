"""The kit that puts planners to the test: good ones pass, and every broken promise is
named."""

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from curriculum.contract import ContractError, check_planner
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pendulum import Pendulum
from curriculum.planners.constant import Constant
from curriculum.planners.noisy import Noisy
from curriculum.planners.random import Random
from curriculum.types import stream


@dataclass(kw_only=True)
class Careful:
    """Random actions with a memory of its own: it keeps every promise, for a box
    too."""

    def __post_init__(self):
        pass

    needs = "observation"

    def setup(self, env: Any, spec: Any, seeds: tuple[int, ...]) -> Any:
        self.env, self.spec, self.each = env, spec, env.count // len(seeds)
        self.generators = [stream(seed, "careful") for seed in seeds]
        self.asked = np.zeros(env.count, np.int64)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.asked[rows] += 1
        drawn = np.array([self.generators[row // self.each].random() for row in rows])
        if not self.spec.actions:
            return np.repeat(2 * drawn[:, None] - 1, self.spec.action_size, 1).astype(
                np.float32
            )
        return (drawn * 97 + self.asked[rows]).astype(np.int64) % self.spec.actions

    def state(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "generators": [g.bit_generator.state for g in self.generators],
        }

    def load(self, state: dict[str, Any]) -> None:
        self.asked[:] = state["asked"]
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved


def answer(change):
    """A careful planner whose answers are changed by `change(planner, obs, rows,
    answer)`."""

    class Changed(Careful):
        def act(self, obs, rows):
            return change(self, obs, rows, super().act(obs, rows))

    return Changed()


class NoReturn(Careful):
    def setup(self, env, spec, seeds):
        super().setup(env, spec, seeds)


class Eager(Careful):
    def setup(self, env, spec, seeds):
        self.last = env.obs
        return super().setup(env, spec, seeds)


class Undeclared(Careful):
    needs = "everything"


class Peeking(Careful):
    def act(self, obs, rows):
        return super().act(obs, rows) if len(self.env.state) else None


class Busy(Careful):
    def __post_init__(self):
        self.generator = np.random.default_rng(0)


class Uncopied(Careful):
    def __deepcopy__(self, memo):
        raise TypeError("no copies")


class Unseeded(Careful):
    def act(self, obs, rows):
        return (super().act(obs, rows) + time.perf_counter_ns() // 64) % 3


class Shared(Careful):
    """All seeds draw from one generator."""

    def setup(self, env, spec, seeds):
        super().setup(env, spec, seeds)
        self.generators = [self.generators[0]] * len(seeds)
        return self


class Forgetful(Careful):
    def load(self, state):
        super().load(state | {"asked": 0 * self.asked})


class Diary(Careful):
    def state(self):
        return super().state() | {"seen": {1, 2}}


class Strict(Careful):
    def state(self):
        return super().state() | {"pair": (1, 2)}

    def load(self, state):
        if not isinstance(state["pair"], list):
            raise KeyError("pair")


class Amnesic:
    """It counts, and has nothing to save the count with."""

    needs = "observation"

    def setup(self, env, spec, seeds):
        self.asked = np.zeros(env.count, np.int64)
        return self

    def act(self, obs, rows):
        self.asked[rows] += 1
        return self.asked[rows] % 3


class Sized(Careful):
    """It makes room only once."""

    def setup(self, env, spec, seeds):
        before = getattr(self, "asked", None)
        super().setup(env, spec, seeds)
        self.asked = self.asked if before is None else before
        return self


def _write(planner, obs, rows, action):
    obs += 1
    return action


def _move(planner, obs, rows, action):
    planner.env.rows.state[0] = 0
    return action


def _draw(planner, obs, rows, action):
    planner.env.rows.streams.generators[0].random()
    return action


def _fail(planner, obs, rows, action):
    return {"a": action}["way"] if len(rows) == 6 else action


BROKEN = [
    (NoReturn(), "setup must return the planner itself"),
    (Eager(), "setup must work before the rows are reset, it raised AttributeError"),
    (Undeclared(), 'needs must be "observation" or "state"'),
    (Peeking(), 'a planner that uses env.state must declare needs = "state"'),
    (
        Busy(),
        "a constructor must only store its fields, but there is "
        "'generator'; make it in setup",
    ),
    (
        Uncopied(),
        r"must let itself be copied before setup, it raised TypeError\('no copies'\)",
    ),
    (
        Unseeded(),
        r"the same seeds must bring the same actions, a second run "
        r"differs from step \d+ on",
    ),
    (
        Shared(),
        r"a seed alone must plan as among others, alone it differs from step \d+ on",
    ),
    (
        Forgetful(),
        "load must restore what state gave, a resumed run differs from step 25 on",
    ),
    (
        Amnesic(),
        "it has memory, but no state and load, a resumed run differs from step 25 on",
    ),
    (
        Diary(),
        r"state\(\)\['seen'\] is of type set, which a checkpoint cannot keep; it keeps",
    ),
    (
        Strict(),
        r"load must take what state gave, it raised KeyError\('pair'\)",
    ),
    (
        Sized(),
        "setup must prepare for any number of rows, but after a second "
        "one: act must answer for any",
    ),
    (answer(_write), "act must not write into the observations it is given"),
    (
        answer(_move),
        "act must leave the rows as they are; it changed them or drew "
        "from their generators",
    ),
    (
        answer(_draw),
        "act must leave the rows as they are; it changed them or drew "
        "from their generators",
    ),
    (
        answer(_fail),
        r"it raised KeyError\('way'\) when asked for rows \[0 1 2 3 4 5\] in step 0",
    ),
    (
        answer(lambda p, o, r, a: a.tolist()),
        r"an array of whole numbers of shape \(6,\), got list when asked",
    ),
    (
        answer(lambda p, o, r, a: a[:, None]),
        r"whole numbers of shape \(6,\), got shape \(6, 1\) of int64 when asked",
    ),
    (
        answer(lambda p, o, r, a: a / 1),
        r"act must return whole numbers of shape \(6,\), got shape \(6,\) of float64",
    ),
    (
        answer(lambda p, o, r, a: a + 1),
        r"actions must lie between 0 and 2, got 3 when asked for rows \[0 1",
    ),
    (
        answer(lambda p, o, r, a: a if len(r) else np.zeros((0, 3), int)),
        r"shape \(0, 3\) of int64 .* \[\] in step 2",
    ),
]
BROKEN_BOX = [
    (answer(lambda p, o, r, a: 2 * a), "actions must lie between -1 and 1, got "),
    (
        answer(lambda p, o, r, a: a * np.nan),
        "actions must lie between -1 and 1, got nan",
    ),
    (
        answer(lambda p, o, r, a: a[:, 0]),
        r"act must return floating numbers of shape \(6, 1\), got shape \(6,\)",
    ),
    (
        answer(lambda p, o, r, a: a.astype(int)),
        r"act must return floating numbers of shape \(6, 1\), got .* of int64",
    ),
]


@pytest.mark.parametrize(
    ("planner", "world", "sentence"),
    [(p, "gridworld", s) for p, s in BROKEN]
    + [(p, "pendulum", s) for p, s in BROKEN_BOX],
    ids=[f"{i}-{type(p).__name__}" for i, (p, _) in enumerate(BROKEN + BROKEN_BOX)],
)
def test_a_broken_promise_is_named(planner, world, sentence):
    with pytest.raises(ContractError, match=sentence) as caught:
        check_planner(planner, world)
    assert isinstance(caught.value, ValueError)
    assert str(caught.value).count("\n- ") == len(caught.value.broken) >= 1


@pytest.mark.parametrize(
    "broken", [NoReturn(), Peeking(), Busy(), Forgetful(), Amnesic(), answer(_write)]
)
def test_one_broken_promise_is_all_that_is_named(broken):
    with pytest.raises(ContractError) as caught:
        check_planner(broken, Gridworld())
    assert len(caught.value.broken) == 1


@pytest.mark.parametrize(
    "world",
    [Gridworld(), CartPole(), Pendulum()],
    ids=lambda world: type(world).__name__,
)
@pytest.mark.parametrize(
    "planner",
    [Careful(), Random(), Constant()],
    ids=lambda planner: type(planner).__name__,
)
def test_a_planner_that_keeps_its_promises_passes_everywhere(planner, world):
    report = check_planner(planner, world, seeds=(5, 2, 9), rows_per_seed=2, steps=24)
    assert report.needs == "observation"
    # a quarter of the steps ask for all 6 rows, a quarter for none, half for half of
    # them
    assert report.calls <= 18
    assert 36 + 36 - 18 < report.actions < 36 + 36 + 18


@pytest.mark.parametrize(
    ("planner", "world"), [("shortest_path", "gridworld"), ("balance", "cartpole")]
)
def test_names_do_as_well_as_objects(planner, world):
    report = check_planner(planner, world, steps=8)
    assert (report.planner, report.world, report.needs) == (planner, world, "state")


def test_one_row_of_one_seed_is_enough():
    assert (
        check_planner(
            Noisy(planner="random"), Gridworld(), seeds=(7,), rows_per_seed=1
        ).planner
        == "noisy"
    )


def test_a_planner_that_refuses_the_world_says_why_itself():
    with pytest.raises(ValueError, match=r"^balance needs a pole on a cart") as caught:
        check_planner("balance", "gridworld")
    assert not isinstance(caught.value, ContractError)


def test_the_cost_of_an_action_is_told_in_milliseconds(
    monkeypatch: pytest.MonkeyPatch,
):
    now = 0.0
    calls = 0

    def slow(planner, obs, rows, action):
        """The first call takes 1 ms for each row, the second 2 ms, ..."""
        nonlocal now, calls
        calls += len(rows) > 0
        now += calls * len(rows) / 1000
        return action

    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr("curriculum.contract.planner.time", clock)
    report = check_planner(answer(slow), Gridworld(), steps=24)
    assert report.median_ms == pytest.approx((1 + report.calls) / 2)
    assert report.p95_ms == pytest.approx(1 + 0.95 * (report.calls - 1))


def test_time_is_measured_for_each_action_and_late_calls_are_counted():
    def slow(planner, obs, rows, action):
        time.sleep(0.002 * len(rows) if len(rows) == 6 else 0)
        return action

    report = check_planner(answer(slow), Gridworld(), steps=8, deadline_ms=1.9)
    assert report.p95_ms >= 2
    assert report.late is not None
    assert 2 / report.calls <= report.late <= 1
    assert "ms each (median)" in str(report)
    assert str(report).endswith(f"share of late calls: {report.late:.3g}")
    assert check_planner(Careful(), Gridworld(), steps=8).late is None
