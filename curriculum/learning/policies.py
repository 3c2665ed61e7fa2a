"""Policies: what actors say of actions, one class for each shape of policy, asked alike
for both kinds of action.

Letters: P seeds, N draws, B batch, A length of a box action; the batch is the last
dimension of a probability.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from curriculum.learning.heads import Box


class Categorical:
    """A policy over discrete actions."""

    def __init__(self, logits: Tensor):
        self.log_probs = logits.log_softmax(-1)  # [P, B, actions]

    @property
    def probs(self) -> Tensor:
        """Probability of every action, [P, B, actions]."""
        return self.log_probs.exp()

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability of `action` [P, B], as [P, B]."""
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def distance(self, action: Tensor) -> Tensor:
        """How far the policy is from always choosing `action` [P, B]: its surprise, [P,
        B]."""
        return -self.log_prob(action)

    def entropy(self) -> Tensor:
        """Entropy, [P, B]."""
        return -(self.probs * self.log_probs).sum(-1)

    def smoothed(self, deviation: float, limit: float) -> "Categorical":
        """Itself: its own spread is smooth enough."""
        return self


class Gaussian:
    """A normal distribution around tanh of the actor's first outputs, its draws cut off
    at the borders of the box."""

    log_std_range = (-5.0, 2.0)

    def __init__(self, outputs: Tensor, head: "Box"):
        self.head = head
        self.location, log_std = outputs.chunk(2, -1)  # [P, B, A]
        self.log_std = log_std.clamp(*self.log_std_range)
        # an action and its log-density, once one has been drawn
        self.draws: tuple[Tensor, Tensor] | None = None

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density of `action` [P, B, A], summed over its numbers, as [P, B]."""
        return normal_log_prob(
            (action - self.location.tanh()) * (-self.log_std).exp(), self.log_std
        )

    def draw(self, samples: int) -> tuple[Tensor, Tensor]:
        """Draws [P, N, B, A] and their log-densities [P, N, B]."""
        noise = self.head.normal(samples, *self.location.shape[1:])
        deviation = self.log_std.exp().unsqueeze(1)
        action = (self.location.tanh().unsqueeze(1) + deviation * noise).clamp(-1, 1)
        return action, normal_log_prob(noise, self.log_std.unsqueeze(1))

    @property
    def drawn(self) -> Tensor:
        """One draw, always the same, [P, B, A]; slopes pass through it."""
        return self._one()[0]

    def entropy(self) -> Tensor:
        """Surprise of that draw, which is the entropy on average, [P, B]."""
        return -self._one()[1]

    def _one(self) -> tuple[Tensor, Tensor]:
        if self.draws is None:
            action, log_prob = self.draw(1)
            self.draws = action.squeeze(1), log_prob.squeeze(1)
        return self.draws


class TanhNormal(Gaussian):
    """tanh of a normal distribution (Haarnoja et al. 2018, arXiv 1801.01290, appendix
    C)."""

    log_std_range = (-10.0, 2.0)

    def draw(self, samples: int) -> tuple[Tensor, Tensor]:
        """Draws [P, N, B, A] and their log-densities [P, N, B]."""
        noise = self.head.normal(samples, *self.location.shape[1:])
        before = self.location.unsqueeze(1) + self.log_std.exp().unsqueeze(1) * noise
        return before.tanh(), self._density(noise, before, self.log_std.unsqueeze(1))

    @staticmethod
    def _density(noise: Tensor, before: Tensor, log_std: Tensor) -> Tensor:
        # log(1 - tanh^2), exact far out too
        squeezed = 2 * (math.log(2) - before - functional.softplus(-2 * before))
        return normal_log_prob(noise, log_std) - squeezed.sum(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-density of `action` [P, B, A] inside the box, as [P, B]."""
        before = action.clamp(-1 + 1e-6, 1 - 1e-6).atanh()
        return self._density(
            (before - self.location) * (-self.log_std).exp(), before, self.log_std
        )


class Deterministic:
    """One action for every state, [P, B, A]."""

    def __init__(self, action: Tensor, head: "Box"):
        self.drawn, self.head = action, head

    def distance(self, action: Tensor) -> Tensor:
        """Mean squared difference from `action` [P, B, A], [P, B]."""
        return (self.drawn - action).square().mean(-1)

    def smoothed(self, deviation: float, limit: float) -> "Deterministic":
        """The same with cut-off normal noise on it (Fujimoto et al. 2018, arXiv
        1802.09477)."""
        noise = (self.head.normal(*self.drawn.shape[1:]) * deviation).clamp(
            -limit, limit
        )
        return Deterministic((self.drawn + noise).clamp(-1, 1), self.head)


def normal_log_prob(noise: Tensor, log_std: Tensor) -> Tensor:
    """Log-density [...] of a normal draw [..., A] that lies `noise` standard deviations
    from its mean."""
    constant = -0.5 * math.log(2 * math.pi) * noise.shape[-1]
    return constant - torch.addcmul(log_std, noise, noise, value=0.5).sum(-1)
