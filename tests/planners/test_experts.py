"""Experts of Stable-Baselines3: how they are trained up to a level, kept, read again,
and how they act."""

import contextlib
import copy
import json
import random
import shutil
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch
from sb3_contrib import QRDQN as TheirQRDQN
from sb3_contrib import TQC as TheirTQC
from sb3_contrib import CrossQ as TheirCrossQ
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from curriculum.activity import Interrupted, listening
from curriculum.envs._base.native import Dynamics, NativeRows
from curriculum.envs._gym import native
from curriculum.envs.cartpole import CartPole
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pendulum import Pendulum
from curriculum.planners._expert import (
    cache,
    lock,
    model,
    policies,
    progress,
    snapshot,
    storage,
    training,
    vec_env,
)
from curriculum.planners.crossq import CrossQ
from curriculum.planners.dqn import DQN
from curriculum.planners.qrdqn import QRDQN
from curriculum.planners.sac import SAC
from curriculum.planners.sb3 import SB3
from curriculum.planners.tqc import TQC
from curriculum.trust import Untrusted, trusting
from curriculum.types import Spec, stream

SHORT: dict[str, Any] = {
    "max_steps": 48,
    "learning_starts": 16,
    "batch_size": 8,
    "hidden": (8,),
}
SHORT |= {"eval_every": 24, "eval_episodes": 2, "rows": 8, "updates_per_step": 0.25}
BRIEF = Pendulum(max_steps=8)
KINDS = [
    (DQN, CartPole()),
    (QRDQN, CartPole()),
    (SAC, BRIEF),
    (TQC, BRIEF),
    (CrossQ, BRIEF),
]
every_kind = pytest.mark.parametrize(
    ("kind", "world"), KINDS, ids=[kind.__name__ for kind, _ in KINDS]
)
# one of discrete and one of box actions by default, all where there is time
every_kind_in_turn = pytest.mark.parametrize(
    ("kind", "world"),
    [
        pytest.param(*kind, marks=() if kind[0] in (DQN, SAC) else pytest.mark.slow)
        for kind in KINDS
    ],
    ids=[kind.__name__ for kind, _ in KINDS],
)


@dataclass(kw_only=True)
class Count(Dynamics):
    """Counts to `goal`, its true end, by adding action + 1; a reward is ten times the
    count that was left."""

    max_steps: int = 3
    goal: int = 5
    note: str = ""

    observation_space: ClassVar[Any] = gym.spaces.Box(0, 99, (1,), np.float32)
    action_space: ClassVar[Any] = gym.spaces.Discrete(2)

    def begin(self, rng: Any, rows: int) -> np.ndarray:
        return np.zeros((rows, 1))

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        following = state + action[:, None] + 1
        return following, 10 * state[:, 0], following[:, 0] >= self.goal

    def observe(self, state: np.ndarray) -> np.ndarray:
        return state.astype(np.float32)

    def success(self, state: np.ndarray) -> np.ndarray:
        return state[:, 0] == self.goal

    def draw(self, state: np.ndarray) -> np.ndarray:
        raise NotImplementedError


@dataclass(kw_only=True)
class Staggered(Count):
    """Begins at 0 or 1."""

    def begin(self, rng: Any, rows: int) -> np.ndarray:
        return (rng.random((rows, 1)) < 0.5).astype(float)


@dataclass(kw_only=True)
class Silent(Count):
    has_success = False


@dataclass(kw_only=True)
class Pictures(Count):
    observation_space = gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)

    def observe(self, state: np.ndarray) -> np.ndarray:
        return np.tile(state[:, :, None, None], (1, 4, 84, 84)).astype(np.uint8)


@dataclass(kw_only=True)
class Bounds(Count):
    """Box actions within uneven bounds; observations [2]."""

    observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gym.spaces.Box(
        np.array([-1, 0, 2]), np.array([3, 10, 4]), dtype=np.float32
    )


@dataclass(kw_only=True)
class Clipped(Count):
    """Trained in with another reward than it is measured with."""

    clip: bool = True

    def evaluated(self):
        return replace(self, clip=False)


def rows_of(world: Any, *seeds: int, each: int = 2) -> Any:
    rows = world.rows([stream(seed, "environment") for seed in seeds or (0,)], each)
    rows.reset()
    return rows


def spec_of(world: Any) -> Spec:
    seen, acted = world.observation_space, world.action_space
    number = int(getattr(acted, "n", 0))
    return Spec(
        seen.shape,
        str(seen.dtype),
        seen.low,
        seen.high,
        number,
        0 if number else int(np.prod(acted.shape)),
    )


def set_up(planner: Any, world: Any, *seeds: int, each: int = 2) -> Any:
    return planner.setup(
        rows_of(world, *seeds, each=each), spec_of(world), seeds or (0,)
    )


def trusted(planner: Any, world: Any, *seeds: int, each: int = 2) -> Any:
    """Set up a planner that reads files of the library."""
    with trusting():
        return set_up(planner, world, *seeds, each=each)


def kept(cache: Path) -> dict[str, Any]:
    """What is kept of the one expert in a cache."""
    return json.loads(next(cache.glob("*/expert.json")).read_text())


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch):
    """No test finds what another has loaded."""
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(cache, "_trained_in", {})


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The worlds that were trained in."""
    worlds: list[Any] = []
    train = training.train

    def counted(planner: Any, world: Any, folder: Path) -> Any:
        worlds.append(world)
        return train(planner, world, folder)

    monkeypatch.setattr(training, "train", counted)
    return worlds


# --- rows as the library steps them ---


def test_rows_tell_the_true_last_observation_and_whether_time_ran_out():
    env = vec_env.RowsEnv(NativeRows(Count(), [stream(0, "x")], 3))
    assert env.reset().tolist() == [[0], [0], [0]]
    steps: list[Any] = [
        env.step(np.array(action)) for action in ([0, 1, 1], [0, 1, 0], [0, 1, 1])
    ]
    assert [obs[:, 0].tolist() for obs, *_ in steps] == [
        [1, 2, 2],
        [2, 4, 3],
        [0, 0, 0],
    ]
    assert [reward.tolist() for _, reward, *_ in steps] == [
        [0, 0, 0],
        [10, 20, 20],
        [20, 40, 30],
    ]
    assert [over.tolist() for _, _, over, _ in steps] == [
        [False] * 3,
        [False] * 3,
        [True] * 3,
    ]
    assert [info for _, _, _, infos in steps[:2] for info in infos] == [{}] * 6
    infos = steps[2][3]
    # 6 and 5: true ends
    assert [info["terminal_observation"].tolist() for info in infos] == [[3], [6], [5]]
    assert [info["TimeLimit.truncated"] for info in infos] == [True, False, False]
    assert [info["is_success"] for info in infos] == [False, False, True]


def test_rows_behind_the_librarys_monitor_tell_return_and_length():
    env = VecMonitor(vec_env.RowsEnv(NativeRows(Count(), [stream(0, "x")], 2)))
    env.reset()
    infos = [env.step(np.array([0, 1]))[3] for _ in range(3)][-1]
    assert [(info["episode"]["r"], info["episode"]["l"]) for info in infos] == [
        (30, 3),
        (60, 3),
    ]


def test_what_the_library_remembers_bootstraps_over_time_limits_only():
    built = model.build_model(
        DQN(**SHORT | {"rows": 2}),
        vec_env.RowsEnv(NativeRows(Count(), [stream(0, "x")], 2)),
    )
    with policies.isolated():
        built.learn(12, callback=lambda *_: True, log_interval=None)  # type: ignore[arg-type]
    memory: Any = built.replay_buffer
    obs, following = memory.observations[:6, :, 0], memory.next_observations[:6, :, 0]
    # also where an episode was over
    np.testing.assert_array_equal(following, obs + memory.actions[:6, :, 0] + 1)
    np.testing.assert_array_equal(memory.rewards[:6], 10 * obs)
    ended = memory.dones[:6] * (1 - memory.timeouts[:6])
    np.testing.assert_array_equal(ended, following >= 5)
    assert 0 < ended.sum() < memory.dones[:6].sum() == 4


def test_a_world_of_box_actions_is_offered_as_minus_one_to_one():
    env = vec_env.RowsEnv(NativeRows(Bounds(), [stream(0, "x")], 1))
    assert env.action_space == gym.spaces.Box(-1, 1, (3,), np.float32)


# --- training up to a level ---


def test_a_level_is_that_of_whole_episodes():
    class Always:
        action_space = Count.action_space

        def predict(
            self, obs: np.ndarray, deterministic: bool
        ) -> tuple[np.ndarray, None]:
            assert deterministic
            return (obs[:, 0] != 2).astype(np.int64), None

    level = training.measure(Always(), Count(), range(4), 7)  # type: ignore[arg-type]
    assert level == training.Level(7, 0 + 20 + 30, 1.0)  # 0, 2, 3, 5
    staggered = training.measure(Always(), Staggered(), range(9), 7)  # type: ignore[arg-type]
    assert staggered.success_rate == 1  # whoever was over first began anew
    assert (staggered.mean_return * 9) % 10 == pytest.approx(0)
    assert 40 < staggered.mean_return < 50  # some of 0, 2, 3, 5 and some of 1, 3, 5
    assert training.measure(Always(), Silent(), range(4), 7).success_rate is None  # type: ignore[arg-type]
    assert training.measure(Always(), Count(max_steps=2), range(4), 7).success_rate == 0  # type: ignore[arg-type]


def scripted(
    monkeypatch: pytest.MonkeyPatch, *levels: tuple[float, float]
) -> list[range]:
    """Evaluations that find these returns and success rates one after another; gives
    the episodes that they played."""
    asked, left = [], list(levels)

    def measure(
        policy: Any, world: Any, episodes: range, steps: int, report: Any
    ) -> training.Level:
        asked.append(episodes)
        return training.Level(steps, *left.pop(0))

    monkeypatch.setattr(training, "measure", measure)
    return asked


@pytest.mark.parametrize(
    ("goal", "steps"),
    [
        ({"until_success": 0.6}, 32),
        ({"until_return": 4.0}, 48),
        ({"until_success": 0.6, "until_return": 4.0}, 64),
        ({"until_return": -5.0}, 16),
    ],
)
def test_training_stops_at_the_first_evaluation_that_reaches_the_level(
    monkeypatch, goal, steps, tmp_path
):
    asked = scripted(monkeypatch, (1, 0.1), (2, 0.7), (4, 0.5), (5, 0.9), (9, 0.2))
    planner = DQN(
        **SHORT | {"max_steps": 999, "eval_every": 16, "eval_episodes": 3}, **goal
    )
    trained = training.train(planner, Count(), tmp_path)
    assert trained.reached.steps == steps
    # and is judged by episodes that did not stop it
    assert asked == [range(3)] * (steps // 16) + [range(3, 6)]


def test_without_a_goal_the_best_policy_of_all_evaluations_is_kept(
    monkeypatch, tmp_path
):
    quick = SHORT | {"eval_every": 8, "learning_starts": 8, "max_steps": 40}
    weights = []

    def measure(
        policy: Any, world: Any, episodes: range, steps: int, report: Any
    ) -> training.Level:
        weights.append(copy.deepcopy(policy.state_dict()))
        return training.Level(steps, [1, 5, 7, 2, 3, 4][len(weights) - 1], None)

    monkeypatch.setattr(training, "measure", measure)
    trained = training.train(DQN(**quick), Count(), tmp_path)
    assert trained.reached == training.Level(24, 7, None)
    assert trained.other_episodes == training.Level(24, 4, None)
    for index, evaluated in enumerate(weights):
        same = all(
            np.array_equal(evaluated[name], array)
            for name, array in trained.weights.items()
        )
        # evaluations at 8, 16, ..., 40 steps, then that of the policy that was kept
        assert same == (index in (2, 5))


def test_without_a_goal_few_evaluations_choose_the_policy(monkeypatch, tmp_path):
    asked = scripted(monkeypatch, *[(1, 1.0)] * 99)
    planner = DQN(
        **SHORT | {"max_steps": 8 * 60, "eval_every": 8, "learning_starts": 999}
    )
    training.train(planner, Count(), tmp_path)
    # every 24 steps, and once on other episodes
    assert asked == [range(2)] * 20 + [range(2, 4)]


def test_a_level_that_is_not_reached_is_an_error_that_says_what_was(tmp_path):
    planner = DQN(**SHORT, until_success=0.9, cache=str(tmp_path))
    with pytest.raises(ValueError, match=r"^dqn should train") as caught:
        set_up(planner, Count(max_steps=1))
    assert str(caught.value) == (
        "dqn should train until success 0.9 in Count(max_steps=1, goal=5, note=''), "
        "but has success 0.00 and a return of 0 after 48 steps; "
        "raise --planner.max-steps, ask for less, or choose another planner"
    )
    assert list(tmp_path.iterdir()) == []


@every_kind
def test_the_same_settings_train_the_same_expert_however_the_global_generators_stand(
    kind, world, tmp_path
):
    first, second, other = (
        training.train(kind(**SHORT, seed=seed), world, tmp_path).weights
        for seed in (0, 0, 1)
    )
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


def test_global_generators_and_threads_are_left_as_they_were(tmp_path):
    def drawn() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002

    before, threads = (
        (random.getstate(), np.random.get_state(), torch.get_rng_state()),  # noqa: NPY002
        torch.get_num_threads(),
    )
    expected = drawn()
    random.setstate(before[0])
    np.random.set_state(before[1])  # noqa: NPY002
    torch.set_rng_state(before[2])
    try:
        torch.set_num_threads(2)
        actor = set_up(SAC(**SHORT, deterministic=False, cache=str(tmp_path)), BRIEF)
        actor.act(np.zeros((2, 3), np.float32), np.arange(2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert drawn() == expected


def test_an_expert_sees_pictures_through_convolutions(tmp_path):
    actor = set_up(
        DQN(
            **SHORT | {"max_steps": 20, "batch_size": 2, "rows": 2}, cache=str(tmp_path)
        ),
        Pictures(),
    )
    assert any(isinstance(module, torch.nn.Conv2d) for module in actor.asked.modules())
    assert actor.act(np.zeros((2, 4, 84, 84), np.uint8), np.arange(2)).shape == (2,)


@pytest.mark.parametrize(
    ("planner", "world", "message"),
    [
        (
            DQN(),
            Pendulum(),
            r"dqn needs discrete actions, those of Pendulum.* are Box.*; "
            "choose sac, tqc or crossq",
        ),
        (
            SAC(),
            CartPole(),
            r"sac needs box actions, those of CartPole.* are Discrete\(2\); "
            "choose dqn or qrdqn",
        ),
        (
            DQN(until_success=0.5),
            Silent(),
            r"Silent.* does not report success; set a return as the goal instead",
        ),
        (
            DQN(until_success=60),
            CartPole(),
            "until_success must be between 0 and 1, got 60",
        ),
        (DQN(rows=0), CartPole(), "rows must be at least 1, got 0"),
        (
            DQN(hidden=(8, 0)),
            CartPole(),
            r"hidden must be widths of at least 1, got 8 0",
        ),
        (DQN(learning_rate=2), CartPole(), "learning_rate must be between 0 and 1"),
        (
            DQN(updates_per_step=float("inf")),
            CartPole(),
            "updates_per_step must be positive and finite, got inf",
        ),
        (
            DQN(until_return=float("nan")),
            CartPole(),
            "until_return must be a number, got nan",
        ),
        (DQN(exploration=2), CartPole(), "exploration must be between 0 and 1"),
        (DQN(explore_steps=-1), CartPole(), "explore_steps must be at least 0"),
        (DQN(target_every=0), CartPole(), "target_every must be at least 1"),
        (QRDQN(quantiles=0), CartPole(), "quantiles must be at least 1"),
        (SAC(target_rate=2), Pendulum(), "target_rate must be between 0 and 1"),
        (TQC(dropped=25, quantiles=25), Pendulum(), "dropped must be between 0 and 24"),
        (TQC(target_rate=-1), Pendulum(), "target_rate must be between 0 and 1"),
        (CrossQ(policy_delay=0), Pendulum(), "policy_delay must be at least 1"),
        (CrossQ(), Pictures(), "crossq needs box actions"),
        (DQN(seed=-1), CartPole(), "seed must be between 0 and"),
        (DQN(seed=2**32), CartPole(), "seed must be between 0 and 4.29497e"),
        (DQN(batch_size=0), CartPole(), "batch_size must be at least 1, got 0"),
        (
            DQN(updates_per_step=0),
            CartPole(),
            "updates_per_step must be positive and finite, got 0",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_training(
    planner, world, message, trainings
):
    with pytest.raises(ValueError, match=f"^{message}"):
        set_up(planner, world)
    assert not trainings


# --- the cache ---


def test_an_expert_is_trained_once_and_then_found_in_memory_and_on_disk(
    tmp_path, trainings, capsys, monkeypatch
):
    planner, world = DQN(**SHORT, cache=str(tmp_path)), CartPole()
    obs = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    actions = [
        set_up(copy.deepcopy(planner), world, *seeds).act(obs, np.arange(4)).tolist()
        for seeds in ((0, 1), (5, 6))
    ]
    assert trainings == [world]
    monkeypatch.setattr(cache, "_loaded", {})
    said: list[str] = []
    with listening(lambda current: None, say=said.append):
        again = set_up(copy.deepcopy(planner), world, 0, 1)
    actions.append(again.act(obs, np.arange(4)).tolist())
    assert trainings == [world]
    assert actions[0] == actions[1] == actions[2]
    assert [text.partition(": ")[0] for text in said] == ["dqn was trained before"]
    assert capsys.readouterr().err == ""


def test_what_is_kept_says_what_it_is_and_how_good(tmp_path):
    set_up(DQN(**SHORT, until_return=0.0, cache=str(tmp_path)), Count(note="hi"))
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "expert.json",
        "policy.safetensors",
    ]
    assert folder.name.startswith("count-dqn-")
    told = kept(tmp_path)
    assert told["reached"].keys() == {
        "steps",
        "mean_return",
        "success_rate",
        "episodes",
    }
    assert told["reached"]["steps"] == 24
    assert told["other_episodes"]["episodes"] == 2
    assert (told["planner"], told["until_return"], told["hidden"]) == ("dqn", 0, [8])
    assert told["world"] == {
        "class": f"{__name__}:Count",
        "max_steps": 3,
        "goal": 5,
        "note": "hi",
    }
    assert told["libraries"]["torch"].startswith(torch.__version__.split("+")[0])


@pytest.mark.parametrize(
    "kind", [DQN, QRDQN, SAC, TQC, CrossQ], ids=lambda kind: kind.__name__
)
def test_every_setting_but_place_and_manner_of_acting_makes_another_expert(
    kind, tmp_path
):
    planner, world = kind(cache=str(tmp_path)), Count()
    for name in [field.name for field in fields(planner)]:
        value = getattr(planner, name)
        other = (
            (3,)
            if name == "hidden"
            else not value
            if isinstance(value, bool)
            else f"{value}x"
        )
        changed = replace(
            planner,
            **{
                name: other
                if isinstance(value, bool | str | tuple)
                else (value or 0) + 0.5
            },
        )
        same = (
            cache.folder_of(changed, world).name == cache.folder_of(planner, world).name
        )
        assert same == (name in ("cache", "deterministic")), name


def test_every_setting_of_the_world_and_every_version_makes_another_expert(
    monkeypatch, tmp_path
):
    planner = DQN(cache=str(tmp_path))
    worlds = [Count(), Count(max_steps=4), Count(goal=6), Count(note="x"), Silent()]
    assert (
        len({cache.folder_of(planner, world).name.split("-")[-1] for world in worlds})
        == 5
    )
    before = cache.folder_of(planner, Count())
    for library in ("stable-baselines3", "sb3-contrib", "torch"):
        with monkeypatch.context() as patched:
            real = cache.version
            patched.setattr(
                cache,
                "version",
                lambda n, changed=library, real=real: "9" if n == changed else real(n),
            )
            assert cache.folder_of(planner, Count()) != before
    monkeypatch.setattr(cache, "FORMAT", 99)
    assert cache.folder_of(planner, Count()) != before


def test_a_world_that_is_measured_otherwise_is_trained_in_once_and_as_it_is(
    tmp_path, trainings
):
    planner, world = DQN(**SHORT, cache=str(tmp_path)), Clipped()
    set_up(copy.deepcopy(planner), world)
    set_up(copy.deepcopy(planner), world.evaluated())
    assert trainings == [Clipped(clip=True)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(folder: Path, **weights: np.ndarray) -> None:
    """Replace weights of an expert, consistently with its digest."""
    report = json.loads((folder / "expert.json").read_text())
    arrays, _ = storage.read_arrays(folder, report["weights"])
    for name, array in weights.items():
        arrays[name.replace("__", ".")] = array
    entry = storage.write_arrays(folder / "policy.safetensors", arrays)
    (folder / "expert.json").write_text(json.dumps(report | {"weights": entry}))


DAMAGES: dict[str, Any] = {
    "a flipped bit": lambda folder: flip(folder / "policy.safetensors"),
    "no weights": lambda folder: (folder / "policy.safetensors").unlink(),
    "no report": lambda folder: (folder / "expert.json").unlink(),
    "half a report": lambda folder: (folder / "expert.json").write_text('{"weights": '),
    "a list": lambda folder: (folder / "expert.json").write_text("[]"),
    "no digest": lambda folder: (folder / "expert.json").write_text('{"weights": 3}'),
    "elsewhere": lambda folder: (folder / "expert.json").write_text(
        '{"weights": {"file": "/etc/passwd", "bytes": 1, "sha256": ""}}'
    ),
    "another shape": lambda folder: rewrite(
        folder, q_net__q_net__0__weight=np.zeros((9, 4), np.float32)
    ),
    "another dtype": lambda folder: rewrite(
        folder, q_net__q_net__0__weight=np.zeros((8, 4), np.float64)
    ),
    "another name": lambda folder: rewrite(folder, other=np.zeros(1, np.float32)),
    "nan": lambda folder: rewrite(
        folder, q_net__q_net__0__weight=np.full((8, 4), np.nan, np.float32)
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_expert_is_refused_with_a_sentence(damage, tmp_path, monkeypatch):
    planner = DQN(**SHORT, cache=str(tmp_path))
    set_up(planner, CartPole())
    (folder,) = tmp_path.iterdir()
    monkeypatch.setattr(cache, "_loaded", {})
    DAMAGES[damage](folder)
    with pytest.raises(
        ValueError,
        match=rf"^the expert in {folder} is damaged \(.*\); remove the folder to",
    ) as caught:
        set_up(planner, CartPole())
    assert "\n" not in str(caught.value)


def test_nothing_of_ours_is_unpickled(tmp_path, monkeypatch, capsys):
    """Neither an expert nor an interrupted training, nor what earlier versions kept."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("unpickled")

    planner = DQN(**SHORT | {"max_steps": 200}, cache=str(tmp_path))
    old = cache.folder_of(planner, CartPole(), 1)
    old.mkdir()
    (old / "model.zip").write_bytes(b"a pickle")
    for target in ("pickle.load", "pickle.loads", "torch.load", "zipfile.ZipFile"):
        monkeypatch.setattr(target, refuse)
    monkeypatch.setattr(stable_baselines3.common.save_util.cloudpickle, "loads", refuse)
    with pytest.raises(Interrupted), listening(lambda _: None, after(20)):
        set_up(planner, CartPole())
    set_up(planner, CartPole())
    monkeypatch.setattr(cache, "_loaded", {})
    set_up(planner, CartPole())
    assert (
        f"{old} was written by an earlier version as a pickle"
        in capsys.readouterr().err
    )


def test_restored_global_generators_draw_the_same_numbers():
    def draw() -> tuple[float, float, float]:
        return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002

    saved = snapshot._global_generators()
    try:
        first = draw()
        snapshot._restore_global_generators(saved)
        assert draw() == first
    finally:
        snapshot._restore_global_generators(saved)


def test_a_failed_training_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(storage, "write_arrays", full)
    with pytest.raises(OSError, match="disk full"):
        set_up(DQN(**SHORT, cache=str(tmp_path)), CartPole())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_progress_saved_before(tmp_path, monkeypatch):
    planner = DQN(**SHORT | {"max_steps": 200}, cache=str(tmp_path))
    with pytest.raises(Interrupted), listening(lambda _: None, after(20)):
        set_up(planner, CartPole())
    (unfinished,) = tmp_path.iterdir()
    before = {path.name: path.read_bytes() for path in unfinished.iterdir()}

    def full(_: Any, __: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(training, "SAVE_EVERY", -1)
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match=r"^cannot write .*: No space left on device"):
            set_up(planner, CartPole())
    after_it = {path.name: path.read_bytes() for path in unfinished.iterdir()}
    assert after_it == before


# --- interruptions ---

LONG = SHORT | {"max_steps": 160, "capacity": 64, "eval_every": 40}


def after(reports: int) -> Any:
    """A run that is asked to stop after so many reports of progress."""
    left = iter(range(reports))
    return lambda: next(left, None) is None


def made(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The weights and the report of the only expert in a cache, which holds nothing
    else."""
    (expert,) = folder.iterdir()
    told = kept(folder)
    del told["seconds"]
    return (expert / "policy.safetensors").read_bytes(), told


@every_kind_in_turn
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    kind, world, tmp_path, monkeypatch
):
    monkeypatch.setattr(progress, "LARGEST_SEGMENT", 1_000)
    straight = kind(**LONG, cache=str(tmp_path / "straight"))
    set_up(straight, world)
    pieces = kind(**LONG, cache=str(tmp_path / "pieces"))
    for reports in (3, 8, 12, 31):
        with pytest.raises(Interrupted), listening(lambda _: None, after(reports)):
            set_up(pieces, world)
    set_up(pieces, world)
    assert made(tmp_path / "pieces") == made(tmp_path / "straight")


def test_a_training_in_a_gymnasium_world_goes_on_exactly(tmp_path):
    world = Gym(id="Pendulum-v1", time_limit=7)
    set_up(SAC(**LONG, cache=str(tmp_path / "straight")), world)
    pieces = SAC(**LONG, cache=str(tmp_path / "pieces"))
    with pytest.raises(Interrupted), listening(lambda _: None, after(30)):
        set_up(pieces, world)
    set_up(pieces, world)
    assert made(tmp_path / "pieces") == made(tmp_path / "straight")


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("before", [True, False])
def test_a_training_that_is_killed_while_it_saves_goes_on_exactly(
    before, tmp_path, monkeypatch
):
    """At every file that is renamed, just before and just after."""
    quick = LONG | {"max_steps": 64}
    set_up(DQN(**quick, cache=str(tmp_path / "straight")), CartPole())
    monkeypatch.setattr(training, "SAVE_EVERY", -1)
    pieces = DQN(**quick, cache=str(tmp_path / "pieces"))
    replace_file = Path.replace
    kills = 0
    finished = False
    while not finished:
        left = iter(range(2 + kills % 5))

        def replaced(path: Path, target: Path, left: Any = left) -> Path:
            if before and next(left, None) is None:
                raise Killed
            result = replace_file(path, target)
            if not before and next(left, None) is None:
                raise Killed
            return result

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", replaced)
            try:
                set_up(copy.deepcopy(pieces), CartPole())
                finished = True
            except Killed:
                kills += 1
        assert kills < 60
    assert kills > 4
    assert made(tmp_path / "pieces") == made(tmp_path / "straight")


@pytest.mark.parametrize("name", ["training.json", "state-", "replay-"])
def test_a_damaged_progress_is_refused_with_a_sentence_and_kept(name, tmp_path):
    planner = DQN(**LONG, cache=str(tmp_path))
    with pytest.raises(Interrupted), listening(lambda _: None, after(20)):
        set_up(planner, CartPole())
    (unfinished,) = tmp_path.iterdir()
    (file,) = unfinished.glob(f"{name}*")
    flip(file)
    for _ in range(2):
        with pytest.raises(
            ValueError,
            match=rf"^the interrupted training in {unfinished} is damaged \(.*\); "
            "remove the folder",
        ):
            set_up(planner, CartPole())


def test_two_processes_do_not_train_the_same_expert(tmp_path, trainings, capsys):
    planner = DQN(**SHORT, cache=str(tmp_path))
    folder = cache.folder_of(planner, CartPole())
    with (
        lock.locked(folder.with_name(f".{folder.name}.training")),
        pytest.raises(Interrupted),
        listening(lambda _: None, after(2)),
    ):
        set_up(planner, CartPole())
    assert trainings == []
    assert "waiting: another process works in" in capsys.readouterr().err
    set_up(planner, CartPole())
    assert trainings == [CartPole()]


def test_who_waited_for_an_expert_does_not_train_it_again(tmp_path, monkeypatch):
    planner = DQN(**SHORT, cache=str(tmp_path))
    set_up(planner, CartPole())
    folder = cache.folder_of(planner, CartPole())
    found = folder.rename(tmp_path / "elsewhere")
    monkeypatch.setattr(cache, "_loaded", {})

    def wait(_: float) -> None:
        """The other process finishes, and removes its folder."""
        if not folder.exists():
            found.rename(folder)
            shutil.rmtree(folder.with_name(f".{folder.name}.training"))
            other.close()

    monkeypatch.setattr(lock.time, "sleep", wait)
    other = contextlib.ExitStack()
    other.enter_context(lock.locked(folder.with_name(f".{folder.name}.training")))
    monkeypatch.setattr(training, "train", None)
    set_up(planner, CartPole())
    assert list(tmp_path.iterdir()) == [folder]


def test_training_reports_its_steps_and_newest_level(tmp_path):
    seen: list[tuple[str, float, str]] = []

    def show(current: Any) -> None:
        seen.append((current.name, current.done, current.detail))

    with listening(show):
        set_up(DQN(**SHORT, cache=str(tmp_path)), Count())
    assert {name for name, _, _ in seen} == {"expert"}
    assert sorted({done for _, done, _ in seen}) == [0, 8, 16, 24, 32, 40, 48]
    assert seen[-1][2] == f"{training.Level(**reached(tmp_path))}"


def reached(folder: Path) -> dict[str, Any]:
    told = kept(folder)["reached"]
    del told["episodes"]
    return told


@every_kind
def test_weights_that_diverge_end_training_with_a_sentence(
    kind, world, tmp_path, monkeypatch
):
    def diverge(running: training.Training) -> None:
        if running.model.num_timesteps > 20:
            for parameter in running.model.policy.parameters():
                parameter.data.fill_(np.nan)

    monkeypatch.setattr(training.Training, "_update", diverge)
    with pytest.raises(ValueError, match=r"diverged before .* lower --planner\.learn"):
        set_up(kind(**SHORT, cache=str(tmp_path)), world)
    assert list(tmp_path.iterdir()) == []


def test_a_world_that_gives_no_numbers_ends_training_with_a_sentence(tmp_path):
    @dataclass(kw_only=True)
    class Broken(Count):
        def step(self, state: Any, action: Any, rng: Any) -> Any:
            following, reward, over = super().step(state, action, rng)
            return following, np.where(state[:, 0] >= 2, np.nan, reward), over

    with pytest.raises(ValueError, match=r"Broken gave the reward"):
        set_up(DQN(**SHORT, cache=str(tmp_path)), Broken())
    assert list(tmp_path.iterdir()) == []


# --- acting ---


@every_kind
def test_an_expert_acts_as_the_trained_model_predicts(
    kind, world, tmp_path, monkeypatch
):
    built = []
    build = training.build_model

    def remember(*arguments: Any) -> Any:
        built.append(build(*arguments))
        return built[-1]

    monkeypatch.setattr(training, "build_model", remember)
    actor = set_up(kind(**SHORT, cache=str(tmp_path / "cache")), world, 0, 1)
    theirs = built[0].policy
    obs = (
        np.random.default_rng(0)
        .normal(size=(4, *world.observation_space.shape))
        .astype(np.float32)
    )
    expected = [theirs.predict(one, deterministic=True)[0] for one in obs]
    action = actor.act(obs, np.arange(4))
    assert action.dtype == (np.int64 if kind.discrete else np.float32)
    np.testing.assert_allclose(action, expected, atol=1e-6)
    np.testing.assert_allclose(
        actor.act(obs[[1, 3]], np.array([1, 3])), action[[1, 3]], atol=1e-6
    )
    assert len(actor.act(obs[:0], np.arange(0))) == 0


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_seed_alone_acts_as_among_others_and_goes_on_from_what_it_saved(
    deterministic, tmp_path
):
    planner = SAC(**SHORT, cache=str(tmp_path), deterministic=deterministic)
    obs = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    many = set_up(copy.deepcopy(planner), BRIEF, 7, 8, 9, each=3)
    alone = set_up(copy.deepcopy(planner), BRIEF, 8, each=3)
    before = torch.get_rng_state()
    for some in ([0, 1, 2], [1]):
        among = many.act(
            np.concatenate([obs, obs[some], obs[:2]]),
            np.array([0, 1, 2, *np.add(some, 3), 6, 7]),
        )
        np.testing.assert_array_equal(among[3:-2], alone.act(obs[some], np.array(some)))
    assert torch.equal(before, torch.get_rng_state())
    saved = alone.state()
    expected = [alone.act(obs, np.arange(3)) for _ in range(2)]
    assert np.array_equal(*expected) == deterministic
    other = set_up(copy.deepcopy(planner), BRIEF, 8, each=3)
    other.load(saved)
    np.testing.assert_array_equal(
        [other.act(obs, np.arange(3)) for _ in range(2)], expected
    )


# --- zips from elsewhere ---


class One(gym.Env):
    """An environment of the given spaces, to build models of the library in."""

    def __init__(self, observation_space: Any, action_space: Any):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(
        self, *, seed: Any = None, options: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        return np.zeros(self.observation_space.shape, self.observation_space.dtype), {}

    def step(self, action: Any) -> Any:
        raise NotImplementedError


THEIRS = {
    "DQN": (stable_baselines3.DQN, Count, {"buffer_size": 9}),
    "QRDQN": (TheirQRDQN, Count, {"buffer_size": 9}),
    "PPO": (stable_baselines3.PPO, Count, {"n_steps": 8, "batch_size": 8}),
    "SAC": (stable_baselines3.SAC, Bounds, {"buffer_size": 9}),
    "TQC": (TheirTQC, Bounds, {"buffer_size": 9}),
    "CrossQ": (TheirCrossQ, Bounds, {"buffer_size": 9}),
    "PPO with a box": (
        stable_baselines3.PPO,
        Bounds,
        {"n_steps": 8, "batch_size": 8, "use_sde": True},
    ),
}


def saved_by(path: Path, name: str, world: Any = None) -> Any:
    """A model of the library in a world of the spaces of ours, saved to `path`."""
    build, usual, settings = THEIRS[name]
    world = world or usual()
    env = DummyVecEnv([lambda: One(world.observation_space, world.action_space)])
    with policies.isolated():
        model = build(
            "MlpPolicy",
            env,
            policy_kwargs={"net_arch": [8, 8]},
            device="cpu",
            seed=3,
            **settings,
        )
    model.save(path)
    return model


@pytest.mark.parametrize("name", THEIRS)
def test_a_zip_of_any_algorithm_acts_as_the_library_does_scaled_to_our_bounds(
    name, tmp_path
):
    theirs, world = saved_by(tmp_path / "model.zip", name), THEIRS[name][1]()
    actor = trusted(SB3(path=str(tmp_path / "model.zip")), world, each=5)
    obs = (
        np.random.default_rng(0)
        .normal(size=(5, *world.observation_space.shape))
        .astype(np.float32)
    )
    action, expected = (
        actor.act(obs, np.arange(5)),
        theirs.predict(obs, deterministic=True)[0],
    )
    if world.action_space.shape:
        # centre and reach of [-1, 3], [0, 10] and [2, 4]
        expected = (expected - [1, 5, 3]) / [2, 5, 1]
    np.testing.assert_allclose(action, expected, atol=1e-6)
    assert action.dtype == (np.float32 if world.action_space.shape else np.int64)


def test_a_zip_runs_no_code_that_acting_does_not_need(tmp_path, monkeypatch):
    saved_by(tmp_path / "model.zip", "SAC")
    real, read = stable_baselines3.common.save_util.cloudpickle.loads, []

    def loads(content: bytes) -> Any:
        read.append(real(content))
        return read[-1]

    monkeypatch.setattr(stable_baselines3.common.save_util.cloudpickle, "loads", loads)
    trusted(SB3(path=str(tmp_path / "model.zip")), Bounds())
    # the network's class and the two spaces; the other settings are plain JSON
    assert len(read) == 3


def test_observations_are_normalised_with_the_statistics_of_training(tmp_path):
    theirs, world = saved_by(tmp_path / "model.zip", "SAC"), Bounds()
    normalize = VecNormalize(
        DummyVecEnv([lambda: One(world.observation_space, world.action_space)]),
        clip_obs=2.0,
    )
    statistics: Any = normalize.obs_rms
    statistics.mean = np.array([1.0, -1])
    statistics.var = np.array([4.0, 0.25])
    normalize.save(str(tmp_path / "normalize.pkl"))
    actor = trusted(
        SB3(
            path=str(tmp_path / "model.zip"), normalize=str(tmp_path / "normalize.pkl")
        ),
        world,
    )
    # of [1, -0.5], and of [0, 4], cut at 2
    seen = np.array([[0.0, 1.0], [-0.5, 2.0]], np.float32)
    expected = (theirs.predict(seen, deterministic=True)[0] - [1, 5, 3]) / [2, 5, 1]
    np.testing.assert_allclose(
        actor.act(np.array([[1, -0.5], [0, 4]], np.float32), np.arange(2)),
        expected,
        atol=1e-4,
    )


def refusal(path: Any, world: Any, **fields: Any) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        trusted(SB3(path=str(path), **fields), world)
    assert "\n" not in str(caught.value)
    return (
        str(caught.value)
        .replace(f"{path} ", "model.zip ")
        .replace(f"{path};", "model.zip;")
    )


def test_a_zip_that_does_not_fit_is_refused_with_a_sentence(tmp_path):
    box, number = tmp_path / "box.zip", tmp_path / "number.zip"
    saved_by(box, "SAC")
    saved_by(number, "DQN")
    assert refusal(number, CartPole()) == (
        "model.zip was trained on observations Box(0.0, 99.0, (1,), float32), "
        "this world gives float32 [4]; "
        "train one in this world"
    )

    @dataclass
    class Three(Count):
        action_space = gym.spaces.Discrete(3)

    @dataclass
    class Numbers(Count):
        action_space = gym.spaces.Box(-1, 1, (3,), np.float32)

    @dataclass
    class Two(Bounds):
        action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    @dataclass
    class Choices(Bounds):
        action_space = gym.spaces.Discrete(2)  # type: ignore[assignment]

    @dataclass
    class Bytes(Count):
        observation_space = gym.spaces.Box(0, 99, (1,), np.uint8)

    trained, ours = "model.zip was trained to act in", "; train one in this world"
    assert (
        refusal(number, Three())
        == f"{trained} Discrete(2), this world takes one of 3{ours}"
    )
    assert (
        refusal(number, Numbers())
        == f"{trained} Discrete(2), this world takes 3 numbers within bounds{ours}"
    )
    assert refusal(box, Two()).endswith(
        f"float32), this world takes 2 numbers within bounds{ours}"
    )
    assert refusal(box, Choices()).endswith(f", this world takes one of 2{ours}")
    assert refusal(number, Bytes()).endswith(
        "this world gives uint8 [1]; train one in this world"
    )


def test_what_is_no_zip_of_the_library_is_refused_with_a_sentence(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"^sb3 needs the zip of a saved model: --planner\.path model\.zip$",
    ):
        trusted(SB3(), Count())
    given = (
        "there is no file model.zip; "
        "give the zip that a model of Stable-Baselines3 was saved to"
    )
    assert refusal(tmp_path / "none.zip", Count()) == given
    (tmp_path / "text.zip").write_text("hello")
    unread = "model.zip is not a zip that a model of Stable-Baselines3 was saved to"
    assert refusal(tmp_path / "text.zip", Count()) == unread
    shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path, "text.zip")
    assert refusal(tmp_path / "other.zip", Count()) == unread
    (tmp_path / "data").write_text("{}")
    shutil.make_archive(str(tmp_path / "empty"), "zip", tmp_path, "data")
    assert refusal(tmp_path / "empty.zip", Count()).startswith(
        "model.zip is not a zip that this version of Stable-Baselines3 can read (KeyErr"
    )
    saved_by(tmp_path / "model.zip", "DQN")
    at = tmp_path / "text.zip"
    assert refusal(tmp_path / "model.zip", Count(), normalize=str(at)).startswith(
        f"{at} is not a file that VecNormal"
    )
    at = tmp_path / "none.pkl"
    assert refusal(tmp_path / "model.zip", Count(), normalize=str(at)).startswith(
        f"there is no file {at}; give the"
    )


def test_a_policy_with_memory_is_refused(tmp_path):
    world = Count()
    env = DummyVecEnv([lambda: One(world.observation_space, world.action_space)])
    with policies.isolated():
        RecurrentPPO("MlpLstmPolicy", env, n_steps=8, batch_size=8, device="cpu").save(
            tmp_path / "model.zip"
        )
    assert refusal(tmp_path / "model.zip", world).startswith(
        "model.zip holds a policy with memory"
    )


def test_nothing_is_unpickled_before_the_user_trusts_it(tmp_path, monkeypatch):
    """Neither when a run is checked nor when it begins."""
    path, statistics = tmp_path / "model.zip", tmp_path / "vecnormalize.pkl"
    saved_by(path, "SAC")
    statistics.write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    monkeypatch.chdir(tmp_path)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("unpickled")

    with monkeypatch.context() as patched:
        for target in ("pickle.load", "pickle.loads", "torch.load"):
            patched.setattr(target, refuse)
        cloudpickle = stable_baselines3.common.save_util.cloudpickle
        patched.setattr(cloudpickle, "loads", refuse)
        for normalize in ("", str(statistics)):
            planner = SB3(path=str(path), normalize=normalize)
            with pytest.raises(Untrusted, match=r"^the zip .* give --trust"):
                planner.check_world(Bounds())
            with pytest.raises(Untrusted, match=r"^the zip .* give --trust"):
                set_up(planner, Bounds())
    with pytest.raises(Untrusted, match=r"vecnormalize\.pkl can run any code"):
        policies.read_normalizer(statistics, Bounds().observation_space)
    assert not (tmp_path / "owned").exists()


# --- zips of models that were trained in an environment itself ---


class Ordered(gym.Env):
    """Shows how many steps are left in a given space; the last action is shown too."""

    def __init__(self, kind: str = "dict"):
        self.kind = kind
        spaces = gym.spaces
        self.observation_space = {
            "dict": spaces.Dict(
                {
                    "position": spaces.Box(-9, 9, (2, 2), np.float32),
                    "level": spaces.Discrete(3),
                    "flags": spaces.MultiBinary(3),
                    "wheels": spaces.MultiDiscrete([2, 3]),
                }
            ),
            "discrete": spaces.Discrete(5),
            "shifted": spaces.Dict(
                {
                    "level": spaces.Discrete(3, start=2),
                    "inner": spaces.Dict({"wheels": spaces.MultiDiscrete([2, 3])}),
                }
            ),
            "matrix": spaces.Box(-9, 9, (2, 3), np.float64),
            "mixed": spaces.Dict(
                {
                    "picture": spaces.Box(0, 255, (8, 8, 3), np.uint8),
                    "direction": spaces.Discrete(4),
                    "mission": spaces.Text(9),
                }
            ),
        }[kind]
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.observation_space.sample(), float(action), False, self.time > 5, {}


for kind in ("dict", "discrete", "shifted", "matrix", "mixed"):
    entry_point: Any = Ordered
    gym.register(f"Ordered-{kind}-v0", entry_point, kwargs={"kind": kind})


NATIVE = {
    "PPO on a dictionary": ("dict", stable_baselines3.PPO, "MultiInputPolicy"),
    "DQN on a dictionary": ("dict", stable_baselines3.DQN, "MultiInputPolicy"),
    "DQN on a number": ("discrete", stable_baselines3.DQN, "MlpPolicy"),
    "PPO on a number": ("discrete", stable_baselines3.PPO, "MlpPolicy"),
    "PPO on a matrix": ("matrix", stable_baselines3.PPO, "MlpPolicy"),
}


def trained_in(env: gym.Env, algorithm: Any, policy: str, path: Path) -> Any:
    """A model that was trained for a few steps in an environment, and saved."""
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 8}
    if algorithm is stable_baselines3.DQN:
        settings = {"learning_starts": 4, "buffer_size": 50}
    with policies.isolated():
        theirs = algorithm(policy, env, device="cpu", seed=1, **settings)
        theirs.learn(32)
    theirs.save(path)
    return theirs


def native_and_flat(env: gym.Env, view: Any, number: int) -> tuple[list[Any], Any]:
    """Observations as the environment gives them, and as our world does."""
    given = [env.reset(seed=seed)[0] for seed in range(number)]
    return given, np.stack([view(one) for one in given])


@pytest.mark.parametrize("name", NATIVE)
def test_a_model_sees_what_its_environment_gives(name, tmp_path):
    kind, algorithm, policy = NATIVE[name]
    path = tmp_path / "model.zip"
    theirs = trained_in(gym.make(f"Ordered-{kind}-v0"), algorithm, policy, path)
    world = Gym(id=f"Ordered-{kind}-v0")
    planner = SB3(path=str(path))
    with trusting():
        planner.check_world(world)
    actor = trusted(planner, world, each=12)
    env = gym.make(f"Ordered-{kind}-v0")
    given, flat = native_and_flat(env, world.facts.view, 12)
    expected = [int(theirs.predict(one, deterministic=True)[0]) for one in given]
    assert actor.act(flat, np.arange(12)).tolist() == expected
    assert len(set(expected)) > 1 or "DQN" in name


def test_a_model_that_was_trained_on_one_part_sees_that_part(tmp_path):
    class Picture(gym.ObservationWrapper):
        def __init__(self, env: gym.Env):
            super().__init__(env)
            self.observation_space: Any = env.observation_space["picture"]  # type: ignore[index]

        def observation(self, observation: Any) -> Any:
            return observation["picture"]

    path = tmp_path / "model.zip"
    env = gym.make("Ordered-mixed-v0")
    theirs = trained_in(Picture(env), stable_baselines3.PPO, "MlpPolicy", path)
    world = Gym(id="Ordered-mixed-v0")
    actor = trusted(SB3(path=str(path)), world, each=12)
    given, flat = native_and_flat(env, world.facts.view, 12)
    expected = [
        int(theirs.predict(one["picture"], deterministic=True)[0]) for one in given
    ]
    assert actor.act(flat, np.arange(12)).tolist() == expected


@pytest.mark.parametrize("kind", ["dict", "discrete", "shifted", "matrix", "mixed"])
def test_flat_observations_are_restored_exactly(kind):
    world = Gym(id=f"Ordered-{kind}-v0")
    view: Any = world.facts.view
    given, flat = native_and_flat(gym.make(f"Ordered-{kind}-v0"), view, 9)
    restored = native.native_observations(view, flat)
    for index, one in enumerate(given):
        require_equal(restored, one, native.native_space(view), index)


def require_equal(restored: Any, one: Any, space: gym.Space, index: int) -> None:
    """An observation of a batch is as the environment gave it, but for its text."""
    if isinstance(space, gym.spaces.Dict):
        assert restored.keys() == space.keys()
        for name, part in space.items():
            require_equal(restored[name], one[name], part, index)
        return
    expected = np.asarray(one)
    assert restored[index].shape == expected.shape
    assert restored[index].dtype == expected.dtype
    # float64 is rounded to float32, as policies do
    np.testing.assert_array_equal(restored[index], expected.astype(np.float32))


def test_statistics_normalise_what_the_environment_gives(tmp_path):
    env = VecNormalize(
        DummyVecEnv([lambda: gym.make("Ordered-dict-v0")]),
        norm_obs_keys=["position"],
        clip_obs=2.0,
    )
    path, statistics = tmp_path / "model.zip", tmp_path / "vecnormalize.pkl"
    theirs = trained_in(env, stable_baselines3.PPO, "MultiInputPolicy", path)  # type: ignore[arg-type]
    env.save(str(statistics))
    world = Gym(id="Ordered-dict-v0")
    actor = trusted(SB3(path=str(path), normalize=str(statistics)), world, each=12)
    given, flat = native_and_flat(gym.make("Ordered-dict-v0"), world.facts.view, 12)
    expected = []
    for one in given:
        seen = env.normalize_obs({name: np.array([part]) for name, part in one.items()})
        expected.append(int(theirs.predict(seen, deterministic=True)[0][0]))
    assert actor.act(flat, np.arange(12)).tolist() == expected
    other = VecNormalize(DummyVecEnv([lambda: gym.make("Ordered-matrix-v0")]))
    other.save(str(statistics))
    with pytest.raises(ValueError, match="was saved for observations Box"):
        trusted(SB3(path=str(path), normalize=str(statistics)), world)


@pytest.mark.parametrize(
    "place",
    ["vecnormalize.pkl", "model_vecnormalize_9_steps.pkl", "x/vecnormalize.pkl"],
)
def test_statistics_that_lie_beside_a_zip_are_hinted_at(place, tmp_path, capsys):
    saved_by(tmp_path / "model.zip", "SAC")
    planner = SB3(path=str(tmp_path / "model.zip"))
    with trusting():
        planner.check_world(Bounds())
        assert capsys.readouterr().err == ""
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
        planner.check_world(Bounds())
    assert f"--planner.normalize {tmp_path / place}" in capsys.readouterr().err


# --- learning ---


@pytest.mark.slow
def test_a_q_network_learns_to_balance_a_pole_up_to_a_level(tmp_path):
    quick: dict[str, Any] = {
        "hidden": (64, 64),
        "learning_starts": 500,
        "explore_steps": 2_000,
        "exploration": 0.1,
    }
    planner = DQN(
        until_return=60,
        max_steps=12_000,
        eval_every=1_000,
        eval_episodes=20,
        cache=str(tmp_path),
        **quick,
    )
    set_up(planner, CartPole())
    assert kept(tmp_path)["reached"]["mean_return"] >= 60
    # random play has about 22
    assert kept(tmp_path)["other_episodes"]["mean_return"] > 40


@pytest.mark.slow
def test_a_q_network_stopped_at_a_success_rate_has_about_that_one(tmp_path):
    planner = DQN(
        until_success=0.6, max_steps=30_000, eval_every=100, cache=str(tmp_path)
    )
    policy = set_up(planner, Gridworld()).asked
    assert 0.6 <= kept(tmp_path)["reached"]["success_rate"] < 0.9
    rate = training.measure(policy, Gridworld(), range(1_000, 2_000), 0).success_rate
    assert rate is not None
    # three standard errors of the hundred episodes that stopped it
    spread = 3 * (0.6 * 0.4 / 100) ** 0.5
    assert 0.6 - spread < rate < kept(tmp_path)["reached"]["success_rate"] + spread
