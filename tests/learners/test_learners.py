"""Learners: what every one promises for every kind of action, where a batch learnt by
heart ends, and true values.

The losses themselves are worked out by hand in `test_losses.py`."""

import dataclasses
import functools
import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curriculum.envs.gridworld import Gridworld
from curriculum.learners.awac import AWAC
from curriculum.learners.bc import BC
from curriculum.learners.bcq import BCQ
from curriculum.learners.calql import CalQL
from curriculum.learners.cql import CQL
from curriculum.learners.dqn import DQN
from curriculum.learners.edac import EDAC
from curriculum.learners.iql import IQL
from curriculum.learners.sac import SAC
from curriculum.learners.td3bc import TD3BC
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

torch.set_num_threads(1)

CASES = [
    (name, kind)
    for name in plugins.names("learner")
    for kind in plugins.find("learner", name).kinds
]
SEEDS = (0, 1, 2)
LIGHT = {"critics": 3, "samples": 4}  # for those learners that have such fields
EAGER = {"delay": 1}  # no network rests in the first update
every_learner = pytest.mark.parametrize(
    ("name", "kind"), CASES, ids=["-".join(case) for case in CASES]
)


def spec(kind: str = "discrete", inputs: int = 4, bound: float = np.inf) -> Spec:
    """Three discrete actions, or box actions of two numbers."""
    edge = np.full(inputs, bound, np.float32)
    return Spec(
        (inputs,), "float32", -edge, edge, *((3, 0) if kind == "discrete" else (0, 2))
    )


def fitting(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that the learner has."""
    fields = {field.name for field in dataclasses.fields(plugins.find("learner", name))}
    return {field: value for field, value in settings.items() if field in fields}


def make(
    name: str, kind: str = "discrete", seeds: tuple[int, ...] = SEEDS, **settings: Any
) -> Any:
    fields = {
        "hidden": (32, 32),
        "exploration": 0.5,
        **fitting(name, LIGHT),
        **settings,
    }
    return plugins.make("learner", name, **fields).setup(spec(kind), seeds)


@functools.cache
def random_batch(
    kind: str = "discrete",
    seeds: tuple[int, ...] = SEEDS,
    number: int = 0,
    rows: int = 16,
) -> Any:
    """Every seed's rows come from itself and the number of the batch."""
    drawn = []
    for seed in seeds:
        rng = np.random.default_rng([seed, number])
        obs, next_obs = rng.normal(size=(2, rows, 4)).astype(np.float32)
        discount = np.where(rng.random(rows) < 0.2, 0, 0.99).astype(np.float32)
        reward, mc_return = rng.normal(size=(2, rows)).astype(np.float32)
        mc_return[rng.random(rows) < 0.3] = -np.inf
        box = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
        action = box if kind == "box" else rng.integers(3, size=rows)
        label = action[::-1].copy()
        has_label = (mc_return > 0).astype(np.float32)
        taken = (np.arange(5) < rng.integers(1, 6, (rows, 1))).astype(np.float32)
        drawn.append(
            {
                "obs": obs,
                "action": action,
                "reward": reward,
                "discount": discount,
                "next_obs": next_obs,
                "mc_return": mc_return,
                "label": label,
                "has_label": has_label,
                "action_window": np.stack(
                    [np.roll(action, -t, 0) for t in range(5)], 1
                ),
                "window_taken": taken,
            }
        )
    columns = {
        name: torch.as_tensor(np.stack([own[name] for own in drawn]))
        for name in drawn[0]
    }
    return Batch(**columns)


def some_obs(seeds: int = 3, rows: int = 50) -> np.ndarray:
    """The same observations for every seed."""
    return (
        np.random.default_rng(0)
        .normal(size=(1, rows, 4))
        .astype(np.float32)
        .repeat(seeds, 0)
    )


def kind_of(learner: Any) -> str:
    return "discrete" if learner.head.actions else "box"


def train(learner: Any, updates: int, first: int = 0) -> Any:
    for number in range(first, first + updates):
        learner.update(random_batch(kind_of(learner), learner.seeds, number))
    return learner


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def seed_of(learner: Any, p: int) -> dict[str, Tensor]:
    """Everything that training moves of one seed."""
    return {
        f"{key}/{i}": block[p].clone()
        for key, stack in learner.weights.members.items()
        for i, block in enumerate(stack.blocks)
    }


# --- what every learner promises ---


@every_learner
def test_a_loss_is_one_finite_number_for_each_seed(name, kind):
    for seeds, rows in (((0,), 1), ((0,), 5), (SEEDS, 1), (SEEDS, 5)):
        learner = make(name, kind, seeds, **fitting(name, EAGER))
        losses = learner.losses(random_batch(kind, seeds, rows=rows))
        assert losses.keys() == learner.nets.keys()
        for loss in losses.values():
            assert loss.shape == (len(seeds),)
            assert loss.isfinite().all()


@every_learner
@pytest.mark.parametrize("updates", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_a_seed_learns_the_same_alone_and_among_others(name, kind, updates):
    """Measured: weights differ by 1.3e-7 at most after 150 updates, Adam's means and
    squares by 5e-8."""
    alone, among = (
        train(make(name, kind, seeds, grad_clip=0.5), updates)
        for seeds in ((3,), (0, 3, 4))
    )
    for stack, others in zip(
        alone.weights.members.values(), among.weights.members.values(), strict=True
    ):
        for mine, theirs in zip(stack.blocks, others.blocks, strict=True):
            torch.testing.assert_close(mine[0], theirs[1], atol=1e-6, rtol=0)
    for network, loss in alone.last_losses.items():
        torch.testing.assert_close(
            loss[0], among.last_losses[network][1], atol=1e-5, rtol=1e-5
        )
    obs = some_obs(rows=100)
    for explore in (False, True):
        acted = among.act(obs, explore)
        assert acted.shape == ((3, 100) if kind == "discrete" else (3, 100, 2))
        np.testing.assert_allclose(
            alone.act(obs[:1], explore)[0],
            acted[1],
            atol=0 if kind == "discrete" else 1e-6,
        )
    np.testing.assert_allclose(alone.value(obs[:1])[0], among.value(obs)[1], atol=1e-5)


@every_learner
def test_loading_a_state_goes_on_bit_for_bit_as_if_never_interrupted(name, kind):
    settings: dict[str, Any] = {
        "schedule": "cosine",
        "schedule_updates": 12,
        "target_every": 2,
    }
    learner = train(make(name, kind, **settings), 5)
    learner.act(some_obs(), explore=True)
    state = learner.state()
    uninterrupted = train(learner, 4, first=5).snapshot()
    actions = learner.act(some_obs(), explore=True)
    for _ in range(2):  # the state serves twice: going on from it does not change it
        resumed = make(name, kind, **settings)
        resumed.load(state)
        assert_equal(train(resumed, 4, first=5).snapshot(), uninterrupted)
        assert_equal(resumed.last_losses, learner.last_losses)
        assert resumed.updates == 9
        np.testing.assert_array_equal(resumed.act(some_obs(), explore=True), actions)


@every_learner
@pytest.mark.parametrize("world", ["bounded", "unbounded", "normalised layers"])
def test_an_export_acts_exactly_as_the_learner(name, kind, world):
    if name == "edac" and world == "normalised layers":
        pytest.skip("edac has no layer_norm")
    bound = 255 if world == "bounded" else np.inf
    low, high = (
        np.full((2, 2), 0 if world == "bounded" else -bound),
        np.full((2, 2), bound),
    )
    fields = {
        "hidden": (32, 32),
        "layer_norm": world == "normalised layers",
        **fitting(name, LIGHT),
    }
    world_spec = spec(kind)._replace(
        obs_shape=(2, 2), obs_dtype="uint8", obs_low=low, obs_high=high
    )
    learner = plugins.make("learner", name, **fields).setup(world_spec, SEEDS)
    obs = np.random.default_rng(0).integers(256, size=(3, 200, 2, 2)).astype(np.uint8)
    learner.normalizer.fit(list(obs))
    train(learner, 3)
    acted = learner.act(obs)
    assert len(np.unique(acted)) > 1
    for p in range(3):
        exported = learner.export(p)
        said = exported(torch.as_tensor(obs[p])).detach()
        if kind == "box":
            assert said.shape == (200, 2)
            np.testing.assert_allclose(said, acted[p], atol=1e-5)
        else:
            assert said.shape == (200, 3)
            np.testing.assert_array_equal(said.argmax(-1), acted[p])
        if world == "normalised layers":
            # others export an actor, which has none
            judges = name == "bcq" or "policy" not in learner.nets
            assert (
                any(isinstance(m, nn.LayerNorm) for m in exported.modules()) == judges
            )


@every_learner
def test_each_loss_moves_the_network_of_its_own_name_alone(name, kind):
    for only in make(name, kind).nets:
        learner = make(name, kind, **fitting(name, EAGER))
        losses, before = learner.losses, learner.snapshot()
        learner.losses = lambda batch, losses=losses, only=only: {
            only: losses(batch)[only]
        }
        learner.update(random_batch(kind))
        moved = {
            key
            for key, vector in learner.snapshot().items()
            if not torch.equal(vector, before[key])
        }
        assert moved - {f"target/{only}"} == {
            f"net/{only}",
            f"adam_mean/{only}",
            f"adam_square/{only}",
        }
        assert (f"target/{only}" in moved) == (only in learner.targets)


@every_learner
def test_gradients_are_clipped_for_each_seed_and_network_on_its_own(name, kind):
    scale = torch.tensor([1.0, 4.0, 16.0]).view(3, 1, 1)
    batch = random_batch(kind)
    batch = batch._replace(obs=batch.obs * scale, next_obs=batch.next_obs * scale)
    free = make(name, kind, grad_clip=0, **fitting(name, EAGER))
    free.update(batch)
    for network, raw in first_gradients(free).items():
        norms = raw.norm(dim=-1)
        limit = float(norms.median())
        held = make(name, kind, grad_clip=limit, **fitting(name, EAGER))
        held.update(batch)
        clipped = first_gradients(held)[network]
        for p in range(3):
            share = 1.0 if norms[p] <= limit else limit / float(norms[p])
            torch.testing.assert_close(clipped[p], raw[p] * share, atol=1e-6, rtol=1e-5)
        assert norms.min() < limit < norms.max()


def first_gradients(learner: Any) -> dict[str, Tensor]:
    """What a first update descended, [P, ...] of every network: ten times Adam's
    mean."""
    return {
        network: torch.cat(
            [
                block.reshape(len(block), -1)
                for block in learner.optimizer.moments[network].mean.blocks
            ],
            -1,
        )
        * 10
        for network in learner.nets
    }


@every_learner
def test_targets_follow_their_networks_by_polyak_exactly(name, kind):
    learner = make(name, kind, polyak=0.25, learning_rate=0.0)
    for network in vars(learner.target):
        assert torch.equal(
            getattr(learner.target, network).weights.vector,
            learner.nets[network].weights.vector,
        )
        learner.nets[network].weights.vector.fill_(1)
        getattr(learner.target, network).weights.vector.zero_()
    for expected in (1 / 4, 7 / 16, 37 / 64):
        learner.update(random_batch(kind))
        for network in vars(learner.target):
            assert (getattr(learner.target, network).weights.vector == expected).all()


@every_learner
def test_a_polyak_of_zero_freezes_targets_and_one_has_none(name, kind):
    frozen, copied = make(name, kind, polyak=0.0), make(name, kind, polyak=1.0)
    before = frozen.snapshot()
    for learner in (frozen, copied):
        train(learner, 4)
    for network in vars(frozen.target):
        assert torch.equal(
            frozen.snapshot()[f"target/{network}"], before[f"target/{network}"]
        )
        assert torch.equal(
            copied.snapshot()[f"target/{network}"], copied.snapshot()[f"net/{network}"]
        )


@every_learner
def test_hard_targets_are_copied_every_so_many_updates_and_rest_between(name, kind):
    learner = make(name, kind, target_every=3, polyak=0.5, **fitting(name, EAGER))
    copies = learner.snapshot()
    for number in range(1, 5):
        now = train(learner, 1, first=number).snapshot()
        copies = now if number == 3 else copies
        for network in vars(learner.target):
            assert torch.equal(now[f"target/{network}"], copies[f"net/{network}"])
            assert torch.equal(now[f"net/{network}"], copies[f"net/{network}"]) == (
                number == 3
            )


@every_learner
def test_a_seed_without_data_stays_as_it_was_drawn_and_the_others_do_not_notice(
    name, kind
):
    learner, full = make(name, kind), make(name, kind)
    drawn = seed_of(learner, 1)
    for number in range(3):
        batch = random_batch(kind, SEEDS, number)
        learner.update(batch, np.array([True, False, True]))
        full.update(batch, np.array([True, True, True]))
    assert_equal(seed_of(learner, 1), drawn)
    for p in (0, 2):
        assert_equal(seed_of(learner, p), seed_of(full, p))
    assert seed_of(full, 1).keys() == drawn.keys()
    assert not all(
        torch.equal(block, drawn[key]) for key, block in seed_of(full, 1).items()
    )


@every_learner
def test_a_seed_that_gets_data_late_learns_the_same_alone_and_among_others(name, kind):
    alone, among = make(name, kind, (1,)), make(name, kind, (0, 1))
    for number in range(6):
        alone.update(random_batch(kind, (1,), number), np.array([number >= 3]))
        among.update(random_batch(kind, (0, 1), number), np.array([True, number >= 3]))
    others = seed_of(among, 1)
    for key, mine in seed_of(alone, 0).items():
        torch.testing.assert_close(mine, others[key], atol=1e-6, rtol=0)


@every_learner
def test_restoring_brings_back_the_masked_seeds_alone(name, kind):
    learner = train(make(name, kind), 3)
    snapshot = learner.snapshot()
    early, late = learner.snapshot(), train(learner, 3).snapshot()
    assert_equal(snapshot, early)  # training does not move a snapshot
    learner.restore(snapshot, np.array([True, False, True]))
    for key, stack in learner.weights.members.items():
        for block, old, new in zip(
            stack.blocks, stack.split(early[key]), stack.split(late[key]), strict=True
        ):
            assert torch.equal(block, torch.stack([old[0], new[1], old[2]]))


@every_learner
def test_keeping_overwrites_the_masked_seeds_of_a_snapshot_alone(name, kind):
    learner = train(make(name, kind), 3)
    snapshot, early = learner.snapshot(), learner.snapshot()
    late = train(learner, 3).snapshot()
    learner.update_snapshot(snapshot, np.array([True, False, False]))
    assert_equal(learner.snapshot(), late)
    for key, stack in learner.weights.members.items():
        split = (stack.split(vectors[key]) for vectors in (snapshot, early, late))
        for kept, old, new in zip(*split, strict=True):
            assert torch.equal(kept, torch.stack([new[0], old[1], old[2]]))


@every_learner
def test_acting_without_exploration_draws_nothing(name, kind):
    learner, other = make(name, kind), make(name, kind)
    greedy = learner.act(some_obs())
    np.testing.assert_array_equal(learner.act(some_obs()), greedy)
    explored = learner.act(some_obs(), explore=True)
    np.testing.assert_array_equal(explored, other.act(some_obs(), explore=True))
    assert (explored != greedy).any()
    assert (learner.act(some_obs(), explore=True) != explored).any()
    assert explored.dtype == (np.int64 if kind == "discrete" else np.float32)
    assert kind == "discrete" or np.abs(explored).max() <= 1


@every_learner
def test_acting_and_judging_move_nothing_that_training_needs(name, kind):
    acted, other = make(name, kind), make(name, kind)
    for number in range(3):
        acted.act(some_obs())
        acted.value(some_obs())
        acted.export(0)
        for learner in (acted, other):
            train(learner, 1, first=number)
    assert_equal(acted.snapshot(), other.snapshot())


@every_learner
def test_diagnostics_are_numbers_of_each_seed_and_do_not_affect_training(name, kind):
    diagnosed, other = make(name, kind), make(name, kind)
    original = diagnosed.diagnose

    def diagnose(batch: Batch) -> dict[str, Tensor]:
        noise = diagnosed.head.noise.normal(5).mean(-1)  # draws from the seeds' streams
        obs_mean = batch.obs.mean((-1, -2))
        return {**original(batch), "noise": noise, "obs_mean": obs_mean}

    diagnosed.diagnose = diagnose
    for number in range(3):
        values = diagnosed.diagnostics(random_batch(kind, SEEDS, number))
        for value in values.values():
            assert value.shape == (3,)
            assert value.isfinite().all()
            assert not value.requires_grad
        for learner in (diagnosed, other):
            train(learner, 1, first=number)
    assert_equal(diagnosed.snapshot(), other.snapshot())


@every_learner
def test_a_reward_scale_is_that_many_times_the_reward_and_return(name, kind):
    scaled, plain = make(name, kind, reward_scale=4.0), make(name, kind)
    for number in range(4):
        batch = random_batch(kind, SEEDS, number)
        scaled.update(batch)
        plain.update(
            batch._replace(reward=batch.reward * 4, mc_return=batch.mc_return * 4)
        )
    assert_equal(scaled.snapshot(), plain.snapshot())


@every_learner
@pytest.mark.parametrize("precision", ["bf32", "bf16"])
def test_lower_precision_moves_losses_by_a_hundredth_and_narrow_layers_not(
    name, kind, precision
):
    """Measured on this processor, which has no such instructions: see the bound. Where
    it has, bf32 rounds too."""
    before = torch.get_float32_matmul_precision()
    batch = random_batch(kind, rows=64)
    for width in (63, 64):
        exact, low = (
            plugins.make(
                "learner", name, hidden=(width, width), **fitting(name, LIGHT | EAGER)
            ).setup(spec(kind), SEEDS, precision=chosen)
            for chosen in ("fp32", precision)
        )
        for learner in (exact, low):
            learner.update(batch)
        for network, loss in exact.last_losses.items():
            if width < 64:
                assert torch.equal(low.last_losses[network], loss)
            else:
                torch.testing.assert_close(
                    low.last_losses[network], loss, rtol=2e-2, atol=1e-2
                )
        if width < 64:
            assert_equal(low.snapshot(), exact.snapshot())
        elif precision == "bf16":
            assert any(
                not torch.equal(low.snapshot()[key], value)
                for key, value in exact.snapshot().items()
            )
    assert torch.get_float32_matmul_precision() == before


# --- what is refused, in one sentence ---


@pytest.mark.parametrize("name", plugins.names("learner"))
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"discount": 1.5}, "discount must be between 0 and 1, got 1.5"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"learning_rate": -1e-3}, "learning_rate must be at least 0, got -0.001"),
        ({"polyak": float("nan")}, "polyak must be between 0 and 1, got nan"),
        (
            {"hidden": ()},
            r"hidden must name at least one positive layer width, got \(\)",
        ),
        (
            {"hidden": (32, 0)},
            r"hidden must name at least one positive layer width, got \(32, 0\)",
        ),
        ({"target_every": -1}, "target_every must be at least 0, got -1"),
        ({"exploration": 1.1}, "exploration must be between 0 and 1, got 1.1"),
        ({"reward_scale": -1}, "reward_scale must be at least 1e-09, got -1"),
        ({"schedule": "linear"}, "schedule and schedule_updates go together"),
        ({"schedule_updates": 100}, "schedule and schedule_updates go together"),
    ],
)
def test_impossible_settings_are_refused_in_a_sentence(name, setting, said):
    with pytest.raises(ValueError, match=said):
        plugins.make("learner", name, **setting)


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("awac", {"temperature": 0}, "temperature must be at least 1e-06, got 0"),
        ("bcq", {"care": 2}, "care must be between 0 and 1, got 2"),
        ("bcq", {"threshold": -0.1}, "threshold must be between 0 and 1, got -0.1"),
        ("bcq", {"samples": 0}, "samples must be at least 1, got 0"),
        ("bcq", {"reach": 3}, "reach must be between 0 and 2, got 3"),
        ("calql", {"alpha": -1}, "alpha must be at least 0, got -1"),
        ("cql", {"quantiles": 0}, "quantiles must be at least 1, got 0"),
        ("dqn", {"quantiles": 0}, "quantiles must be at least 1, got 0"),
        ("edac", {"critics": 1}, "critics must be at least 2, got 1"),
        ("edac", {"diversity": -1}, "diversity must be at least 0, got -1"),
        (
            "edac",
            {"layer_norm": True},
            "edac needs the gradients of its critics .* layer_norm; leave it off",
        ),
        ("iql", {"expectile": 1.1}, "expectile must be between 0 and 1, got 1.1"),
        ("iql", {"temperature": -1}, "temperature must be at least 0, got -1"),
        ("sac", {"critics": 0}, "critics must be at least 1, got 0"),
        ("sac", {"subset": 11}, "subset must be between 1 and 10, got 11"),
        ("td3bc", {"delay": 0}, "delay must be at least 1, got 0"),
        ("td3bc", {"noise_limit": -1}, "noise_limit must be at least 0, got -1"),
    ],
)
def test_impossible_settings_of_a_learners_own_are_refused_in_a_sentence(
    name, setting, said
):
    with pytest.raises(ValueError, match=said):
        plugins.make("learner", name, **setting)


@pytest.mark.parametrize(
    ("learner", "kind", "said"),
    [
        (
            DQN(),
            "box",
            "DQN takes discrete actions, this world's are box; "
            "choose another --learner",
        ),
        (
            EDAC(),
            "discrete",
            "EDAC takes box actions, this world's are discrete; "
            "choose another --learner",
        ),
    ],
)
def test_a_learner_refuses_a_world_of_the_other_kind_in_a_sentence(learner, kind, said):
    with pytest.raises(ValueError, match=said):
        learner.setup(spec(kind), (0,))


# --- what they share ---


def test_updates_are_those_of_a_plain_pytorch_loop():
    """Adam of torch.optim, clip_grad_norm_ and cross_entropy, a seed at a time."""
    for seed in SEEDS:
        learner = make("bc", seeds=(seed,), grad_clip=0.5, learning_rate=3e-3)
        policy = learner.export(0)
        adam = torch.optim.Adam(policy.parameters(), lr=3e-3)
        for number in range(15):
            batch = random_batch(seeds=(seed,), number=number)
            adam.zero_grad()
            nn.functional.cross_entropy(
                policy(batch.obs[0]), batch.action[0]
            ).backward()
            # cuts some of the gradients
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
            adam.step()
        for mine, theirs in zip(
            train(learner, 15).export(0).parameters(), policy.parameters(), strict=True
        ):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=0)


def test_dqn_without_double_agrees_with_stable_baselines3():
    pytest.importorskip(
        "stable_baselines3", reason="compares with stable_baselines3 >= 2.7"
    )
    import gymnasium as gym
    from stable_baselines3 import DQN as Theirs
    from stable_baselines3.common.buffers import ReplayBufferSamples
    from stable_baselines3.common.logger import Logger

    class World(gym.Env):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        action_space = gym.spaces.Discrete(3)

    ours = make("dqn", seeds=(0,), double=False)
    ours.nets["q"].weights.vector.mul_(3)  # errors on both sides of huber's corner
    ours.target.q.weights.vector.copy_(ours.nets["q"].weights.vector.flip(0))
    theirs: Any = Theirs(
        "MlpPolicy",
        World(),
        policy_kwargs={"net_arch": [32, 32]},
        max_grad_norm=1e9,
        buffer_size=1,
    )
    theirs.set_logger(Logger(None, []))
    for plain, net in (
        (theirs.q_net, ours.nets["q"]),
        (theirs.q_net_target, ours.target.q),
    ):
        for copied, own in zip(
            plain.parameters(), nn.Sequential(*net.export(0)).parameters(), strict=True
        ):
            copied.data[:] = own
    batch = random_batch(seeds=(0,), rows=64)
    obs, action, reward, discount, next_obs = (
        x[0] if x.dim() == 3 else x[0].unsqueeze(-1) for x in batch[:5]
    )
    samples = ReplayBufferSamples(
        obs, action, next_obs, (discount == 0).float(), reward, discount
    )
    theirs.replay_buffer.sample = lambda *args, **settings: samples

    loss = ours.losses(batch)["q"]
    (slope,) = torch.autograd.grad(loss.sum(), ours.nets["q"].leaves)
    theirs.train(gradient_steps=1, batch_size=64)
    assert theirs.logger.name_to_value["train/loss"] == pytest.approx(
        loss.item(), abs=1e-5
    )
    for parameter, block in zip(
        theirs.q_net.parameters(), ours.nets["q"].weights.split(slope), strict=True
    ):
        expected = block[0, 0].T if parameter.dim() == 2 else block[0, 0, 0]
        torch.testing.assert_close(parameter.grad, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("schedule", "shares"),
    [
        ("linear", {0: 1, 3: 0.75, 6: 0.5, 12: 0, 20: 0}),
        ("cosine", {0: 1, 4: 0.75, 6: 0.5, 8: 0.25, 12: 0, 20: 0}),
    ],
)
def test_a_schedule_lowers_the_step_size_to_zero_and_stays_there(schedule, shares):
    for updates, share in shares.items():
        learner = make("bc", learning_rate=1e-2, schedule=schedule, schedule_updates=12)
        learner.updates = updates
        assert learner.learning_rate_at(updates) == pytest.approx(
            1e-2 * share, abs=1e-12
        )
        before = learner.net.policy.weights.vector.clone()
        train(learner, 1)
        # Adam's first is the step size itself
        step = (learner.net.policy.weights.vector - before).abs().max()
        assert float(step) == pytest.approx(1e-2 * share, rel=1e-3)


def test_known_bounds_are_mapped_to_plus_minus_one():
    low, high = np.array([0, -10, 5], np.float32), np.array([9, 30, 5], np.float32)
    learner = DQN().setup(Spec((3,), "float32", low, high, 2), (0, 1))
    # bounds are known: data changes nothing
    learner.normalizer.fit([np.full((10, 3), 7.0)] * 2)
    seen = learner.normalizer.normalize(
        torch.tensor([[0.0, 0.0, 5.0], [9.0, 30.0, 5.0]]).expand(2, 2, 3)
    )
    torch.testing.assert_close(
        seen, torch.tensor([[-1, -0.5, 0], [1, 1, 0]]).expand(2, 2, 3)
    )


def test_unbounded_observations_are_standardised_by_each_seeds_own_first_data():
    learner = DQN().setup(spec(inputs=2), (0, 1, 2))
    first = [np.array([[0, 4], [2, 4]]), np.array([[1, 1], [3, 9]]), np.empty((0, 2))]
    learner.normalizer.fit(first)
    seen = learner.normalizer.normalize(torch.tensor([[3.0, 4.0]]).expand(3, 1, 2))
    # seed 0: (3 - 1) / sqrt(2), and a column that never changed; seed 1: (3 - 2) /
    # sqrt(2), (4 - 5) / sqrt(32) seed 2 has seen nothing
    expected = torch.tensor([[[2**0.5, 0.0]], [[0.5**0.5, -(32**-0.5)]], [[3.0, 4.0]]])
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("bound", [9.0, np.inf])
def test_observations_are_left_alone_where_normalising_is_off(bound):
    learner = DQN(normalize_obs=False).setup(spec(inputs=2, bound=bound), (0, 1))
    learner.normalizer.fit([np.array([[0, 4], [2, 4]])] * 2)
    obs = torch.tensor([[3.0, -4.0]]).expand(2, 1, 2)
    assert torch.equal(learner.normalizer.normalize(obs), obs)
    assert torch.equal(learner.export(0)[0](obs[0]), obs[0])


def test_networks_learn_from_normalised_observations():
    rng = np.random.default_rng(0)
    far = [
        torch.as_tensor(rng.normal(size=(3, 16, 4)) * 50 + 100, dtype=torch.float32)
        for _ in range(2)
    ]
    fitted, plain = make("iql"), make("iql", normalize_obs=False)
    fitted.normalizer.fit([obs.numpy() for obs in far[0]])
    batch = random_batch()._replace(obs=far[0], next_obs=far[1])
    fitted.update(batch)
    plain.update(
        batch._replace(
            obs=fitted.normalizer.normalize(far[0]),
            next_obs=fitted.normalizer.normalize(far[1]),
        )
    )
    ours = fitted.snapshot()
    theirs = plain.snapshot()
    assert not torch.equal(ours.pop("normalizer"), theirs.pop("normalizer"))
    assert_equal(ours, theirs)


def test_a_return_range_scales_every_seeds_returns_to_a_thousand():
    learner = make("iql", return_range=True, reward_scale=2.0)
    fitted = learner.normalizer.fit_rewards(
        [np.array([1.0, 5.0, 3.0]), np.array([-10.0, -10.0]), np.array([7.0])]
    )
    # seeds 1 and 2 have no range
    assert fitted.tolist() == [True, False, False]
    assert learner.normalizer.reward_factor.tolist() == [[500], [2], [2]]
    again = make("iql", return_range=True, reward_scale=2.0)
    again.load(learner.state())
    assert again.normalizer.reward_factor.tolist() == [[500], [2], [2]]
    off = make("iql", reward_scale=2.0)
    assert off.normalizer.fit_rewards([np.array([1.0, 5.0])] * 3).all()
    assert off.normalizer.reward_factor.tolist() == [[2]] * 3


def test_states_are_worth_v_or_the_q_of_the_best_action_or_the_policys_certainty():
    obs = torch.zeros(2, 1, 4)

    def says(*numbers: float) -> Any:
        return lambda obs: (
            torch.tensor(numbers, dtype=torch.float32)
            .view(1, 1, 1, -1)
            .expand(2, 1, 1, -1)
        )

    # 10 + the first number of the action, and 3 times the second
    def adds(x: Tensor) -> Tensor:
        return torch.stack([x[..., 4] + 10, 3 * x[..., 5]], 1).unsqueeze(-1)

    two = SimpleNamespace(encode=lambda obs: obs, body=adds)
    cases: list[tuple[Any, str, dict[str, Any], float]] = [
        (DQN(), "discrete", {"q": says(1, 4, 2)}, 4),
        (DQN(quantiles=2), "discrete", {"q": says(1, 1, 0, 6, 2, 2)}, 3),
        (IQL(), "discrete", {"value": says(-2)}, -2),
        (IQL(), "box", {"value": says(-2)}, -2),
        (
            BC(),
            "discrete",
            {"policy": says(math.log(0.25), math.log(0.7), math.log(0.05))},
            0.7,
        ),
        # the mean of the critics at tanh of (atanh 0.5, 0): (10.5 + 0) / 2
        (SAC(), "box", {"policy": says(math.atanh(0.5), 0, 0, 0), "q": two}, 5.25),
        (TD3BC(), "box", {"policy": says(math.atanh(0.5), 0), "q": two}, 5.25),
        # density of the mode of two independent normals of deviations 1 and 0.5: 1 / (2
        # pi * 0.5)
        (BC(), "box", {"policy": says(0.3, 0, 0, math.log(0.5))}, 1 / math.pi),
    ]
    for learner, kind, nets, expected in cases:
        learner.setup(spec(kind), (0, 1))
        for network, said in nets.items():
            learner.nets[network] = said
        np.testing.assert_allclose(
            learner.value(obs.numpy()), [[expected]] * 2, rtol=1e-5
        )


def test_box_exploration_is_noise_of_the_stated_deviation():
    learner = BC(exploration=0.1, hidden=(8,)).setup(spec("box"), (0, 1))
    learner.net.policy.weights.vector.zero_()
    noise = learner.act(some_obs(2, rows=5000), explore=True)
    np.testing.assert_allclose(noise.std(1), 0.1, rtol=0.05)
    np.testing.assert_allclose(noise.mean(1), 0, atol=0.005)


@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("delay", [1, 3])
def test_the_policy_of_td3bc_rests_but_for_every_last_update_of_its_delay(kind, delay):
    learner = make("td3bc", kind, delay=delay)
    for number in range(1, 7):
        before = learner.snapshot()
        moved = {
            key
            for key, vector in train(learner, 1, first=number).snapshot().items()
            if (vector != before[key]).any()
        }
        assert "net/q" in moved
        assert ("net/policy" in moved) == (number % delay == 0)
        # then the last one stays
        assert learner.last_losses["policy"].isfinite().all() == (number >= delay)


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_sac_explores_by_drawing_from_its_policy(kind):
    learner: Any = SAC(exploration=0.0, hidden=(8,), critics=2).setup(
        spec(kind), (0, 1)
    )
    policy = learner.net.policy.weights
    policy.vector.zero_()
    if kind == "box":  # location 0.3, deviation 0.5
        policy.blocks[-1][:] = torch.tensor([0.3, 0.3, math.log(0.5), math.log(0.5)])
        drawn = np.arctanh(learner.act(some_obs(2, rows=5000), explore=True))
        np.testing.assert_allclose(drawn.mean(1), 0.3, atol=0.03)
        np.testing.assert_allclose(drawn.std(1), 0.5, atol=0.03)
        np.testing.assert_allclose(learner.act(some_obs(2)), math.tanh(0.3), rtol=1e-5)
    else:
        policy.blocks[-1][:] = torch.tensor([0.5, 0.3, 0.2]).log()
        drawn = learner.act(some_obs(2, rows=5000), explore=True)
        for seed in drawn:
            np.testing.assert_allclose(
                np.bincount(seed) / 5000, [0.5, 0.3, 0.2], atol=0.025
            )
        assert (learner.act(some_obs(2)) == 0).all()


def test_bcq_acts_by_the_first_critic_among_what_is_likely():
    learner: Any = BCQ(threshold=0.5, hidden=(8,)).setup(spec(), (0, 1))
    for network in (learner.net.q, learner.net.imitator):
        network.weights.vector.zero_()
    learner.net.imitator.weights.blocks[-1][:] = torch.tensor([0.4, 0.1, 0.5]).log()
    # 9 is not likely enough
    learner.net.q.weights.blocks[-1][:, 0] = torch.tensor([2.0, 9.0, 1.0])
    learner.net.q.weights.blocks[-1][:, 1] = torch.tensor([2.0, 9.0, 99.0])
    assert (learner.act(some_obs(2)) == 0).all()


# --- one batch learnt by heart ---


def learnt_by_heart(
    learner: Any, batch: Batch, updates: int = 160, without: tuple[str, ...] = ()
) -> Any:
    """Without: the networks that keep still."""
    learner.hidden, learner.learning_rate = (32,), 2e-2
    learner.schedule, learner.schedule_updates = "cosine", updates
    kind = "discrete" if batch.action.dim() == 2 else "box"
    learner.setup(spec(kind), SEEDS)
    losses = learner.losses
    if without:
        learner.losses = lambda batch: {
            name: x for name, x in losses(batch).items() if name not in without
        }
    for _ in range(updates):
        learner.update(batch)
    return learner


def q_of(learner: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        # [P, K, B]
        return learner.head.values(learner.net.q, batch.obs).of(batch.action)


def ending(kind: str, rows: int = 8) -> Batch:
    """Every action is the last."""
    batch = random_batch(kind, rows=rows)
    return batch._replace(discount=torch.zeros(3, rows))


def coin_toss(kind: str = "discrete") -> Batch:
    """One state, and two actions as often, that end the episode with a reward of 0 and
    1: two of three discrete ones, or box actions of which the first number is -0.5 and
    0.5, and the second, as often, -0.4 and 0.4."""
    reward = torch.arange(16).remainder(2).expand(3, 16)
    second = torch.arange(16).div(2).floor().remainder(2).expand(3, 16)
    action = (
        reward
        if kind == "discrete"
        else torch.stack([reward - 0.5, 0.8 * second - 0.4], -1)
    )
    return Batch(
        torch.ones(3, 16, 4),
        action,
        reward.float(),
        torch.zeros(3, 16),
        torch.ones(3, 16, 4),
        reward.float(),
    )


ONE = torch.ones(3, 1, 4)  # the only state of the coin toss


def test_bc_learns_a_deterministic_labelling_to_certainty():
    batch = random_batch()
    learner = learnt_by_heart(BC(), batch)
    assert (learner.last_losses["policy"] < 0.01).all()
    np.testing.assert_array_equal(learner.act(batch.obs.numpy()), batch.action)


def test_bc_learns_a_coin_toss_to_its_entropy():
    learner = learnt_by_heart(BC(), coin_toss())
    torch.testing.assert_close(
        learner.last_losses["policy"], torch.full((3,), 0.693147), atol=1e-3, rtol=0
    )


def test_bc_finds_mean_and_spread_of_box_actions():
    learner = learnt_by_heart(BC(), coin_toss("box"))
    policy = learner.head.policy(learner.net.policy, ONE)
    torch.testing.assert_close(
        policy.location.tanh().detach(), torch.zeros(3, 1, 2), atol=0.01, rtol=0
    )
    expected = torch.tensor([0.5, 0.4]).expand(3, 1, 2)
    torch.testing.assert_close(
        policy.log_std.exp().detach(), expected, atol=0.01, rtol=0
    )


@pytest.mark.parametrize(
    ("learner", "kind"),
    [
        (DQN(quantiles=3, double=False), "discrete"),
        (SAC(critics=3), "discrete"),
        (SAC(critics=3), "box"),
        (EDAC(critics=3, diversity=1e-3), "box"),
    ],
    ids=["dqn-quantiles", "sac-discrete", "sac-box", "edac"],
)
def test_the_value_of_a_last_action_is_its_reward(learner, kind):
    batch = ending(kind, rows=4)
    learnt_by_heart(learner, batch, updates=200 if kind == "discrete" else 100)
    q = q_of(learner, batch)
    torch.testing.assert_close(
        q, batch.reward.unsqueeze(1).expand_as(q), atol=0.05, rtol=0
    )


def test_cql_draws_the_values_of_what_it_saw_together_as_far_as_alpha_says():
    # flat where q0 = alpha (1 - 2 p0) and q1 = 1 + alpha (1 - 2 p1), p the softmax of
    # both (the unseen action has none left); so q1 = 1 - q0 and p0 = 1 / (1 + exp(1 - 2
    # q0)); for alpha = 0.5 solved by q0 = 0.1626, p0 = 0.3374
    learner = learnt_by_heart(CQL(alpha=0.5), coin_toss())
    q = learner.net.q(ONE)[:, 0, 0].detach()
    torch.testing.assert_close(
        q[:, :2], torch.tensor([[0.1626, 0.8374]]).expand(3, 2), atol=0.005, rtol=0
    )
    assert (q[:, 2] < -1).all()


def test_calql_pushes_no_value_below_the_return():
    """Where every value lies below the return, only those of the data's actions are
    moved: up by alpha."""
    batch = coin_toss()._replace(mc_return=torch.full((3, 16), 5.0))
    learner = learnt_by_heart(CalQL(alpha=0.5), batch)
    q = learner.net.q(ONE)[:, 0, 0].detach()
    torch.testing.assert_close(
        q[:, :2], torch.tensor([[0.5, 1.5]]).expand(3, 2), atol=0.005, rtol=0
    )


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_iql_finds_the_expectile_and_the_policy_that_follows_from_it(kind):
    # the 0.8-expectile of a fair coin is 0.8: 0.8 (1 - v) = 0.2 v; the advantages 0.2
    # and -0.8 lie 1 apart, so that the policy's odds are exp(temperature) to 1: 1 / (1
    # + e^-2) = 0.8808
    learner: Any = IQL(expectile=0.8, temperature=2.0, polyak=0.1)
    learnt_by_heart(learner, coin_toss(kind))
    torch.testing.assert_close(
        learner.net.value(ONE).flatten(), torch.full((3,), 0.8), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        q_of(learner, coin_toss(kind)),
        coin_toss().reward.unsqueeze(1).expand(3, 2, 16),
        atol=0.02,
        rtol=0,
    )
    assert_heads_come_with(learner, 0.8808)


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_awac_takes_what_is_better_as_often_as_its_temperature_says(kind):
    """Weights within a batch are as exp(reward / temperature): e^2 to 1."""
    learner = learnt_by_heart(AWAC(temperature=0.5), coin_toss(kind))
    assert_heads_come_with(learner, 0.8808)


def assert_heads_come_with(learner: Any, chance: float) -> None:
    """The policy takes the better side of the coin so often; over the box, mean and
    spread are those of such a coin."""
    policy = learner.head.policy(learner.net.policy, ONE)
    if kind_of(learner) == "discrete":
        expected = torch.tensor([[1 - chance, chance, 0.0]]).expand(3, 3)
        torch.testing.assert_close(
            policy.probs[:, 0].detach(), expected, atol=0.01, rtol=0
        )
        return
    mean = torch.full((3,), chance - 0.5)  # 0.5 p - 0.5 (1 - p); variance 0.25 - mean^2
    torch.testing.assert_close(
        policy.location.tanh()[:, 0, 0].detach(), mean, atol=0.04, rtol=0
    )
    torch.testing.assert_close(
        policy.log_std.exp()[:, 0, 0].detach(),
        (0.25 - mean**2).sqrt(),
        atol=0.04,
        rtol=0,
    )


def test_sac_becomes_the_softmax_of_its_critics_mean_at_a_fixed_temperature():
    learner = learnt_by_heart(
        SAC(critics=3, layer_norm=False), coin_toss(), without=("temperature",)
    )
    with torch.no_grad():
        q = learner.net.q(ONE).mean(1)[:, 0]
        chances = learner.head.policy(learner.net.policy, ONE).probs[:, 0]
    torch.testing.assert_close(chances, q.softmax(-1), atol=0.01, rtol=0)
    torch.testing.assert_close(
        q[:, :2], torch.tensor([[0.0, 1.0]]).expand(3, 2), atol=0.02, rtol=0
    )


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_td3bc_with_an_alpha_of_zero_clones(kind):
    batch = random_batch(kind, rows=8)
    learner = learnt_by_heart(TD3BC(alpha=0.0, delay=1), batch, updates=250)
    acted = learner.act(batch.obs.numpy())
    np.testing.assert_allclose(
        acted, batch.action, atol=0 if kind == "discrete" else 0.1
    )


@pytest.mark.slow
def test_td3bc_with_a_large_alpha_climbs_the_critic():
    """The clone would act by 0; the reward is the action's first number, and 1 is the
    border."""
    batch = random_batch("box", rows=64)
    batch = batch._replace(
        obs=ONE.expand(3, 64, 4),
        reward=batch.action[..., 0],
        discount=torch.zeros(3, 64),
    )
    learner = learnt_by_heart(TD3BC(alpha=50.0), batch)
    assert (learner.act(ONE.numpy())[..., 0] > 0.9).all()


def test_bcq_clones_discrete_actions_and_acts_by_the_best_of_them():
    learner = learnt_by_heart(BCQ(), coin_toss())
    torch.testing.assert_close(
        learner.last_losses["imitator"], torch.full((3,), 0.693147), atol=1e-3, rtol=0
    )
    q = q_of(learner, coin_toss())
    torch.testing.assert_close(
        q, coin_toss().reward.unsqueeze(1).expand_as(q), atol=0.02, rtol=0
    )
    learner.net.q.weights.blocks[-1][..., 2] = 99  # never seen: however good it looks
    assert (learner.act(ONE.numpy()) == 1).all()


@pytest.mark.slow
def test_bcq_reconstructs_box_actions_and_proposes_no_others():
    """One action a state leaves nothing to encode: its error and its divergence go to 0
    together."""
    batch = random_batch("box", rows=8)
    learner = learnt_by_heart(BCQ(reach=0.0, samples=5), batch)
    assert (learner.last_losses["decoder"] < 0.03).all()
    missed = np.abs(learner.act(batch.obs.numpy()) - batch.action.numpy())
    # a policy that knows nothing misses by 0.5
    assert (missed.mean((1, 2)) < 0.1).all()


@pytest.mark.slow
def test_the_perturbation_of_bcq_climbs_within_its_reach():
    batch = random_batch("box")
    batch = batch._replace(
        obs=ONE.expand(3, 16, 4), action=batch.action * 0.1, discount=torch.zeros(3, 16)
    )
    batch = batch._replace(reward=batch.action[..., 0] * 10)
    still, moved = (
        learnt_by_heart(BCQ(reach=reach, samples=1), batch, updates=80)
        for reach in (0.0, 0.5)
    )
    climbed = moved.act(ONE.numpy())[..., 0] - still.act(ONE.numpy())[..., 0]
    np.testing.assert_allclose(climbed, 0.5, atol=0.1)


@pytest.mark.slow
def test_edac_drives_its_critics_slopes_apart():
    batch = ending("box")
    alike = []
    for diversity in (0.0, 5.0):
        learner = learnt_by_heart(
            EDAC(critics=3, diversity=diversity), batch, updates=60
        )
        slope = (
            learner.head.values(learner.net.q, batch.obs).slope(batch.action).detach()
        )
        slope = slope / slope.norm(dim=-1, keepdim=True)
        alike.append(
            float(
                torch.stack(
                    [
                        (a * b).sum(-1)
                        for a, b in itertools.combinations(slope.unbind(1), 2)
                    ]
                ).mean()
            )
        )
    # three directions are at most 120 degrees apart: -0.5
    assert alike[1] < min(alike[0] - 0.3, -0.3)


# --- values known to be true ---


def scripted_path(leaving: bool) -> Batch:
    """The 18 steps from the corner down and then right to the goal; with `leaving` also
    the 36 steps off that path, each of which ends the episode."""
    world, rng = Gridworld(observation="pose", start="fixed"), np.random.default_rng(0)
    state, on, off = world.begin(rng, 1), [], []  # type: ignore[var-annotated]
    for best in [2, *[1] * 8, 0, *[1] * 8]:
        here = state
        for action in range(3):
            following, reward, terminated = world.step(here, np.array([action]), rng)
            ends = terminated[0] or action != best
            step = (
                world.observe(here)[0],
                action,
                reward[0],
                0.0 if ends else 0.99,
                world.observe(following)[0],
            )
            (on if action == best else off).append(step)
            state = following if action == best else state
    columns = [
        np.stack(column) for column in zip(*(on + off if leaving else on), strict=True)
    ]
    tensors = [
        torch.as_tensor(c, dtype=torch.float32 if c.dtype != np.int64 else None)
        for c in columns
    ]
    return Batch(*(tensor.expand(3, *tensor.shape) for tensor in tensors))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "leaving"),
    [(DQN(), True), (DQN(quantiles=5), True), (CQL(alpha=0.05), False), (IQL(), False)],
    ids=["dqn", "dqn-quantiles", "cql", "iql"],
)
def test_q_on_the_scripted_path_is_its_discounted_return(learner, leaving):
    """DQN needs to see what leaving the path brings: nothing else holds down the value
    of actions it never saw."""
    world = Gridworld()
    learner.hidden, learner.polyak = (64, 64), 0.05
    learner.setup(
        Spec(
            (6,),
            "float32",
            world.observation_space.low,
            world.observation_space.high,
            3,
        ),
        SEEDS,
    )
    batch, path = scripted_path(leaving), scripted_path(leaving=False)
    for _ in range(1000):
        learner.update(batch)
    path = path._replace(obs=learner.normalizer.normalize(path.obs))
    q = q_of(learner, path).mean(1)  # [P, 18]
    assert q.mean(-1).tolist() == pytest.approx([8.387] * 3, rel=0.02)
    for step, value in {0: 6.859, 16: 9.8, 17: 10.0}.items():  # -0.1 + 0.99 * 10 = 9.8
        assert q[:, step].tolist() == pytest.approx([value] * 3, rel=0.05)
    np.testing.assert_array_equal(
        learner.act(scripted_path(leaving=False).obs.numpy()), path.action
    )
