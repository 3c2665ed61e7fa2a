"""Behaviour models: which actions the data would show at a state.

Batch-constrained Q-learning chooses among these actions only. Letters: P seeds, K
critics, N candidate actions, B batch, A numbers of a box action, n observations.
"""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from curriculum.learning.heads import DiscreteHead, Head
from curriculum.learning.networks import Network, ObsNetwork
from curriculum.types import Batch

# value of an action outside the data: finite, since it is multiplied by weights
EXCLUDED = -1e30


class BehaviourModel:
    """Proposes candidate actions for every state.

    `net` holds the learner's networks: those of `build`, and the critic `q`."""

    def build(self) -> dict[str, Network]:
        """Networks of the model."""
        raise NotImplementedError

    def losses(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        """Losses [P] of the networks of `build`."""
        raise NotImplementedError

    def diagnostics(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        """What to log of the model, [P] or [P, B] each."""
        raise NotImplementedError

    def propose(self, net: SimpleNamespace, obs: Tensor, fixed: bool = False) -> Tensor:
        """Candidate actions at `obs` [P, B, O]; `fixed` draws nothing, so that acting
        is deterministic."""
        raise NotImplementedError

    def values(self, critic: ObsNetwork, obs: Tensor, candidates: Tensor) -> Tensor:
        """Values of the candidates, [P, K, N, B]."""
        raise NotImplementedError

    def pick(self, candidates: Tensor, index: Tensor) -> Tensor:
        """The candidates at `index` [P, B], as actions."""
        raise NotImplementedError

    def export(self, net: SimpleNamespace, seed: int) -> nn.Module:
        """A plain module of normalised observations that acts by the best candidate."""
        raise NotImplementedError


class ClonedBehaviour(BehaviourModel):
    """Discrete actions: those that a cloned policy finds likely (Fujimoto et al. 2019,
    arXiv 1910.01708)."""

    def __init__(self, head: Head, threshold: float):
        assert isinstance(head, DiscreteHead)
        self.head = head
        self.threshold = threshold

    def build(self) -> dict[str, Network]:
        return {"imitator": self.head.actor()}

    def losses(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        policy = self.head.policy(net.imitator, batch.obs)
        return {"imitator": -policy.log_prob(batch.action).mean(-1)}

    def diagnostics(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        """Of the cloned policy, and how many actions it admits."""
        policy = self.head.policy(net.imitator, batch.obs)
        candidates = self.propose(net, batch.obs)
        return {
            **policy.diagnostics(batch.action),
            "candidates": candidates.float().sum(-1),
        }

    def propose(self, net: SimpleNamespace, obs: Tensor, fixed: bool = False) -> Tensor:
        """Mask [P, B, actions] of the actions at least `threshold` times as likely as
        the likeliest."""
        return likely(net.imitator(obs).squeeze(1), self.threshold)

    def values(self, critic: ObsNetwork, obs: Tensor, candidates: Tensor) -> Tensor:
        """Values of all actions, `EXCLUDED` where they are no candidates."""
        q = self.head.values(critic, obs).q  # [P, K, B, actions]
        return q.masked_fill(~candidates.unsqueeze(1), EXCLUDED).transpose(-1, -2)

    def pick(self, candidates: Tensor, index: Tensor) -> Tensor:
        """`index` itself: candidates are indexed by action."""
        return index

    def export(self, net: SimpleNamespace, seed: int) -> nn.Module:
        imitator = nn.Sequential(*net.imitator.export(seed))
        critic = nn.Sequential(*net.q.export(seed))
        return ClonedBehaviourPolicy(imitator, critic, self.threshold)


class GeneratedBehaviour(BehaviourModel):
    """Box actions: samples of a variational autoencoder of the data's actions, each
    moved by up to `reach` towards higher values (Fujimoto et al. 2019, arXiv
    1812.02900)."""

    def __init__(self, head: Head, samples: int, reach: float):
        self.head = head
        self.samples = samples
        self.reach = reach
        self.latent_size = 2 * head.action_size
        self.fixed_latents = self._draw_latents(1)  # [P, N, 1, latent_size]

    def build(self) -> dict[str, Network]:
        size = self.head.action_size
        return {
            "encoder": self.head.network(2 * self.latent_size, extra=size),
            "decoder": self.head.network(size, extra=self.latent_size),
            "perturbation": self.head.network(size, extra=size),
        }

    def losses(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        autoencoder = self.autoencoder_loss(net, batch)
        return {
            "encoder": autoencoder,
            "decoder": autoencoder,
            "perturbation": self.perturbation_loss(net, batch.obs),
        }

    def autoencoder_loss(self, net: SimpleNamespace, batch: Batch) -> Tensor:
        """Reconstruction error plus half the divergence from a standard normal."""
        outputs = evaluate(net.encoder, batch.obs, batch.action)
        mean, log_std = outputs.chunk(2, -1)  # [P, B, latent_size]
        log_std = log_std.clamp(-4, 15)
        latent = mean + log_std.exp() * self.head.noise.normal(*mean.shape[1:])
        decoded = evaluate(net.decoder, batch.obs, latent).tanh()
        reconstruction = (decoded - batch.action).square().mean((-1, -2))
        variance = (2 * log_std).exp()
        divergence = -0.5 * (1 + 2 * log_std - mean.square() - variance)
        return reconstruction + 0.5 * divergence.mean((-1, -2))

    def perturbation_loss(self, net: SimpleNamespace, obs: Tensor) -> Tensor:
        """Minus the first critic's value of one moved sample."""
        with torch.no_grad():
            latent = self.head.noise.normal(obs.shape[1], self.latent_size)
            action = evaluate(net.decoder, obs, latent.clamp(-0.5, 0.5)).tanh()
        moved = self._move(net, obs, action)
        q = self.head.values(net.q, obs).of(moved)  # [P, K, B]
        return -q[:, 0].mean(-1)

    def diagnostics(self, net: SimpleNamespace, batch: Batch) -> dict[str, Tensor]:
        """How far the nearest candidate is from the data's action, as a mean squared
        error."""
        candidates = self.propose(net, batch.obs, fixed=True)  # [P, N, B, A]
        error = (candidates - batch.action.unsqueeze(1)).square().mean(-1)
        return {"nearest_candidate": error.amin(1)}

    def propose(self, net: SimpleNamespace, obs: Tensor, fixed: bool = False) -> Tensor:
        """Actions [P, N, B, A]; where `fixed`, all states share the same latents."""
        batch = obs.shape[1]
        if fixed:
            latents = self.fixed_latents.expand(-1, -1, batch, -1)
        else:
            latents = self._draw_latents(batch)
        action = evaluate(net.decoder, obs, latents).tanh()
        return self._move(net, obs, action)

    def values(self, critic: ObsNetwork, obs: Tensor, candidates: Tensor) -> Tensor:
        return self.head.values(critic, obs).of(candidates)

    def pick(self, candidates: Tensor, index: Tensor) -> Tensor:
        size = candidates.shape[-1]
        index = index[:, None, :, None].expand(-1, 1, -1, size)
        return candidates.gather(1, index).squeeze(1)

    def export(self, net: SimpleNamespace, seed: int) -> nn.Module:
        return GeneratedBehaviourPolicy(
            decoder=TwoInputs(net.decoder, seed),
            perturbation=TwoInputs(net.perturbation, seed),
            critic=TwoInputs(net.q, seed),
            latents=self.fixed_latents[seed, :, 0].cpu().clone(),
            reach=self.reach,
        )

    def _draw_latents(self, batch: int) -> Tensor:
        latents = self.head.noise.normal(self.samples, batch, self.latent_size)
        return latents.clamp(-0.5, 0.5)

    def _move(self, net: SimpleNamespace, obs: Tensor, action: Tensor) -> Tensor:
        direction = evaluate(net.perturbation, obs, action).tanh()
        return (action + self.reach * direction).clamp(-1, 1)


def behaviour_model(
    head: Head, samples: int, reach: float, threshold: float
) -> BehaviourModel:
    """Make the model for a world's actions."""
    if isinstance(head, DiscreteHead):
        return ClonedBehaviour(head, threshold)
    return GeneratedBehaviour(head, samples, reach)


def evaluate(net: ObsNetwork, obs: Tensor, extra: Tensor) -> Tensor:
    """Outputs [P, (N,) B, outputs] of a network with one member, at `obs` [P, B, O] and
    `extra` inputs [P, (N,) B, E]."""
    features = net.encode(obs)  # [P, B, features]
    if extra.dim() == 3:
        return net.body(torch.cat([features, extra], -1)).squeeze(1)
    samples, batch = extra.shape[1:3]
    features = features.unsqueeze(1).expand(-1, samples, -1, -1)
    inputs = torch.cat([features, extra], -1).flatten(1, 2)
    return net.body(inputs).squeeze(1).unflatten(1, (samples, batch))


def likely(logits: Tensor, threshold: float) -> Tensor:
    """Mask of the probabilities that are at least `threshold` times the largest."""
    log_probs = logits.log_softmax(-1)
    relative = (log_probs - log_probs.amax(-1, keepdim=True)).exp()
    return relative >= threshold


class ClonedBehaviourPolicy(nn.Module):
    """Acts by the critic among the actions that the clone finds likely."""

    def __init__(self, imitator: nn.Module, critic: nn.Module, threshold: float):
        super().__init__()
        self.imitator = imitator
        self.critic = critic
        self.threshold = threshold

    def forward(self, obs: Tensor) -> Tensor:
        """Normalised observations [n, O] -> scores [n, actions]."""
        candidates = likely(self.imitator(obs), self.threshold)
        return self.critic(obs).masked_fill(~candidates, EXCLUDED)


class TwoInputs(nn.Module):
    """A network of observations and more inputs, as a plain module."""

    def __init__(self, net: ObsNetwork, seed: int):
        super().__init__()
        self.encoder = nn.Sequential(*net.export_encoder(seed))
        self.body = nn.Sequential(*net.export_body(seed))

    def forward(self, obs: Tensor, extra: Tensor) -> Tensor:
        """Normalised observations [n, *O] and inputs [n, N, E] -> [n, N, outputs]."""
        features = self.encoder(obs).unsqueeze(1).expand(-1, extra.shape[1], -1)
        return self.body(torch.cat([features, extra], -1))


class GeneratedBehaviourPolicy(nn.Module):
    """Acts by the best of the actions decoded from fixed latents."""

    latents: Tensor  # [N, latent_size]

    def __init__(
        self,
        decoder: TwoInputs,
        perturbation: TwoInputs,
        critic: TwoInputs,
        latents: Tensor,
        reach: float,
    ):
        super().__init__()
        self.decoder = decoder
        self.perturbation = perturbation
        self.critic = critic
        self.reach = reach
        self.register_buffer("latents", latents)

    def forward(self, obs: Tensor) -> Tensor:
        """Normalised observations [n, *O] -> actions [n, A]."""
        latents = self.latents.expand(len(obs), -1, -1)
        action = self.decoder(obs, latents).tanh()  # [n, N, A]
        direction = self.perturbation(obs, action).tanh()
        moved = (action + self.reach * direction).clamp(-1, 1)
        best = self.critic(obs, moved).argmax(1)  # [n, 1]
        index = best.unsqueeze(-1).expand(-1, -1, moved.shape[-1])
        return moved.gather(1, index).squeeze(1)
