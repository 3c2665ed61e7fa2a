"""Which actions the data supports: what batch-constrained learners choose from, for
discrete and for box actions."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from curriculum.learning.heads import Box, Discrete
from curriculum.learning.networks import MLP, Network
from curriculum.types import Batch

# value of an action outside the support: finite, so that it can be weighed
NEVER = -1e30


class Listed:
    """Discrete actions: those that a cloned policy finds likely (Fujimoto et al. 2019,
    arXiv 1910.01708)."""

    def __init__(self, head: Discrete, threshold: float):
        self.head, self.threshold = head, threshold

    def build(self) -> dict[str, Network]:
        """The networks that know the support."""
        return {"imitator": self.head.actor()}

    def losses(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        """Losses of `build`'s networks."""
        return {
            "imitator": -self.head.policy(net.imitator, batch.obs)
            .log_prob(batch.action)
            .mean(-1)
        }

    def propose(self, net: SimpleNamespace, obs: Tensor, fixed: bool = False) -> Tensor:
        """Mask [P, B, actions] of the actions at least `threshold` times as likely as
        the likeliest."""
        return likely(net.imitator(obs).squeeze(1), self.threshold)

    def values(self, critic: MLP, obs: Tensor, proposed: Tensor) -> Tensor:
        """Values of what was proposed, [P, K, actions, B]."""
        return (
            self.head.values(critic, obs)
            .q.masked_fill(~proposed.unsqueeze(1), NEVER)
            .transpose(-1, -2)
        )

    def pick(self, proposed: Tensor, index: Tensor) -> Tensor:
        """The actions [P, B] at `index` [P, B] of what was proposed."""
        return index

    def export(self, net: SimpleNamespace, seed: int) -> nn.Module:
        """Scores [n, actions] of normalised observations, as a plain module."""
        imitator, critic = (
            nn.Sequential(*n.export(seed)) for n in (net.imitator, net.q)
        )
        return ListedPolicy(imitator, critic, self.threshold)


class Generated:
    """Box actions: those that a variational autoencoder of the data's actions decodes,
    each moved by up to `reach` towards higher values (Fujimoto et al. 2019, arXiv
    1812.02900)."""

    def __init__(self, head: Box, samples: int, reach: float):
        self.head, self.samples, self.reach = head, samples, reach
        self.latent = 2 * head.size
        # those it acts with
        self.latents = head.normal(samples, 1, self.latent).clamp(-0.5, 0.5)

    def build(self) -> dict[str, Network]:
        """The networks that know the support, and the one that moves actions within
        reach."""
        return {
            "encoder": self.head.network(2 * self.latent, extra=self.head.size),
            "decoder": self.head.network(self.head.size, extra=self.latent),
            "perturbation": self.head.network(self.head.size, extra=self.head.size),
        }

    def losses(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        """Losses of `build`'s networks: reconstruction plus divergence; the value of
        one action moved."""
        mean, log_std = _ask(net.encoder, batch.obs, batch.action).chunk(2, -1)
        log_std = log_std.clamp(-4, 15)
        latent = mean + log_std.exp() * self.head.normal(*mean.shape[1:])
        decoded = _ask(net.decoder, batch.obs, latent).tanh()
        divergence = -0.5 * (1 + 2 * log_std - mean.square() - (2 * log_std).exp())
        autoencoder = (decoded - batch.action).square().mean(
            (-1, -2)
        ) + 0.5 * divergence.mean((-1, -2))
        with torch.no_grad():
            noise = self.head.normal(*mean.shape[1:]).clamp(-0.5, 0.5)
            action = _ask(net.decoder, batch.obs, noise).tanh()
        moved = self._moved(net, batch.obs, action)
        value = self.head.values(net.q, batch.obs).of(moved)[:, 0]
        return {
            "encoder": autoencoder,
            "decoder": autoencoder,
            "perturbation": -value.mean(-1),
        }

    def _moved(self, net: SimpleNamespace, obs: Tensor, action: Tensor) -> Tensor:
        return (action + self.reach * _ask(net.perturbation, obs, action).tanh()).clamp(
            -1, 1
        )

    def propose(self, net: SimpleNamespace, obs: Tensor, fixed: bool = False) -> Tensor:
        """Actions [P, N, B, A]; from the same latent draws for every state where they
        shall be `fixed`."""
        batch = obs.shape[1]
        if fixed:
            latents = self.latents.expand(-1, -1, batch, -1)
        else:
            latents = self.head.normal(self.samples, batch, self.latent).clamp(
                -0.5, 0.5
            )
        return self._moved(net, obs, _ask(net.decoder, obs, latents).tanh())

    def values(self, critic: MLP, obs: Tensor, proposed: Tensor) -> Tensor:
        """Values of what was proposed, [P, K, N, B]."""
        return self.head.values(critic, obs).of(proposed)

    def pick(self, proposed: Tensor, index: Tensor) -> Tensor:
        """The actions [P, B, A] at `index` [P, B] of what was proposed."""
        return proposed.gather(
            1, index[:, None, :, None].expand(-1, 1, -1, proposed.shape[-1])
        ).squeeze(1)

    def export(self, net: SimpleNamespace, seed: int) -> nn.Module:
        """Actions [n, A] for normalised observations, as a plain module."""
        decoder, perturbation, critic = (
            Asked(n, seed) for n in (net.decoder, net.perturbation, net.q)
        )
        return GeneratedPolicy(
            decoder,
            perturbation,
            critic,
            self.latents[seed, :, 0].cpu().clone(),
            self.reach,
        )


def _ask(net: MLP, obs: Tensor, extra: Tensor) -> Tensor:
    """Outputs of a network of one member for `extra` [P, (N,) B, E] inputs beside the
    observation, of that shape."""
    seen = net.encode(obs)
    if extra.dim() == 3:
        return net.body(torch.cat([seen, extra], -1)).squeeze(1)
    joined = torch.cat(
        [seen.unsqueeze(1).expand(-1, extra.shape[1], -1, -1), extra], -1
    ).flatten(1, 2)
    return net.body(joined).squeeze(1).unflatten(1, extra.shape[1:3])


def likely(logits: Tensor, threshold: float) -> Tensor:
    """Where probabilities are at least `threshold` times the largest, [...,
    actions]."""
    log_probs = logits.log_softmax(-1)
    return (log_probs - log_probs.amax(-1, keepdim=True)).exp() >= threshold


def support(
    head: Discrete | Box, samples: int, reach: float, threshold: float
) -> Listed | Generated:
    """The support for a world's actions."""
    return (
        Listed(head, threshold)
        if isinstance(head, Discrete)
        else Generated(head, samples, reach)
    )


class ListedPolicy(nn.Module):
    """The critic's scores, actions outside the support last."""

    def __init__(self, imitator: nn.Module, critic: nn.Module, threshold: float):
        super().__init__()
        self.imitator, self.critic, self.threshold = imitator, critic, threshold

    def forward(self, obs: Tensor) -> Tensor:
        """Normalised observations [n, O] -> scores [n, actions]."""
        return self.critic(obs).masked_fill(
            ~likely(self.imitator(obs), self.threshold), NEVER
        )


class Asked(nn.Module):
    """A network that takes in something beside the observation, as a plain module."""

    def __init__(self, net: MLP, seed: int):
        super().__init__()
        self.encoder, self.body = (
            nn.Sequential(*net.export_encoder(seed)),
            nn.Sequential(*net.export_body(seed)),
        )

    def forward(self, obs: Tensor, extra: Tensor) -> Tensor:
        """Normalised observations [n, *O] with N times E numbers each, [n, N, E] ->
        outputs [n, N, outputs]."""
        seen = self.encoder(obs).unsqueeze(1).expand(-1, extra.shape[1], -1)
        return self.body(torch.cat([seen, extra], -1))


class GeneratedPolicy(nn.Module):
    """The best of the actions decoded from fixed latent draws."""

    latents: Tensor

    def __init__(
        self,
        decoder: Asked,
        perturbation: Asked,
        critic: Asked,
        latents: Tensor,
        reach: float,
    ):
        super().__init__()
        self.decoder, self.perturbation, self.critic, self.reach = (
            decoder,
            perturbation,
            critic,
            reach,
        )
        self.register_buffer("latents", latents)

    def forward(self, obs: Tensor) -> Tensor:
        """Normalised observations [n, O] -> actions [n, A]."""
        # [n, N, A]
        action = self.decoder(obs, self.latents.expand(len(obs), -1, -1)).tanh()
        moved = (action + self.reach * self.perturbation(obs, action).tanh()).clamp(
            -1, 1
        )
        best = self.critic(obs, moved).argmax(1)  # [n, 1]
        return moved.gather(
            1, best.unsqueeze(-1).expand(-1, -1, moved.shape[-1])
        ).squeeze(1)
