"""What a run will do, before it begins: its planning rate, the planner's calls, and how
long it takes by a short probe. Nothing is written."""

import copy
import dataclasses
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from curriculum.report.preview import Preview
from curriculum.run import assembly, fitting, loop
from curriculum.run.evaluation import FREE_RUN
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Planner

# gates by which the planner is asked in the share of steps that is the planning rate
EXACT = ("step", "episode", "advantage", "value")
POINTS = 200  # steps at which the rate is shown, at most
QUARTERS = 4  # of the run, at whose beginnings the rate is printed
SECONDS = 1.0  # that each part of the probe may take
PATIENCE = 10.0  # seconds of the first calls, before the probe gives up
WARM_UP = 20  # steps or updates that are not measured
MOST = 2_000  # steps or updates that are
LONGEST_EVALUATION = 50_000  # steps of an evaluation that is measured


class NotMeasured(Exception):
    """There is no probe, for the reason in the message."""


def preview(config: Config, seconds: dict[str, float] | None = None) -> Preview:
    """Work out the planning rate and the expected calls, and measure how long a run of
    these settings takes, or take the `seconds` that a `probe` has measured."""
    problem = ""
    try:
        seconds = seconds or probe(config)
    except NotMeasured as reason:
        seconds = {}
        problem = str(reason)
    chosen = config.plugged()
    asks = fitting.collects(config, chosen["start"])
    rates = planned_rates(config)
    shown = np.unique(np.linspace(0, len(rates) - 1, POINTS).astype(int))
    shown = shown[: len(rates)]
    marks = np.unique(np.arange(QUARTERS) * len(rates) // QUARTERS)[: len(rates)]
    calls = expected_calls(config, rates)
    total = sum(calls.values())
    if config.planner_budget:
        total = min(total, config.planner_budget)
    alone, mixed = _evaluations(config)
    return Preview(
        decay=_described(config, "decay"),
        gate=plugins.name_of("gate", config.gate),
        seeds=len(config.seeds),
        rows=config.rows,
        length=config.steps,
        steps=shown * config.rows,
        rate=rates[shown],
        marks={int(place) * config.rows: float(rates[place]) for place in marks},
        ends=_end(rates) * config.rows,
        calls=calls,
        total=total,
        budget=config.planner_budget,
        is_exact=plugins.name_of("gate", config.gate) in EXACT,
        listens=chosen["decay"].listens,
        planner=plugins.name_of("planner", config.planner) if asks else "",
        planner_episodes=config.planner_episodes or config.eval_episodes,
        mixed_evaluations=mixed if asks else 0,
        offline_updates=config.offline_updates,
        evaluations=alone,
        seconds=seconds,
        problem=problem,
    )


def _evaluations(config: Config) -> tuple[int, int]:
    """How often the learner is evaluated alone, and mixed with the planner."""
    if not config.evaluation:
        return 0, 0
    phases = (config.offline_updates, config.steps)
    counts = [count // config.eval_every + bool(count) for count in phases]
    return sum(counts), counts[1] if config.eval_mixed else 0


def planned_rates(config: Config) -> np.ndarray:
    """The planning rate at every step of all rows, as far as it is known."""
    decay = config.plugged()["decay"]
    moments = range(0, config.steps, config.rows)
    return np.array([np.mean(decay.rate(step)) for step in moments], float)


def _end(rates: np.ndarray) -> int:
    """The place from which on all rates are 0; 0 if there is none."""
    positive = np.flatnonzero(rates)
    if not len(positive) or positive[-1] + 1 == len(rates):
        return 0
    return int(positive[-1]) + 1


def expected_calls(config: Config, rates: np.ndarray) -> dict[str, float]:
    """What the planner of each seed is asked for, without regard to the budget."""
    start = config.plugged()["start"]
    acting = float(rates.sum() * config.rows)
    learning = len(rates) * config.rows - acting
    asked = assembly.size_of_start(config, start) if start.asks_planner else 0
    return {
        "start": asked,
        "training": acting,
        "labels": config.label_share * learning,
    }


def _described(config: Config, family: str) -> str:
    """A plug-in with its settings."""
    plugin = plugins.make(family, getattr(config, family))
    name = plugins.name_of(family, getattr(config, family))
    described = [name]
    if dataclasses.is_dataclass(plugin):
        for field in dataclasses.fields(plugin):
            value = getattr(plugin, field.name)
            described.append(f"{field.name.replace('_', ' ')} {value}")
    return ", ".join(described)


# --- the probe ---


class _TimeIsUp(Exception):
    """A part of the probe has taken long enough."""


def probe(config: Config) -> dict[str, float]:
    """Measure a run of these settings in memory for some seconds: seconds of a "call"
    of the planner, a "step" of all rows with its updates and without the planner, an
    offline "update" and an "evaluation", nan where there are none.

    NotMeasured says why that is not done."""
    chosen = config.plugged()
    planner = chosen["planner"]
    is_quick = type(planner).check_world is Planner.check_world
    if fitting.collects(config, chosen["start"]) and not is_quick:
        name = plugins.name_of("planner", config.planner)
        raise NotMeasured(
            f"setting up the planner {name} may take long, such as to train it"
        )
    alone = copy.copy(config)
    alone.collectors = 0
    run = loop.prepare(alone)
    try:
        return _measure(run)
    finally:
        run.close()


def _measure(run: Run) -> dict[str, float]:
    config = run.config
    seconds = dict.fromkeys(("call", "step", "update", "evaluation"), np.nan)
    run.reset()
    if run.collector is not None:
        seconds["call"] = _call_seconds(run)
        taken = run.collector.start_steps * config.rows
        run.collector.play_random(max(run.learner.batch_size - taken, config.rows))
    run.fit_normalizer()
    if config.offline_updates:
        seconds["update"] = _seconds_each(lambda: run.trainer.update_offline(1))
    if config.steps:
        seconds["step"] = _step_seconds(run)
    seconds["evaluation"] = _evaluation_seconds(run)
    return seconds


def _call_seconds(run: Run) -> float:
    """Seconds of a planner's action in one row; the first may be slow and does not
    count, unless it takes all the time there is."""
    assert run.collector is not None
    use = run.use
    began = time.perf_counter()
    first: list[tuple[float, int]] = []

    def watch() -> None:
        first.append((use.seconds.sum(), use.calls.sum()))
        elapsed = time.perf_counter() - began
        if elapsed > (SECONDS if len(first) > 1 else PATIENCE):
            raise _TimeIsUp

    run.collector.begin_start(watch)
    with suppress(_TimeIsUp):
        run.collector.play_planner(MOST)
    run.collector.after_step = lambda: None
    spent, calls = first[0] if len(first) > 1 else (0.0, 0)
    made = use.calls.sum() - calls
    return float((use.seconds.sum() - spent) / made) if made else np.nan


def _step_seconds(run: Run) -> float:
    """Seconds of a step of all rows with the updates it earns, without the planner."""
    collector = run.collector
    assert collector is not None
    nobody = np.zeros(len(run.config.seeds))

    def step() -> None:
        run.step += run.config.rows
        collector.collect(nobody, run.step)
        run.trainer.update(run.step)

    for _ in range(WARM_UP):
        step()
    asked = run.use.seconds.sum()
    before = run.step
    each = _seconds_each(step, warm_up=0)
    steps = (run.step - before) / run.config.rows
    return each - float(run.use.seconds.sum() - asked) / steps


def _seconds_each(act: Callable[[], None], warm_up: int = WARM_UP) -> float:
    """Mean seconds of an act that is repeated for a while."""
    for _ in range(warm_up):
        act()
    began = time.perf_counter()
    elapsed = 0.0
    count = 0
    while elapsed < SECONDS and count < MOST:
        act()
        count += 1
        elapsed = time.perf_counter() - began
    return elapsed / count


def _evaluation_seconds(run: Run) -> float:
    """Seconds of an evaluation of the learner alone; nan where it could take long."""
    config = run.config
    longest = run.world.evaluated().max_steps or FREE_RUN
    total = longest * config.eval_episodes * len(config.seeds)
    if not config.evaluation or total > LONGEST_EVALUATION:
        return np.nan
    began = time.perf_counter()
    run.evaluator.evaluate_learner(0, 0, shown=False)
    return time.perf_counter() - began
