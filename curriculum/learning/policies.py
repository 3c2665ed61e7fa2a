"""Action distributions: what an actor's outputs mean at a batch of observations.

Letters: P seeds, N samples, B batch, A numbers of a box action.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from curriculum.learning.noise import Noise


class Sample(NamedTuple):
    """Actions drawn from a distribution over box actions."""

    action: Tensor  # [P, N, B, A]
    log_prob: Tensor  # [P, N, B]


class ActionDistribution:
    """A policy at a batch of observations.

    `probs` exists for discrete actions only, `action` and `sample` for box actions
    only."""

    @property
    def probs(self) -> Tensor:
        """Probability of every action, [P, B, actions]."""
        raise NotImplementedError

    @property
    def action(self) -> Tensor:
        """One action for each observation, [P, B, A], the same at every access.

        Gradients flow through it into the actor."""
        raise NotImplementedError

    def sample(self, count: int) -> Sample:
        """Draw `count` actions for each observation."""
        raise NotImplementedError

    def draw(self, noise: Tensor) -> Tensor:
        """Actions [P, N, B] or [P, N, B, A] from given noise: Gumbel noise
        [P, N, B, actions], or standard normal noise [P, N, B, A]."""
        raise NotImplementedError

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability or log-density [P, B] of `action`."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Entropy [P, B], estimated from `action` where tanh squashes actions."""
        raise NotImplementedError

    def distance(self, action: Tensor) -> Tensor:
        """Cloning loss [P, B] of `action`."""
        raise NotImplementedError

    def cross_entropy(self, weights: Tensor) -> Tensor:
        """Cross-entropy [P, B] to weights [P, B, actions] of discrete actions."""
        raise NotImplementedError

    def smoothed(self, deviation: float, limit: float) -> "ActionDistribution":
        """The distribution with clipped normal noise added to its action."""
        raise NotImplementedError

    def diagnostics(self, action: Tensor) -> dict[str, Tensor]:
        """How random the policy is and how likely it finds the data's `action`, [P, B]
        each."""
        return {
            "policy_entropy": self.entropy(),
            "log_prob_data": self.log_prob(action),
        }


class Categorical(ActionDistribution):
    """Probabilities of discrete actions."""

    def __init__(self, logits: Tensor):
        self.log_probs = logits.log_softmax(-1)  # [P, B, actions]

    @property
    def probs(self) -> Tensor:
        return self.log_probs.exp()

    def draw(self, noise: Tensor) -> Tensor:
        return (self.log_probs.unsqueeze(1) + noise).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        return -(self.probs * self.log_probs).sum(-1)

    def distance(self, action: Tensor) -> Tensor:
        """Negative log-probability."""
        return -self.log_prob(action)

    def cross_entropy(self, weights: Tensor) -> Tensor:
        return -(weights * self.log_probs).sum(-1)

    def smoothed(self, deviation: float, limit: float) -> "Categorical":
        """The same distribution: its probabilities smooth the value already."""
        return self


class Gaussian(ActionDistribution):
    """Normal distribution around tanh of the location; samples are clipped to the
    box."""

    log_std_range = (-5.0, 2.0)

    def __init__(self, outputs: Tensor, noise: Noise):
        location, log_std = outputs.chunk(2, -1)
        self.location = location  # [P, B, A], before tanh
        self.log_std = log_std.clamp(*self.log_std_range)  # [P, B, A]
        self.noise = noise
        self._first_sample: Sample | None = None

    @property
    def action(self) -> Tensor:
        return self._single_sample().action.squeeze(1)

    def sample(self, count: int) -> Sample:
        noise = self.noise.normal(count, *self.location.shape[1:])  # [P, N, B, A]
        mean = self.location.tanh().unsqueeze(1)
        deviation = self.log_std.exp().unsqueeze(1)
        action = (mean + deviation * noise).clamp(-1, 1)
        return Sample(action, normal_log_prob(noise, self.log_std.unsqueeze(1)))

    def draw(self, noise: Tensor) -> Tensor:
        offset = self.log_std.exp().unsqueeze(1) * noise
        return (self.location.tanh().unsqueeze(1) + offset).clamp(-1, 1)

    def log_prob(self, action: Tensor) -> Tensor:
        noise = (action - self.location.tanh()) * (-self.log_std).exp()
        return normal_log_prob(noise, self.log_std)

    def distance(self, action: Tensor) -> Tensor:
        """Negative log-density."""
        return -self.log_prob(action)

    def entropy(self) -> Tensor:
        """Exact, of the distribution before it is clipped."""
        of_one_number = 0.5 * (1 + math.log(2 * math.pi)) + self.log_std
        return of_one_number.sum(-1)

    def _single_sample(self) -> Sample:
        if self._first_sample is None:
            self._first_sample = self.sample(1)
        return self._first_sample


class TanhNormal(Gaussian):
    """tanh of a normal distribution (Haarnoja et al. 2018, arXiv 1801.01290, appendix
    C)."""

    log_std_range = (-10.0, 2.0)

    def sample(self, count: int) -> Sample:
        noise = self.noise.normal(count, *self.location.shape[1:])  # [P, N, B, A]
        deviation = self.log_std.exp().unsqueeze(1)
        pre_tanh = self.location.unsqueeze(1) + deviation * noise
        action = pre_tanh.tanh()
        log_prob = _squashed_log_prob(noise, pre_tanh, self.log_std.unsqueeze(1))
        return Sample(action, log_prob)

    def draw(self, noise: Tensor) -> Tensor:
        offset = self.log_std.exp().unsqueeze(1) * noise
        return (self.location.unsqueeze(1) + offset).tanh()

    def entropy(self) -> Tensor:
        return -self._single_sample().log_prob.squeeze(1)

    def log_prob(self, action: Tensor) -> Tensor:
        pre_tanh = action.clamp(-1 + 1e-6, 1 - 1e-6).atanh()
        noise = (pre_tanh - self.location) * (-self.log_std).exp()
        return _squashed_log_prob(noise, pre_tanh, self.log_std)


class Deterministic(ActionDistribution):
    """One action for each observation; draws are near it."""

    spread = 0.3  # standard deviation of draws

    def __init__(self, action: Tensor, noise: Noise):
        self._action = action  # [P, B, A]
        self.noise = noise

    @property
    def action(self) -> Tensor:
        return self._action

    def draw(self, noise: Tensor) -> Tensor:
        return (self._action.unsqueeze(1) + self.spread * noise).clamp(-1, 1)

    def distance(self, action: Tensor) -> Tensor:
        """Mean squared error over the numbers of an action."""
        return (self._action - action).square().mean(-1)

    def diagnostics(self, action: Tensor) -> dict[str, Tensor]:
        """Nothing: it has neither entropy nor likelihood."""
        return {}

    def smoothed(self, deviation: float, limit: float) -> "Deterministic":
        """Target policy smoothing (Fujimoto et al. 2018, arXiv 1802.09477)."""
        noise = self.noise.normal(*self._action.shape[1:]) * deviation
        action = self._action + noise.clamp(-limit, limit)
        return Deterministic(action.clamp(-1, 1), self.noise)


def normal_log_prob(noise: Tensor, log_std: Tensor) -> Tensor:
    """Log-density [...] of a normal sample `noise` [..., A] standard deviations from
    its mean."""
    constant = -0.5 * math.log(2 * math.pi) * noise.shape[-1]
    return constant - torch.addcmul(log_std, noise, noise, value=0.5).sum(-1)


def _squashed_log_prob(noise: Tensor, pre_tanh: Tensor, log_std: Tensor) -> Tensor:
    # log(1 - tanh(x)^2), written so that it stays exact for large |x|
    log_slope = 2 * (math.log(2) - pre_tanh - functional.softplus(-2 * pre_tanh))
    return normal_log_prob(noise, log_std) - log_slope.sum(-1)
