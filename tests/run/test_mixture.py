"""Who acts in which row, what the planner is shown and asked, what it costs, and what
is refused."""

import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest

from curriculum.activity import Interrupted, listening, phase
from curriculum.answers import checked_actions
from curriculum.gates.episode import Episode
from curriculum.gates.horizon import Horizon
from curriculum.gates.step import Step
from curriculum.planners.random import Random
from curriculum.replay.buffer import SOURCE
from curriculum.run import checkpoint
from curriculum.run.guard import FIRST_CALLS
from curriculum.run.mixture import Mixture
from curriculum.setting import plugins
from curriculum.types import Gate, Moment, Planner, Policy, Spec

PLANNER, LEARNER = SOURCE["planner"], SOURCE["learner"]
SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=4)
BOX_SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=0, action_size=2)


class Still(Policy):
    """A learner that always chooses action 0, of four."""

    explored: bool | None = None

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        self.explored = explore
        return np.zeros(obs.shape[:2], np.int64)

    def value(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(obs.shape[:2])

    def action_value(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        return action.astype(float)  # larger numbers are better

    def margin(self, obs: np.ndarray) -> np.ndarray:
        return obs[..., 0] % 3


class Actor(Planner):
    """What every planner has beside `act`."""

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        return self


class Telling(Actor):
    """A planner whose action in row r is 1 + r % 3, and that remembers what it was
    asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[np.ndarray, np.ndarray]] = []

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.asked.append((obs.copy(), rows.copy()))
        obs[:] = -1  # what it does with its copy is its own business
        return 1 + rows % 3


class Chosen(Gate):
    """A gate that gives the planner the rows it was told to."""

    def __init__(self, *masks: list) -> None:
        self.masks = [np.array(mask, bool) for mask in masks]

    def planner_acts(self, moment: Moment) -> np.ndarray:
        return self.masks.pop(0)


def mixture_of(
    seeds=(0, 1), rows=3, planner: Any = None, gate: Any = None, name: str = "gate"
) -> Mixture:
    return Mixture(
        planner or Telling(), Still(), gate or Step(), SPEC, seeds, rows, name
    )


def act(
    mixture: Mixture, rate=0.5, age=0, explore=True
) -> tuple[np.ndarray, np.ndarray]:
    """Actions and sources [P, E] for observations that number the rows."""
    obs = np.arange(np.prod(mixture.shape), dtype=np.float32).reshape(*mixture.shape, 1)
    rates = np.broadcast_to(np.asarray(rate, float), mixture.shape[:1])
    choice = mixture.act(obs, np.full(mixture.shape, age), rates, explore)
    return choice.action, choice.source


def sources(mixture: Mixture, steps: int, rate=0.5) -> np.ndarray:
    """Whether the planner acted, [steps, P, E], in episodes of ten steps."""
    return np.array(
        [act(mixture, rate, age=t % 10)[1] == PLANNER for t in range(steps)]
    )


MASK = [[False, True, False], [True, False, True]]  # rows 1, 3 and 5


def test_the_planner_acts_in_its_rows_and_the_learner_in_the_others():
    action, source = act(mixture_of(gate=Chosen(MASK)))
    assert action.tolist() == [[0, 2, 0], [1, 0, 3]]
    assert source.tolist() == [[LEARNER, PLANNER, LEARNER], [PLANNER, LEARNER, PLANNER]]


def test_the_planner_sees_only_its_rows_with_their_numbers():
    planner = Telling()
    obs = np.arange(60, dtype=np.float32).reshape(2, 3, 2, 5)
    before = obs.copy()
    Mixture(planner, Still(), Chosen(MASK), SPEC, (0, 1), 3).act(
        obs, np.zeros((2, 3)), np.ones(2), explore=True
    )
    ((seen, rows),) = planner.asked
    assert rows.tolist() == [1, 3, 5]
    np.testing.assert_array_equal(seen, before.reshape(6, 2, 5)[[1, 3, 5]])
    np.testing.assert_array_equal(obs, before)


def test_a_planner_without_rows_is_not_asked():
    planner = Telling()
    mixture = mixture_of(planner=planner)
    action, source = act(mixture, rate=0.0)
    assert planner.asked == []
    assert not action.any()
    assert (source == LEARNER).all()
    assert mixture.use.calls.tolist() == [0, 0]


def test_calls_are_counted_for_every_seed():
    masks = [MASK, [[True] * 3, [False] * 3], [[False] * 3, [False] * 3], MASK]
    mixture = mixture_of(gate=Chosen(*masks))
    counts = []
    for _ in masks:
        act(mixture)
        counts.append(mixture.use.calls.tolist())
    assert counts == [[1, 2], [4, 2], [4, 2], [5, 4]]
    # while the buffer is seeded
    mixture.plan(np.zeros((2, 3, 1)), np.array([[True] * 3, [False, False, True]]))
    assert mixture.use.calls.tolist() == [8, 5]


def test_the_time_a_planner_takes_is_shared_out_by_rows(monkeypatch):
    moments = iter([10.0, 16.0, 20.0, 21.0])
    monkeypatch.setattr(
        "curriculum.run.guard.time",
        SimpleNamespace(perf_counter=lambda: next(moments)),
    )
    mixture = mixture_of(gate=Chosen(MASK, [[False] * 3, [True] * 3]))
    act(mixture)
    assert mixture.use.seconds.tolist() == [2, 4]
    act(mixture)
    assert mixture.use.seconds.tolist() == [2, 5]


@pytest.mark.parametrize("explore", [True, False])
def test_the_learner_is_told_whether_to_explore(explore):
    mixture = mixture_of()
    act(mixture, explore=explore)
    learner: Any = mixture.learner
    assert learner.explored is explore


@pytest.mark.parametrize("name", plugins.names("gate"))
def test_with_any_gate_a_rate_of_one_leaves_all_to_the_planner_and_of_zero_nothing(
    name,
):
    for rate in (0, 1):
        assert (
            sources(mixture_of(gate=plugins.make("gate", name)), 30, rate) == bool(rate)
        ).all()


def test_rates_ages_and_seeds_reach_the_gate_in_order():
    mixture = mixture_of(gate=Horizon(steps=10))
    planned = [act(mixture, rate=(0.2, 0.5), age=age)[1] == PLANNER for age in range(7)]
    assert np.sum(planned, axis=0).tolist() == [[2] * 3, [5] * 3]


def test_every_row_has_fresh_coins_in_every_step():
    planned = sources(mixture_of((0, 1), rows=2), 4_000).reshape(4_000, 4)
    error = 4 * np.sqrt(0.25 / 4_000)
    assert (abs(planned.mean(0) - 0.5) < error).all()
    for row in range(4):
        # from step to step
        assert abs((planned[1:, row] == planned[:-1, row]).mean() - 0.5) < error
        for other in range(row):
            # from row to row
            assert abs((planned[:, row] == planned[:, other]).mean() - 0.5) < error


@pytest.mark.parametrize("name", plugins.names("gate"))
def test_a_seed_alone_is_mixed_as_among_others(name):
    together = sources(mixture_of((4, 2, 7), gate=plugins.make("gate", name)), 50)
    for p, seed in enumerate((4, 2, 7)):
        np.testing.assert_array_equal(
            sources(mixture_of((seed,), gate=plugins.make("gate", name)), 50),
            together[:, p : p + 1],
        )


def test_an_evaluation_tosses_coins_of_its_own():
    assert (
        sources(mixture_of(name="gate"), 50)
        != sources(mixture_of(name="mixed evaluation"), 50)
    ).any()
    np.testing.assert_array_equal(
        sources(mixture_of(name="again"), 50), sources(mixture_of(name="again"), 50)
    )


class Wrong(Actor):
    def __init__(self, action: Any) -> None:
        self.action = action

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Any:
        return self.action


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (
            np.array([1, 2]),
            "must return 3 whole numbers, one for each row it is given, "
            "got shape (2,) of int64",
        ),
        (
            np.zeros(6, np.int64),
            "must return 3 whole numbers, one for each row it is given, "
            "got shape (6,) of int64",
        ),
        (
            np.array([[1], [2], [3]]),
            "must return 3 whole numbers, .*got shape (3, 1) of int64",
        ),
        (1, "must return 3 whole numbers, .*got shape () of int64"),
        (None, "must return 3 whole numbers, .*got shape () of object"),
        (
            np.array([0.0, 1.0, 2.0]),
            "must return 3 whole numbers, .*got shape (3,) of float64",
        ),
        (
            np.array([True, False, True]),
            "must return 3 whole numbers, .*got shape (3,) of bool",
        ),
        (np.array([0, 3, 4]), "must choose actions 0 to 3, got 0 to 4"),
        (np.array([-1, 2, 3]), "must choose actions 0 to 3, got -1 to 3"),
    ],
)
def test_what_is_no_action_is_refused_in_one_sentence_that_names_the_planner(
    action, message
):
    pattern = message.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=f"^planner Wrong {pattern}$"):
        checked_actions(np.asarray(action), SPEC, 3, "planner Wrong")


@pytest.mark.parametrize(
    "action",
    [
        [3, 0, 2],
        (3, 0, 2),
        np.array([3, 0, 2], np.uint8),
        np.array([3, 0, 2], np.int32),
    ],
)
def test_whole_numbers_of_any_kind_are_actions(action):
    chosen, _ = act(mixture_of(planner=Wrong(action), gate=Chosen(MASK)))
    assert chosen.dtype == np.int64
    assert chosen.tolist() == [[0, 3, 0], [0, 0, 2]]


# --- box actions ---


class Floating(Still):
    """A learner that always chooses 0.5 and -0.25."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        return np.tile(np.array([0.5, -0.25], np.float32), (*obs.shape[:2], 1))


BOX = np.array([[0.1, -1], [0.2, 1], [0.3, 0]])  # for rows 1, 3 and 5
EDGE = np.nextafter(np.float32(1), np.float32(2))  # the next number above 1


def act_in_box(planned: Any) -> np.ndarray:
    return act(Mixture(Wrong(planned), Floating(), Chosen(MASK), BOX_SPEC, (0, 1), 3))[
        0
    ]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_box_actions_of_planner_and_learner_come_together_row_by_row(kind):
    action = act_in_box(BOX.astype(kind))
    assert (action.shape, action.dtype) == ((2, 3, 2), np.float32)
    own = [0.5, -0.25]
    np.testing.assert_allclose(
        action, [[own, [0.1, -1], own], [[0.2, 1], own, [0.3, 0]]], rtol=1e-6
    )


def test_a_planner_of_box_actions_that_acts_alone_gives_float32():
    mixture = Mixture(
        Wrong(np.tile(BOX, (2, 1))), Floating(), Step(), BOX_SPEC, (0, 1), 3
    )
    # while the buffer is seeded
    planned = mixture.plan(np.zeros((2, 3, 1)), np.ones((2, 3), bool))
    assert planned is not None
    assert (planned.action.shape, planned.action.dtype) == ((2, 3, 2), np.float32)


def test_what_rounding_carries_over_a_bound_is_brought_back():
    action = act_in_box(np.array([[EDGE, -EDGE], [1 + 9e-7, 0], [0, -1 - 9e-7]]))
    assert action[0, 1].tolist() == [1, -1]
    assert action[1].tolist() == [[1, 0], [0.5, -0.25], [0, -1]]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (BOX[:2], "{floating}, got shape (2, 2) of float64"),
        (BOX[:, :1], "{floating}, got shape (3, 1) of float64"),
        (BOX[:, 0], "{floating}, got shape (3,) of float64"),
        (BOX[None], "{floating}, got shape (1, 3, 2) of float64"),
        (np.zeros((3, 2), np.int64), "{floating}, got shape (3, 2) of int64"),
        (np.zeros(3, np.int64), "{floating}, got shape (3,) of int64"),
        (None, "{floating}, got shape () of object"),
        (BOX + 0.5, "{bounds}, got -0.5 to 1.5"),
        (BOX * np.float32(1 + 2e-6), "{bounds}, got -1.000002 to 1.000002"),
        (np.where(BOX == 0, np.nan, BOX), "{bounds}, got nan to nan"),
        (np.where(BOX == 1, np.inf, BOX), "{bounds}, got -1 to inf"),
    ],
)
def test_what_is_no_box_action_is_refused_in_one_sentence_that_names_the_planner(
    action, message
):
    floating = (
        "must return floating numbers of shape (3, 2), "
        "an action for each row it is given"
    )
    bounds = (
        "must choose actions between -1 and 1, "
        "which are scaled to the world's bounds later"
    )
    with pytest.raises(ValueError, match="planner Wrong") as caught:
        checked_actions(np.asarray(action), BOX_SPEC, 3, "planner Wrong")
    assert (
        str(caught.value)
        == f"planner Wrong {message.format(floating=floating, bounds=bounds)}"
    )


@pytest.mark.parametrize("name", plugins.names("gate"))
def test_a_mixture_resumes_exactly(name, tmp_path):
    def mixture() -> Mixture:
        planner = Random().setup(SimpleNamespace(count=8), SPEC, (3, 5))
        return mixture_of((3, 5), 4, planner, plugins.make("gate", name))

    def play(mixture: Mixture, ages: range) -> list:
        return [
            (*act(mixture, rate=(0.4, 0.7), age=age % 10), mixture.use.calls.copy())
            for age in ages
        ]

    for steps in (0, 14):  # before anything happened, and in the middle of an episode
        going, resumed = mixture(), mixture()
        play(going, range(steps))
        saved = checkpoint.write(tmp_path / f"step-{steps}", {"mixture": going.state()})
        resumed.load(checkpoint.read(saved)["mixture"])
        for expected, found in zip(
            play(going, range(steps, 40)), play(resumed, range(steps, 40)), strict=True
        ):
            for a, b in zip(expected, found, strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_gate_without_memory_has_an_empty_state():
    assert mixture_of().state()["gate"] == {}
    assert mixture_of(gate=Episode()).state()["gate"] == {}
    mixture_of().load(mixture_of().state())


# --- budget, deadline, faults ---


class Failing(Telling):
    """Raises an error whenever row 4 is among those it is asked for."""

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if 4 in rows:
            raise RuntimeError("no path for row 4")
        return super().act(obs, rows)


def limited(planner: Any = None, gate: Any = None, **limits) -> Mixture:
    return Mixture(
        planner or Telling(), Still(), gate or Step(), SPEC, (0, 1), 3, **limits
    )


def test_a_budget_is_spent_to_the_last_call_and_no_further_seed_by_seed():
    every, second = [[True] * 3, [True] * 3], [[False] * 3, [True] * 3]
    mixture = limited(gate=Chosen(second, every, every, every), budget=5)
    acted = []
    for _ in range(4):
        acted.append((act(mixture)[1] == PLANNER).tolist())
    assert acted == [
        second,
        [[True] * 3, [True, True, False]],
        [[True, True, False], [False] * 3],
        [[False] * 3] * 2,
    ]
    assert mixture.use.calls.tolist() == [5, 5]
    assert mixture.spent.all()
    assert not limited().spent.any()


def test_where_a_planner_raises_the_learner_acts_and_it_is_counted_and_said_once(
    capsys: pytest.CaptureFixture,
):
    masks = (
        [[True, False, False], [False] * 3],
        [[False, True, False], [False, True, False]],
        [[False] * 3, [True] * 3],
    )
    mixture = limited(Failing(), Chosen(*masks))
    assert act(mixture)[0].tolist() == [[1, 0, 0], [0, 0, 0]]
    for _ in range(2):
        action, source = act(mixture)
        assert not action.any()
        assert (source == LEARNER).all()
    assert (
        mixture.use.calls.tolist(),
        mixture.use.faults.tolist(),
        mixture.use.late.tolist(),
    ) == (
        [2, 4],
        [1, 4],
        [0, 0],
    )
    said = capsys.readouterr().err
    assert said.count("planner Failing raised RuntimeError: no path for row 4") == 1
    assert "test_mixture.py, line" in said


@pytest.mark.parametrize(("seconds", "late"), [(0.059, False), (0.061, True)])
def test_an_answer_after_the_deadline_is_dropped(
    monkeypatch: pytest.MonkeyPatch, seconds: float, late: bool
):
    moments = iter([10.0, 10.0 + seconds])  # for three rows of 20 ms each
    monkeypatch.setattr(
        "curriculum.run.guard.time",
        SimpleNamespace(perf_counter=lambda: next(moments)),
    )
    mixture = limited(gate=Chosen(MASK), deadline_ms=20)
    action, source = act(mixture)
    assert action.any() != late
    assert (source == PLANNER).any() != late
    assert (mixture.use.calls.tolist(), mixture.use.late.tolist()) == (
        [1, 2],
        [1, 2] if late else [0, 0],
    )
    assert mixture.use.seconds.sum() == pytest.approx(seconds)


ANSWERS = {
    "nothing": lambda rows: None,
    "one too few": lambda rows: np.zeros(len(rows) - 1, np.int64),
    "too large": lambda rows: np.full(len(rows), 4),
    "not whole": lambda rows: np.zeros(len(rows)),
    "nan": lambda rows: np.full(len(rows), np.nan),
    "ragged": lambda rows: [[0], [0, 1], []],
}


class Sometimes(Telling):
    """Answers with `answer(rows)` whenever row 4 is among those it is asked for."""

    def __init__(self, answer: Callable[[np.ndarray], Any]) -> None:
        super().__init__()
        self.answer = answer

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Any:
        return self.answer(rows) if 4 in rows else super().act(obs, rows)


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_action_is_a_fault_as_an_error_is(
    name: str, capsys: pytest.CaptureFixture
):
    masks = (
        [[True, False, False], [False] * 3],
        [[False, True, False], [False, True, False]],
    )
    mixture = limited(Sometimes(ANSWERS[name]), Chosen(*masks, *masks))
    for _ in range(2):
        assert act(mixture)[0].tolist() == [[1, 0, 0], [0, 0, 0]]
        action, source = act(mixture)
        assert not action.any()
        assert (source == LEARNER).all()
    assert mixture.use.faults.tolist() == [2, 2]
    assert mixture.use.calls.tolist() == [4, 2]
    said = capsys.readouterr().err
    assert said.count("planner Sometimes") == 1
    assert said.strip().endswith("; where it does, the learner acts")


@pytest.fixture
def handled() -> Iterator[None]:
    """Ctrl-C is handled, as in a command: KeyboardInterrupt is not the user's."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize("deadline_ms", [0, 10_000])
@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), KeyboardInterrupt()])
def test_a_planner_cannot_end_the_program(error: BaseException, deadline_ms: float):
    def leave(rows: np.ndarray) -> Any:
        raise error

    mixture = limited(Sometimes(leave), deadline_ms=deadline_ms)
    mixture.guard.works = True
    action, source = act(mixture, rate=1.0)
    assert not action.any()
    assert (source == LEARNER).all()
    assert mixture.use.faults.tolist() == [3, 3]


@pytest.mark.parametrize("deadline_ms", [0, 10_000])
def test_a_planner_does_not_hide_that_the_run_is_asked_to_stop(deadline_ms: float):
    def ask(rows: np.ndarray) -> Any:
        with phase("planner", 1, "calls") as current:
            current.advance()

    mixture = limited(Sometimes(ask), deadline_ms=deadline_ms)
    with (
        listening(lambda phase: None, stop=lambda: True),
        pytest.raises(Interrupted),
    ):
        act(mixture, rate=1.0)


def test_ctrl_c_in_a_notebook_is_the_users():
    def interrupted(rows: np.ndarray) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        act(limited(Sometimes(interrupted)), rate=1.0)


def test_a_planner_that_never_works_is_given_up_in_one_sentence():
    def fail(rows: np.ndarray) -> Any:
        raise RuntimeError("no map")

    mixture = limited(Sometimes(fail))
    for _ in range(FIRST_CALLS - 1):
        act(mixture, rate=1.0)
    resumed = limited(Sometimes(fail))
    resumed.load(mixture.state())
    for tried in (mixture, resumed):
        with pytest.raises(
            ValueError,
            match="^planner Sometimes failed in each of its first 20 calls: planner "
            r"Sometimes raised RuntimeError: no map \(test_mixture.py, line [0-9]+\); "
            "mend it, or choose another --planner$",
        ):
            act(tried, rate=1.0)


def test_a_planner_that_has_worked_once_is_never_given_up():
    def fail(rows: np.ndarray) -> Any:
        raise RuntimeError("no map")

    mixture = limited(Sometimes(fail), Chosen(MASK, *[[[True] * 3] * 2] * 30))
    for _ in range(31):
        act(mixture)
    assert mixture.use.faults.tolist() == [90, 90]


def test_spent_budgets_and_counted_faults_are_remembered():
    mixture, again = (limited(Failing(), budget=2) for _ in range(2))
    act(mixture, rate=1.0)
    again.load(mixture.state())
    assert again.spent.all()
    assert again.use.faults.tolist() == mixture.use.faults.tolist() == [2, 2]
