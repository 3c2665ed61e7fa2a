"""Losses and gradients against d3rlpy, written by others, on the same weights, batches
and noise.

Our weights go into d3rlpy's modules, a model of theirs for each of our seeds. Where
d3rlpy defines a loss in another way, the test's docstring says how, and the test takes
the difference out on one side.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curriculum.learning.networks import MLP
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

d3rlpy = pytest.importorskip(
    "d3rlpy",
    reason="compares with d3rlpy 2.8, see `peers` in setup.cfg",
    exc_type=ImportError,
)
builders = pytest.importorskip(
    "d3rlpy.models.builders", reason="compares with d3rlpy 2.8"
)
policies = pytest.importorskip(
    "d3rlpy.models.torch.policies", reason="compares with d3rlpy 2.8"
)

SEEDS, OBS, ACTIONS, HIDDEN, ROWS, GAMMA = (0, 1), 5, 3, (16, 16), 8, 0.9
LOG_TEMPERATURE = -0.5
CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-5}
each_seed = pytest.mark.parametrize("p", range(len(SEEDS)))


def ours(name: str, box: bool = False, **settings: Any) -> Any:
    """A learner whose networks say large and different things, and whose targets lag
    behind."""
    edge = np.full(OBS, np.inf, np.float32)
    spec = Spec(
        (OBS,), "float32", -edge, edge, 0 if box else ACTIONS, ACTIONS if box else 0
    )
    fields = {"hidden": HIDDEN, "discount": GAMMA, "grad_clip": 0.0} | settings
    learner = plugins.make("learner", name, **fields).setup(spec, SEEDS)
    rng = np.random.default_rng(7)
    slow = [getattr(learner.target, target) for target in learner.targets]
    for net in [*(net for net in learner.nets.values() if isinstance(net, MLP)), *slow]:
        vector = net.weights.vector
        vector.mul_(1.5).add_(
            torch.as_tensor(
                rng.normal(scale=0.1, size=vector.shape), dtype=torch.float32
            )
        )
    return learner


def batch(box: bool = False) -> Batch:
    """Rows that go on and rows that end, rewards on both sides of Huber's corner."""
    rng = np.random.default_rng(3)
    obs, next_obs = rng.normal(size=(2, len(SEEDS), ROWS, OBS)).astype(np.float32)
    shape = (len(SEEDS), ROWS)
    action = (
        rng.uniform(-0.9, 0.9, (*shape, ACTIONS)).astype(np.float32)
        if box
        else rng.integers(ACTIONS, size=shape)
    )
    reward = rng.normal(scale=2, size=shape).astype(np.float32)
    discount = np.where(np.arange(ROWS) % 4 == 1, 0, GAMMA).astype(
        np.float32
    ) * np.ones((len(SEEDS), 1), np.float32)
    return Batch(
        *(torch.as_tensor(x) for x in (obs, action, reward, discount, next_obs))
    )


def prepared(data: Batch, p: int) -> Any:
    """The rows of one seed as d3rlpy takes them."""
    from d3rlpy.torch_utility import TorchMiniBatch

    action = data.action[p] if data.action.dim() == 3 else data.action[p].unsqueeze(-1)
    reward, terminal = (
        data.reward[p].unsqueeze(-1),
        (data.discount[p] == 0).float().unsqueeze(-1),
    )
    rest = (torch.zeros_like(reward), terminal, torch.ones_like(reward), "cpu:0")
    return TorchMiniBatch(data.obs[p], action, reward, data.next_obs[p], action, *rest)


def theirs(name: str, learner: Any, p: int, policy: Any = None, **settings: Any) -> Any:
    """d3rlpy's algorithm with the weights of our seed at index `p`, and another kind of
    policy where one is given."""
    from d3rlpy.models.encoders import VectorEncoderFactory

    kind = getattr(d3rlpy.algos, f"{name}Config")
    encoders = {
        f.name for f in dataclasses.fields(kind) if f.name.endswith("encoder_factory")
    }
    hidden = {
        encoder: VectorEncoderFactory(hidden_units=list(HIDDEN)) for encoder in encoders
    }
    discount = (
        {"gamma": GAMMA}
        if any(f.name == "gamma" for f in dataclasses.fields(kind))
        else {}
    )
    algorithm = kind(**hidden, **discount, **settings).create("cpu:0")
    algorithm.create_impl((OBS,), ACTIONS)
    impl = algorithm.impl
    if policy is not None:
        impl._modules = dataclasses.replace(impl._modules, policy=policy)
    ours_of = {
        "q_funcs": "q",
        "policy": "policy",
        "imitator": "policy",
        "value_func": "value",
    }
    for modules, network in ours_of.items():
        for prefix, nets in (("", learner.net), ("targ_", learner.target)):
            if module := getattr(impl._modules, prefix + modules, None):
                net = getattr(nets, network)
                for member, each in enumerate(
                    module if isinstance(module, nn.ModuleList) else [module]
                ):
                    fill(each, net, p, member)
    return impl


def gaussian(min_log_std: float = -5.0) -> Any:
    """A policy of d3rlpy with a spread for every state; its IQL and AWAC by default
    learn one for all."""
    encoder = d3rlpy.models.VectorEncoderFactory(hidden_units=list(HIDDEN))
    return builders.create_normal_policy(
        (OBS,), ACTIONS, encoder, "cpu:0", False, min_log_std, 2.0
    )


def layers(module: nn.Module) -> list[list[nn.Linear]]:
    """The layers of a module, of which the last may be two side by side (a mean and a
    spread)."""
    found = [part for part in module.modules() if isinstance(part, nn.Linear)]
    last = 2 if isinstance(module, policies.NormalPolicy) else 1
    return [*([layer] for layer in found[:-last]), found[-last:]]


def fill(module: nn.Module, net: MLP, p: int, member: int) -> None:
    """Copy the weights of our seed and member."""
    plain = [part for part in net.export(p, member) if isinstance(part, nn.Linear)]
    for group, own in zip(layers(module), plain, strict=True):
        assert sum(layer.out_features for layer in group) == own.out_features
        for i, layer in enumerate(group):
            rows = slice(i * layer.out_features, (i + 1) * layer.out_features)
            layer.weight.data, layer.bias.data = (
                own.weight.data[rows].clone(),
                own.bias.data[rows].clone(),
            )


def assert_agree(
    learner: Any,
    losses: dict[str, Tensor],
    name: str,
    p: int,
    loss: Tensor,
    module: nn.Module,
) -> None:
    """Our loss of network `name` is their `loss`, and so is its gradient with respect
    to `module`."""
    torch.testing.assert_close(losses[name][p], loss.detach().reshape(()), **CLOSE)
    blocks = learner.nets[name].weights.split(learner.gradient(name, losses[name]))
    for member, each in enumerate(
        module if isinstance(module, nn.ModuleList) else [module]
    ):
        for i, group in enumerate(layers(each)):
            for block, kind in zip(
                blocks[2 * i : 2 * i + 2], ("weight", "bias"), strict=True
            ):
                parameters = [getattr(layer, kind) for layer in group]
                slope = torch.cat(
                    torch.autograd.grad(loss, parameters, retain_graph=True)
                )
                assert slope.abs().max() > 0
                torch.testing.assert_close(
                    block[p, member],
                    slope.T if kind == "weight" else slope[None],
                    **CLOSE,
                )


# --- without noise ---


@each_seed
def test_bc(p):
    """d3rlpy adds `beta` times the squared logits, taken as 0 here."""
    learner, data = ours("bc"), batch()
    impl = theirs("DiscreteBC", learner, p, beta=0.0)
    rows = prepared(data, p)
    loss = impl.compute_loss(rows.observations, rows.actions).loss
    assert_agree(
        learner, learner.losses(data), "policy", p, loss, impl._modules.imitator
    )


@each_seed
@pytest.mark.parametrize(("double", "name"), [(False, "DQN"), (True, "DoubleDQN")])
def test_dqn(p, double, name):
    learner, data = ours("dqn", double=double), batch()
    impl, rows = theirs(name, learner, p), prepared(data, p)
    loss = impl.compute_loss(rows, impl.compute_target(rows)).loss
    assert_agree(learner, learner.losses(data), "q", p, loss, impl._modules.q_funcs)


def test_dqn_and_double_dqn_differ_on_this_batch():
    plain, double = (
        ours("dqn", double=double).losses(batch())["q"] for double in (False, True)
    )
    assert (plain - double).abs().min() > 1e-3


@each_seed
def test_discrete_cql(p):
    learner, data = ours("cql", alpha=0.7), batch()
    impl, rows = theirs("DiscreteCQL", learner, p, alpha=0.7), prepared(data, p)
    loss = impl.compute_loss(rows, impl.compute_target(rows)).loss
    assert_agree(learner, learner.losses(data), "q", p, loss, impl._modules.q_funcs)


@each_seed
def test_iql(p):
    """d3rlpy's spread is one for all states; here its policy is given one for every
    state, as ours has."""
    learner, data = (
        ours("iql", box=True, expectile=0.7, temperature=2.0),
        batch(box=True),
    )
    impl = theirs(
        "IQL",
        learner,
        p,
        policy=gaussian(),
        expectile=0.7,
        weight_temp=2.0,
        max_weight=100.0,
    )
    rows, losses = prepared(data, p), learner.losses(data)
    critic = impl.compute_critic_loss(rows, impl.compute_target(rows))
    assert_agree(learner, losses, "q", p, critic.q_loss, impl._modules.q_funcs)
    assert_agree(learner, losses, "value", p, critic.v_loss, impl._modules.value_func)
    actor = impl.compute_actor_loss(
        rows, impl._modules.policy(rows.observations)
    ).actor_loss
    assert_agree(learner, losses, "policy", p, actor, impl._modules.policy)


@each_seed
def test_box_bc(p):
    """d3rlpy's own stochastic cloning takes the squared error of a sampled action,
    which is no likelihood. Its IQL at a temperature of 0 weighs all actions alike: this
    is the likelihood that ours maximises."""
    learner, iql, data = ours("bc", box=True), ours("iql", box=True), batch(box=True)
    impl, rows = (
        theirs("IQL", iql, p, policy=gaussian(), weight_temp=0.0),
        prepared(data, p),
    )
    fill(impl._modules.policy, learner.net.policy, p, 0)
    loss = impl.compute_actor_loss(
        rows, impl._modules.policy(rows.observations)
    ).actor_loss
    assert_agree(learner, learner.losses(data), "policy", p, loss, impl._modules.policy)


# --- with noise: what ours drew is handed to theirs, in the order in which theirs asks
# ---


class Noise:
    """Records our head's draws, [P, ...] each, and plays them to d3rlpy."""

    def __init__(self, learner: Any, monkeypatch: pytest.MonkeyPatch):
        self.drawn: dict[str, list[Tensor]] = {"normal": [], "uniform": []}
        for kind, kept in self.drawn.items():
            draw = getattr(learner.head.noise, kind)
            monkeypatch.setattr(
                learner.head.noise,
                kind,
                lambda *shape, draw=draw, kept=kept: (
                    kept.append(draw(*shape)) or kept[-1]
                ),
            )
        self.monkeypatch = monkeypatch

    def play(self, *normals: Tensor, uniform: Tensor | None = None) -> None:
        """From now on d3rlpy draws these normal numbers one after the other, and these
        uniform ones in [-1, 1]."""
        queue: Iterator[Tensor] = iter(normals)

        def take(shape: Any, *args: Any, **settings: Any) -> Tensor:
            noise = next(queue)
            assert noise.shape == torch.Size(shape)
            return noise

        self.monkeypatch.setattr(torch.distributions.normal, "_standard_normal", take)
        self.monkeypatch.setattr(torch, "randn", take)
        if uniform is not None:
            self.monkeypatch.setattr(
                Tensor,
                "uniform_",
                lambda self, low, high: self.copy_(uniform * (high - low) + low),
            )


@each_seed
def test_td3bc(p, monkeypatch):
    learner, data = (
        ours("td3bc", box=True, alpha=2.0, target_noise=0.4, noise_limit=0.5, delay=1),
        batch(box=True),
    )
    noise = Noise(learner, monkeypatch)
    losses = learner.losses(data)
    impl = theirs(
        "TD3PlusBC",
        learner,
        p,
        alpha=2.0,
        target_smoothing_sigma=0.4,
        target_smoothing_clip=0.5,
    )
    rows = prepared(data, p)
    noise.play(noise.drawn["normal"][0][p])
    critic = impl.compute_critic_loss(rows, impl.compute_target(rows)).critic_loss
    assert_agree(learner, losses, "q", p, critic, impl._modules.q_funcs)
    actor = impl.compute_actor_loss(
        rows, impl._modules.policy(rows.observations)
    ).actor_loss
    assert_agree(learner, losses, "policy", p, actor, impl._modules.policy)


@each_seed
def test_awac(p, monkeypatch):
    """d3rlpy's target takes SAC's with a temperature of 1: an action squashed by tanh
    after the noise, and its entropy. The paper's, and ours, is the value of the
    policy's own draw, so theirs is put together from their parts here. Their actor's
    loss is summed over a batch of weights that average 1, ours is their mean."""
    learner, data = ours("awac", box=True, temperature=0.8), batch(box=True)
    noise = Noise(learner, monkeypatch)
    losses = learner.losses(data)
    of_next, of_obs = (drawn[p] for drawn in noise.drawn["normal"])
    impl, rows = (
        theirs("AWAC", learner, p, policy=gaussian(), lam=0.8, n_action_samples=1),
        prepared(data, p),
    )
    noise.play(of_next[0], of_obs)
    with torch.no_grad():
        action = policies.build_gaussian_distribution(
            impl._modules.policy(rows.next_observations)
        ).sample()
        target = impl._targ_q_func_forwarder.compute_target(
            rows.next_observations, action, reduction="min"
        )
    critic = impl.compute_critic_loss(rows, target).critic_loss
    assert_agree(learner, losses, "q", p, critic, impl._modules.q_funcs)
    actor = (
        impl.compute_actor_loss(
            rows, impl._modules.policy(rows.observations)
        ).actor_loss
        / ROWS
    )
    assert_agree(learner, losses, "policy", p, actor, impl._modules.policy)


@each_seed
def test_sac(p, monkeypatch):
    """d3rlpy's actor climbs the least critic, ours (as REDQ's and RLPD's) their mean:
    here there is but one."""
    settings = {"critics": 1, "subset": 1, "layer_norm": False}
    learner, data = ours("sac", box=True, **settings), batch(box=True)
    learner.net.temperature.weights.blocks[0].fill_(LOG_TEMPERATURE)
    noise = Noise(learner, monkeypatch)
    losses = learner.losses(data)
    impl, rows = (
        theirs(
            "SAC",
            learner,
            p,
            policy=gaussian(-10.0),
            n_critics=1,
            temp_learning_rate=0.0,
        ),
        prepared(data, p),
    )
    log_temperature = next(impl._modules.log_temp.parameters())
    log_temperature.data.fill_(LOG_TEMPERATURE)
    noise.play(*(drawn[p][0] for drawn in noise.drawn["normal"]))
    critic = impl.compute_critic_loss(rows, impl.compute_target(rows)).critic_loss
    assert_agree(learner, losses, "q", p, critic, impl._modules.q_funcs)
    actor = impl.compute_actor_loss(
        rows, impl._modules.policy(rows.observations)
    ).actor_loss
    assert_agree(learner, losses, "policy", p, actor, impl._modules.policy)


@each_seed
@pytest.mark.parametrize(("name", "their_name"), [("cql", "CQL"), ("calql", "CalQL")])
def test_box_cql_and_calql(p, name, their_name, monkeypatch):
    """Four differences. Their soft maximum adds as many actions of the policy at s' (as
    the authors' code does, not the paper): here these weigh nothing. Theirs is a sum
    over actions, ours the estimate of an integral, log(2 N) less: here their
    `alpha_threshold` takes it off. Their target takes the policy's mean action, or a
    draw with entropy: here the draw, at a temperature of 0. Their actor's temperature
    is learnt before it is used: here it rests."""
    learner, data = ours(name, box=True, alpha=0.6, samples=4), batch(box=True)
    returns = data.reward.flip(-1)
    data = data._replace(mc_return=returns)
    learner.net.temperature.weights.blocks[0].fill_(LOG_TEMPERATURE)
    noise = Noise(learner, monkeypatch)
    losses = learner.losses(data)
    fixed = {
        "alpha_learning_rate": 0.0,
        "temp_learning_rate": 0.0,
        "alpha_threshold": math.log(2 * 4),
    }
    settings = {
        "conservative_weight": 0.6,
        "n_action_samples": 4,
        "soft_q_backup": True,
    }
    impl = theirs(their_name, learner, p, policy=gaussian(-10.0), **fixed, **settings)
    rows = dataclasses.replace(
        prepared(data, p), returns_to_go=returns[p].unsqueeze(-1)
    )
    of_target, proposed, of_actor = (drawn[p] for drawn in noise.drawn["normal"])
    uniform = noise.drawn["uniform"][0][p].transpose(0, 1).flatten(0, 1)
    noise.play(
        of_target[0], proposed, torch.zeros_like(proposed), of_actor[0], uniform=uniform
    )
    asked: Callable[..., tuple[Tensor, Tensor]] = impl._compute_policy_is_values

    def without_next(
        policy_obs: Tensor, value_obs: Tensor, returns_to_go: Tensor
    ) -> tuple[Tensor, Tensor]:
        values, log_probs = asked(policy_obs, value_obs, returns_to_go)
        return values, log_probs if policy_obs is value_obs else torch.full_like(
            log_probs, torch.inf
        )

    monkeypatch.setattr(impl, "_compute_policy_is_values", without_next)
    log_temperature = next(impl._modules.log_temp.parameters()).data
    log_temperature.fill_(-torch.inf)
    target = impl.compute_target(rows)
    log_temperature.fill_(LOG_TEMPERATURE)
    critic = impl.compute_critic_loss(rows, target).critic_loss
    assert_agree(learner, losses, "q", p, critic, impl._modules.q_funcs)
    actor = impl.compute_actor_loss(
        rows, impl._modules.policy(rows.observations)
    ).actor_loss
    assert_agree(learner, losses, "policy", p, actor, impl._modules.policy)
