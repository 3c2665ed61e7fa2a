"""The planner's labels: who is asked for them, what is stored, and what they teach."""

from typing import Any, Self

import numpy as np
import pytest
import torch
from planning import act

from curriculum.decays.exponential import Exponential
from curriculum.envs._base.spec import spec_of
from curriculum.envs.gridworld import Gridworld
from curriculum.gates.advantage import Advantage
from curriculum.gates.step import Step
from curriculum.gates.value import Value
from curriculum.learners.bc import BC
from curriculum.learners.cql import CQL
from curriculum.learners.dagger import DAgger
from curriculum.learners.dqn import DQN
from curriculum.learners.iql import IQL
from curriculum.learning.learner import Learner
from curriculum.learning.values import DiscreteValues
from curriculum.planners.shortest_path import ShortestPath
from curriculum.replay.buffer import SOURCE
from curriculum.run.evaluation import Scale
from curriculum.run.loop import begin, train
from curriculum.run.mixture import Mixture
from curriculum.run.run import Run
from curriculum.run.scores import Scores
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.types import Batch, Moment, Planner, Policy, Spec

torch.set_num_threads(1)

SPEC = Spec((1,), "float32", np.zeros(1), np.ones(1), actions=4)
WORLD = Gridworld()


class Zero(Policy):
    """A learner that takes action 0, and is the less sure the smaller the
    observation."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        return np.zeros(obs.shape[:2], np.int64)

    def value(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(obs.shape[:2])

    def action_value(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        return obs[..., 0] * action

    def margin(self, obs: np.ndarray) -> np.ndarray:
        return obs[..., 0]


class Three(Planner):
    """A planner that takes action 3 and remembers which rows it was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def setup(self, rows: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.asked.append(rows.tolist())
        return np.full(len(rows), 3)


def mixture(rows: int = 4, gate: Any = None, **settings: Any) -> Mixture:
    return Mixture(Three(), Zero(), gate or Step(), SPEC, (0, 1), rows, **settings)


def choose(mixed: Mixture, rate: float, obs: np.ndarray | None = None) -> Any:
    obs = np.ones((*mixed.shape, 1)) if obs is None else obs
    return mixed.act(obs, np.zeros(mixed.shape), np.full(2, rate), explore=True)


# --- who is asked ---


def test_a_labelled_step_is_the_learners_and_costs_a_call():
    mixed = mixture(label_share=1.0)
    choice = choose(mixed, rate=0.0)
    assert (choice.action == 0).all()
    assert (choice.source == SOURCE["learner"]).all()
    assert choice.label.tolist() == [[3] * 4] * 2
    assert choice.has_label.all()
    assert mixed.use.calls.tolist() == [4, 4]


def test_a_share_of_the_learners_steps_is_labelled():
    mixed = mixture(rows=500, label_share=0.2)
    choice = choose(mixed, rate=0.5)
    planned = choice.source == SOURCE["planner"]
    assert choice.has_label[planned].all()
    labelled = choice.has_label[~planned]
    assert abs(labelled.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / labelled.size)


def test_labels_do_not_change_who_acts():
    without = [choose(mixture(rows=50), 0.5).source]
    with_labels = [choose(mixture(rows=50, label_share=0.5), 0.5).source]
    np.testing.assert_array_equal(without, with_labels)


def test_the_budget_pays_for_the_planners_steps_before_labels():
    mixed = mixture(rows=20, label_share=1.0, budget=15)
    choice = choose(mixed, rate=0.5)
    planned = (choice.source == SOURCE["planner"]).sum(1)
    assert (planned < 15).all()
    assert choice.has_label.sum(1).tolist() == [15, 15]
    assert not choose(mixed, rate=0.5).has_label.any()
    assert mixed.use.calls.tolist() == [15, 15]


# --- gates that see the learner ---


def test_the_value_gate_takes_the_better_proposal_and_keeps_both():
    mixed = mixture(rows=2, gate=Value())
    obs = np.array([[[1.0], [-1.0]], [[-1.0], [0.0]]])  # x action
    choice = choose(mixed, 1.0, obs)
    assert choice.action.tolist() == [[3, 0], [0, 0]]
    assert choice.has_label.all()
    assert mixed.use.calls.tolist() == [2, 2]


def test_the_advantage_gate_asks_in_the_least_sure_share():
    gate = Advantage(window=400)
    rng = np.random.default_rng(0)
    asked = []
    sureness = []
    for _ in range(300):
        obs = rng.normal(size=(2, 10, 1))
        coin = rng.random((2, 10))
        moment = Moment(np.array([0.3, 0.0]), np.zeros((2, 10)), coin, obs, Zero())
        asked.append(gate.planner_acts(moment)[0])
        sureness.append(obs[0, :, 0])
    planned = np.array(asked[50:])
    sure = np.array(sureness[50:])
    assert abs(planned.mean() - 0.3) < 0.04
    threshold = np.quantile(sure, 0.3)
    assert planned[sure < threshold - 0.3].all()
    assert not planned[sure > threshold + 0.3].any()


@pytest.mark.parametrize("gate", ["value", "advantage"])
def test_gates_that_compare_values_need_a_critic(gate):
    with pytest.raises(ValueError, match=f"--gate {gate} compares values of actions"):
        Run(tiny(gate=gate, learner=BC(hidden=(8,))))


# --- what is stored ---


def tiny(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "learner": DQN(hidden=(8,), batch_size=16, label_weight=1.0),
        "start": Expert(size=64),
        "steps": 240,
        "log_every": 120,
        "eval_every": 120,
        "eval_episodes": 2,
        "rows": 4,
        "seeds": (0, 1),
    }
    return Config(**(defaults | changes))


def stored(run: Run) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Columns of all transitions by name, and their sources, of both seeds."""
    buffer = run.buffer
    sizes = buffer.ring.size
    assert sizes[0] == sizes[1]
    packed = buffer.storage.flat[: 2 * buffer.capacity].view(2, buffer.capacity, -1)
    columns = buffer.layout.split(packed[:, : sizes[0]])
    found = {name: column.numpy() for name, column in columns.items()}
    return found, buffer.sources.source[:, : sizes[0]]


def planned_at(obs: np.ndarray) -> np.ndarray:
    """What the shortest path does at observations [n, 6], by way of a world of its
    own."""
    rows = WORLD.rows([np.random.default_rng(0)] * len(obs))
    rows.reset()
    planner = ShortestPath().setup(rows, spec_of(WORLD), tuple(range(len(obs))))
    states = WORLD.states()
    seen = WORLD.observe(states)
    for row, own in enumerate(obs):
        match = np.flatnonzero((seen == own).all(-1))
        rows.state[row] = states[match[0]]
    return act(planner, obs, np.arange(len(obs)))


def test_labels_are_stored_beside_what_was_executed():
    run = Run(tiny(label_share=0.3, start=Expert(size=64, noise=0.4)))
    list(begin(run))
    while run.step < 240:
        run.take_step()
        run.pending.clear()
    columns, source = stored(run)
    known = columns["has_label"] == 1
    label = columns["label"]
    by_planner = np.isin(source, (SOURCE["planner"], SOURCE["expert"]))
    assert known[by_planner].all()
    np.testing.assert_array_equal(label[by_planner], columns["action"][by_planner])
    by_learner = source == SOURCE["learner"]
    assert 0 < known[by_learner].mean() < 0.6
    some = np.flatnonzero(known[0])[:80]
    np.testing.assert_array_equal(label[0, some], planned_at(columns["obs"][0, some]))
    # noise took the place of some actions of the start, which still have their label
    by_noise = source == SOURCE["random"]
    assert 0.1 < by_noise[:, :64].mean() < 0.5
    assert known[by_noise].all()
    assert (label[by_noise] != columns["action"][by_noise]).all()


# --- what they teach ---


def test_the_margin_is_what_the_planners_action_lacks():
    q = torch.tensor([1.0, 2.0, 0.5]).view(1, 1, 1, 3, 1)
    values = DiscreteValues(q)
    lacks = [values.margin_loss(torch.tensor([[a]]), 0.8).item() for a in range(3)]
    assert lacks == pytest.approx([1.8, 0.0, 2.3])
    assert values.margin().item() == 1.0


def learner_of(kind: type[Learner], **fields: Any) -> Any:
    learner = kind(hidden=(8,), **fields)
    return learner.setup(Spec((2,), "float32", *EDGES, actions=3), (0, 1))


EDGES = (np.full(2, -np.inf), np.full(2, np.inf))


def batch_of(has_label: float = 1.0) -> Batch:
    generator = torch.Generator().manual_seed(1)
    obs, next_obs = torch.randn(2, 2, 6, 2, generator=generator)
    action = torch.randint(3, (2, 6), generator=generator)
    return Batch(
        obs=obs,
        action=action,
        reward=torch.randn(2, 6, generator=generator),
        discount=torch.full((2, 6), 0.9),
        next_obs=next_obs,
        label=(action + 1) % 3,
        has_label=torch.full((2, 6), has_label),
    )


def loss_after_one(learner: Learner, batch: Batch, name: str) -> torch.Tensor:
    learner.update(batch)
    return learner.last_losses[name].clone()


@pytest.mark.parametrize(("kind", "name"), [(DQN, "q"), (CQL, "q"), (IQL, "policy")])
def test_a_label_weight_adds_that_many_times_the_cloning_loss(kind, name):
    batch = batch_of()
    plain = loss_after_one(learner_of(kind), batch, name)
    weighted = learner_of(kind, label_weight=2.5)
    prepared = weighted.normalizer.prepare(batch)
    cloning = weighted.label_losses(prepared)[name].detach()
    assert (cloning > 0).all()
    found = loss_after_one(weighted, batch, name)
    torch.testing.assert_close(found, plain + 2.5 * cloning)


def test_a_batch_without_labels_teaches_what_it_does_without_a_weight():
    batch = batch_of(has_label=0.0)
    plain = learner_of(CQL)
    weighted = learner_of(CQL, label_weight=2.5)
    for learner in (plain, weighted):
        learner.update(batch)
    for name, weights in plain.snapshot().items():
        torch.testing.assert_close(weighted.snapshot()[name], weights)


def test_dagger_clones_labels_and_not_what_was_executed():
    learner = learner_of(DAgger, learning_rate=0.05)
    batch = batch_of()
    half = batch._replace(has_label=(torch.arange(6) < 3).float().expand(2, 6))
    for _ in range(200):
        learner.update(half)
    action = learner.act(batch.obs.numpy())
    assert batch.label is not None
    np.testing.assert_array_equal(action[:, :3], batch.label[:, :3].numpy())


# --- weights that fall ---


def test_a_regularizer_that_has_faded_is_no_regularizer():
    batch = batch_of()
    plain = learner_of(CQL, alpha=0.0)
    faded = learner_of(CQL, alpha=5.0)
    faded.schedule_weights(regularizer=np.array([0.0, 1.0]), label=None)
    kept = learner_of(CQL, alpha=5.0)
    losses = [loss_after_one(one, batch, "q") for one in (plain, faded, kept)]
    without, found, whole = losses
    torch.testing.assert_close(found[0], without[0])
    torch.testing.assert_close(found[1], whole[1])


def test_weights_follow_their_own_decay_or_the_planner():
    config = tiny(
        learner=CQL(hidden=(8,), batch_size=16, label_weight=1.0),
        decay="linear",
        label_decay="planning-rate",
        regularizer_decay=Exponential(half_life=500),
        seeds=(0,),
    )
    run = Run(config)
    list(begin(run))
    for _ in range(5):
        rate = run.planning_rate()
        run.take_step()
    assert float(run.learner.label_scale) == pytest.approx(rate[0])
    assert float(run.learner.regularizer_scale) == pytest.approx(0.5 ** (20 / 500))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regularizer_decay": "linear"}, "DQN has none"),
        ({"label_decay": "linear", "learner": DQN(hidden=(8,))}, "which is 0; give"),
        ({"label_decay": "performance"}, "--label-decay planning-rate follows it"),
        ({"label_share": 0.1, "learner": DQN(hidden=(8,))}, "DQN does not use"),
        ({"label_share": 0.1, "store": "planner"}, "--store planner keeps none"),
        ({"label_share": 1.5}, "label_share must be between 0 and 1"),
    ],
)
def test_what_labels_cannot_do_is_said(changes, message):
    with pytest.raises(ValueError, match=message):
        Run(tiny(**changes))


# --- recipes of a hand-over ---


def test_a_seed_that_falls_far_below_its_best_is_restored():
    learner = learner_of(DQN)
    scores = Scores(learner)
    scores.set_scale(Scale(0.0, 10.0))
    scores.keep_best(learner, np.array([8.0, 8.0]), step=0, update=0)
    weights = learner.nets["q"].weights.blocks[0].detach()  # [P, ...]
    best = weights.clone()
    learner.update(batch_of())
    moved = weights.clone()
    reward = np.array([5.1, 4.9])
    scores.keep_best(learner, reward, step=1, update=0)
    scores.roll_back_below(learner, reward, drop=0.3)
    assert (weights[0] == moved[0]).all()
    assert (weights[1] == best[1]).all()
    assert (weights[1] != moved[1]).any()
    assert scores.rollbacks.tolist() == [0, 1]


def test_the_optimiser_forgets_its_averages_when_the_offline_phase_is_over():
    config = tiny(offline_updates=20, reset_optimizer=True, updates_per_step=0)
    run = Run(config)
    list(begin(run))
    run.take_updates()
    run.pending.clear()
    moments = run.learner.optimizer.moments["q"]
    assert moments.mean.vector.any()
    run.take_step()
    assert not moments.mean.vector.any()
    assert not moments.square.vector.any()
    assert float(moments.steps) == 0


def test_the_default_keeps_the_planners_level_from_the_offline_phase_on():
    config = Config(steps=2_000, eval_every=1_000, eval_mixed=False, eval_episodes=30)
    scores = [
        float(record.values["eval/score"][0])
        for record in train(config)
        if record.kind == "evaluate" and record.updates is None
    ]
    assert len(scores) == 3
    assert min(scores) >= 0.9
