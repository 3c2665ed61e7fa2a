"""The loop as a generator of records: what it promises of seeds, rates, resumption and
honesty."""

import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.activity import Phase, listening
from curriculum.envs.gym import Gym
from curriculum.learners.calql import CalQL
from curriculum.learners.cql import CQL
from curriculum.learners.dqn import DQN
from curriculum.learners.iql import IQL
from curriculum.learners.sac import SAC
from curriculum.learners.td3bc import TD3BC
from curriculum.learning import engine
from curriculum.run import autosave, checkpoint, evaluation, evaluator
from curriculum.run import run as run_module
from curriculum.run.loop import begin, prepare, train
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.starts.random import Random
from curriculum.types import Record

CLOCK = ("time",)  # records that hold what a clock measured


def tiny(**changes: Any) -> Config:
    """A run of a second."""
    defaults: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16),
        "start": Expert(size=64),
        "steps": 400,
        "log_every": 40,
        "eval_every": 200,
        "eval_episodes": 4,
        "checkpoint_every": 80,
    }
    return Config(**(defaults | changes))


def numbers(records: list[Record]) -> list[tuple[str, int, dict[str, list]]]:
    """Records as plain values, without those that hold wall-clock times."""
    return [
        (r.kind, r.step, {t: v.tolist() for t, v in r.values.items()})
        for r in records
        if r.kind not in CLOCK
    ]


def same(a: list[Record], b: list[Record]) -> bool:
    return json.dumps(numbers(a)) == json.dumps(numbers(b))


def collect(run: Run) -> None:
    """Take one step in all rows, as the loop does."""
    assert run.collector
    rate = run.planning_rate()
    run.step += run.config.rows
    run.collector.collect(rate, run.step)


def digest(folder: Path) -> str:
    newest = checkpoint.newest(folder / "checkpoints")[0]
    return hashlib.sha256((newest / "arrays.safetensors").read_bytes()).hexdigest()


def test_the_same_seed_twice_gives_the_same_records_and_the_same_final_arrays(
    tmp_path: Path,
):
    first, second = (list(train(tiny(), tmp_path / name)) for name in "ab")
    assert same(first, second)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_another_seed_gives_other_weights(tmp_path: Path):
    for seed in (0, 1):
        list(train(tiny(seeds=(seed,)), tmp_path / str(seed)))
    assert digest(tmp_path / "0") != digest(tmp_path / "1")


def test_a_seed_alone_lives_the_life_it_has_among_others():
    config = tiny(steps=840, updates_per_step=0.25)  # 200 updates and more
    alone, among = (
        Run(replace(config, seeds=(3,))),
        Run(replace(config, seeds=(0, 1, 2, 3, 4))),
    )
    for run in (alone, among):
        list(begin(run))
        while run.step < config.steps:
            collect(run)
            run.trainer.update(run.step)
    assert alone.learner.updates >= 200
    # what the world did, who acted, which coins fell
    others = among.buffer.episodes.columns._asdict()
    for name, column in alone.buffer.episodes.columns._asdict().items():
        np.testing.assert_array_equal(column[0], others[name][3], err_msg=name)
    for mine, theirs in (
        (alone.buffer.sources.source, among.buffer.sources.source),
        (alone.buffer.sources.planning_rate, among.buffer.sources.planning_rate),
        (alone.buffer.storage.packed, among.buffer.storage.packed),
    ):
        np.testing.assert_array_equal(mine[0], theirs[3])
    for streams in (
        "collector.rows.streams.generators",
        "collector.mixture.coins",
        "buffer.sampler.generators",
        "learner.explorers",
    ):
        mine = attrgetter(streams)(alone)[0]
        theirs = attrgetter(streams)(among)[3]
        assert mine.bit_generator.state == theirs.bit_generator.state, streams
    for mine, theirs in zip(
        alone.learner.nets["q"].weights.blocks,
        among.learner.nets["q"].weights.blocks,
        strict=True,
    ):
        np.testing.assert_allclose(
            mine[0].detach(), theirs[3].detach(), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize(("store", "rate"), [("learner", 0.97), ("planner", 0.15)])
def test_a_seed_does_not_wait_for_others_whose_buffers_fill_later(
    store: Any, rate: float
):
    decay = plugins.make("decay", "constant", value=rate)
    config = tiny(
        store=store,
        decay=decay,
        gate="episode",
        start="none",
        rows=2,
        sampling="symmetric",
        steps=600,
    )
    alone, among = (
        Run(replace(config, seeds=(3,))),
        Run(replace(config, seeds=(0, 1, 2, 3, 4))),
    )
    filled = []
    for run in (alone, among):
        list(begin(run))
        while run.step < config.steps:
            collect(run)
            run.trainer.update(run.step)
            filled.append(len(set((run.buffer.size > 0).tolist())))
    assert max(filled) == 2  # at some time some seeds had data and others none
    for mine, theirs in zip(
        alone.learner.nets["q"].weights.blocks,
        among.learner.nets["q"].weights.blocks,
        strict=True,
    ):
        np.testing.assert_allclose(
            mine[0].detach(), theirs[3].detach(), atol=1e-6, rtol=0
        )
    assert alone.trainer.updates[0] == among.trainer.updates[3] > 0


def test_a_seed_without_data_learns_nothing_and_says_so():
    run = Run(
        tiny(
            store="planner",
            decay=plugins.make("decay", "constant", value=0.0),
            start="none",
        )
    )
    list(begin(run))
    before = run.learner.nets["q"].weights.vector.clone()
    while run.step < 200:
        collect(run)
        run.trainer.update(run.step)
    assert bool((run.learner.nets["q"].weights.vector == before).all())
    report = {
        tag: value for record in run.report() for tag, value in record.values.items()
    }
    assert report["train/n_updates"].tolist() == [0]
    assert np.isnan(run.buffer.read_shares()).all()


@pytest.mark.parametrize(
    "broken_off_after",
    [
        *(1, 9, 23),
        *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4, 6, 11, 14, 19, 28)),
    ],
)
def test_a_run_broken_off_anywhere_and_resumed_equals_one_that_was_not(
    tmp_path: Path, broken_off_after: int
):
    config = tiny(
        bonus="rnd",
        gate="episode",
        decay="performance",
        planner="shortest_path",
        seeds=(0, 1),
    )
    whole = list(train(config, tmp_path / "whole"))
    broken = list(
        itertools.islice(train(config, tmp_path / "broken"), broken_off_after)
    )
    found = checkpoint.newest(tmp_path / "broken" / "checkpoints")
    known = checkpoint.read(found[0])["run"]["records"] if found else 0
    rest = list(train(config, tmp_path / "broken", found[0] if found else None))
    assert same(broken[:known] + rest, whole)
    assert digest(tmp_path / "broken") == digest(tmp_path / "whole")
    for seed in ("seed0", "seed1"):
        for policy in ("policy-last.cur", "policy-best.cur"):
            assert (tmp_path / "broken" / seed / policy).read_bytes() == (
                tmp_path / "whole" / seed / policy
            ).read_bytes()


BOX = {"env": "pendulum", "planner": "swing_up"}
DIFFERENT = ("bc", "iql", "td3bc")  # learners; the others are slow


@pytest.mark.parametrize(
    "changes",
    [
        # draws while it acts
        pytest.param(
            BOX
            | {
                "learner": SAC(hidden=(16,), batch_size=16, critics=3),
                "sampling": "symmetric",
            },
            marks=pytest.mark.slow,
        ),
        # needs returns
        pytest.param(
            BOX | {"learner": CalQL(hidden=(16,), batch_size=16, samples=2)},
            marks=pytest.mark.slow,
        ),
        # networks rest
        BOX
        | {
            "learner": TD3BC(hidden=(16,), batch_size=16, delay=3, return_range=True),
            "engine": "native",
        },
        # draws whom to ask, and ranks how sure the learner is
        {
            "learner": CQL(hidden=(16,), batch_size=16, label_weight=1.0),
            "gate": "advantage",
            "label_share": 0.2,
            "label_decay": "planning-rate",
            "regularizer_decay": "linear",
            "start": Expert(size=64, noise=0.3),
            "reset_optimizer": True,
            "rollback": 0.1,
        },
        pytest.param(
            {
                "learner": IQL(
                    hidden=(16,),
                    batch_size=16,
                    target_every=7,
                    schedule="cosine",
                    schedule_updates=80,
                )
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_run_with_noise_returns_and_schedules_resumes_exactly(
    tmp_path: Path, changes: dict[str, Any]
):
    config = tiny(seeds=(0, 1), **changes)
    whole = list(train(config, tmp_path / "whole"))
    broken = list(itertools.islice(train(config, tmp_path / "broken"), 17))
    found = checkpoint.newest(tmp_path / "broken" / "checkpoints")[0]
    known = checkpoint.read(found)["run"]["records"]
    assert found.name > "step-000000000"
    rest = list(train(config, tmp_path / "broken", found))
    assert same(broken[:known] + rest, whole)
    assert digest(tmp_path / "broken") == digest(tmp_path / "whole")


def test_a_resumed_run_keeps_the_engine_that_auto_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = tiny()
    with monkeypatch.context() as patched:
        patched.setitem(engine.WORTHWHILE_UPDATES, "native", 1)
        list(itertools.islice(train(config, tmp_path), 17))
        assert Run(config).trainer.mode == "native"
    assert Run(config).trainer.mode == "eager"
    found = newest(tmp_path)
    assert prepare(config, resume=found).trainer.mode == "native"
    assert (
        prepare(replace(config, engine="torch"), resume=found).trainer.mode == "eager"
    )


@pytest.mark.parametrize(
    "learner",
    [
        pytest.param(name, marks=() if name in DIFFERENT else pytest.mark.slow)
        for name in plugins.names("learner")
    ],
)
def test_every_learner_takes_over_from_a_planner_in_a_world_of_boxes(learner: str):
    if "box" not in plugins.make("learner", learner).kinds:
        pytest.skip(f"{learner} takes discrete actions")
    made = plugins.make("learner", learner, hidden=(16,), batch_size=16)
    records = list(
        train(tiny(**BOX, learner=made, steps=160, eval_every=160, eval_episodes=2))
    )
    assert [r.kind for r in records][-1] == "final"
    assert np.isfinite(records[-1].values["final/last_mean_reward"]).all()
    losses = next(r for r in reversed(records) if r.kind == "update").values
    assert all(np.isfinite(value).all() for value in losses.values())


def newest(folder: Path) -> Path:
    return checkpoint.newest(folder / "checkpoints")[0]


def stop_after(questions: int) -> Callable[[], bool]:
    """Ask to stop from this question on."""
    asked = itertools.count()
    return lambda: next(asked) >= questions


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], Path]:
    """A run with every phase that was not stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return list(train(every_phase(), folder)), folder


def every_phase() -> Config:
    return tiny(
        offline_updates=96,
        steps=160,
        eval_every=80,
        planner_episodes=2,
        eval_episodes=2,
    )


def test_a_scale_that_follows_the_data_resumes_exactly(tmp_path: Path):
    # two of its four features are unbounded
    config = tiny(
        env=Gym(id="CartPole-v1"),
        planner="random",
        start="none",
        steps=320,
        eval_mixed=False,
    )
    whole = list(train(config, tmp_path / "whole"))
    resumed = list(train(config, None, tmp_path / "whole/checkpoints/step-000000160"))
    assert same(whole[-len(resumed) :], resumed)
    run = Run(config)
    list(begin(run))
    while run.step < 72:
        collect(run)
    described = "4 features scaled: 2 by bounds, 2 by data"
    assert run.learner.normalizer.describe() == described
    # the unbounded ones are velocities
    assert (run.learner.normalizer.scale[0, 0, [1, 3]] != 1).all()
    assert (run.learner.normalizer.scale[0, 0, [0, 2]] < 3).all()


@pytest.mark.parametrize(
    "questions",
    [
        0,
        pytest.param(3, marks=pytest.mark.slow),
        6,
        pytest.param(9, marks=pytest.mark.slow),
        20,
    ],
)
def test_a_stopped_run_writes_a_checkpoint_where_it_stands_and_goes_on_from_there(
    tmp_path: Path, whole: tuple[list[Record], Path], questions: int
):
    expected, folder = whole
    part = list(train(every_phase(), tmp_path, stop=stop_after(questions)))
    assert len(part) < len(expected)
    rest = list(train(every_phase(), tmp_path, newest(tmp_path)))
    assert same(part + rest, expected)
    assert digest(tmp_path) == digest(folder)


# where the phase is when it is interrupted: after so many advances of this name
@pytest.mark.parametrize(
    ("name", "advances"),
    [
        ("random play", 3),
        ("planner", 2),
        pytest.param("start", 1, marks=pytest.mark.slow),
        ("start", 5),
        pytest.param("offline", 1, marks=pytest.mark.slow),
        ("offline", 3),
        pytest.param("evaluation", 1, marks=pytest.mark.slow),
        ("evaluation", 150),
        pytest.param("evaluation", 400, marks=pytest.mark.slow),
    ],
)
def test_a_run_interrupted_within_a_phase_goes_on_as_if_it_was_not(
    tmp_path: Path, whole: tuple[list[Record], Path], name: str, advances: int
):
    expected, folder = whole
    seen: list[float] = []

    def show(current: Phase) -> None:
        if current.name == name and current.share and not current.finished:
            seen.append(current.share)

    with listening(show, lambda: len(seen) >= advances):
        part = list(train(every_phase(), tmp_path))
    assert len(seen) >= advances
    assert len(part) < len(expected)
    rest = list(train(every_phase(), tmp_path, newest(tmp_path)))
    assert same(part + rest, expected)
    assert digest(tmp_path) == digest(folder)


def test_the_learner_explores_where_the_planner_fails_in_the_start(
    monkeypatch: pytest.MonkeyPatch,
):
    run = Run(tiny())
    explored = []

    def act(obs: np.ndarray, explore: bool = False) -> np.ndarray:
        explored.append(explore)
        return np.zeros(obs.shape[:2], np.int64)

    monkeypatch.setattr(run.learner, "act", act)
    collector: Any = run.collector
    collector.reset()
    monkeypatch.setattr(collector.mixture, "plan", lambda obs, rows: None)
    collector.play_planner(64)  # 8 steps of 8 rows
    assert explored == [True] * 8


def test_a_random_start_goes_on_with_the_actions_it_would_have_drawn(tmp_path: Path):
    config = tiny(start=Random(size=64), steps=40)
    list(train(config, tmp_path / "whole"))
    steps: list[float] = []

    def show(current: Phase) -> None:
        if current.name == "start" and current.share and not current.finished:
            steps.append(current.share)

    with listening(show, lambda: len(steps) >= 4):
        list(train(config, tmp_path / "broken"))
    assert steps == [1 / 8, 2 / 8, 3 / 8, 4 / 8]
    list(train(config, tmp_path / "broken", newest(tmp_path / "broken")))
    assert digest(tmp_path / "broken") == digest(tmp_path / "whole")


def test_a_long_start_and_offline_phase_write_checkpoints_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: tuple[list[Record], Path]
):
    monkeypatch.setattr(autosave, "PAUSE", 0.0)
    monkeypatch.setattr(autosave, "LARGEST_SHARE", 1e9)
    monkeypatch.setattr(run_module, "KEPT_CHECKPOINTS", 1_000)
    records = train(every_phase(), tmp_path)
    began = [record.kind for record in itertools.islice(records, 4)]
    assert began == ["baseline", "start", "evaluate", "update"]
    # 8 steps of 8 rows, then a checkpoint, then up to 32 and to 40 updates
    saved = checkpoint.newest(tmp_path / "checkpoints")[::-1]
    states = [checkpoint.read(path) for path in saved]
    assert [state["collector"]["start_steps"] for state in states] == [
        *range(1, 9),
        *[8] * 2,
    ]
    assert [state["run"]["updates"] for state in states] == [*[0] * 9, 32]
    monkeypatch.undo()
    expected, folder = whole
    for number in (3, 9):
        copy = tmp_path / str(number)
        known = states[number]["run"]["records"]
        rest = list(train(every_phase(), copy, saved[number]))
        assert same(expected[:known] + rest, expected)
        assert digest(copy) == digest(folder)


def test_a_run_of_n_steps_extended_to_2n_ends_as_one_of_2n(tmp_path: Path):
    first = list(train(tiny(steps=400), tmp_path / "half"))
    found = checkpoint.newest(tmp_path / "half" / "checkpoints")[0]
    second = list(train(tiny(steps=800), tmp_path / "half", found))
    elapsed = [
        record.values["time/time_elapsed"][0]
        for record in first + second
        if record.kind == "time"
    ]
    assert elapsed == sorted(elapsed)  # the second part goes on counting
    list(train(tiny(steps=800), tmp_path / "whole"))
    assert digest(tmp_path / "half") == digest(tmp_path / "whole")


# the start from a data set has its own tests
STARTS = sorted({*plugins.names("start")} - {"dataset"})
TOGETHER = [
    # each with some of the others by default, with all of them where there is time
    pytest.param(
        *(decay, gate, start),
        marks=() if (i + j + k) % 6 == 0 else pytest.mark.slow,
    )
    for i, decay in enumerate(plugins.names("decay"))
    for j, gate in enumerate(plugins.names("gate"))
    for k, start in enumerate(STARTS)
]


@pytest.mark.parametrize(("decay", "gate", "start"), TOGETHER)
def test_every_decay_gate_and_start_run_together(decay: str, gate: str, start: str):
    chosen = plugins.make("start", start, **({} if start == "none" else {"size": 64}))
    records = list(
        train(tiny(decay=decay, gate=gate, start=chosen, steps=200, eval_every=100))
    )
    assert records[-1].kind == "final"
    rates = np.array(
        [r.values["curriculum/planning_rate"] for r in records if r.kind == "collect"]
    )
    assert rates.shape == (5, 1)
    assert ((rates >= 0) & (rates <= 1)).all()


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (plugins.make("decay", "constant", value=0.3), [0.3, 0.3, 0.3]),
        (plugins.make("decay", "linear", duration=400), [0.75, 0.5, 0.0]),
        (plugins.make("decay", "exponential", half_life=100), [0.5, 0.25, 0.0625]),
        (plugins.make("decay", "cosine", duration=400), [(2 + 2**0.5) / 4, 0.5, 0.0]),
        (plugins.make("decay", "staircase", duration=400, stairs=2), [1.0, 0.5, 0.0]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_rates_a_run_reports_are_those_of_its_schedule(
    decay: Any, expected: list[float]
):
    records = train(tiny(decay=decay, log_every=100, rows=10))
    rates = {
        r.step: r.values["curriculum/planning_rate"][0]
        for r in records
        if r.kind == "collect"
    }
    np.testing.assert_allclose(
        [rates[step] for step in (100, 200, 400)], expected, atol=1e-12
    )


@pytest.mark.parametrize("gate", ["step", "episode"])
def test_the_planner_acts_as_often_as_the_rate_says(gate: str):
    config = tiny(
        decay=plugins.make("decay", "constant", value=0.4),
        gate=gate,
        steps=8_000,
        updates_per_step=0,
        log_every=8_000,
    )
    records = list(train(replace(config, eval_every=8_000)))
    share = next(
        r.values["curriculum/expert_action_share"][0]
        for r in records
        if r.kind == "collect"
    )
    calls = next(
        r.values["planner/calls_total"][0] for r in records if r.kind == "collect"
    )
    assert calls == 64 + round(share * 8_000)
    if gate == "step":  # 8,000 coins: standard error 0.0055
        assert share == pytest.approx(0.4, abs=0.02)


def test_a_spent_budget_ends_planning_and_the_rate_says_so():
    records = list(
        train(
            tiny(
                planner_budget=100,
                seeds=(0, 1),
                decay=plugins.make("decay", "constant", value=1.0),
            )
        )
    )
    collected = [r.values for r in records if r.kind == "collect"]
    # 64 of them for the start
    assert collected[-1]["planner/calls_total"].tolist() == [100, 100]
    assert collected[-1]["curriculum/planning_rate"].tolist() == [0, 0]
    assert (collected[-1]["curriculum/expert_action_share"] == 0).all()
    with pytest.raises(
        ValueError,
        match="a start of 64 transitions needs as many planner calls, the budget is 63",
    ):
        Run(tiny(planner_budget=63))


@pytest.mark.parametrize(("store", "source"), [("planner", 1), ("learner", 2)])
def test_store_keeps_whose_transitions_it_names(store: Any, source: int):
    run = Run(tiny(store=store, decay=plugins.make("decay", "constant", value=0.5)))
    list(begin(run))
    while run.step < 400:
        collect(run)
    size = run.buffer.size[0]
    # the start's, and theirs
    assert set(run.buffer.sources.source[0, :size]) == {0, source}
    assert 64 < size < 64 + 400


def test_the_buffer_holds_what_the_environment_rewarded_and_no_bonus():
    run = Run(tiny(bonus="rnd"))
    list(begin(run))
    for _ in range(20):
        collect(run)
        run.trainer.update(run.step)
    held = run.buffer.episodes.columns.reward[0, : run.buffer.size[0]]
    assert set(np.unique(held.round(4)).tolist()) <= {
        float(np.float32(-0.1).round(4)),
        10.0,
    }
    assert run.trainer.bonus_values["bonus_mean"].item() > 0


def test_the_score_is_zero_for_random_play_and_one_for_the_planner():
    run = Run(tiny(eval_episodes=20))
    baseline = next(begin(run))
    assert (
        baseline.values["eval/planner_reward"][0]
        == run.scores.ceiling
        > run.scores.floor
        == baseline.values["eval/random_reward"][0]
    )


def test_a_decay_that_needs_a_score_refuses_a_planner_no_better_than_random_play():
    with pytest.raises(ValueError, match="choose another planner or decay"):
        next(train(tiny(planner="random", decay="performance")))


def test_best_is_scored_again_on_episodes_that_did_not_choose_it(
    monkeypatch: pytest.MonkeyPatch,
):
    used: list[set[int]] = []

    def watched(
        learner: Any, world: Any, episodes: range, stop: Any = None
    ) -> evaluation.Episodes:
        used.append(set(episodes))
        return evaluation.play_learner(learner, world, episodes, stop)

    monkeypatch.setattr(evaluator, "play_learner", watched)
    records = list(train(tiny()))
    chosen_on, rescored_on = used[:-2], used[-2:]
    assert len(chosen_on) == len([r for r in records if r.kind == "evaluate"])
    assert not set().union(*chosen_on) & set().union(*rescored_on)
    assert rescored_on[0] == rescored_on[1]  # last and best meet the same episodes
    assert records[-1].values["final/best_step"][0] in [
        r.step for r in records if r.kind == "evaluate"
    ]


def test_the_previous_best_weights_come_back_when_the_learner_falls():
    run = Run(tiny(decay=plugins.make("decay", "performance")))
    list(begin(run))
    good = run.learner.snapshot()
    # says that this seed fell
    run.decay.observe = lambda scores: np.array([True])  # type: ignore[method-assign]
    run.scores.best_reward[:] = (
        np.inf
    )  # so that the present weights do not become the best
    run.learner.nets["q"].weights.vector.add_(1.0)
    run.evaluate()
    stack = run.learner.nets["q"].weights
    assert all(
        bool((a == b).all())
        for a, b in zip(stack.blocks, stack.split(good["net/q"]), strict=True)
    )
    assert run.scores.rollbacks[0] == 1


def test_the_mixed_evaluation_asks_the_planner_only_in_running_episodes():
    run = Run(tiny(decay=plugins.make("decay", "constant", value=1.0), seeds=(0, 1)))
    list(begin(run))
    [record] = run.evaluate()
    values = record.values
    np.testing.assert_array_equal(
        values["eval_mixed/planner_calls"], 4 * values["eval_mixed/mean_ep_length"]
    )
    np.testing.assert_allclose(values["eval_mixed/score"], 1.0, atol=1e-9)


def test_diagnostics_of_the_learner_are_logged_with_its_losses():
    records = list(train(tiny(seeds=(0, 1), steps=80)))
    values = next(r for r in reversed(records) if r.kind == "update").values
    learner = DQN(hidden=(16,), batch_size=16)
    run = Run(tiny(learner=learner))
    list(begin(run))
    [batch] = run.buffer.sample(16, learner.discount)
    names = run.learner.diagnostics(batch)
    assert names
    for name in names:
        assert np.isfinite(values[f"train/{name}"]).all()
        assert values[f"train/{name}"].shape == (2,)
    # those of the start and those of the run are told apart
    assert {"train/q_data_expert", "train/q_data_planner"} <= values.keys()
