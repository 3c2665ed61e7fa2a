"""Heads: every question about values and policies answered on numbers set by hand."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from curriculum.learning.heads import Body, BoxHead, DiscreteHead, make_head
from curriculum.learning.noise import Noise
from curriculum.learning.policies import (
    Categorical,
    Deterministic,
    Gaussian,
    TanhNormal,
)
from curriculum.learning.values import (
    BoxValues,
    DiscreteValues,
    lowest_critic,
    quantile_huber,
)
from curriculum.types import Spec, stream

torch.set_num_threads(1)

# [P=2, K=2, B=2, actions=3]
Q = torch.tensor(
    [
        [[[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [[5.0, 0.0, 3.0], [4.0, 0.0, -2.0]]],
        [[[0.0, 8.0, 0.0], [-1.0, -2.0, -3.0]], [[7.0, 0.0, 6.0], [-6.0, -2.0, -3.0]]],
    ]
)
BODY = Body((8,))


def spec(shape: tuple[int, ...] = (4,), actions: int = 3, size: int = 0) -> Spec:
    return Spec(shape, "float32", np.zeros(shape), np.ones(shape), actions, size)


def discrete(
    shape: tuple[int, ...] = (4,), actions: int = 3, body: Body = BODY, **settings
) -> Any:
    return DiscreteHead(spec(shape, actions), body, **settings)


def box(
    shape: tuple[int, ...] = (4,), size: int = 2, body: Body = BODY, **settings
) -> Any:
    return BoxHead(spec(shape, 0, size), body, **settings)


def values(q: Tensor) -> DiscreteValues:
    return DiscreteValues(q.unsqueeze(-1))


# --- discrete actions ---


def test_the_values_of_actions_are_picked_row_by_row():
    action = torch.tensor([[1, 2], [0, 1]])
    assert values(Q).of(action).tolist() == [[[2, 3], [0, -2]], [[0, -2], [7, -2]]]
    assert values(Q).quantiles_of(action).tolist() == [
        [[[2], [3]], [[0], [-2]]],
        [[[0], [-2]], [[7], [-2]]],
    ]


def test_quantiles_are_picked_with_their_action_and_their_mean_is_its_value():
    # row by row (0, 1), (2, 3), (4, 5); (6, 7), ...
    atoms = torch.arange(24.0).view(2, 1, 2, 3, 2)
    action = torch.tensor([[1, 2], [0, 1]])
    assert DiscreteValues(atoms).quantiles_of(action).tolist() == [
        [[[2, 3], [10, 11]]],
        [[[12, 13], [20, 21]]],
    ]
    assert DiscreteValues(atoms).of(action).tolist() == [[[2.5, 10.5]], [[12.5, 20.5]]]


def test_a_critic_says_all_quantiles_of_an_action_side_by_side():
    asked: Any = discrete(actions=3).values(
        lambda obs: torch.arange(6.0).expand(1, 1, 2, 6), torch.zeros(1, 2, 4)
    )
    assert asked.quantiles[0, 0, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert asked.q[0, 0, 0].tolist() == [0.5, 2.5, 4.5]


def test_the_best_action_is_that_of_the_members_mean():
    # means: (3, 1, 1.5) and (2, 0, 0.5); (3.5, 4, 3) and (-3.5, -2, -3): the members
    # alone would say otherwise
    assert values(Q).best_action().tolist() == [[0, 0], [1, 1]]
    net = SimpleNamespace(q=lambda obs: Q)
    assert discrete().best_action(net, torch.zeros(2, 2, 4)).tolist() == [
        [0, 0],
        [1, 1],
    ]


def test_the_least_of_members_is_chosen_by_its_mean_row_by_row():
    # means 4, 5.5 and 3, 50
    atoms = torch.tensor([[[[0.0, 8.0], [5.0, 6.0]], [[3.0, 3.0], [1.0, 99.0]]]])
    assert lowest_critic(atoms).tolist() == [[[[3, 3], [5, 6]]]]
    assert lowest_critic(atoms[..., :1]).tolist() == [[[[0], [1]]]]
    assert lowest_critic(atoms[:, :1]).tolist() == atoms[:, :1].tolist()


def test_the_expected_value_weighs_by_the_policy():
    share = torch.tensor(
        [[[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5], [0.2, 0.3, 0.5]]]
    )
    policy = Categorical((share + 1e-30).log())
    # seed 0, member 0: 0.5 + 0.5 + 0 and 0; member 1: 2.5 + 0 + 0.75 and 4
    # seed 1, member 0: 4 + 0 and -0.2 - 0.6 - 1.5; member 1: 0 + 3 and -1.2 - 0.6 - 1.5
    expected = torch.tensor([[[1.0, 0.0], [3.25, 4.0]], [[4.0, -2.3], [3.0, -3.3]]])
    torch.testing.assert_close(values(Q).expected(policy), expected)


def test_the_soft_maximum_goes_over_actions_and_counts_none_below_the_floor():
    # ln(1 + 2 + 3) = ln 6; ln(2 + 2 + 4) = ln 8; floor ln 3: ln(3 + 3 + 3) and,
    # unknown, ln 8
    q = torch.tensor(
        [[[[1.0, 2.0, 3.0], [2.0, 2.0, 4.0]]], [[[6.0, 1.0, 1.0], [2.0, 1.0, 1.0]]]]
    ).log()
    action = torch.tensor([[0, 2], [0, 0]])
    chosen, soft = values(q).conservative(action, None, 0)
    torch.testing.assert_close(soft, torch.tensor([[[6.0, 8.0]], [[8.0, 4.0]]]).log())
    torch.testing.assert_close(
        chosen[..., 0], torch.tensor([[[1.0, 4.0]], [[6.0, 2.0]]]).log()
    )
    floor = torch.tensor([[3.0, 0.0], [2.0, 3.0]]).log()  # ln 0 = -inf: not known
    chosen, soft = values(q).conservative(action, None, 0, floor)
    torch.testing.assert_close(soft, torch.tensor([[[9.0, 8.0]], [[10.0, 9.0]]]).log())
    # not lifted
    torch.testing.assert_close(
        chosen[..., 0], torch.tensor([[[1.0, 4.0]], [[6.0, 2.0]]]).log()
    )
    assert (
        values(torch.tensor([[[[500.0, 1.0]]]]))
        .conservative(torch.tensor([[0]]), None, 0)[1]
        .item()
        == 500
    )


def test_log_prob_and_distance_are_those_of_the_softmax():
    logits = torch.tensor(
        [
            [[0.0, math.log(3)], [5.0, 5.0]],
            [[math.log(9), 0.0], [1.0, 1.0 + math.log(4)]],
        ]
    )
    action = torch.tensor([[0, 1], [0, 1]])  # shares 1/4, 1/2; 9/10, 4/5
    expected = torch.tensor([[0.25, 0.5], [0.9, 0.8]]).log()
    torch.testing.assert_close(Categorical(logits).log_prob(action), expected)
    torch.testing.assert_close(Categorical(logits).distance(action), -expected)


def test_the_entropy_of_equal_chances_is_the_logarithm_of_their_number():
    assert Categorical(torch.zeros(1, 1, 8)).entropy().item() == pytest.approx(
        3 * math.log(2)
    )
    assert Categorical(torch.tensor([[[99.0, 0.0]]])).entropy().item() == pytest.approx(
        0
    )


def test_huber_is_square_up_to_one_and_straight_beyond():
    error = torch.tensor([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]).view(1, 1, 7, 1)
    found = discrete().td_loss(4 + error, torch.full_like(error, 4.0))
    assert found.tolist() == [[[2.5, 0.5, 0.125, 0.0, 0.125, 0.5, 1.5]]]


def test_quantile_regression_is_least_at_the_quantiles_of_the_targets():
    """Of 1000 targets spread evenly over [0, 1000] the quantiles 1/8, 3/8, 5/8 and 7/8;
    huber's corner is far below."""
    target = torch.linspace(0, 1000, 1001).view(1, 1, 1, -1)
    q = torch.tensor([125.0, 375.0, 625.0, 875.0]).view(1, 1, 1, -1).requires_grad_()
    quantile_huber(q, target).sum().backward()
    assert (q.grad.abs() < 2e-3).all()  # type: ignore[union-attr]
    above, below = (
        torch.autograd.grad(quantile_huber(moved, target).sum(), moved)[0]
        for moved in (
            (q + 100).detach().requires_grad_(),
            (q - 100).detach().requires_grad_(),
        )
    )
    assert (above > 0.05).all()  # 100 of 1000 targets lie between
    assert (below < -0.05).all()


def test_the_error_of_one_atom_is_hubers_for_discrete_and_the_square_for_box_actions():
    q, target = torch.tensor([[[[4.0], [0.5]]]]), torch.tensor([[[[1.0], [0.0]]]])
    assert discrete().td_loss(q, target).tolist() == [[[2.5, 0.125]]]
    assert box().td_loss(q, target).tolist() == [[[9, 0.25]]]
    both = [
        h.td_loss(q.expand(1, 1, 2, 2), target.expand(1, 1, 2, 2))
        for h in (discrete(), box())
    ]
    assert torch.equal(*both)


# --- box actions: policies ---


def outputs(*rows: tuple[float, ...]) -> Tensor:
    """An actor's outputs for one seed, [1, B, 2 A]."""
    return torch.tensor([rows])


def fixed(*queue: Any) -> Any:
    """Noise whose normal and uniform numbers are these, one array for each call."""
    noise: Any = Noise((0,))
    left = [torch.as_tensor(numbers, dtype=torch.float32) for numbers in queue]
    noise.normal = noise.uniform = lambda *shape: left.pop(0).reshape(1, *shape)
    return noise


def test_the_density_of_a_normal_policy_around_tanh_is_that_of_torch():
    raw = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    action = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = (
        torch.distributions.Normal(raw[..., :3].tanh(), raw[..., 3:].exp())
        .log_prob(action)
        .sum(-1)
    )
    torch.testing.assert_close(Gaussian(raw, Noise((0, 1))).log_prob(action), expected)


def test_the_density_of_a_squashed_policy_is_that_of_torch():
    raw = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    normal = torch.distributions.Normal(raw[..., :3], raw[..., 3:].exp())
    squashed = torch.distributions.TransformedDistribution(
        normal, torch.distributions.TanhTransform()
    )
    action = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9
    policy = TanhNormal(raw, Noise((0, 1)))
    torch.testing.assert_close(
        policy.log_prob(action), squashed.log_prob(action).sum(-1), atol=1e-5, rtol=1e-4
    )
    drawn, log_prob = policy.sample(4)
    assert drawn.shape == (2, 4, 5, 3)
    inside = (drawn.abs() < 0.99).all(-1)  # further out, atanh of float32 is coarse
    expected = torch.stack([squashed.log_prob(a).sum(-1) for a in drawn.unbind(1)], 1)
    torch.testing.assert_close(log_prob[inside], expected[inside], atol=1e-3, rtol=1e-3)


def test_the_density_of_a_squashed_policy_holds_far_out():
    """Where tanh is 1 in float32, 1 - tanh^2 would be 0: at 20 it is 4 e^-40."""
    policy = TanhNormal(outputs((20.0, 0.0)), fixed([0.0]))
    action, log_prob = policy.sample(1)
    assert action.item() == 1
    assert log_prob.item() == pytest.approx(-0.918939 - math.log(4) + 40)
    policy = TanhNormal(outputs((20.0, 0.0)), Noise((0,)))
    assert policy.log_prob(torch.ones(1, 1, 1)).isfinite().all()


@pytest.mark.parametrize(
    ("kind", "low", "high"), [(Gaussian, -5, 2), (TanhNormal, -10, 2)]
)
def test_spreads_are_cut(kind, low, high):
    assert kind(
        outputs((0.0, -50.0), (0.0, 50.0), (0.0, 1.0)), Noise((0,))
    ).log_std.flatten().tolist() == [
        low,
        high,
        1,
    ]


def test_draws_follow_the_policy_and_end_at_the_borders():
    noise = fixed([1.0, 3.0, -0.5])
    policy = Gaussian(
        outputs((math.atanh(0.5), math.log(0.25)), (0.0, 0.0), (0.0, math.log(0.5))),
        noise,
    )
    assert policy.action.flatten().tolist() == pytest.approx([0.75, 1.0, -0.25])
    # one sample, however often it is asked for
    assert torch.equal(policy.action, policy.action)


def test_the_entropy_of_a_squashed_policy_is_the_surprise_of_its_own_draw():
    # at 0, deviation 1: -ln density of tanh(0.549306) = 0.5: 0.150869 + 0.918939 -
    # 0.287682
    policy = TanhNormal(outputs((0.0, 0.0)), fixed([math.atanh(0.5)]))
    assert policy.entropy().item() == pytest.approx(0.782126, abs=1e-5)
    assert policy.action.item() == pytest.approx(0.5)


def test_slopes_pass_through_a_draw():
    raw = outputs((0.3, -1.0)).requires_grad_()
    policy = TanhNormal(raw, fixed([2.0]))
    (slope,) = torch.autograd.grad(policy.action.sum(), raw)
    # a = tanh(m + 2 e^l): da/dm = 1 - a^2, da/dl = (1 - a^2) * 2 e^-1
    steep = 1 - math.tanh(0.3 + 2 / math.e) ** 2
    assert slope.flatten().tolist() == pytest.approx([steep, steep * 2 / math.e])


def test_a_deterministic_policy_is_tanh_and_its_distance_a_mean_over_the_action():
    actor: Any = lambda obs: torch.tensor([[[[math.atanh(0.5), 0.0], [0.0, 0.0]]]])  # noqa: E731
    policy = box().deterministic_policy(actor, torch.zeros(1, 2, 4))
    torch.testing.assert_close(policy.action, torch.tensor([[[0.5, 0.0], [0.0, 0.0]]]))
    torch.testing.assert_close(
        policy.distance(torch.tensor([[[0.5, 1.0], [-1.0, 1.0]]])),
        torch.tensor([[0.5, 1.0]]),
    )


def test_smoothing_cuts_the_noise_and_then_the_action():
    noise = fixed([[1.0, 9.0, -9.0]])
    policy = Deterministic(torch.tensor([[[0.0, 0.9, 0.0]]]), noise).smoothed(0.1, 0.3)
    torch.testing.assert_close(policy.action, torch.tensor([[[0.1, 1.0, -0.3]]]))


# --- box actions: values ---


class Sums:
    """A critic whose members are 1 and 10 times the sum of their inputs."""

    def encode(self, obs: Tensor) -> Tensor:
        return obs * 100

    def body(self, x: Tensor) -> Tensor:
        return torch.stack([x.sum(-1), 10 * x.sum(-1)], 1).unsqueeze(-1)


def test_a_critic_is_asked_about_one_action_or_many_of_every_state():
    obs = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    one, two = (
        torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1).expand(2, 3, 1),
        torch.full((2, 3, 1), 50.0),
    )
    critic: Any = BoxValues(Sums(), obs, Noise((0, 1)))  # type: ignore[arg-type]
    assert critic.of(one)[:, 0].tolist() == [[101, 202, 303], [401, 502, 603]]
    assert critic.of(one)[:, 1].tolist() == [[1010, 2020, 3030], [4010, 5020, 6030]]
    many = critic.of(torch.stack([one, two], 1))  # [P, K, N, B]
    assert many.shape == (2, 2, 2, 3)
    assert torch.equal(many[:, :, 0], critic.of(one))
    assert torch.equal(many[:, :, 1], critic.of(two))
    assert critic.quantiles_of(one).shape == (2, 2, 3, 1)
    assert critic.lowest_quantiles_of(one)[..., 0].tolist() == [
        [[101, 202, 303]],
        [[401, 502, 603]],
    ]


@pytest.mark.parametrize("size", [1, 2])
def test_the_conservative_estimate_of_a_flat_critic_is_its_value_and_the_volume(
    size,
):
    """Whatever the policy, importance weights average to the volume 2^A, here over very
    many draws."""
    flat = SimpleNamespace(
        encode=lambda obs: obs,
        body=lambda x: torch.full((*x.shape[:1], 1, x.shape[1], 1), 3.0),
    )
    values: Any = BoxValues(flat, torch.zeros(1, 2, 1), Noise((0,)))  # type: ignore[arg-type]
    policy = TanhNormal(torch.tensor([[[0.3] * size + [0.0] * size] * 2]), Noise((1,)))
    chosen, soft = values.conservative(torch.zeros(1, 2, size), policy, 20_000)
    torch.testing.assert_close(chosen, torch.full((1, 1, 2, 1), 3.0))
    torch.testing.assert_close(
        soft, torch.full((1, 1, 2), 3 + size * math.log(2)), atol=0.05, rtol=0
    )


def test_the_conservative_estimate_is_the_integral_that_a_grid_finds():
    def raw(x: Tensor) -> Tensor:
        a = x[:, :, 1]
        return torch.stack([3 * a + x[:, :, 0], -2 * a * a], 1).unsqueeze(-1)

    critic = SimpleNamespace(encode=lambda obs: obs, body=raw)
    policy = TanhNormal(torch.tensor([[[0.5, -0.5], [-0.2, 0.3]]]), Noise((1,)))
    values: Any = BoxValues(critic, torch.tensor([[[0.0], [1.0]]]), Noise((0,)))  # type: ignore[arg-type]
    _, soft = values.conservative(torch.zeros(1, 2, 1), policy, 20_000)
    a = torch.linspace(-1, 1, 10_001)
    first, second = (
        torch.trapezoid(q.exp(), a).log().item() for q in (3 * a, -2 * a * a)
    )
    expected = torch.tensor([[[first, first + 1], [second, second]]])
    torch.testing.assert_close(soft, expected, atol=0.04, rtol=0)


def test_no_slope_runs_through_the_actions_an_estimate_draws():
    raw = torch.zeros(1, 2, 2, requires_grad=True)
    values: Any = BoxValues(
        box(size=1).critic(2).setup([stream(0, "test")]),
        torch.zeros(1, 2, 4),
        Noise((0,)),
    )
    _, soft = values.conservative(torch.zeros(1, 2, 1), TanhNormal(raw, Noise((1,))), 3)
    assert torch.autograd.grad(soft.sum(), raw, allow_unused=True) == (None,)


# --- both ---


def sizes(network: Any) -> tuple[int, ...]:
    """Inputs of a network, then outputs of each layer."""
    weights = network.shapes(1)[::2]  # [P, K, inputs, outputs] each
    return (weights[0][-2], *(shape[-1] for shape in weights))


def normalises(network: Any) -> bool:
    network.setup([stream(0, "test")])
    return any(isinstance(layer, nn.LayerNorm) for layer in network.export(0))


def test_networks_have_the_sizes_of_the_world():
    head = discrete((2, 5), actions=3)
    assert sizes(head.critic(members=2)) == (10, 8, 3)
    assert head.critic(members=2).members == 2
    assert sizes(head.critic(quantiles=7)) == (10, 8, 21)
    assert sizes(head.actor()) == sizes(head.deterministic_actor()) == (10, 8, 3)
    assert sizes(head.state_value()) == (10, 8, 1)
    head = box((2, 5), size=3)
    assert sizes(head.critic(members=2)) == (13, 8, 1)
    assert sizes(head.critic(quantiles=7)) == (13, 8, 7)
    assert sizes(head.actor()) == (10, 8, 6)
    assert sizes(head.deterministic_actor()) == (10, 8, 3)
    assert sizes(head.state_value()) == (10, 8, 1)


@pytest.mark.parametrize("make", [discrete, box])
def test_layers_are_normalised_in_critics_and_state_values_alone(make):
    head = make(body=Body((8,), layer_norm=True))
    assert normalises(head.critic())
    assert normalises(head.state_value())
    assert not normalises(head.actor())
    assert not normalises(head.deterministic_actor())


def test_the_head_follows_the_kind_of_actions():
    assert isinstance(make_head(spec(actions=3), BODY), DiscreteHead)
    assert isinstance(make_head(spec(actions=0, size=2), BODY), BoxHead)


def test_entropy_regularised_policies_keep_a_share_of_what_is_possible():
    # ln 10^0.3 = ln 1.995
    assert discrete(actions=10).target_entropy == pytest.approx(0.690776)
    assert box(size=3).target_entropy == -3


def test_the_temperature_rises_where_entropy_is_short_and_falls_where_it_is_plenty():
    """Adam goes against the slope: it is the spare entropy times the temperature e^0 =
    1."""
    for log_std, way in ((-5.0, -1), (0.0, 1)):
        learnt: Any = box(size=1, seeds=(0,))
        temperature = learnt.maximizer()["temperature"].setup([stream(0, "test")])
        net = SimpleNamespace(
            policy=lambda obs, s=log_std: torch.tensor([0.0, s]).expand(1, 1, 50, 2),
            q=SimpleNamespace(
                encode=lambda obs: obs, body=lambda x: torch.zeros(1, 2, 50, 1)
            ),
            temperature=temperature,
        )
        batch: Any = SimpleNamespace(obs=torch.zeros(1, 50, 4))
        loss = learnt.maximizer_losses(net, batch)["temperature"]
        (slope,) = torch.autograd.grad(loss.sum(), temperature.leaves)
        assert slope[0] * way > 0.5


def test_a_subset_is_different_critics_chosen_alike_by_every_seed_for_itself():
    head = box(seeds=(0, 1))
    named = torch.arange(5.0).view(1, 5, 1).expand(2, 5, 3)
    # [draws, P, 2, B]
    chosen = torch.stack([head.random_critics(named, 2) for _ in range(2000)])
    assert (chosen == chosen[..., :1]).all()  # the same critics for all rows
    pairs = chosen[..., 0]
    assert (pairs[..., 0] != pairs[..., 1]).all()
    assert (pairs[:, 0] != pairs[:, 1]).any()
    for p in range(2):
        share = torch.bincount(pairs[:, p].flatten().long(), minlength=5) / 4000
        torch.testing.assert_close(share, torch.full((5,), 0.2), atol=0.03, rtol=0)
    assert torch.equal(head.random_critics(named, 5).sort(1).values, named)


@pytest.mark.parametrize("quantiles", [1, 3])
def test_an_exported_critic_scores_actions_by_their_means(quantiles):
    head = discrete(seeds=(0, 1))
    critic = head.critic(quantiles=quantiles).setup(
        [stream(seed, "test") for seed in (0, 1)]
    )
    obs = torch.rand(2, 9, 4)
    for p in range(2):
        scores = nn.Sequential(*head.export(critic, p))(obs[p])
        torch.testing.assert_close(
            scores, head.values(critic, obs).q[p, 0], atol=1e-6, rtol=1e-5
        )


@pytest.mark.parametrize("spread", [True, False])
def test_an_exported_actor_gives_the_action_without_noise(spread):
    head = box(seeds=(0, 1))
    actor = (head.actor() if spread else head.deterministic_actor()).setup(
        [stream(s, "test") for s in (0, 1)]
    )
    obs = torch.rand(2, 9, 4)
    for p in range(2):
        exported = nn.Sequential(*head.export(actor, p))
        assert isinstance(exported[-1], nn.Tanh)
        torch.testing.assert_close(
            exported(obs[p]), head.mode(actor, obs)[p], atol=1e-6, rtol=1e-5
        )


# --- exploration ---


def explored(
    share: float, seeds: tuple[int, ...], actions: int = 4, rows: int = 20_000
) -> np.ndarray:
    greedy = np.ones((len(seeds), rows), np.int64)
    return discrete(actions=actions).explore(
        greedy, share, [stream(seed, "test") for seed in seeds]
    )


def test_exploring_replaces_its_share_by_every_action_alike():
    action = explored(0.2, seeds=(0, 1))
    assert action.dtype == np.int64
    for seed in action:
        # 5 % each, and the 80 % that were kept; sd 0.2 %
        share = np.bincount(seed, minlength=4) / seed.size
        np.testing.assert_allclose(share, [0.05, 0.85, 0.05, 0.05], atol=0.01)
    changed = action != 1
    # independent of one another
    assert (changed[0] & changed[1]).mean() == pytest.approx(0.15**2, abs=0.005)


def test_exploring_always_is_uniform_and_never_is_greedy():
    np.testing.assert_allclose(
        np.bincount(explored(1.0, seeds=(0,))[0]) / 20_000, 0.25, atol=0.015
    )
    assert (explored(0.0, seeds=(0, 1)) == 1).all()


def test_a_seed_explores_the_same_alone_and_among_others():
    np.testing.assert_array_equal(
        explored(0.5, seeds=(7,))[0], explored(0.5, seeds=(3, 7, 11))[1]
    )
    action = np.zeros((3, 50, 2), np.float32)
    generators = [
        [stream(seed, "test") for seed in seeds] for seeds in ((7,), (3, 7, 11))
    ]
    alone, among = (
        box().explore(a, 0.5, g)
        for a, g in zip((action[:1], action), generators, strict=True)
    )
    np.testing.assert_array_equal(alone[0], among[1])


def test_exploring_leaves_the_given_actions_alone():
    greedy, still = np.ones((1, 100), np.int64), np.zeros((1, 100, 2), np.float32)
    discrete().explore(greedy, 1.0, [stream(0, "test")])
    box().explore(still, 1.0, [stream(0, "test")])
    assert (greedy == 1).all()
    assert (still == 0).all()


def test_exploring_box_actions_adds_noise_of_the_deviation_and_stays_inside():
    generators = [stream(seed, "test") for seed in (0, 1)]
    inside = box().explore(np.full((2, 20_000, 2), 0.25, np.float32), 0.1, generators)
    assert inside.dtype == np.float32
    noise = inside - 0.25
    np.testing.assert_allclose(noise.std((1,)), 0.1, rtol=0.03)
    np.testing.assert_allclose(noise.mean((1,)), 0, atol=0.003)
    # seeds, and the numbers of an action, on their own
    assert abs(np.corrcoef(noise.reshape(2, -1))[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[0].T)[0, 1]) < 0.03
    border = box().explore(np.ones((2, 1000, 2), np.float32), 0.5, generators)
    assert border.max() == 1
    assert border.min() >= -1
    assert (border == 1).mean() == pytest.approx(0.5, abs=0.04)
    np.testing.assert_array_equal(
        box().explore(inside, 0.0, generators), inside.clip(-1, 1)
    )


def test_draws_by_numpys_noise_follow_the_policy():
    logits = torch.tensor([0.5, 0.3, 0.2]).log() + 4
    head = discrete(actions=3)
    noise = head.policy_noise([stream(0, "test")], 20_000)
    drawn = head.sampled_action(
        lambda obs: logits.expand(1, 1, 20_000, 3), torch.zeros(1, 20_000, 4), noise
    )
    np.testing.assert_allclose(
        np.bincount(drawn[0]) / 20_000, [0.5, 0.3, 0.2], atol=0.01
    )
    head = box(size=1)
    noise = head.policy_noise([stream(0, "test")], 20_000)
    raw = torch.tensor([0.3, math.log(0.5)]).expand(1, 1, 20_000, 2)
    drawn = head.sampled_action(lambda obs: raw, torch.zeros(1, 20_000, 4), noise)
    assert drawn.shape == (1, 20_000, 1)
    assert drawn.atanh().mean().item() == pytest.approx(0.3, abs=0.02)
    assert drawn.atanh().std().item() == pytest.approx(0.5, abs=0.02)
