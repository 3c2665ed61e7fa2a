"""Decisions of planners: what is checked, stored and learned of them."""

from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch

from curriculum.answers import BrokenAnswer, checked_decision
from curriculum.contract.planner import check_planner
from curriculum.contract.promises import ContractError
from curriculum.decays.constant import Constant
from curriculum.envs._base.spec import spec_of
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.pendulum import Pendulum
from curriculum.gates.step import Step
from curriculum.learners.bc import BC
from curriculum.learners.cql import CQL
from curriculum.learners.dagger import DAgger
from curriculum.learners.dqn import DQN
from curriculum.learners.iql import IQL
from curriculum.learners.td3bc import TD3BC
from curriculum.learning.learner import Learner
from curriculum.planners.mcts import MCTS
from curriculum.planners.mppi import MPPI
from curriculum.planners.shooting import Shooting
from curriculum.planners.shortest_path import ShortestPath
from curriculum.run.loop import begin, train
from curriculum.run.mixture import Mixture
from curriculum.run.run import Run
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Batch, Decision, Planner, Policy, Spec, stream

torch.set_num_threads(1)

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=3)
PARTS = ("weights", "value", "stake")


def checked(decision: Any, gives: tuple[str, ...] = PARTS, rows: int = 2) -> Decision:
    return checked_decision(decision, SPEC, gives, rows, "planner X")


def decision(**changes: Any) -> Decision:
    parts: dict[str, Any] = {
        "action": np.array([2, 0]),
        "weights": np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]]),
        "value": np.array([1.5, -np.inf]),
        "stake": np.array([0.5, 0.0]),
    }
    return Decision(**(parts | changes))


# --- what is checked ---


def test_a_bare_action_is_a_decision():
    found = checked(np.array([1, 2]), gives=())
    assert found.action.tolist() == [1, 2]
    assert found[1:] == (None, None, None, None)


def test_a_decision_keeps_its_parts_as_float32():
    found = checked(decision())
    np.testing.assert_array_equal(found.weights, decision().weights)
    assert [part.dtype for part in found[1:4] if part is not None] == [np.float32] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.array([[0.0, 0.5, 0.6], [1, 0, 0]])}, "sum is 1 .* got 1.1"),
        ({"weights": np.array([[0.0, -0.5, 1.5], [1, 0, 0]])}, "at least 0, got -0.5"),
        ({"weights": np.ones((2, 1))}, r"weights of shape \(2, 3\)"),
        ({"value": np.array([np.nan, 0.0])}, "or -inf where it knows none, got nan"),
        ({"value": np.array([np.inf, 0.0])}, "or -inf where it knows none, got inf"),
        ({"stake": np.array([-1.0, 0.0])}, "at least 0, got -1"),
        ({"stake": np.zeros(3)}, r"stake of shape \(2,\)"),
        ({"stake": None}, "must give stake, value, weights .* got value, weights"),
        ({"action": np.array([3, 0])}, "must choose actions 0 to 2"),
        ({"fresh": np.ones(2)}, "fresh as 2 truth values"),
    ],
)
def test_a_broken_decision_is_refused(changes, message):
    with pytest.raises(BrokenAnswer, match=message):
        checked(decision(**changes))


class Deciding(Planner):
    """Takes action 0, and is wrong about something if told to."""

    gives: ClassVar[tuple[str, ...]] = PARTS

    def __init__(self, **parts: Any) -> None:
        self.parts = parts

    def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        self.actions = spec.actions
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        count = len(rows)
        weights = np.full((count, self.actions), 1 / self.actions)
        stake = 0.5 + np.abs(obs[:, 0])
        parts = {
            "action": np.zeros(count, int),
            "weights": weights,
            "value": stake + 0.5,
            "stake": stake,
        }
        wrong = {name: np.full(count, value) for name, value in self.parts.items()}
        return Decision(**(parts | wrong))


def test_the_contract_holds_decisions_to_what_they_promise():
    check_planner(Deciding(), Gridworld(), steps=4)
    with pytest.raises(ContractError, match="stake that are finite and at least 0"):
        check_planner(Deciding(stake=-1.0), Gridworld(), steps=4)


class Moody(Deciding):
    """Values differ from one set-up to the next."""

    count: ClassVar[int] = 0

    def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        Moody.count += 1
        self.parts = {"value": float(Moody.count)}
        return super().setup(rows, spec, seeds)


def test_the_contract_asks_for_the_same_decisions_again():
    with pytest.raises(ContractError, match="differs in its value from step 0 on"):
        check_planner(Moody(), Gridworld(), steps=4)


# --- what is stored ---


def tiny(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "learner": DAgger(hidden=(8,), batch_size=16, soft_labels=True),
        "planner": ShortestPath(),
        "start": Expert(size=64),
        "steps": 120,
        "log_every": 120,
        "eval_every": 120,
        "eval_episodes": 2,
        "rows": 4,
        "seeds": (0, 1),
        "decay": "linear",
    }
    return Config(**(defaults | changes))


def stored(run: Run) -> dict[str, np.ndarray]:
    """Columns of all transitions of the first seed, by name."""
    buffer = run.buffer
    packed = buffer.storage.flat[: buffer.ring.size[0]]
    columns = buffer.layout.split(packed)
    return {name: column.numpy() for name, column in columns.items()}


def test_decisions_are_stored_where_the_planner_was_asked():
    learner = CQL(
        hidden=(8,),
        batch_size=16,
        discount=1.0,
        label_weight=1.0,
        stake_power=1.0,
        bound_weight=0.1,
    )
    run = Run(tiny(learner=learner, planner=Deciding(), decay=Constant(value=0.7)))
    list(begin(run))
    for _ in range(20):
        run.take_step()
        run.pending.clear()
    columns = stored(run)
    known = columns["has_label"] == 1
    assert 0.5 < known.mean() < 1
    assert (columns["label_stake"][known] > 0).all()
    np.testing.assert_array_equal(
        columns["label_value"][known], columns["label_stake"][known] + 0.5
    )
    assert not columns["label_value"][~known].any()
    assert "soft_label" not in columns


def test_columns_of_decisions_exist_only_for_learners_that_need_them():
    assert "soft_label" in Run(tiny()).buffer.layout.columns
    plain = Run(tiny(learner=DAgger(hidden=(8,), batch_size=16)))
    assert {"soft_label", "label_value", "label_stake"}.isdisjoint(
        plain.buffer.layout.columns
    )


def test_weights_are_equal_over_equally_good_actions():
    world = Gridworld()
    rows = world.rows([stream(seed, "world") for seed in range(200)])
    rows.reset()
    planner = ShortestPath().setup(rows, spec_of(world), tuple(range(200)))
    found = planner.act(rows.obs, np.arange(200))
    weights = found.weights
    assert weights is not None
    assert (weights[np.arange(200), found.action] > 0).all()
    count = (weights > 0).sum(-1)
    assert set(count.tolist()) >= {1, 2}
    np.testing.assert_allclose(weights.max(-1), 1 / count)


# --- what they teach ---


def learner_of(kind: type[Learner], **fields: Any) -> Any:
    edges = (np.full(2, -np.inf), np.full(2, np.inf))
    learner = kind(hidden=(8,), **fields)
    return learner.setup(Spec((2,), "float32", *edges, actions=3), (0, 1))


def batch_of(**changes: Any) -> Batch:
    generator = torch.Generator().manual_seed(1)
    obs, next_obs = torch.randn(2, 2, 6, 2, generator=generator)
    action = torch.randint(3, (2, 6), generator=generator)
    parts: dict[str, Any] = {
        "obs": obs,
        "action": action,
        "reward": torch.randn(2, 6, generator=generator),
        "discount": torch.full((2, 6), 0.9),
        "next_obs": next_obs,
        "label": (action + 1) % 3,
        "has_label": torch.tensor([[1.0, 1, 1, 1, 0, 0]] * 2),
        "soft_label": torch.rand(2, 6, 3, generator=generator).softmax(-1),
        "label_value": torch.randn(2, 6, generator=generator),
        "label_stake": torch.tensor([[0.0, 1, 2, 4, 8, 0]] * 2),
    }
    return Batch(**(parts | changes))


@pytest.mark.parametrize("kind", [BC, DAgger])
def test_a_soft_label_is_learned_as_a_distribution(kind):
    learner = learner_of(kind, soft_labels=True, learning_rate=0.03)
    batch = batch_of(has_label=torch.ones(2, 6))
    for _ in range(600):
        learner.update(batch)
    obs = learner.normalizer.normalize(batch.obs)
    probs = learner.policy_at(obs).probs
    assert batch.soft_label is not None
    assert (probs - batch.soft_label).abs().mean() < 0.02


def test_a_soft_label_of_one_action_is_a_hard_label():
    hard = batch_of()
    assert hard.label is not None
    soft = hard._replace(soft_label=torch.nn.functional.one_hot(hard.label, 3).float())
    learners = [learner_of(IQL, label_weight=1.0, soft_labels=s) for s in (False, True)]
    losses = []
    for learner, batch in zip(learners, (hard, soft), strict=True):
        learner.update(batch)
        losses.append(learner.last_losses["policy"])
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0.0, [1, 1, 1, 1, 0, 0]),
        (1.0, [0, 0.25, 0.5, 1, 0, 0]),
        (2.0, [0, 0.0625, 0.25, 1, 0, 0]),
    ],
)
def test_the_stake_weighs_labels(power, expected):
    learner = learner_of(DAgger, stake_power=power)
    found = learner.label_importance(batch_of())
    torch.testing.assert_close(found, torch.tensor([expected] * 2).float())


def test_labels_that_decide_nothing_teach_nothing():
    learner = learner_of(DAgger, stake_power=1.0)
    before = learner.snapshot()["net/policy"].clone()
    learner.update(batch_of(label_stake=torch.zeros(2, 6)))
    assert learner.last_losses["policy"].tolist() == [0, 0]
    torch.testing.assert_close(learner.snapshot()["net/policy"], before)


def test_a_bound_lifts_the_critic_to_the_planners_value():
    learner = learner_of(DQN, bound_weight=2.0)
    plain = learner_of(DQN)
    batch = batch_of(label_value=torch.tensor([[3.0, 3, -9, -torch.inf, 3, 3]] * 2))
    prepared = learner.normalizer.prepare(batch)
    values = learner.head.values(learner.net.q, prepared.obs)
    lacks = 3 - values.of(prepared.label)[:, 0, :2].detach()  # [P, 2]
    assert (lacks > 0).all()
    for each in (learner, plain):
        each.update(batch)
    # half the squares of two of four labels, twice
    expected = plain.last_losses["q"] + lacks.square().sum(-1) / 4
    torch.testing.assert_close(learner.last_losses["q"], expected)
    assert all(w.vector.isfinite().all() for w in learner.weights.members.values())


def test_a_bound_is_scaled_as_rewards_are():
    learner = learner_of(DQN, bound_weight=1.0, reward_scale=0.5)
    batch = batch_of()
    prepared = learner.normalizer.prepare(batch)
    assert batch.label_value is not None
    torch.testing.assert_close(prepared.label_value, 0.5 * batch.label_value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": IQL(soft_labels=True)}, "IQL clones none; give --learner.label-w"),
        ({"learner": DQN(label_weight=1.0, soft_labels=True)}, "its critic acts"),
        (
            {"learner": DAgger(bound_weight=1.0), "planner": MCTS()},
            "moves a critic, and DAgger has none",
        ),
        ({"learner": DAgger(stake_power=1.0)}, "shortest_path gives weights beside"),
        (
            {"learner": DQN(bound_weight=1.0, discount=0.9), "planner": MCTS()},
            "0.99 against 0.9: give --planner.discount and",
        ),
        (  # where rewards are negative, the lower discount gives the higher value
            {"learner": DQN(bound_weight=1.0), "planner": MCTS(discount=0.9)},
            "0.9 against 0.99: give --planner.discount and",
        ),
        (
            {"learner": DQN(bound_weight=1.0), "planner": MCTS(trust="auto")},
            "set --planner.trust 0, or leave out",
        ),
        (
            {"learner": DQN(bound_weight=1.0, reward_shift=-1.0), "planner": MCTS()},
            "no --learner.reward-",
        ),
        (
            {
                "start": "random",
                "steps": 0,
                "offline_updates": 10,
                "learner": BC(soft_labels=True),
            },
            "asks no planner",
        ),
        (
            {
                "env": Pendulum(),
                "learner": TD3BC(label_weight=1.0, soft_labels=True),
            },
            "this world's are box; leave out --learner.soft-labels",
        ),
    ],
)
def test_what_decisions_cannot_teach_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        Run(tiny(**changes))


def test_a_run_with_decisions_resumes_exactly(tmp_path):
    settings: dict[str, Any] = {
        "planner": Shooting(plans=2, horizon=8, play=3),
        "learner": CQL(
            hidden=(8,),
            batch_size=16,
            label_weight=1.0,
            stake_power=1.0,
            bound_weight=0.1,
        ),
        "checkpoint_every": 60,
    }
    whole = Run(tiny(**settings))
    list(begin(whole))
    for _ in range(30):
        whole.take_step()
        whole.pending.clear()
    first = Run(tiny(**settings))
    list(begin(first))
    for _ in range(15):
        first.take_step()
        first.pending.clear()
    second = Run(tiny(**settings))
    second.load(first.state())
    for _ in range(15):
        second.take_step()
        second.pending.clear()
    for name, column in stored(whole).items():
        np.testing.assert_array_equal(stored(second)[name], column, err_msg=name)
    weights = whole.learner.snapshot()
    for name, vector in second.learner.snapshot().items():
        torch.testing.assert_close(vector, weights[name], rtol=0, atol=0)


# --- plans that are played ---


class Idle(Policy):
    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        return np.zeros(obs.shape[:2], np.int64)

    def value(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(obs.shape[:2])


def played(steps: int, play: int, rate: float = 1.0) -> tuple[Mixture, list[Any]]:
    """A mixture that has played in four rows, and its choices."""
    world = Gridworld(max_steps=40)
    rows = world.rows([stream(0, "world")], 4)
    rows.reset()
    planner = Shooting(plans=2, horizon=8, play=play)
    planner.setup(rows, spec_of(world), (0,))
    mixture = Mixture(planner, Idle(), Step(), spec_of(world), (0,), 4)
    choices = []
    for _ in range(steps):
        obs = rows.obs.reshape(1, 4, -1)
        age = rows.time.reshape(1, 4)
        choices.append(mixture.act(obs, age, np.full(1, rate), explore=False))
        rows.step(choices[-1].action[0])
    return mixture, choices


def test_steps_of_a_plan_are_not_calls():
    mixture, choices = played(steps=20, play=5)
    fresh = np.array([choice.decision.fresh for choice in choices])
    assert mixture.use.calls.tolist() == [fresh.sum()]
    assert fresh[0].all()
    # every episode begins with a new plan
    assert 4 * 20 / 5 <= fresh.sum() < 4 * 20 / 3
    assert played(steps=20, play=1)[0].use.calls.tolist() == [4 * 20]


def test_a_plan_ends_where_the_learner_acts():
    _, choices = played(steps=60, play=4, rate=0.7)
    asked = np.array([choice.has_label[0] for choice in choices])
    fresh = np.array([choice.decision.fresh[0] for choice in choices])
    first = asked[1:] & ~asked[:-1]
    assert first.any()
    assert fresh[1:][first].all()
    assert not fresh[asked].all()


@pytest.mark.parametrize(
    ("planner", "world"),
    [
        (Shooting(plans=2, horizon=6, play=3), Gridworld()),
        (MPPI(samples=4, horizon=6, play=3), Pendulum()),
        (MCTS(simulations=6, horizon=6), Gridworld()),
    ],
)
def test_planners_that_decide_keep_the_contract(planner, world):
    check_planner(planner, world, steps=8, rows_per_seed=2)


def test_a_plan_cannot_be_played_beyond_its_end():
    with pytest.raises(ValueError, match="play must be between 1 and 5, got 6"):
        Shooting(horizon=5, play=6)


def test_a_tree_tells_what_it_found():
    world = Gridworld()
    rows = world.rows([stream(seed, "world") for seed in range(20)])
    rows.reset()
    planner = MCTS(simulations=40, rollouts=2, horizon=20)
    planner.setup(rows, spec_of(world), tuple(range(20)))
    found = planner.act(rows.obs, np.arange(20))
    weights, value, stake = found.weights, found.value, found.stake
    assert weights is not None
    assert value is not None
    assert stake is not None
    np.testing.assert_array_equal(weights.argmax(-1), found.action)
    np.testing.assert_allclose(40 * weights, (40 * weights).round(), atol=1e-9)
    assert (stake >= 0).all()
    assert (stake > 0).any()


def test_training_counts_only_plans():
    calls = []
    for play in (1, 4):
        config = tiny(
            planner=Shooting(plans=2, horizon=8, play=play),
            learner=DAgger(hidden=(8,), batch_size=16, stake_power=1.0),
            steps=120,
        )
        record = [r for r in train(config) if r.kind == "collect"][-1]
        calls.append(record.values["planner/calls_total"])
    assert (calls[1] < 0.6 * calls[0]).all()
