"""Values: critics at given observations, asked alike for both kinds of action.

Letters: P seeds, K critics, N sampled actions, B batch, A length of a box action; the
batch is the last dimension of a value, before its quantiles where it has some.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from curriculum.learning.networks import MLP
from curriculum.learning.policies import Categorical, Gaussian, TanhNormal


class DiscreteValues:
    """One pass of a critic, shared by every question about it."""

    def __init__(self, atoms: Tensor):
        self.atoms = atoms  # [P, K, B, actions, quantiles]
        # [P, K, B, actions]
        self.q = atoms.squeeze(-1) if atoms.shape[-1] == 1 else atoms.mean(-1)

    def of(self, action: Tensor) -> Tensor:
        """Values of `action` [P, B], as [P, K, B]."""
        return self.q.gather(
            -1, action[:, None, :, None].expand(-1, self.q.shape[1], -1, 1)
        ).squeeze(-1)

    def atoms_of(self, action: Tensor) -> Tensor:
        """All quantiles of the value of `action` [P, B], as [P, K, B, quantiles]."""
        if self.atoms.shape[-1] == 1:
            return self.of(action).unsqueeze(-1)
        index = action[:, None, :, None, None].expand(
            -1, self.q.shape[1], -1, 1, self.atoms.shape[-1]
        )
        return self.atoms.gather(-2, index).squeeze(-2)

    def least_atoms_of(self, action: Tensor) -> Tensor:
        """The same of the member with the least value, [P, 1, B, quantiles]."""
        return least(self.atoms_of(action))

    def best(self) -> Tensor:
        """The action that the members' mean values highest, [P, B]."""
        return (self.q[:, 0] if self.q.shape[1] == 1 else self.q.mean(1)).argmax(-1)

    def expected(self, policy: "Categorical") -> Tensor:
        """Mean value under `policy`, [P, K, B]."""
        return (policy.probs.unsqueeze(1) * self.q).sum(-1)

    def conservative(
        self,
        action: Tensor,
        policy: "Categorical | None",
        samples: int,
        floor: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Quantiles of `action` [P, K, B, quantiles] and logsumexp over all actions [P,
        K, B], none below `floor`."""
        q = self.q if floor is None else self.q.maximum(floor[:, None, :, None])
        return self.atoms_of(action), q.logsumexp(-1)


class BoxValues:
    """A critic at fixed observations, asked about one action or many of every state."""

    def __init__(self, critic: MLP, obs: Tensor):
        self.critic, self.seen = critic, critic.encode(obs)  # [P, B, features]

    def join(self, action: Tensor) -> Tensor:
        """Inputs of the critic for `action` [P, N, B, A], [P, N * B, features + A]."""
        seen = self.seen.unsqueeze(1).expand(-1, action.shape[1], -1, -1)
        return torch.cat([seen, action], -1).flatten(1, 2)

    def atoms_of(self, action: Tensor) -> Tensor:
        """All quantiles of the value of `action` [P, B, A] or [P, N, B, A], as [P, K,
        (N,) B, quantiles]."""
        if action.dim() == 3:
            return self.critic.body(torch.cat([self.seen, action], -1))
        return self.critic.body(self.join(action)).unflatten(2, action.shape[1:3])

    def least_atoms_of(self, action: Tensor) -> Tensor:
        """The same of the member with the least value, [P, 1, B, quantiles]."""
        return least(self.atoms_of(action))

    def of(self, action: Tensor) -> Tensor:
        """Values of `action` [P, B, A] or [P, N, B, A], as [P, K, (N,) B]."""
        atoms = self.atoms_of(action)
        return atoms.squeeze(-1) if atoms.shape[-1] == 1 else atoms.mean(-1)

    def expected(self, policy: "Gaussian") -> Tensor:
        """Value of one draw of `policy`, [P, K, B]; slopes pass through the draw."""
        return self.of(policy.drawn)

    def conservative(
        self,
        action: Tensor,
        policy: "TanhNormal",
        samples: int,
        floor: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Quantiles of `action` [P, K, B, quantiles] and an estimate of log of the
        integral of exp(Q) over the box, [P, K, B]: `samples` uniform draws and as many
        of `policy`, weighed by their densities (Kumar et al. 2020, appendix F). Values
        of the policy's draws count as no less than `floor` [P, B]."""
        head, batch = policy.head, action.shape[-2]
        with torch.no_grad():
            uniform = head.uniform(samples, batch, head.size) * 2 - 1
            proposed, log_prob = policy.draw(samples)
        atoms = self.atoms_of(torch.cat([action.unsqueeze(1), uniform, proposed], 1))
        # [P, K, N, B]
        of_uniform, of_proposed = atoms.mean(-1)[:, :, 1:].split(samples, -2)
        if floor is not None:
            of_proposed = of_proposed.maximum(floor[:, None, None, :])
        weighed = torch.cat(
            [of_uniform + head.size * math.log(2), of_proposed - log_prob.unsqueeze(1)],
            -2,
        )
        return atoms[:, :, 0], weighed.logsumexp(-2) - math.log(2 * samples)

    def slope(self, action: Tensor) -> Tensor:
        """Gradient of every critic with respect to `action` [P, B, A], as [P, K, B, A];
        can be differentiated again."""
        return self.critic.slope(torch.cat([self.seen, action], -1), action.shape[-1])


def least(atoms: Tensor) -> Tensor:
    """Of the members' atoms [P, K, B, quantiles] those with the least mean, [P, 1, B,
    quantiles]."""
    if atoms.shape[1] == 1:
        return atoms
    if atoms.shape[-1] == 1:
        return atoms.amin(1, keepdim=True)
    index = atoms.mean(-1, keepdim=True).argmin(1, keepdim=True)
    return atoms.gather(1, index.expand(-1, -1, -1, atoms.shape[-1]))


def quantile_huber(q: Tensor, target: Tensor) -> Tensor:
    """Quantile regression [P, K, B] of atoms [P, K, B, N] (Dabney et al. 2018, arXiv
    1710.10044, eq. 10)."""
    share = (torch.arange(q.shape[-1], device=q.device) + 0.5) / q.shape[-1]
    # [P, K, B, N of q, N of target]
    q, target = torch.broadcast_tensors(q.unsqueeze(-1), target.unsqueeze(-2))
    weight = (share.unsqueeze(-1) - (target < q).float()).abs()
    return (
        (weight * functional.huber_loss(q, target, reduction="none")).mean(-1).sum(-1)
    )
