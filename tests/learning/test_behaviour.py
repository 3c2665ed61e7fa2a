"""Behaviour models: which actions batch-constrained learners choose from, and that an
export chooses as its learner."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum.learning.behaviour import (
    EXCLUDED,
    ClonedBehaviour,
    GeneratedBehaviour,
    behaviour_model,
    likely,
)
from curriculum.learning.heads import Body, make_head
from curriculum.types import Spec, stream

torch.set_num_threads(1)

SEEDS = (0, 1, 2)


def heads(actions: int = 0, size: int = 0, seeds: tuple[int, ...] = SEEDS) -> Any:
    return make_head(
        Spec((4,), "float32", np.zeros(4), np.ones(4), actions, size), Body((8,)), seeds
    )


def networks(chosen: Any, seeds: tuple[int, ...] = SEEDS, **more: Any) -> Any:
    """The model's networks and a critic, with weights large enough to make outputs
    differ."""
    nets = chosen.build() | {"q": chosen.head.critic(2)} | more
    for name, net in nets.items():
        net.setup([stream(seed, name) for seed in seeds]).weights.vector.mul_(2)
    return SimpleNamespace(**nets)


def observations(rows: int = 50) -> Tensor:
    return torch.randn(3, rows, 4, generator=torch.Generator().manual_seed(0))


def test_the_model_follows_the_kind_of_actions():
    assert isinstance(behaviour_model(heads(actions=3), 10, 0.05, 0.3), ClonedBehaviour)
    assert isinstance(behaviour_model(heads(size=2), 10, 0.05, 0.3), GeneratedBehaviour)


def test_likely_is_what_has_the_threshold_share_of_the_largest_chance():
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]).log() + 3
    assert likely(logits, 0.5).tolist() == [[True, True, False], [False, False, True]]
    assert likely(logits, 0.35).tolist() == [[True, True, True], [False, False, True]]
    assert likely(logits, 0.0).all()
    # the likeliest always stays
    assert likely(logits, 1.0).tolist() == [[True, False, False], [False, False, True]]
    assert likely(torch.zeros(4), 1.0).all()


def test_the_value_of_an_action_outside_the_support_is_lower_than_any_and_finite():
    chosen = ClonedBehaviour(heads(actions=3), 0.5)
    proposed = torch.tensor([[[True, False, True]]]).expand(3, 1, 3)
    critic: Any = lambda obs: torch.arange(6.0).view(1, 2, 1, 3).expand(3, 2, 1, 3)  # noqa: E731
    q = chosen.values(critic, torch.zeros(3, 1, 4), proposed)
    assert q.shape == (3, 2, 3, 1)
    assert q[1, :, :, 0].tolist() == [
        [0, pytest.approx(EXCLUDED), 2],
        [3, pytest.approx(EXCLUDED), 5],
    ]
    assert q.isfinite().all()


def test_proposals_stay_in_the_box_and_within_reach_of_what_is_decoded():
    chosen = GeneratedBehaviour(heads(size=2), 7, 0.25)
    net = networks(chosen)
    obs, noise = observations(), chosen.head.noise.state()
    proposed = chosen.propose(net, obs)
    assert proposed.shape == (3, 7, 50, 2)
    assert proposed.abs().max() <= 1
    chosen.head.noise.load(noise)
    chosen.reach = 0.0
    decoded = chosen.propose(net, obs)
    assert (proposed - decoded).abs().max() <= 0.25 + 1e-6
    assert (proposed - decoded).abs().max() > 0.05


def test_a_decoder_is_asked_about_every_draw_at_every_state():
    chosen: Any = GeneratedBehaviour(heads(size=1), 2, 0.0)
    latents = torch.tensor(
        [[[0.1, 0], [0.2, 0], [0.3, 0]], [[-0.1, 0], [-9, 0], [9, 0]]]
    ).expand(3, 2, 3, 2)
    chosen.head.noise.normal = lambda *shape: latents.reshape(3, *shape)
    decoder = SimpleNamespace(
        encode=lambda obs: obs,
        body=lambda x: (x[..., :1] + 10 * x[..., 4:5]).unsqueeze(1),
    )
    still = SimpleNamespace(
        encode=lambda obs: obs, body=lambda x: torch.zeros(3, 1, x.shape[1], 1)
    )
    obs = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1).expand(3, 3, 4)
    proposed = chosen.propose(
        SimpleNamespace(decoder=decoder, perturbation=still), obs
    )[1, :, :, 0]
    # latents end at +-0.5
    expected = torch.tensor([[2.0, 4.0, 6.0], [0.0, -3.0, 8.0]]).tanh()
    torch.testing.assert_close(proposed, expected)


def test_the_latent_draws_to_act_with_are_fixed_cut_and_each_seeds_own():
    among, alone = (
        GeneratedBehaviour(heads(size=2), 100, 0.05),
        GeneratedBehaviour(heads(size=2, seeds=(1,)), 100, 0.05),
    )
    assert torch.equal(among.fixed_latents[1], alone.fixed_latents[0])
    assert not torch.equal(among.fixed_latents[0], among.fixed_latents[1])
    assert among.fixed_latents.abs().max() == 0.5
    net, obs = networks(among), observations()
    first = among.propose(net, obs, fixed=True)
    assert torch.equal(among.propose(net, obs, fixed=True), first)
    assert not torch.equal(among.propose(net, obs)[:, :, :1], first[:, :, :1])


def test_picking_takes_the_indexed_proposal_of_every_row():
    proposed = torch.arange(24.0).view(1, 3, 4, 2)  # [P, N, B, A]
    picked = GeneratedBehaviour(heads(size=2), 3, 0.0).pick(
        proposed, torch.tensor([[0, 2, 1, 2]])
    )
    assert picked.tolist() == [[[0, 1], [18, 19], [12, 13], [22, 23]]]
    index = torch.tensor([[0, 2, 1, 2]])
    assert ClonedBehaviour(heads(actions=3), 0.3).pick(proposed, index) is index


@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
def test_the_export_for_discrete_actions_scores_what_is_proposed(threshold):
    chosen = ClonedBehaviour(heads(actions=5), threshold)
    net, obs = networks(chosen, q=heads(actions=5).critic(2)), observations()
    best = chosen.values(net.q, obs, chosen.propose(net, obs))[:, 0].argmax(-2)
    for p in range(3):
        scores = chosen.export(net, p)(obs[p])
        assert scores.shape == (50, 5)
        assert torch.equal(scores.argmax(-1), best[p])


def test_the_export_for_box_actions_picks_the_same_action():
    chosen = GeneratedBehaviour(heads(size=2), 6, 0.3)
    net, obs = networks(chosen), observations()
    proposed = chosen.propose(net, obs, fixed=True)
    picked = chosen.pick(proposed, chosen.values(net.q, obs, proposed)[:, 0].argmax(-2))
    assert len(torch.unique(picked)) > 50
    for p in range(3):
        torch.testing.assert_close(
            chosen.export(net, p)(obs[p]), picked[p], atol=1e-5, rtol=0
        )


def test_an_autoencoder_that_knows_nothing_costs_the_variance_of_the_actions():
    """Where the encoder says N(0, 1) there is no divergence; a decoder that says 0
    misses by the mean square."""
    chosen = GeneratedBehaviour(heads(size=2), 2, 0.05)
    net = networks(chosen)
    for name in ("encoder", "decoder"):
        getattr(net, name).weights.vector.zero_()
    action = torch.rand(3, 20, 2) * 2 - 1
    batch: Any = SimpleNamespace(obs=observations(20), action=action)
    losses = chosen.losses(net, batch)
    torch.testing.assert_close(losses["encoder"], action.square().mean((-1, -2)))
    assert losses["encoder"] is losses["decoder"]


def test_a_wide_spread_of_the_encoder_is_cut_from_below():
    """The divergence of N(0, e^-4) in every number: (e^-8 - 1) / 2 + 4; half of it
    counts."""
    chosen = GeneratedBehaviour(heads(size=1), 2, 0.05)
    net = networks(chosen)
    for name in ("encoder", "decoder"):
        getattr(net, name).weights.vector.zero_()
    net.encoder.weights.blocks[-1][..., 2:] = -50
    batch: Any = SimpleNamespace(obs=observations(20), action=torch.zeros(3, 20, 1))
    expected = 0.5 * ((math.exp(-8) - 1) / 2 + 4)
    assert chosen.losses(net, batch)["encoder"].tolist() == pytest.approx(
        [expected] * 3
    )
