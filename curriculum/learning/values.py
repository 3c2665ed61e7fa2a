"""Critics at a batch of observations, with the same questions for both kinds of
action.

Letters: P seeds, K critics, N sampled actions, B batch, A numbers of a box action.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from curriculum.learning.networks import ObsNetwork
from curriculum.learning.noise import Noise
from curriculum.learning.policies import ActionDistribution


class Values:
    """Q(s, .) of every critic at a batch of observations."""

    def quantiles_of(self, action: Tensor) -> Tensor:
        """Quantiles of the return of `action`, [P, K, B, quantiles]."""
        raise NotImplementedError

    def lowest_quantiles_of(self, action: Tensor) -> Tensor:
        """Quantiles of the critic with the lowest mean, [P, 1, B, quantiles]."""
        return lowest_critic(self.quantiles_of(action))

    def of(self, action: Tensor) -> Tensor:
        """Values of `action`, [P, K, B]."""
        return mean_of_quantiles(self.quantiles_of(action))

    def best_action(self) -> Tensor:
        """The discrete action with the highest mean value over critics, [P, B]."""
        raise NotImplementedError

    def means(self) -> Tensor:
        """Mean value over critics of every discrete action, [P, B, actions]."""
        raise NotImplementedError

    def expected(self, policy: ActionDistribution) -> Tensor:
        """Values of `policy`, [P, K, B]: exact for discrete actions, the value of
        `policy.action` for box actions."""
        raise NotImplementedError

    def conservative(
        self,
        action: Tensor,
        policy: ActionDistribution | None,
        samples: int,
        floor: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The two sides of CQL's regulariser: quantiles of `action` [P, K, B,
        quantiles] and log of the sum (box actions: the integral) of exp(Q) over all
        actions [P, K, B].

        `floor` [P, B] bounds values in the sum from below (Cal-QL)."""
        raise NotImplementedError

    def margin(self) -> Tensor:
        """By how much the mean value over critics of the best discrete action exceeds
        that of the second best, [P, B]."""
        raise NotImplementedError

    def margin_loss(self, action: Tensor, margin: float) -> Tensor:
        """By how much discrete `action` [P, B] falls short of being worth `margin` more
        than any other one, [P, K, B]: max_c (Q(s, c) + margin 1(c != a)) - Q(s, a)
        (Hester et al. 2018, arXiv 1704.03732, eq. 2)."""
        raise NotImplementedError

    def slope(self, action: Tensor) -> Tensor:
        """Gradient of every critic with respect to box `action`, [P, K, B, A]; can be
        differentiated again."""
        raise NotImplementedError


class DiscreteValues(Values):
    """Q of all actions, from one pass of the critics."""

    def __init__(self, quantiles: Tensor):
        self.quantiles = quantiles  # [P, K, B, actions, quantiles]
        self.q = mean_of_quantiles(quantiles)  # [P, K, B, actions]

    def of(self, action: Tensor) -> Tensor:
        index = action[:, None, :, None].expand(-1, self.q.shape[1], -1, 1)
        return self.q.gather(-1, index).squeeze(-1)

    def quantiles_of(self, action: Tensor) -> Tensor:
        critics = self.quantiles.shape[1]
        count = self.quantiles.shape[-1]
        if count == 1:
            return self.of(action).unsqueeze(-1)
        index = action[:, None, :, None, None].expand(-1, critics, -1, 1, count)
        return self.quantiles.gather(-2, index).squeeze(-2)

    def means(self) -> Tensor:
        return self.q[:, 0] if self.q.shape[1] == 1 else self.q.mean(1)

    def best_action(self) -> Tensor:
        return self.means().argmax(-1)

    def expected(self, policy: ActionDistribution) -> Tensor:
        return (policy.probs.unsqueeze(1) * self.q).sum(-1)

    def margin(self) -> Tensor:
        best_two = self.q.mean(1).topk(2, dim=-1).values  # [P, B, 2]
        return best_two[..., 0] - best_two[..., 1]

    def margin_loss(self, action: Tensor, margin: float) -> Tensor:
        choices = torch.arange(self.q.shape[-1], device=action.device)
        is_other = (choices != action.unsqueeze(-1)).float()  # [P, B, actions]
        raised = self.q + margin * is_other.unsqueeze(1)
        return raised.amax(-1) - self.of(action)

    def conservative(
        self,
        action: Tensor,
        policy: ActionDistribution | None,
        samples: int,
        floor: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        q = self.q
        if floor is not None:
            q = q.maximum(floor[:, None, :, None])
        return self.quantiles_of(action), q.logsumexp(-1)


class BoxValues(Values):
    """Critics that are evaluated for each action; observations are encoded once."""

    def __init__(self, critic: ObsNetwork, obs: Tensor, noise: Noise):
        self.critic = critic
        self.features = critic.encode(obs)  # [P, B, features]
        self.noise = noise

    def quantiles_of(self, action: Tensor) -> Tensor:
        """Quantiles for `action` [P, B, A] or [P, N, B, A], as [P, K, (N,) B,
        quantiles]."""
        if action.dim() == 3:
            return self.critic.body(torch.cat([self.features, action], -1))
        samples, batch = action.shape[1:3]
        features = self.features.unsqueeze(1).expand(-1, samples, -1, -1)
        inputs = torch.cat([features, action], -1).flatten(1, 2)
        return self.critic.body(inputs).unflatten(2, (samples, batch))

    def expected(self, policy: ActionDistribution) -> Tensor:
        return self.of(policy.action)

    def conservative(
        self,
        action: Tensor,
        policy: ActionDistribution | None,
        samples: int,
        floor: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Estimate the integral by importance sampling: `samples` uniform actions and
        as many of `policy`, weighted by their densities (Kumar et al. 2020, appendix
        F). `floor` bounds the policy's samples only."""
        assert policy is not None
        batch, size = action.shape[-2:]
        with torch.no_grad():
            uniform = self.noise.uniform(samples, batch, size) * 2 - 1
            proposed = policy.sample(samples)
        actions = torch.cat([action.unsqueeze(1), uniform, proposed.action], 1)
        quantiles = self.quantiles_of(actions)  # [P, K, 1 + 2 N, B, quantiles]
        q = quantiles.mean(-1)[:, :, 1:]  # [P, K, 2 N, B]
        uniform_q, proposed_q = q.split(samples, -2)
        if floor is not None:
            proposed_q = proposed_q.maximum(floor[:, None, None, :])
        log_volume = size * math.log(2)  # of the box; uniform density is 1 / volume
        weighted = [
            uniform_q + log_volume,
            proposed_q - proposed.log_prob.unsqueeze(1),
        ]
        log_integral = torch.cat(weighted, -2).logsumexp(-2) - math.log(2 * samples)
        return quantiles[:, :, 0], log_integral

    def slope(self, action: Tensor) -> Tensor:
        inputs = torch.cat([self.features, action], -1)
        return self.critic.input_gradient(inputs, action.shape[-1])


def mean_of_quantiles(quantiles: Tensor) -> Tensor:
    """Mean over the last dimension, which is dropped."""
    if quantiles.shape[-1] == 1:
        return quantiles.squeeze(-1)
    return quantiles.mean(-1)


def lowest_critic(quantiles: Tensor) -> Tensor:
    """Of quantiles [P, K, B, quantiles] those of the critic with the lowest mean, row
    by row, [P, 1, B, quantiles]."""
    critics = quantiles.shape[1]
    count = quantiles.shape[-1]
    if critics == 1:
        return quantiles
    if count == 1:
        return quantiles.amin(1, keepdim=True)
    lowest = quantiles.mean(-1, keepdim=True).argmin(1, keepdim=True)
    return quantiles.gather(1, lowest.expand(-1, -1, -1, count))


def quantile_huber(q: Tensor, target: Tensor) -> Tensor:
    """Quantile regression loss [P, K, B] of quantiles [P, K, B, N] (Dabney et al. 2018,
    arXiv 1710.10044, eq. 10)."""
    count = q.shape[-1]
    fraction = (torch.arange(count, device=q.device) + 0.5) / count
    # [P, K, B, N of q, N of target]
    q, target = torch.broadcast_tensors(q.unsqueeze(-1), target.unsqueeze(-2))
    weight = (fraction.unsqueeze(-1) - (target < q).float()).abs()
    loss = weight * functional.huber_loss(q, target, reduction="none")
    return loss.mean(-1).sum(-1)
