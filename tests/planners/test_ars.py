"""Augmented random search: what it learns, and how it is kept and continued."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from curriculum.activity import Interrupted, listening, phase
from curriculum.envs._base.native import Dynamics
from curriculum.envs._base.spec import spec_of
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gym import Gym
from curriculum.planners._ars import search
from curriculum.planners._ars.linear import Linear, Statistics, policy_of
from curriculum.planners._expert import cache, storage
from curriculum.planners._expert.levels import Level
from curriculum.planners.ars import ARS
from curriculum.types import World, stream


@dataclass(kw_only=True)
class Follow(Dynamics):
    """Rewards an action that is half of the observed number: the best return is 0."""

    max_steps: int = 4

    observation_space: ClassVar[Any] = gym.spaces.Box(-9, 9, (1,), np.float32)
    action_space: ClassVar[Any] = gym.spaces.Box(-1, 1, (1,), np.float32)
    has_success = False

    def begin(self, rng: Any, rows: int) -> np.ndarray:
        return 2 * rng.random((rows, 1)) - 1

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reward = -np.square(action[:, 0] - state[:, 0] / 2)
        return -state, reward, np.zeros(len(state), bool)

    def observe(self, state: np.ndarray) -> np.ndarray:
        return state.astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        return np.zeros(len(state), bool)

    def draw(self, state: np.ndarray) -> np.ndarray:
        raise NotImplementedError


SHORT: dict[str, Any] = {"max_steps": 400, "eval_every": 100, "eval_episodes": 2}


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch):
    """No test finds what another has loaded."""
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(cache, "_trained_in", {})


def set_up(planner: ARS, world: World) -> ARS:
    rows = world.rows([stream(0, "environment")], 2)
    rows.reset()
    return planner.setup(rows, spec_of(world), (0,))


@pytest.fixture
def started(tmp_path: Path) -> Iterator[search.Search]:
    """A search that has not begun, with three directions."""
    settings = ARS(directions=3, best=2, step_size=0.5)
    with (
        phase("expert", 1, "steps") as current,
        search._open_rows(settings, Follow()) as door,
    ):
        progress = search.Progress(tmp_path)
        yield search.Search(settings, Follow(), door, progress, current)


# --- the search ---


def test_it_finds_the_best_linear_policy(tmp_path):
    planner = ARS(max_steps=20_000, eval_every=5_000, cache=str(tmp_path))
    set_up(planner, Follow())
    action = planner.act(np.array([[0.6], [-0.2]], np.float32), np.arange(2))
    np.testing.assert_allclose(action[:, 0], [0.3, -0.1], atol=0.03)


def test_it_balances_a_pole(tmp_path):
    planner = ARS(max_steps=100_000, eval_every=5_000, cache=str(tmp_path))
    planner.until_success = 1.0
    set_up(planner, CartPole())
    report = json.loads(next(tmp_path.glob("*/expert.json")).read_text())
    assert report["reached"]["mean_return"] == 500


def test_the_policy_steps_along_the_best_directions_only(started):
    directions = np.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    score = np.array([[0.0, 1.0, 4.0], [3.0, 2.0, 0.0]])
    # the best of each direction: 3, 2, 4, so the first and the third are used; the
    # deviation of 0, 3, 4, 0 is sqrt(3.1875)
    expected = 0.5 / (2 * np.sqrt(3.1875)) * ((0 - 3) * 1 + (4 - 0) * 100)
    np.testing.assert_allclose(started._step(directions, score), [[expected]])


def test_directions_that_make_no_difference_move_nothing(started):
    directions = np.ones((3, 1, 1))
    assert started._step(directions, np.full((2, 3), 7.0)).tolist() == [[0]]


def test_both_ways_of_a_direction_begin_alike(started):
    first = []
    for _ in range(2):
        played = started._play(np.zeros((6, 1, 1)))
        first.append(played.obs[:6, 0])
        assert first[-1][:3].tolist() == first[-1][3:].tolist()
        assert len(set(first[-1].tolist())) == 3
        np.testing.assert_allclose(played.reward, -np.square(first[-1]), rtol=1e-5)
    assert not set(first[0]) & set(first[1])
    assert started.steps == 2 * 6 * 4


def test_an_offset_is_subtracted_for_every_step(started, monkeypatch):
    seen = []
    obs = np.zeros((1, 1), np.float32)
    played = search.Episodes(np.arange(6.0), np.array([1, 2, 3, 4, 5, 6]), obs)
    monkeypatch.setattr(started, "_play", lambda matrices: played)

    def step(directions: np.ndarray, score: np.ndarray) -> float:
        seen.append(score.tolist())
        return 0.0

    monkeypatch.setattr(started, "_step", step)
    started.settings.reward_offset = 2.0
    started._iterate()
    assert seen == [[[-2, -3, -4], [-5, -6, -7]]]


def test_statistics_do_not_depend_on_the_parts_they_came_in():
    obs = np.random.default_rng(0).normal(3, 2, (30, 2)).astype(np.float32)
    obs[:, 1] = 5
    statistics = Statistics.empty(2)
    assert statistics.deviation.tolist() == [1, 1]
    for part in (obs[:1], obs[1:12], obs[12:]):
        statistics = statistics.including(part)
    exact = obs.astype(float)
    np.testing.assert_allclose(statistics.mean, exact.mean(0))
    # what never varies is not divided by its deviation
    np.testing.assert_allclose(statistics.deviation, [exact[:, 0].std(), 1])


def test_an_action_depends_on_its_own_observation_alone():
    rng = np.random.default_rng(0)
    policy = Linear(rng.normal(size=(3, 11)), np.zeros(11), np.ones(11), False)
    obs = rng.normal(size=(9, 11)).astype(np.float32)
    together = policy.act(obs)
    assert together.dtype == np.float32
    assert np.abs(together).max() == 1
    for index in range(9):
        alone = policy.act(obs[index : index + 1])
        np.testing.assert_array_equal(alone, together[index : index + 1])


def test_of_discrete_actions_the_one_with_the_highest_number_is_taken():
    matrix = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
    policy = Linear(matrix, np.array([0.0, 1.0]), np.array([1.0, 2.0]), True)
    obs = np.array([[3, 1], [1, 4], [-3, 0]], np.float32)
    # 3 0 -3, then 1 3 -1, then -3 -1 3
    assert policy.act(obs).tolist() == [0, 1, 2]


def test_a_kept_policy_is_the_same_up_to_rounding():
    rng = np.random.default_rng(0)
    mean, deviation = rng.normal(size=4), 0.5 + rng.random(4)
    policy = Linear(rng.normal(size=(2, 4)), mean, deviation, False)
    obs = rng.normal(size=(5, 4)).astype(np.float32)
    kept = policy_of(policy.weights, False)
    np.testing.assert_allclose(kept.act(obs), policy.act(obs), atol=1e-6)


# --- when it ends ---


def scripted(monkeypatch: pytest.MonkeyPatch, *returns: float) -> list[range]:
    """Evaluations that find these returns; gives the episodes that they played."""
    asked: list[range] = []
    left = list(returns)

    def measure(act: Any, world: Any, episodes: range, steps: int, _: Any) -> Level:
        asked.append(episodes)
        return Level(steps, left.pop(0), None)

    monkeypatch.setattr(search, "measure", measure)
    return asked


def test_it_stops_at_the_first_evaluation_that_reaches_the_goal(monkeypatch, tmp_path):
    asked = scripted(monkeypatch, -3, -1, -2)
    trained = search.train(ARS(**SHORT, until_return=-1.5), Follow(), tmp_path)
    # an iteration is 16 episodes of 4 steps; multiples of 100 are crossed at 128, 256
    assert trained.reached == Level(256, -1, None)
    assert trained.other_episodes == Level(256, -2, None)
    assert asked == [range(2), range(2), range(2, 4)]


def test_without_a_goal_the_policy_of_the_best_evaluation_is_kept(
    monkeypatch, tmp_path
):
    scripted(monkeypatch, -3, -1, -2, -9, 0)
    trained = search.train(ARS(**SHORT), Follow(), tmp_path)
    assert trained.reached == Level(256, -1, None)
    scripted(monkeypatch, 0, 0)
    shorter = ARS(**SHORT | {"max_steps": 256, "eval_every": 256})
    brief = search.train(shorter, Follow(), tmp_path)
    for name, array in trained.weights.items():
        np.testing.assert_array_equal(array, brief.weights[name])


def test_a_goal_that_is_not_reached_is_an_error_that_says_what_was(tmp_path):
    planner = ARS(**SHORT, until_return=1.0, cache=str(tmp_path))
    with pytest.raises(ValueError, match=r"^ars should train until a return of 1 in"):
        set_up(planner, Follow())
    assert list(tmp_path.iterdir()) == []


# --- what is kept ---


def after(reports: int) -> Any:
    """A run that is asked to stop after so many reports of progress."""
    left = iter(range(reports))
    return lambda: next(left, None) is None


def made(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The weights and the report of the only expert in a cache, which holds nothing
    else."""
    (expert,) = folder.iterdir()
    report = json.loads((expert / "expert.json").read_text())
    del report["seconds"]
    return (expert / "policy.safetensors").read_bytes(), report


@pytest.mark.parametrize(
    "world", [Follow(), Gym(id="Pendulum-v1", time_limit=6)], ids=["native", "gym"]
)
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(world, tmp_path):
    straight = ARS(**SHORT, cache=str(tmp_path / "straight"))
    set_up(straight, world)
    pieces = ARS(**SHORT, cache=str(tmp_path / "pieces"))
    for reports in (2, 6, 9, 31):
        with pytest.raises(Interrupted), listening(lambda _: None, after(reports)):
            set_up(pieces, world)
    set_up(pieces, world)
    assert made(tmp_path / "pieces") == made(tmp_path / "straight")


class Killed(BaseException):
    """The process ends here."""


def test_a_search_that_is_killed_while_it_saves_goes_on_exactly(tmp_path, monkeypatch):
    set_up(ARS(**SHORT, cache=str(tmp_path / "straight")), Follow())
    monkeypatch.setattr(search, "SAVE_EVERY", -1)
    pieces = ARS(**SHORT, cache=str(tmp_path / "pieces"))
    replace_file = Path.replace
    for number in (1, 2, 3, 4, 5):
        left = iter(range(number))

        def replaced(path: Path, target: Path, left: Any = left) -> Path:
            if next(left, None) is None:
                raise Killed
            return replace_file(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replaced)
            with pytest.raises(Killed):
                set_up(copy.deepcopy(pieces), Follow())
    set_up(pieces, Follow())
    assert made(tmp_path / "pieces") == made(tmp_path / "straight")


def test_what_is_kept_acts_as_the_search_left_it(tmp_path, monkeypatch):
    planner = ARS(**SHORT, cache=str(tmp_path / "cache"))
    set_up(planner, Follow())
    monkeypatch.setattr(cache, "_loaded", {})
    again = set_up(copy.deepcopy(planner), Follow())
    trained = search.train(planner, Follow(), tmp_path)
    obs = np.linspace(-1, 1, 5, dtype=np.float32)[:, None]
    expected = policy_of(trained.weights, False).act(obs)
    np.testing.assert_array_equal(again.act(obs, np.arange(5)), expected)


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("0.bias", np.zeros(2, np.float32), r"0.bias is float32\[2\]"),
        ("mean", np.array([np.nan], np.float32), "mean holds numbers that are not"),
        ("other", np.zeros(1), "other weights: other"),
    ],
)
def test_a_damaged_expert_is_refused_with_a_sentence(
    name, array, reason, tmp_path, monkeypatch
):
    planner = ARS(**SHORT, cache=str(tmp_path))
    set_up(planner, Follow())
    (folder,) = tmp_path.iterdir()
    monkeypatch.setattr(cache, "_loaded", {})
    report = json.loads((folder / "expert.json").read_text())
    arrays, _ = storage.read_arrays(folder, report["weights"])
    entry = storage.write_arrays(folder / "policy.safetensors", arrays | {name: array})
    (folder / "expert.json").write_text(json.dumps(report | {"weights": entry}))
    with pytest.raises(ValueError, match=rf"^the expert in {folder} .*{reason}"):
        set_up(planner, Follow())


def test_a_damaged_progress_is_refused_with_a_sentence(tmp_path):
    planner = ARS(**SHORT, cache=str(tmp_path))
    with pytest.raises(Interrupted), listening(lambda _: None, after(9)):
        set_up(planner, Follow())
    (file,) = tmp_path.glob(".*/state-*")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"^the interrupted training in .* is damaged"):
        set_up(planner, Follow())


@pytest.mark.parametrize(
    ("settings", "world", "message"),
    [
        ({"step_size": 0.0}, Follow(), "step_size must be positive and finite, got 0"),
        ({"directions": 0}, Follow(), "directions must be at least 1, got 0"),
        ({"until_success": 0.5}, Follow(), "does not report success"),
    ],
)
def test_what_cannot_be_searched_is_refused_before(settings, world, message):
    with pytest.raises(ValueError, match=message):
        ARS(**settings).check_world(world)


def test_images_are_refused():
    @dataclass(kw_only=True)
    class Pictures(Follow):
        observation_space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)

    with pytest.raises(ValueError, match=r"ars needs flat observations, .* choose sac"):
        ARS().check_world(Pictures())
