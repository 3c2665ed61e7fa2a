"""The learner as the advisor of its planner: what it says, to whom, at what cost."""

import hashlib
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch

from curriculum import train as command
from curriculum.envs._base.spec import spec_of
from curriculum.envs.cartpole import CartPole
from curriculum.envs.pendulum import Pendulum
from curriculum.learning.learner import Learner
from curriculum.planners.mppi import MPPI
from curriculum.planners.shooting import Shooting
from curriculum.replay.layout import Transition
from curriculum.run import checkpoint
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.evaluation import final_episodes, play_mixed, play_planner
from curriculum.run.forecasts import CHECK_EVERY, LEAST, Judgement
from curriculum.run.loop import begin, train
from curriculum.run.mixture import Mixture
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.random import Random
from curriculum.types import Advisor, Planner, Spec

OBS = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
SEED = np.array([0, 0, 0, 1, 1, 1, 1])
DISCRETE = Spec((4,), "float32", np.full(4, -9.0), np.full(4, 9.0), actions=3)
BOX = DISCRETE._replace(actions=0, action_size=2)


def learner_of(
    name: str, spec: Spec, seeds: tuple[int, ...] = (3, 5), **settings: Any
) -> Learner:
    made = plugins.make("learner", name, hidden=(8,), **settings)
    learner: Learner = made.setup(spec, seeds)
    learner.updates = 1  # so that it has something to say
    return learner


def advisor_of(name: str, spec: Spec, **settings: Any) -> LearnerAdvisor:
    advisor = LearnerAdvisor(learner_of(name, spec, **settings), spec, 2)
    advisor.freeze()
    return advisor


KINDS = [
    ("dqn", DISCRETE),
    ("iql", DISCRETE),
    ("bcq", DISCRETE),
    ("bc", DISCRETE),
    ("sac", BOX),
    ("td3bc", BOX),
    ("iql", BOX),
    ("bcq", BOX),
    ("bc", BOX),
]
NAMES = [f"{name}-{'box' if spec.action_size else 'discrete'}" for name, spec in KINDS]


@pytest.mark.parametrize(("name", "spec"), KINDS, ids=NAMES)
def test_a_seed_is_told_the_same_alone_and_among_others(name: str, spec: Spec):
    among = advisor_of(name, spec)
    alone = advisor_of(name, spec, seeds=(5,))
    own = np.zeros(4, np.int64)
    np.testing.assert_allclose(
        among.values(OBS, SEED)[3:], alone.values(OBS[3:], own), rtol=1e-6
    )
    proposed = among.propose(OBS, SEED, 5)
    np.testing.assert_allclose(
        proposed[3:], alone.propose(OBS[3:], own, 5), rtol=1e-5, atol=1e-6
    )
    assert proposed.shape == (7, 5, *((2,) if spec.action_size else ()))
    # the first is the best known action
    best = among.learner.act(np.stack([OBS[3:], OBS[3:]]))[1]
    np.testing.assert_allclose(proposed[3:, 0], best, atol=1e-6)
    limit = 1 if spec.action_size else spec.actions - 1
    assert np.abs(proposed).max() <= limit
    assert len(np.unique(proposed.reshape(35, -1), axis=0)) > 1


@pytest.mark.parametrize("name", ["bc", "dagger"])
def test_who_only_imitates_has_no_values(name: str):
    advisor = advisor_of(name, DISCRETE)
    assert not advisor.has_values
    assert advisor.trust.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["dqn", "iql"])
def test_values_are_in_rewards_of_the_world(name: str):
    plain = advisor_of(name, DISCRETE)
    scaled = advisor_of(name, DISCRETE, reward_scale=4.0)
    assert np.abs(plain.values(OBS, SEED)).min() > 0
    np.testing.assert_allclose(
        4 * scaled.values(OBS, SEED), plain.values(OBS, SEED), rtol=1e-6
    )
    scaled.learner.normalizer.reward_factor[1] *= 2  # as a range of returns does
    assert not np.allclose(
        2 * scaled.values(OBS, SEED)[3:], plain.values(OBS, SEED)[3:]
    )
    scaled.freeze()
    np.testing.assert_allclose(
        8 * scaled.values(OBS, SEED)[3:], plain.values(OBS, SEED)[3:], rtol=1e-6
    )


def test_a_q_learner_values_a_state_by_its_best_action():
    advisor = advisor_of("dqn", DISCRETE)
    every = np.stack([OBS[:3], OBS[:3]])
    actions = [
        advisor.learner.action_value(every, np.full((2, 3), action))[0]
        for action in range(3)
    ]
    np.testing.assert_allclose(
        advisor.values(OBS[:3], SEED[:3]), np.max(actions, axis=0), rtol=1e-6
    )


def test_advice_stays_the_same_until_the_next_decision_and_draws_nothing():
    advisor = advisor_of("sac", BOX)
    before = advisor.values(OBS, SEED)
    state = advisor.learner.head.noise.state()["generators"].clone()
    with torch.no_grad():
        advisor.learner.nets["q"].weights.vector.mul_(2)
    advisor.propose(OBS, SEED, 3)
    np.testing.assert_array_equal(advisor.values(OBS, SEED), before)
    advisor.freeze()
    assert not np.allclose(advisor.values(OBS, SEED), before)
    after = advisor.learner.head.noise.state()["generators"]
    assert torch.equal(after, state)


class Slow(Planner):
    """Answers once it is let go."""

    advised: ClassVar[bool] = True

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.heard: list[np.ndarray] = []

    def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        return self

    def listen(self, advisor: Advisor) -> None:
        self.advisor = advisor

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.may_go.wait(timeout=30)
        self.heard.append(self.advisor.values(obs, rows))
        return np.zeros(len(rows), np.int64)


def test_a_late_planner_goes_on_with_the_learner_as_it_was_asked():
    advisor = advisor_of("dqn", DISCRETE)
    planner = Slow()
    mixture = Mixture(
        planner=planner,
        learner=advisor.learner,
        gate=plugins.make("gate", "step"),
        spec=DISCRETE,
        seeds=(3, 5),
        rows_per_seed=1,
        deadline_ms=1.0,
        advisor=advisor,
    )
    obs = OBS[:2, None]
    every = np.ones((2, 1), bool)
    expected = advisor.learner.value(obs)[:, 0]
    assert mixture.plan(obs, every) is None
    with torch.no_grad():
        advisor.learner.nets["q"].weights.vector.mul_(2)
    assert mixture.plan(obs, every) is None  # it is still busy
    planner.may_go.set()
    while mixture.guard.is_busy:
        time.sleep(0.01)
    np.testing.assert_allclose(planner.heard[0], expected, rtol=1e-6)
    assert mixture.use.late.tolist() == [2, 2]


def test_values_that_turn_wrong_lose_all_trust_within_the_stated_decisions():
    """Rewards equal a number of the observation: the first layer can be written down.

    With discount 0 a value is the next reward."""
    learner = learner_of("iql", DISCRETE, discount=0.0, normalize_obs=False)
    net = learner.nets["value"]
    with torch.no_grad():
        net.weights.vector.zero_()
        first, _, last, _ = net.weights.blocks
        first[:, :, 0, 0] = 1  # relu(x) - relu(-x)
        first[:, :, 0, 1] = -1
        last[:, :, 0] = 1
        last[:, :, 1] = -1
    advisor = LearnerAdvisor(learner, DISCRETE, 2)
    rng = np.random.default_rng(0)

    def decide() -> None:
        obs = rng.standard_normal((2, 2, 4)).astype(np.float32)
        no = np.zeros((2, 2), bool)
        advisor.freeze()
        advisor.add(_step(obs, obs[..., 0], no))

    for _ in range(8 * LEAST):
        decide()
    assert advisor.trust.tolist() == [1, 1]
    with torch.no_grad():
        last.neg_()
    decisions = 0
    while advisor.trust.any():
        decide()
        decisions += 1
    assert decisions <= CHECK_EVERY + 1


def _step(obs: np.ndarray, reward: np.ndarray, over: np.ndarray) -> Transition:
    zeros = np.zeros(reward.shape)
    return Transition(
        obs, zeros.astype(int), reward, over, over, obs, zeros.astype(int), zeros
    )


@pytest.mark.parametrize(
    ("world", "planner", "name"),
    [
        (CartPole(max_steps=40), Shooting(horizon=6, plans=1), "dqn"),
        pytest.param(
            *(Pendulum(max_steps=200), MPPI(samples=8, horizon=12), "sac"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["shooting", "mppi"],
)
def test_beside_a_learner_that_knows_nothing_a_planner_plays_as_alone(
    world: Any, planner: Any, name: str
):
    spec = spec_of(world)
    episodes = range(4)
    alone = play_planner(planner, world, spec, episodes)
    learner = learner_of(name, spec, seeds=(0,))
    advised = replace(planner, trust="auto")
    gate = plugins.make("gate", "step")
    with_it, _ = play_mixed(
        learner, advised, gate, np.ones(1), world, spec, episodes, 0
    )
    np.testing.assert_array_equal(with_it.reward[0], alone.reward)


def tiny(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "env": CartPole(max_steps=30),
        "planner": Shooting(horizon=6, trust=0.5),
        "learner": plugins.make("learner", "dqn", hidden=(8,), batch_size=8),
        "start": Random(size=16),
        "rows": 2,
        "steps": 80,
        "log_every": 40,
        "eval_every": 40,
        "eval_episodes": 1,
        "checkpoint_every": 40,
        "seeds": (0, 1),
    }
    return Config(**(defaults | changes))


PENDULUM = {
    "env": Pendulum(max_steps=30),
    "planner": MPPI(samples=3, horizon=3, trust=1.0, proposals=2),
    "learner": plugins.make("learner", "sac", hidden=(8,), batch_size=8, critics=2),
}


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param(PENDULUM, marks=pytest.mark.slow)],
    ids=["shooting", "mppi"],
)
def test_an_advised_run_continues_exactly_after_a_pause(
    changes: dict[str, Any], tmp_path: Path
):
    config = tiny(**changes)
    whole = list(train(config, tmp_path / "whole"))
    half = replace(config, steps=40)
    list(train(half, tmp_path / "parts"))
    [newest] = checkpoint.newest(tmp_path / "parts" / "checkpoints")[:1]
    rest = list(train(config, tmp_path / "parts", newest))
    assert _digest(tmp_path / "whole") == _digest(tmp_path / "parts")
    assert whole[-1].values.keys() == rest[-1].values.keys()


def _digest(folder: Path) -> str:
    newest = checkpoint.newest(folder / "checkpoints")[0]
    return hashlib.sha256((newest / "arrays.safetensors").read_bytes()).hexdigest()


def test_an_advised_seed_alone_lives_the_life_it_has_among_others():
    runs = [Run(tiny(seeds=seeds)) for seeds in ((1,), (0, 1, 2))]
    for run in runs:
        list(begin(run))
        while run.step < run.config.steps:
            run.take_step()
            run.pending.clear()
    alone, among = runs
    others = among.buffer.episodes.columns._asdict()
    for name, column in alone.buffer.episodes.columns._asdict().items():
        np.testing.assert_array_equal(column[0], others[name][1], err_msg=name)
    for run in runs:
        run.close()


def test_the_milliseconds_of_a_call_are_split():
    records = list(train(tiny()))
    times = [record.values for record in records if record.kind == "time"][-1]
    parts = [times[f"planner/{part}_ms"] for part in ("simulator", "learner", "rest")]
    assert all((part > 0).all() for part in parts)
    np.testing.assert_allclose(np.sum(parts, axis=0), times["planner/ms_per_call"])
    trust = [r.values["planner/trust"] for r in records if r.kind == "collect"][-1]
    assert ((trust >= 0) & (trust <= 1)).all()


def test_the_end_of_a_run_tells_what_the_planner_returns_with_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    words = "--env cartpole --env.max-steps 30 --planner shooting --planner.trust 1"
    words += " --planner.horizon 4 --learner.hidden 8 --learner.batch-size 8 --steps 40"
    words += " --start random --start.size 32 --eval-every 40 --eval-episodes 2"
    command.main([*words.split(), "--runs-dir", str(tmp_path), "--name", "advised"])
    assert "shooting, advised by last" in capsys.readouterr().out


def test_the_planner_at_the_end_is_told_what_values_are_worth():
    run = Run(tiny(planner=Shooting(horizon=6, trust="auto"), eval_episodes=4))
    list(begin(run))
    while run.step < run.config.steps:
        run.take_step()
        run.pending.clear()
    evaluator = run.evaluator
    advisor = evaluator.advisor
    assert advisor
    advisor.verdict = Judgement(skill=np.full(2, 0.9), correction=np.zeros(2))
    values = evaluator.finish(None, run.step, 0)
    expected, _ = play_mixed(
        run.learner,
        evaluator.planner,
        plugins.make("gate", "step"),
        np.ones(2),
        run.world,
        run.spec,
        final_episodes(4),
        step=0,
        verdict=advisor.verdict,
    )
    found = values["final/advised_planner_reward"]
    np.testing.assert_array_equal(found, expected.reward.mean(-1))
    assert (found != values["final/planner_reward"]).any()
    run.close()


def test_a_run_without_trust_has_no_advisor():
    run = Run(tiny(planner=Shooting(horizon=6)))
    assert run.collector
    assert run.collector.advisor is None
    run.close()
