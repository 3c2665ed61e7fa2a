"""Learners: losses worked out by hand, what every learner promises, and the values that are known to be true."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum import plugins
from curriculum.learner import Learner
from curriculum.learners.bc import BC
from curriculum.learners.cql import CQL
from curriculum.learners.dqn import DQN
from curriculum.learners.iql import IQL
from curriculum.types import Batch, Spec
from envs.gridworld import Gridworld

torch.set_num_threads(1)

LEARNERS = plugins.names("learner")
SEEDS = (0, 1, 2)
every_learner = pytest.mark.parametrize("name", LEARNERS)


def spec(inputs: int = 4, actions: int = 3, bound: float = np.inf) -> Spec:
    edge = np.full(inputs, bound, np.float32)
    return Spec((inputs,), "float32", -edge, edge, actions)


def make(name: str, seeds: tuple[int, ...] = SEEDS, **settings) -> Learner:
    return plugins.make("learner", name, **{"hidden": (32, 32), "exploration": 0.5, **settings}).setup(spec(), seeds)


def random_batch(seeds: tuple[int, ...] = SEEDS, number: int = 0, rows: int = 16) -> Batch:
    """Every seed's rows come from itself and the number of the batch."""
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng([seed, number])
        obs, next_obs = rng.normal(size=(2, rows, 4)).astype(np.float32)
        discount = np.where(rng.random(rows) < 0.2, 0, 0.99).astype(np.float32)
        drawn.append((obs, rng.integers(3, size=rows), rng.normal(size=rows).astype(np.float32), discount, next_obs))
    return Batch(*(torch.as_tensor(np.stack(column)) for column in zip(*drawn, strict=True)))


def train(learner: Learner, updates: int, first: int = 0) -> Learner:
    for number in range(first, first + updates):
        learner.update(random_batch(learner.seeds, number))
    return learner


def weights(learner: Learner) -> dict[str, Tensor]:
    return {name: stack.vector.clone() for name, stack in learner.stacks().items()}


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


# --- the losses, by hand: networks are tables over two states and two actions, [P, K, states, outputs] ---


def table(values: Any) -> Callable[[Tensor], Tensor]:
    """A network that looks up what it says of state `obs` [P, B, 1]: [P, K, B, outputs]."""
    entries = torch.tensor(values, dtype=torch.float32)
    return lambda obs: torch.stack([entries[p, :, state[:, 0].long()] for p, state in enumerate(obs)])


def by_hand(learner: Learner, targets: dict[str, Any] | None = None, **networks) -> Learner:
    learner.setup(spec(1, 2), (0, 1))
    for name, values in networks.items():
        setattr(learner.net, name, table(values))
    for name, values in (targets or {}).items():
        setattr(learner.target, name, table(values))
    return learner


def rows(*seeds: list[tuple[float, int, float, float, float]]) -> Batch:
    """(state, action, reward, discount, next state) of every transition of every seed."""
    columns = [torch.tensor([[row[i] for row in seed] for seed in seeds]) for i in range(5)]
    obs, action, reward, discount, next_obs = columns
    return Batch(obs.float().unsqueeze(-1), action, reward, discount, next_obs.float().unsqueeze(-1))


def assert_losses(learner: Learner, batch: Batch, **expected: list[float]) -> None:
    losses = learner.losses(batch)
    assert losses.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name], torch.tensor(loss), atol=1e-5, rtol=1e-5)


Q_BATCH = rows(
    [(0, 1, 1.0, 0.5, 1), (1, 0, 2.0, 0.0, 0), (1, 1, -1.0, 0.5, 0)],  # goes on; terminated; truncated
    [(0, 0, 0.0, 1.0, 1), (1, 1, 2.0, 0.0, 0), (0, 1, 3.0, 0.25, 0)],
)
Q_ONLINE = [[[[1, 2], [3, 0]]], [[[0, 1], [2, 2.5]]]]
Q_TARGET = [[[[1, 4], [5, 6]]], [[[-1, -2], [0, 8]]]]
# seed 0: 1 + 5/2 = 3.5 (online prefers action 0, the target network 1) against 2, huber 1; 2 against 3: 0.5;
#         -1 + 4/2 = 1 against 0: 0.5.  Mean 2/3
# seed 1: 8 against 0: 7.5; 2 against 2.5: 0.125; 3 - 2/4 = 2.5 against 1: 1.  Mean 2.875
TD = [2 / 3, 2.875]


def test_the_loss_of_dqn_worked_out_by_hand():
    assert_losses(by_hand(DQN(), q=Q_ONLINE, targets={"q": Q_TARGET}), Q_BATCH, q=TD)


def test_the_loss_of_cql_worked_out_by_hand():
    # seed 0: ln(1 + 1/e) = 0.313262; ln(1 + e^-3) = 0.048587; the same + 3 = 3.048587.  Mean 1.136812
    # seed 1: ln(1 + e) = 1.313262; ln(1 + e^-0.5) = 0.474077; 0.313262.  Mean 0.700200
    learner = by_hand(CQL(alpha=0.5), q=Q_ONLINE, targets={"q": Q_TARGET})
    assert_losses(learner, Q_BATCH, q=[TD[0] + 0.568406, TD[1] + 0.350100])


def test_the_loss_of_bc_worked_out_by_hand():
    odds = np.log([[[[0.25, 0.75], [0.5, 0.5]]], [[[0.9, 0.1], [0.2, 0.8]]]]) + 7  # a constant changes no softmax
    batch = rows(
        [(0, 1, 0, 0, 0), (1, 0, 0, 0.9, 1), (0, 0, 0, 0.9, 1)], [(0, 0, 0, 0, 0), (0, 1, 0, 0, 0), (1, 1, 0, 0, 0)]
    )
    # seed 0: (0.287682 + 0.693147 + 1.386294) / 3; seed 1: (0.105361 + 2.302585 + 0.223144) / 3
    assert_losses(by_hand(BC(), policy=odds), batch, policy=[0.789041, 0.877030])


def test_the_losses_of_iql_worked_out_by_hand():
    learner = by_hand(
        IQL(expectile=0.8, temperature=2.0),
        q=[[[[1, 0], [0, 2]], [[0, 0], [1, 1]]], [[[0, 0], [0, 0]], [[2, 0], [0, -1]]]],
        value=[[[[1], [2]]], [[[0], [-2]]]],
        policy=np.log([[[[0.5, 0.5], [0.75, 0.25]]], [[[0.1, 0.9], [0.5, 0.5]]]]),
        targets={"q": [[[[2, 0], [2.5, 1]], [[3, 0.5], [4, 0]]], [[[5, 0], [0, -3]], [[6, 0], [0, 1]]]]},
    )
    batch = rows(
        [(0, 0, 1.0, 0.5, 1), (1, 1, -1.0, 0.0, 0), (1, 0, 0.0, 0.5, 0)],  # goes on; terminated; truncated
        [(0, 0, 2.0, 0.5, 1), (1, 1, 1.0, 0.0, 1), (0, 1, 3.0, 0.9, 0)],
    )
    # seed 0: least target values 2, 0, 2.5 less V = 1, 2, 2: advantages 1, -2, 0.5
    #   value: (0.8 * 1 + 0.2 * 4 + 0.8 * 0.25) / 3 = 0.6
    #   policy: (e^2 ln 2 + e^-4 ln 4 + e ln 4/3) / 3 = (5.121704 + 0.025391 + 0.782001) / 3
    #   targets of q 2, -1, 0.5: errors 1, 3, 0.5 and 2, 2, 0.5: (10.25 + 8.25) / 3
    # seed 1: least target values 5, -3, 0 less V = 0, -2, 0: advantages 5, -1, 0
    #   value: (0.8 * 25 + 0.2 * 1 + 0) / 3 = 6.733333
    #   policy: weight e^10, cut at 100: (100 * 2.302585 + 0.135335 * 0.693147 + 0.105361) / 3
    #   targets of q 1, 1, 3: errors 1, 1, 3 and 1, 2, 3: (11 + 14) / 3
    assert_losses(learner, batch, q=[18.5 / 3, 25 / 3], value=[0.6, 6.733333], policy=[1.976365, 76.819243])


def test_dqn_agrees_with_stable_baselines3_where_online_and_target_network_prefer_the_same_actions():
    """SB3 (2.9) bootstraps from the target network's maximum, ours from the target's value of the online maximum.

    Here the target network is the online one with its values halved, so the two are the same."""
    pytest.importorskip("stable_baselines3", reason="compares with stable_baselines3 >= 2.7")
    import gymnasium as gym
    from stable_baselines3 import DQN as Theirs
    from stable_baselines3.common.buffers import ReplayBufferSamples
    from stable_baselines3.common.logger import Logger

    class World(gym.Env):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        action_space = gym.spaces.Discrete(3)

    ours = make("dqn", seeds=(0,))
    for blocks in (ours.nets["q"].weights.blocks, ours.target.q.weights.blocks):
        for block in blocks:
            block *= 3  # errors on both sides of huber's corner
    for block in ours.target.q.weights.blocks[-2:]:
        block /= 2
    theirs: Any = Theirs("MlpPolicy", World(), policy_kwargs={"net_arch": [32, 32]}, max_grad_norm=1e9, buffer_size=1)
    theirs.set_logger(Logger(None, []))
    for plain, net in ((theirs.q_net, ours.nets["q"]), (theirs.q_net_target, ours.target.q)):
        for copied, own in zip(plain.parameters(), torch.nn.Sequential(*net.export(0)).parameters(), strict=True):
            copied.data[:] = own
    batch = random_batch((0,), rows=64)
    column = [x[0] if x.dim() == 3 else x[0].unsqueeze(-1) for x in batch]
    samples = ReplayBufferSamples(column[0], column[1], column[4], (column[3] == 0).float(), column[2], column[3])
    theirs.replay_buffer.sample = lambda *args, **settings: samples

    loss = ours.losses(batch)["q"]
    slopes = torch.autograd.grad(loss.sum(), ours.nets["q"].parameters)
    theirs.train(gradient_steps=1, batch_size=64)
    assert theirs.logger.name_to_value["train/loss"] == pytest.approx(loss.item(), abs=1e-5)
    for parameter, slope in zip(theirs.q_net.parameters(), slopes, strict=True):
        expected = slope[0, 0].T if parameter.dim() == 2 else slope[0, 0, 0]
        torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-5)


# --- what every learner promises ---


@every_learner
@pytest.mark.parametrize(("seeds", "size"), [((0,), 1), ((0,), 5), (SEEDS, 1), (SEEDS, 5)])
def test_a_loss_is_one_finite_number_for_each_seed(name, seeds, size):
    learner = make(name, seeds)
    for network, loss in learner.losses(random_batch(seeds, rows=size)).items():
        assert network in learner.nets
        assert loss.shape == (len(seeds),)
        assert loss.isfinite().all()


@every_learner
def test_a_seed_learns_the_same_alone_and_among_others(name):
    alone, among = (train(make(name, seeds, grad_clip=0.5), 200) for seeds in ((3,), (0, 1, 2, 3, 4)))
    for stack, others in zip(alone.stacks().values(), among.stacks().values(), strict=True):
        for mine, theirs in zip(stack.blocks, others.blocks, strict=True):
            torch.testing.assert_close(mine[0], theirs[3], atol=1e-6, rtol=0)
    for network, loss in alone.last_losses.items():
        torch.testing.assert_close(loss[0], among.last_losses[network][3], atol=1e-5, rtol=1e-5)
    obs = np.random.default_rng(0).normal(size=(1, 100, 4)).astype(np.float32)
    for explore in (False, True):
        acted = among.act(obs.repeat(5, 0), explore)
        assert acted.shape == (5, 100)
        np.testing.assert_array_equal(alone.act(obs, explore)[0], acted[3])


@every_learner
def test_loading_a_state_goes_on_as_if_never_interrupted(name):
    learner = train(make(name), 20)
    obs = np.random.default_rng(0).normal(size=(3, 50, 4)).astype(np.float32)
    learner.act(obs, explore=True)
    state = learner.state()
    uninterrupted = weights(train(learner, 20, first=20))
    actions = learner.act(obs, explore=True)
    for _ in range(2):  # the state serves twice: going on from it does not change it
        resumed = make(name)
        resumed.load(state)
        assert_equal(weights(train(resumed, 20, first=20)), uninterrupted)
        assert_equal(resumed.last_losses, learner.last_losses)
        assert resumed.updates == 40
        np.testing.assert_array_equal(resumed.act(obs, explore=True), actions)


@every_learner
@pytest.mark.parametrize("world", ["bounded", "unbounded", "pixels"])
def test_an_export_acts_exactly_as_the_learner(name, world):
    shape = (2, 2) if world == "pixels" else (4,)
    bound = np.inf if world == "unbounded" else 255
    low, high = np.full(shape, -bound if world == "unbounded" else 0), np.full(shape, bound)
    learner = plugins.make("learner", name, hidden=(32, 32)).setup(Spec(shape, "uint8", low, high, 3), SEEDS)
    obs = np.random.default_rng(0).integers(256, size=(3, 200, *shape)).astype(np.uint8)
    learner.fit_normalizer(list(obs))
    train(learner, 20)
    acted, ranked = learner.act(obs), learner.nets[learner.acts_by](learner.normalize(torch.as_tensor(obs)))
    assert len(np.unique(acted)) > 1
    for p in range(3):
        scores = learner.export(p)(torch.as_tensor(obs[p]))
        torch.testing.assert_close(scores, ranked[p].mean(0), atol=1e-5, rtol=1e-5)
        np.testing.assert_array_equal(scores.argmax(-1), acted[p])


@every_learner
def test_each_loss_moves_the_network_of_its_own_name_alone(name):
    for only in make(name).losses(random_batch()):
        learner: Any = make(name)
        losses, before = learner.losses, weights(learner)
        learner.losses = lambda batch, losses=losses, only=only: {only: losses(batch)[only]}
        learner.update(random_batch())
        moved = {key for key, vector in weights(learner).items() if not torch.equal(vector, before[key])}
        assert moved - {f"target/{only}"} == {f"net/{only}", f"adam0/{only}", f"adam1/{only}"}


@every_learner
def test_gradients_are_clipped_for_each_seed_and_network_on_its_own(name):
    scale = torch.tensor([1.0, 4.0, 16.0]).view(3, 1, 1)
    batch = random_batch()
    batch = batch._replace(obs=batch.obs * scale, next_obs=batch.next_obs * scale)
    free = make(name, grad_clip=0)
    free.update(batch)
    for network, raw in first_gradients(free).items():
        norms = raw.norm(dim=-1)
        limit = float(norms.median())
        held = make(name, grad_clip=limit)
        held.update(batch)
        clipped = first_gradients(held)[network]
        for p in range(3):
            share = 1.0 if norms[p] <= limit else limit / float(norms[p])
            torch.testing.assert_close(clipped[p], raw[p] * share, atol=1e-6, rtol=1e-5)
        assert norms.min() < limit < norms.max()


def first_gradients(learner: Learner) -> dict[str, Tensor]:
    """What a first update descended, [P, ...] of every network: ten times Adam's mean."""
    return {
        network: torch.cat([block.flatten(1) for block in learner.moments[network][0].blocks], -1) * 10
        for network in learner.losses(random_batch(learner.seeds))
    }


@every_learner
def test_targets_follow_their_networks_by_polyak_exactly(name):
    learner = make(name, polyak=0.25, learning_rate=0.0)
    for network in learner.targets:
        assert torch.equal(getattr(learner.target, network).weights.vector, learner.nets[network].weights.vector)
        learner.nets[network].weights.vector.fill_(1)
        getattr(learner.target, network).weights.vector.zero_()
    for expected in (1 / 4, 7 / 16, 37 / 64):
        learner.update(random_batch())
        for network in learner.targets:
            assert (getattr(learner.target, network).weights.vector == expected).all()


@every_learner
def test_a_polyak_of_zero_freezes_targets_and_one_has_none(name):
    frozen, copied = make(name, polyak=0.0), make(name, polyak=1.0)
    before = weights(frozen)
    for learner in (frozen, copied):
        train(learner, 5)
    for network in frozen.targets:
        assert torch.equal(weights(frozen)[f"target/{network}"], before[f"target/{network}"])
        assert torch.equal(weights(copied)[f"target/{network}"], weights(copied)[f"net/{network}"])


@every_learner
def test_restoring_brings_back_the_masked_seeds_alone(name):
    learner = train(make(name), 5)
    snapshot = learner.snapshot()
    early, late = weights(learner), weights(train(learner, 5))
    assert_equal(snapshot, early)  # training does not move a snapshot
    learner.restore(snapshot, np.array([True, False, True]))
    for key, stack in learner.stacks().items():
        for block, old, new in zip(stack.blocks, stack.split(early[key]), stack.split(late[key]), strict=True):
            assert torch.equal(block, torch.stack([old[0], new[1], old[2]]))


@every_learner
def test_keeping_overwrites_the_masked_seeds_of_a_snapshot_alone(name):
    learner = train(make(name), 5)
    snapshot, early = learner.snapshot(), weights(learner)
    late = weights(train(learner, 5))
    learner.keep(snapshot, np.array([True, False, False]))
    assert_equal(weights(learner), late)
    for key, stack in learner.stacks().items():
        split = (stack.split(vectors[key]) for vectors in (snapshot, early, late))
        for kept, old, new in zip(*split, strict=True):
            assert torch.equal(kept, torch.stack([new[0], old[1], old[2]]))


@every_learner
def test_acting_without_exploration_draws_nothing(name):
    learner, other = make(name), make(name)
    obs = np.random.default_rng(0).normal(size=(3, 50, 4)).astype(np.float32)
    np.testing.assert_array_equal(learner.act(obs), learner.act(obs))
    np.testing.assert_array_equal(learner.act(obs, explore=True), other.act(obs, explore=True))


@every_learner
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"discount": 1.5}, "discount must be between 0 and 1, got 1.5"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": -1e-3}, "learning_rate must be at least 0, got -0.001"),
        ({"polyak": float("nan")}, "polyak must be between 0 and 1, got nan"),
        ({"hidden": ()}, r"hidden must name at least one positive layer width, got \(\)"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(name, setting, said):
    with pytest.raises(ValueError, match=said):
        plugins.make("learner", name, **setting)


# --- what they share ---


def test_updates_are_those_of_a_plain_pytorch_loop():
    """Adam of torch.optim, clip_grad_norm_ and cross_entropy, a seed at a time."""
    for seed in SEEDS:
        learner = make("bc", (seed,), grad_clip=0.5, learning_rate=3e-3)
        policy = learner.export(0)
        adam = torch.optim.Adam(policy.parameters(), lr=3e-3)
        for number in range(30):
            batch = random_batch((seed,), number)
            adam.zero_grad()
            torch.nn.functional.cross_entropy(policy(batch.obs[0]), batch.action[0]).backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 0.5)  # cuts some of the gradients
            adam.step()
        for mine, theirs in zip(train(learner, 30).export(0).parameters(), policy.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_known_bounds_are_mapped_to_plus_minus_one():
    low, high = np.array([0, -10, 5], np.float32), np.array([9, 30, 5], np.float32)
    learner = DQN().setup(Spec((3,), "float32", low, high, 2), (0, 1))
    learner.fit_normalizer([np.full((10, 3), 7.0)] * 2)  # bounds are known: data changes nothing
    seen = learner.normalize(torch.tensor([[0.0, 0.0, 5.0], [9.0, 30.0, 5.0]]).expand(2, 2, 3))
    torch.testing.assert_close(seen, torch.tensor([[-1, -0.5, 0], [1, 1, 0]]).expand(2, 2, 3))


def test_unbounded_observations_are_standardised_by_each_seeds_own_first_data():
    learner = DQN().setup(spec(2), (0, 1, 2))
    first = [np.array([[0, 4], [2, 4]]), np.array([[1, 1], [3, 9]]), np.empty((0, 2))]
    learner.fit_normalizer(first)
    seen = learner.normalize(torch.tensor([[3.0, 4.0]]).expand(3, 1, 2))
    # seed 0: (3 - 1) / sqrt(2), and a column that never changed; seed 1: (3 - 2) / sqrt(2), (4 - 5) / sqrt(32)
    expected = torch.tensor([[[2**0.5, 0.0]], [[0.5**0.5, -(32**-0.5)]], [[3.0, 4.0]]])  # seed 2 has seen nothing
    torch.testing.assert_close(seen, expected)


def test_states_are_worth_v_or_the_best_q_or_the_policys_certainty():
    obs = np.array([[[0], [1]], [[1], [0]]], np.float32)
    certainty = np.log([[[[0.25, 0.75], [0.5, 0.5]]], [[[0.9, 0.1], [0.2, 0.8]]]])
    cases: list[tuple[Learner, str, Any, list]] = [
        (DQN(), "q", [[[[1, 2], [3, 0]]], [[[0, 1], [2, 2.5]]]], [[2, 3], [2.5, 1]]),
        (IQL(), "value", [[[[1], [2]]], [[[0], [-2]]]], [[1, 2], [-2, 0]]),
        (BC(), "policy", certainty, [[0.75, 0.5], [0.8, 0.9]]),
    ]
    for learner, network, entries, expected in cases:
        learner.setup(spec(1, 2), (0, 1)).nets[network] = table(entries)  # type: ignore[assignment]
        np.testing.assert_allclose(learner.value(obs), expected, rtol=1e-6)


# --- one batch learnt by heart ---


def learnt_by_heart(learner: Learner, batch: Batch, updates: int = 500) -> Learner:
    learner.setup(spec(), SEEDS)
    for _ in range(updates):
        learner.update(batch)
    return learner


def q_of(learner: Learner, batch: Batch) -> Tensor:
    with torch.no_grad():
        return learner.head.values(learner.net.q, batch.obs).of(batch.action)  # [P, K, B]


def test_bc_learns_a_deterministic_labelling_to_certainty():
    batch = random_batch()
    learner = learnt_by_heart(BC(hidden=(64,), learning_rate=1e-2), batch)
    assert (learner.last_losses["policy"] < 0.01).all()
    np.testing.assert_array_equal(learner.act(batch.obs.numpy()), batch.action)


@pytest.mark.parametrize("learner", [DQN(hidden=(64,), learning_rate=1e-2), CQL(hidden=(64,), alpha=1e-4)])
def test_the_value_of_a_last_action_is_its_reward(learner):
    batch = random_batch()
    batch = batch._replace(discount=torch.zeros(3, 16))
    learnt_by_heart(learner, batch, updates=1000)
    torch.testing.assert_close(q_of(learner, batch)[:, 0], batch.reward, atol=0.02, rtol=0)


def coin_toss() -> Batch:
    """One state, and two of three actions as often, that end the episode with a reward of 0 and 1."""
    action = torch.arange(16).remainder(2).expand(3, 16)
    return Batch(torch.ones(3, 16, 4), action, action.float(), torch.zeros(3, 16), torch.ones(3, 16, 4))


def test_bc_learns_a_coin_toss_to_its_entropy():
    learner = learnt_by_heart(BC(hidden=(64,), learning_rate=1e-2), coin_toss())
    torch.testing.assert_close(learner.last_losses["policy"], torch.full((3,), 0.693147), atol=1e-3, rtol=0)


def test_cql_draws_the_values_of_what_it_saw_together_as_far_as_alpha_says():
    # flat where q0 = alpha (1 - 2 p0) and q1 = 1 + alpha (1 - 2 p1), p the softmax of both (the unseen action has
    # none left); so q1 = 1 - q0 and p0 = 1 / (1 + exp(1 - 2 q0)); for alpha = 0.5 solved by q0 = 0.1626, p0 = 0.3374
    learner = learnt_by_heart(CQL(hidden=(64,), alpha=0.5, learning_rate=1e-2), coin_toss(), updates=800)
    q = learner.net.q(torch.ones(3, 1, 4))[:, 0, 0].detach()
    torch.testing.assert_close(q[:, :2], torch.tensor([[0.1626, 0.8374]]).expand(3, 2), atol=0.005, rtol=0)
    assert (q[:, 2] < -1).all()


def test_iql_finds_the_expectile_and_the_policy_that_follows_from_it():
    # the 0.8-expectile of a fair coin is 0.8: 0.8 (1 - v) = 0.2 v; the advantages 0.2 and -0.8 lie 1 apart, so that
    # the policy's odds are exp(temperature) to 1: 1 / (1 + e^-2) = 0.8808
    learner: Any = IQL(expectile=0.8, temperature=2.0, hidden=(64,), learning_rate=1e-2, polyak=0.1)
    learnt_by_heart(learner, coin_toss(), updates=600)
    torch.testing.assert_close(
        learner.net.value(torch.ones(3, 1, 4)).flatten(), torch.full((3,), 0.8), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        q_of(learner, coin_toss()), coin_toss().reward.unsqueeze(1).expand(3, 2, 16), atol=0.02, rtol=0
    )
    chance = learner.net.policy(torch.ones(3, 1, 4)).softmax(-1)[:, 0, 0].detach()
    torch.testing.assert_close(chance, torch.tensor([[0.1192, 0.8808, 0.0]]).expand(3, 3), atol=0.01, rtol=0)


# --- values known to be true ---


def scripted_path(leaving: bool) -> Batch:
    """The 18 steps from the corner down and then right to the goal; with `leaving` also the 36 steps off that path,
    each of which ends the episode."""
    world, rng = Gridworld(observation="pose", start="fixed"), np.random.default_rng(0)
    state, on, off = world.begin(rng, 1), [], []  # type: ignore[var-annotated]
    for best in [2, *[1] * 8, 0, *[1] * 8]:
        here = state
        for action in range(3):
            following, reward, terminated = world.step(here, np.array([action]), rng)
            ends = terminated[0] or action != best
            step = (world.observe(here)[0], action, reward[0], 0.0 if ends else 0.99, world.observe(following)[0])
            (on if action == best else off).append(step)
            state = following if action == best else state
    columns = [np.stack(column) for column in zip(*(on + off if leaving else on), strict=True)]
    tensors = [torch.as_tensor(c, dtype=torch.float32 if c.dtype != np.int64 else None) for c in columns]
    return Batch(*(tensor.expand(3, *tensor.shape) for tensor in tensors))


@pytest.mark.parametrize(
    ("learner", "leaving"), [(DQN(), True), (CQL(alpha=0.05), False), (IQL(), False)], ids=["dqn", "cql", "iql"]
)
def test_q_on_the_scripted_path_is_its_discounted_return(learner, leaving):
    """DQN needs to see what leaving the path brings: nothing else holds down the value of actions it never saw."""
    world = Gridworld()
    learner.hidden, learner.polyak = (64, 64), 0.05
    learner.setup(Spec((6,), "float32", world.observation_space.low, world.observation_space.high, 3), SEEDS)
    batch, path = scripted_path(leaving), scripted_path(leaving=False)
    for _ in range(1000):
        learner.update(batch)
    path = path._replace(obs=learner.normalize(path.obs))
    q = q_of(learner, path).mean(1)  # [P, 18]
    assert q.mean(-1).tolist() == pytest.approx([8.387] * 3, rel=0.02)
    for step, value in {0: 6.859, 16: 9.8, 17: 10.0}.items():  # -0.1 + 0.99 * 10 = 9.8
        assert q[:, step].tolist() == pytest.approx([value] * 3, rel=0.05)
    np.testing.assert_array_equal(learner.act(scripted_path(leaving=False).obs.numpy()), path.action)
