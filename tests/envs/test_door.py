"""What worlds hand over is checked where they are stepped; what they hold is freed."""

import itertools
import os
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from curriculum.activity import listening
from curriculum.contract import check_planner, check_world
from curriculum.envs._base import door as door_module
from curriculum.envs._base.door import Door, WorldError
from curriculum.envs._gym.source import find_facts
from curriculum.envs.gym import Gym
from curriculum.learners.dqn import DQN
from curriculum.planners.constant import Constant
from curriculum.planners.dqn import DQN as ExpertDQN
from curriculum.run.evaluation import evaluation_door, play_learner
from curriculum.run.loop import begin, train
from curriculum.run.repeats import announce_chance
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Record, Step, stream

EPISODE = 6  # steps of an episode of the strange world
FAULTS: dict[str, Any] = {}  # what the strange world does
OPENED: list["Strange"] = []  # all strange worlds that were made


class Strange(gym.Env):
    """Counts steps; holds a file until it is closed; does what FAULTS say.

    A fault happens in step `at` of the episodes whose seed is in `seeds`; without
    `seeds`, of every episode."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space: gym.Space = gym.spaces.Discrete(2)

    def __init__(self, **options: Any):
        self.file: int | None = os.open(os.devnull, os.O_RDONLY)
        OPENED.append(self)
        limit = FAULTS.get("most_open")
        is_open = [world for world in OPENED if world.file is not None]
        assert limit is None or len(is_open) <= limit, f"{len(is_open)} are open"

    def close(self) -> None:
        if self.file is not None:
            os.close(self.file)
        self.file = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.seed = seed
        self.time = 0
        self.x = FAULTS.get("start", self.np_random.random)()
        if FAULTS.get("raises_in_reset") and len(OPENED) > 1:
            raise OSError("the port is taken")
        return np.array([0, self.x], np.float32), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.time += 1
        obs: Any = np.array([self.time / EPISODE, self.x], np.float32)
        over: Any = self.time == EPISODE
        step = {
            "obs": obs,
            "reward": float(action == 1) if np.isscalar(action) else 0.0,
            "terminated": over,
            "truncated": False,
            "info": {},
        }
        seeds = FAULTS.get("seeds")
        if self.time == FAULTS.get("at", 2) and (seeds is None or self.seed in seeds):
            for name, change in FAULTS.get("step", {}).items():
                step[name] = change(step[name])
        if over:
            step["info"] = FAULTS.get("last_info", {})
        return tuple(step.values())


@pytest.fixture(autouse=True)
def _strange():
    gym.register("Strange-v0", f"{__name__}:Strange", max_episode_steps=EPISODE)
    FAULTS.clear()
    OPENED.clear()
    find_facts.cache_clear()
    door_module._announced.clear()
    Strange.action_space = gym.spaces.Discrete(2)
    yield
    gym.registry.pop("Strange-v0")
    find_facts.cache_clear()
    for world in OPENED:
        world.close()


def still_open() -> int:
    return sum(world.file is not None for world in OPENED)


def make_door(seeds: int = 2, rows: int = 2, **arguments: Any) -> Any:
    """A door of strange rows; episodes have different seeds."""
    world = Gym(id="Strange-v0")
    generators = [np.random.default_rng(seed) for seed in range(seeds)]
    owners = [f"seed {seed}" for seed in range(seeds)]
    return Door(world.rows(generators, rows), owners, **arguments)


def step(door: Door) -> Any:
    return door.step(np.ones(door.rows.count, np.int64))


def returns(value: Any) -> Any:
    return lambda given: value


# --- numbers ---


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field", ["reward", "obs"])
def test_a_number_that_is_not_finite_is_an_error_of_one_row(field, value):
    door = make_door()
    door.reset()
    FAULTS["seeds"] = [door.rows.seeds[3]]
    bad = value if field == "reward" else np.array([0, value], np.float32)
    FAULTS["step"] = {field: returns(bad)}
    step(door)
    with pytest.raises(WorldError) as caught:
        step(door)
    what = (
        f"gave the reward {value}"
        if field == "reward"
        else f"gave {value} as number 1 of the observation"
    )
    where = "(seed 1, row 1, step 2 of its episode)"
    assert str(caught.value) == f"world Strange-v0 {what} {where}"


def test_a_stopped_seed_leaves_the_others_as_they_were():
    healthy = make_door(seeds=1)
    problems = []
    door = make_door(stop=lambda seed, problem: problems.append((seed, problem)))
    healthy.reset()
    door.reset()
    FAULTS["seeds"] = [door.rows.seeds[2]]
    FAULTS["step"] = {"obs": returns(np.array([np.nan, 0], np.float32))}
    for number in range(1, 2 * EPISODE):
        expected = step(healthy)
        found = step(door)
        for one, many in zip(expected, found, strict=True):
            np.testing.assert_array_equal(many[:2], one)
        assert door.stopped.tolist() == [False, False, number > 1, number > 1]
        if number > 1:
            assert not found.obs[2:].any()
            assert not found.next_obs[2:].any()
            assert not found.reward[2:].any()
            assert not found.terminated[2:].any()
    assert len(problems) == 1
    assert problems[0][0] == 1
    # the rows of the stopped seed have not been stepped since
    assert [env.unwrapped.time for env in door.rows.envs[2:]] == [2, 2]


def test_numbers_too_large_for_the_buffer_are_infinite():
    door = make_door()
    door.reset()
    FAULTS.update(step={"reward": returns(1e300)}, at=1)
    with pytest.raises(WorldError, match="gave the reward inf"):
        step(door)


def test_actions_that_are_not_finite_reach_no_world(monkeypatch):
    Strange.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    problems = []
    door = make_door(stop=lambda seed, problem: problems.append(problem))
    door.reset()
    given: list[np.ndarray] = []
    step_rows = door.rows.step

    def record(action: np.ndarray) -> Any:
        given.append(action)
        return step_rows(action)

    monkeypatch.setattr(door.rows, "step", record)
    door.step(np.array([[0.5], [0], [np.nan], [0]], np.float32))
    assert given[0].tolist() == [[0.5], [0], [0], [0]]
    assert problems == [
        "world Strange-v0 was to take the action [nan] "
        "(seed 1, row 0, step 1 of its episode)"
    ]
    assert door.stopped.tolist() == [False, False, True, True]
    alone = make_door()
    alone.reset()
    with pytest.raises(ValueError, match=r"was to take the action \[inf\]"):
        alone.step(np.full((4, 1), np.inf, np.float32))


# --- shapes, types and bounds ---


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("reward", np.array([3.0]), 3),
        ("reward", np.float64(3), 3),
        ("reward", [3], 3),
        ("terminated", np.array([True]), True),
        ("terminated", 1, True),
        ("truncated", np.array([[0]]), False),
        ("obs", [0.25, 0.5], [0.25, 0.5]),
        ("obs", np.array([[0.25, 0.5]]), [0.25, 0.5]),
    ],
)
def test_what_is_harmless_is_converted(field, value, expected):
    FAULTS.update(step={field: returns(value)}, at=1)
    door = make_door()
    door.reset()
    found = step(door)
    name = "next_obs" if field == "obs" else field
    np.testing.assert_array_equal(getattr(found, name)[0], expected)
    assert found.reward.dtype == np.float32
    assert found.terminated.dtype == bool


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("reward", np.zeros(2), "reward must be a number"),
        ("reward", None, "reward must be a number, got None"),
        ("reward", "1", "reward must be a number, got '1'"),
        ("terminated", 0.5, "terminated must be True or False, got 0.5"),
        ("truncated", None, "truncated must be a number, got None"),
        ("obs", 0.5, r"observation has shape \(\), but \(2,\) was declared"),
        ("obs", np.zeros(3), r"observation has shape \(3,\), but \(2,\) was declared"),
        ("obs", np.zeros(1), r"observation has shape \(1,\), but \(2,\) was declared"),
        ("obs", None, "raised|must be numbers"),
    ],
)
def test_what_is_not_as_declared_is_said_in_a_sentence(field, value, message):
    door = make_door()
    door.reset()
    FAULTS.update(step={field: returns(value)}, seeds=[door.rows.seeds[1]])
    step(door)
    with pytest.raises(WorldError, match=message) as caught:
        step(door)
    assert str(caught.value).startswith("world Strange-v0")
    assert "seed 0, row 1, step 2 of its episode" in str(caught.value)


def test_an_observation_outside_its_bounds_is_announced_once(capsys):
    FAULTS.update(step={"obs": returns(np.array([0, 5], np.float32))})
    for _ in range(2):
        door = make_door()
        door.reset()
        for _ in range(2 * EPISODE):
            found = step(door)
            assert found.next_obs.max() <= 5
        assert not door.stopped.any()
    assert capsys.readouterr().err == (
        "world Strange-v0: number 1 of the observation is 5, outside its declared "
        "bounds [-1, 1]; it is used as it is\n"
    )


def test_observations_at_their_bounds_are_within(capsys):
    FAULTS.update(step={"obs": returns(np.array([-1, 1], np.float32))})
    door = make_door()
    door.reset()
    for _ in range(EPISODE):
        step(door)
    assert capsys.readouterr().err == ""


class OtherRows:
    """Rows of a third party, which hand over what `given` says."""

    single_observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    single_action_space = gym.spaces.Discrete(2)
    count = 2

    def __init__(self, **given: Any):
        self.world = Gym(id="Strange-v0")
        self.given = given
        self.time = np.zeros(2, np.int64)

    def reset(self) -> Any:
        return np.zeros((2, 1), np.float32)

    def rest(self, rows: np.ndarray) -> None:
        pass

    def step(self, action: np.ndarray) -> Any:
        no = np.zeros(2, bool)
        obs = np.zeros((2, 1), np.float32)
        return Step(obs, np.zeros(2, np.float32), no, no, obs, no)._replace(
            **self.given
        )


def test_whole_numbers_outside_their_bounds_are_announced(capsys, monkeypatch):
    space = gym.spaces.Box(-1, 1, (2,), np.int8)
    monkeypatch.setattr(OtherRows, "single_observation_space", space)
    start = np.zeros((2, 2), np.int8)
    monkeypatch.setattr(OtherRows, "reset", lambda rows: start)
    obs = np.array([[0, 1], [-1, 5]], np.int8)
    door = Door(OtherRows(obs=obs, next_obs=obs))  # type: ignore[arg-type]
    door.reset()
    door.step(np.zeros(2, np.int64))
    assert "number 1 of the observation is 5, outside" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reward": np.zeros(3)}, r"reward has shape \(3,\), but \(2,\) was declared"),
        ({"reward": np.array(["a", "b"])}, "reward must be numbers"),
        ({"success": np.array([0, 2])}, "success must be bool"),
        ({"obs": np.zeros((2, 2))}, r"shape \(2, 2\), but \(2, 1\) was declared"),
        ({"next_obs": np.full((2, 1), np.nan)}, "gave nan as number 0"),
        ({"obs": np.full((2, 1), np.nan)}, "gave nan as number 0"),
    ],
)
def test_batched_rows_pass_the_same_door(given, message):
    door = Door(OtherRows(**given))  # type: ignore[arg-type]
    door.reset()
    with pytest.raises(WorldError, match=message):
        door.step(np.zeros(2, np.int64))


def test_batched_rows_may_hand_over_columns_and_doubles():
    given = {"reward": np.ones((2, 1)), "terminated": np.array([1, 0])}
    door = Door(OtherRows(**given))  # type: ignore[arg-type]
    door.reset()
    found = door.step(np.zeros(2, np.int64))
    assert found.reward.dtype == np.float32
    assert found.reward.tolist() == [1, 1]
    assert found.terminated.dtype == bool
    door.close()  # rows need not have a `close`


# --- errors ---


def test_an_error_of_a_world_names_seed_row_step_and_line():
    door = make_door()
    door.reset()

    def fail(reward: float) -> float:
        return 1 / 0

    FAULTS.update(step={"reward": fail}, seeds=[door.rows.seeds[2]])
    step(door)
    with pytest.raises(WorldError) as caught:
        step(door)
    assert str(caught.value) == (
        "world Strange-v0 raised ZeroDivisionError: division by zero in step "
        "(seed 1, row 0, step 2 of its episode; "
        f"{__file__}, line {fail.__code__.co_firstlineno + 1})"
    )


def test_an_error_in_reset_is_a_sentence():
    FAULTS["raises_in_reset"] = True
    door = make_door()
    with pytest.raises(WorldError, match=r"raised OSError: the port is taken in reset"):
        door.reset()


# --- a whole run ---


def small(**settings: Any) -> Config:
    given: dict[str, Any] = {
        "env": Gym(id="Strange-v0"),
        "planner": Constant(action=(1,)),
        "learner": DQN(hidden=(8,), batch_size=8),
        "start": Expert(size=16),
        "steps": 24,
        "rows": 2,
        "seeds": (0, 1),
        "eval_episodes": 3,
        "eval_every": 8,
        "eval_mixed": True,
        "log_every": 8,
        "checkpoint_every": 1_000,
    }
    return Config(**(given | settings))


def first_episode_seeds(seed: int) -> list[int]:
    """Of the rows of a run's seed."""
    return stream(seed, "environment").integers(2**31, size=2).tolist()


def test_a_bad_transition_never_enters_the_buffer(capsys):
    FAULTS["seeds"] = first_episode_seeds(1)[1:]
    FAULTS["step"] = {"reward": returns(np.nan)}
    run = Run(small())
    list(begin(run))
    run.close()
    assert run.health.healthy.tolist() == [True, False]
    # the step before the bad one, in two rows
    assert run.buffer.size.tolist() == [16, 2]
    batch = run.buffer.sample(64, discount=0.9)[0]
    assert batch.reward.isfinite().all()
    assert capsys.readouterr().err.count("seed 1 was stopped: world Strange-v0 ") == 1


def values_of(records: list[Record], seed: int) -> list[Any]:
    """Everything that a run reports of one seed, but times."""
    return [
        (record.kind, record.step, tag, repr(values[seed]))
        for record in records
        if record.kind != "time"
        for tag, values in record.values.items()
    ]


@pytest.mark.parametrize("field", ["reward", "obs"])
def test_healthy_seeds_finish_as_if_alone(field):
    FAULTS["seeds"] = first_episode_seeds(1)[:1]
    bad = np.nan if field == "reward" else np.array([np.nan, 0], np.float32)
    FAULTS["step"] = {field: returns(bad)}
    together = list(train(small(start="none")))
    alone = list(train(small(start="none", seeds=(0,))))
    assert values_of(together, 0) == values_of(alone, 0)


def test_a_seed_whose_evaluation_is_not_finite_stops_alone():
    run = Run(small())
    door: Any = evaluation_door(run.world, [7])
    door.reset()
    FAULTS["seeds"] = door.rows.seeds.tolist()  # both learners play this episode
    FAULTS["step"] = {"reward": returns(np.nan)}
    stopped = []
    played = play_learner(
        run.learner, run.world, [6, 7], lambda index, problem: stopped.append(problem)
    )
    assert np.isnan(played.reward).all()
    assert stopped[0] == (
        "world Strange-v0 gave the reward nan "
        "(evaluation of seed 0, row 1, step 2 of its episode)"
    )
    assert len(stopped) == 2
    with pytest.raises(WorldError, match="evaluation of seed 0, row 1, step 2"):
        play_learner(run.learner, run.world, [6, 7])


def test_a_baseline_that_is_not_finite_is_an_error():
    FAULTS["step"] = {"reward": returns(np.inf)}
    FAULTS["at"] = 6
    with pytest.raises(WorldError, match="random play, row 0, step 6 of its episode"):
        next(train(small()))
    assert still_open() == 0


def test_the_run_ends_when_every_seed_was_stopped():
    FAULTS["seeds"] = first_episode_seeds(0) + first_episode_seeds(1)
    FAULTS["step"] = {"reward": returns(np.nan)}
    with pytest.raises(ValueError, match="every seed was stopped; seed 0: world"):
        list(train(small()))


# --- closing ---


def test_a_run_opens_rows_and_one_evaluation_and_closes_all():
    rows = 4
    evaluated = 6
    FAULTS["most_open"] = rows + evaluated
    records = train(small(techniques=("quantize",)))
    next(records)
    assert still_open() == rows
    list(records)
    assert len(OPENED) > 3 * evaluated
    assert still_open() == 0


def test_an_error_leaves_nothing_open():
    def fail(reward: float) -> float:
        raise RuntimeError("out of order")

    records = train(small())
    next(records)
    FAULTS["step"] = {"reward": fail}
    with pytest.raises(WorldError, match="raised RuntimeError: out of order in step"):
        list(records)
    assert still_open() == 0


def test_a_closed_generator_leaves_nothing_open():
    records: Any = train(small())
    for record in records:
        if record.kind == "collect":
            break
    assert still_open() > 0
    records.close()
    assert still_open() == 0


def test_an_interrupted_evaluation_leaves_nothing_open():
    asked = []

    def stop() -> bool:
        asked.append(still_open())
        return asked[-1] == 10  # during the evaluation of the learners

    with listening(lambda phase: None, stop):
        records = list(train(small()))
    assert asked[-1] == 10
    assert records[-1].kind != "final"
    assert still_open() == 0


def test_a_planner_that_cannot_be_set_up_leaves_nothing_open():
    with pytest.raises(ValueError, match="constant needs one of the actions"):
        list(train(small(planner=Constant(action=(5,)))))
    assert still_open() == 0


# --- chance ---


def unseeded() -> Any:
    numbers = itertools.count()
    return lambda: next(numbers) / 1e6


def test_a_world_that_cannot_repeat_an_episode_is_announced(capsys):
    announce_chance(Gym(id="Strange-v0"))
    assert capsys.readouterr().err == ""
    FAULTS["start"] = unseeded()
    announce_chance(Gym(id="Strange-v0"))
    assert capsys.readouterr().err.startswith(
        "world Strange-v0 differs after two resets with one seed: evaluation episodes "
        "are not the same"
    )
    assert still_open() == 0


def test_a_resumed_world_that_replays_differently_is_told(tmp_path, capsys):
    config = small(checkpoint_every=8)
    list(train(config, tmp_path))
    resume = tmp_path / "checkpoints" / "step-000000008"
    capsys.readouterr()
    same = list(train(config, None, resume))
    assert capsys.readouterr().err == ""
    assert not any("rollout/inexact_resumes" in record.values for record in same)
    FAULTS["start"] = unseeded()
    other = list(train(config, None, resume))
    assert (
        "world Strange-v0 replays differently: 4 of 4 rows did not come back as they "
        "were saved"
    ) in capsys.readouterr().err
    collected = [record for record in other if record.kind == "collect"]
    for record in collected:
        assert record.values["rollout/inexact_resumes"].tolist() == [1, 1]


# --- success ---


def success_rates(records: list[Record], tag: str) -> list[float]:
    return [record.values[tag][0] for record in records if tag in record.values]


def test_success_may_be_reported_in_the_last_step_only():
    FAULTS["last_info"] = {"is_success": True}
    records = list(train(small()))
    assert success_rates(records, "eval/success_rate") == [1.0] * 4
    assert success_rates(records, "rollout/success_rate") == [1.0] * 3
    FAULTS["last_info"] = {"success": np.array([0])}
    records = list(train(small()))
    assert success_rates(records, "eval/success_rate") == [0.0] * 4


def test_a_world_without_success_reports_none():
    records = list(train(small()))
    assert np.isnan(success_rates(records, "eval/success_rate")).all()
    assert np.isnan(success_rates(records, "rollout/success_rate")).all()


def test_checks_of_contracts_leave_nothing_open():
    world = Gym(id="Strange-v0")
    check_world(world)
    check_planner(Constant(action=(1,)), world, steps=4)
    assert len(OPENED) > 12
    assert still_open() == 0


def test_the_training_of_an_expert_leaves_nothing_open(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expert = ExpertDQN(
        hidden=(8,), max_steps=60, eval_every=30, eval_episodes=2, rows=2
    )
    list(train(small(planner=expert, steps=8)))
    assert still_open() == 0
    FAULTS["step"] = {"reward": returns(np.nan)}
    with pytest.raises(WorldError, match=r"the reward nan .expert training, row"):
        list(train(small(planner=replace(expert, max_steps=80), steps=8)))
    assert still_open() == 0
