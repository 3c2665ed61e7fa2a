"""Successive halving: who goes on, what it costs, and when it ends."""

import math
from collections.abc import Callable, Sequence

import pytest

from curriculum.search import samplers, space
from curriculum.search.schedule import Budget, Job, Result, Schedule, Trial, rungs_of
from curriculum.search.space import Settings

NO_LIMIT = Budget()


class Listed:
    """Proposes 0, 1, 2, ..."""

    def propose(self, trials: Sequence[Trial]) -> Settings:
        return {"x": len(trials)}


def schedule(
    most_trials: int = 9,
    rungs: Sequence[int] = (1, 3, 9),
    factor: int = 3,
    concurrent: int = 1,
    budget: Budget = NO_LIMIT,
    maximize: bool = True,
) -> Schedule:
    return Schedule(
        sampler=Listed(),
        rungs=rungs,
        seeds=2,
        most_trials=most_trials,
        factor=factor,
        concurrent=concurrent,
        budget=budget,
        maximize=maximize,
    )


def run(made: Schedule, value: Callable[[int, int], float]) -> list[Job]:
    """Carry out a search; `value` is that of a trial at a rung."""
    done: list[Job] = []
    while True:
        made.fill()
        job = made.first()
        if job is None:
            return done
        done.append(job)
        made.tell(Result(value(job.trial, job.rung), calls=10, seconds=1))


def test_the_best_third_of_each_rung_goes_on():
    made = schedule()
    done = run(made, lambda trial, rung: -trial)
    reached = [len(trial.values) for trial in made.trials]
    # of three trials, 0 is the best; of six, 0 and 1 are; of nine, 0, 1 and 2
    assert reached == [3, 2, 2, 1, 1, 1, 1, 1, 1]
    assert len(done) == 9 + 3 + 1
    assert made.best() is made.trials[0]


def test_a_rung_costs_the_steps_from_the_one_before_of_all_seeds():
    made = schedule()
    run(made, lambda trial, rung: -trial)
    assert made.steps == 2 * (9 * 1 + 3 * 2 + 1 * 6)
    assert (made.calls, made.seconds) == (130, 13)


def test_less_is_better_where_it_is_minimized():
    made = schedule(maximize=False)
    run(made, lambda trial, rung: trial)
    assert len(made.trials[0].values) == 3
    assert made.best() is made.trials[0]


def test_without_halving_every_trial_is_trained_to_its_end():
    made = schedule(most_trials=4, rungs=[9], factor=1)
    done = run(made, lambda trial, rung: -trial)
    assert done == [Job(number, 0) for number in range(4)]


def test_results_are_taken_in_by_steps_whatever_is_ready_first():
    made = schedule(concurrent=3)
    made.fill()
    assert made.jobs == [Job(0, 0), Job(1, 0), Job(2, 0)]
    order = []
    for _ in range(5):
        made.fill()
        job = made.first()
        assert job is not None
        order.append(job)
        made.tell(Result(-job.trial))
    # 0 goes on once 2 is there; it takes twice as long as the new trials 3 and 4
    assert order == [Job(0, 0), Job(1, 0), Job(2, 0), Job(3, 0), Job(4, 0)]
    made.fill()
    assert made.jobs[0] == Job(0, 1)


def test_nothing_is_begun_that_the_budget_does_not_pay_for():
    for limit in (2, 10, 25):
        made = schedule(budget=Budget(steps=limit), concurrent=2)
        run(made, lambda trial, rung: trial)
        assert 0 < made.steps <= limit
    made = schedule(budget=Budget(calls=35))
    run(made, lambda trial, rung: trial)
    assert made.calls == 40  # the one that passed the limit was the last
    made = schedule(budget=Budget(seconds=1.5))
    run(made, lambda trial, rung: trial)
    assert made.seconds == 2


def test_the_best_is_trained_to_its_end_where_halving_promotes_nobody():
    made = schedule(most_trials=2)
    run(made, lambda trial, rung: trial)
    assert [len(trial.values) for trial in made.trials] == [1, 3]


def test_a_trial_that_fails_is_left_and_if_all_do_the_search_ends():
    made = schedule(most_trials=50)
    for number in range(3):
        made.fill()
        assert made.first() == Job(number, 0)
        made.tell(Result(math.nan, problem="diverged"))
    made.fill()
    assert made.first() is None
    assert made.best() is None


def test_rungs_are_at_evaluations():
    assert rungs_of(900, 100, 3, 100) == [100, 300, 900]
    assert rungs_of(20_000, 2_223, 3, 500) == [2_500, 7_000, 20_000]
    assert rungs_of(900, 100, 1, 100) == [900]
    assert rungs_of(900, 100, 3, 900) == [900]


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_the_same_results_bring_the_same_settings(name: str):
    if name == "tpe":
        pytest.importorskip("optuna")
    parameters = space.parse(["a=loguniform(0.01,10)", "b=choice(x,y)", "c=int(1,9)"])

    def proposed(seed: int) -> list[Settings]:
        made = Schedule(
            sampler=samplers.make(name, parameters, seed, maximize=True),
            rungs=[1, 3],
            seeds=1,
            most_trials=14,
            factor=3,
            concurrent=3,
            budget=Budget(),
        )

        def value(trial: int, rung: int) -> float:
            return -float(made.trials[trial].settings["c"])

        run(made, value)
        return [trial.settings for trial in made.trials]

    first = proposed(0)
    assert proposed(0) == first
    assert proposed(1) != first
    for settings in first:
        assert 0.01 <= float(settings["a"]) <= 10
        assert settings["b"] in ("x", "y")
        assert settings["c"] in range(1, 10)


def test_tpe_comes_nearer_to_the_optimum_than_random_settings():
    pytest.importorskip("optuna")
    parameters = space.parse(["a=uniform(-1,1)", "b=uniform(-1,1)"])
    distances: dict[str, float] = {}
    for name in ("random", "tpe"):
        distances[name] = 0.0
        for seed in range(5):
            sampler = samplers.make(name, parameters, seed, maximize=True)
            made = Schedule(sampler, [1], 1, 40, 1, 1, Budget())

            def distance(trial: int, made: Schedule = made) -> float:
                settings = made.trials[trial].settings
                return math.hypot(float(settings["a"]) - 0.3, float(settings["b"]))

            run(made, lambda trial, rung, far=distance: -far(trial))  # type: ignore[misc]
            later = range(20, 40)
            distances[name] += sum(distance(trial) for trial in later) / 100
    assert distances["tpe"] < 0.6 * distances["random"]


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_no_setting_is_tried_twice(name: str):
    if name == "tpe":
        pytest.importorskip("optuna")
    parameters = space.parse(["a=choice(x,y)", "b=int(1,2)"])
    sampler = samplers.make(name, parameters, 0, maximize=True)
    made = Schedule(sampler, [1], 1, 10, 1, 2, Budget())
    run(made, lambda trial, rung: trial)
    found = sorted(str([*trial.settings.values()]) for trial in made.trials)
    assert found == ["['x', 1]", "['x', 2]", "['y', 1]", "['y', 2]"]


def test_a_grid_has_every_combination_once():
    parameters = space.parse(["a=choice(1,2)", "b=choice(x,y)"])
    made = Schedule(
        samplers.make("grid", parameters, 0, True), [5], 1, 100, 1, 2, Budget()
    )
    run(made, lambda trial, rung: 0)
    assert [tuple(trial.settings.values()) for trial in made.trials] == [
        *(("1", "x"), ("1", "y"), ("2", "x"), ("2", "y"))
    ]
    with pytest.raises(ValueError, match=r'give --search "c=choice\(...\)"'):
        samplers.make("grid", space.parse(["c=int(1,2)"]), 0, True)
