"""All that differs between kinds of actions. A learner calls these and never asks which kind it has.

`Discrete` is the first head; one for box actions offers the same methods, its critics taking the action as an input.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from curriculum.nets import MLP
from curriculum.types import Spec


class Values:
    """One pass of a critic over discrete actions, shared by every question about it."""

    def __init__(self, q: Tensor):
        self.q = q  # [P, K, B, actions]

    def of(self, action: Tensor) -> Tensor:
        """Values of `action` [P, B], as [P, K, B]."""
        index = action[:, None, :, None].expand(-1, self.q.shape[1], -1, 1)
        return self.q.gather(-1, index).squeeze(-1)

    def best(self) -> Tensor:
        """The action that the members' mean values highest, [P, B]."""
        return self.q.mean(1).argmax(-1)

    def expected(self, policy: "Categorical") -> Tensor:
        """Mean value under `policy`, [P, K, B]."""
        return (policy.log_probs.exp().unsqueeze(1) * self.q).sum(-1)

    def logsumexp(self) -> Tensor:
        """Soft maximum over all actions, [P, K, B]."""
        return self.q.logsumexp(-1)


class Categorical:
    """A policy over discrete actions."""

    def __init__(self, logits: Tensor):
        self.log_probs = logits.log_softmax(-1)  # [P, B, actions]

    def log_prob(self, action: Tensor) -> Tensor:
        """Log-probability of `action` [P, B], as [P, B]."""
        return self.log_probs.gather(-1, action.unsqueeze(-1)).squeeze(-1)


class Discrete:
    """Actions 0 .. n-1."""

    def __init__(self, spec: Spec):
        self.inputs, self.actions = int(np.prod(spec.obs_shape)), spec.actions

    def critic(self, hidden: Sequence[int], members: int = 1) -> MLP:
        """A network for Q(obs, action)."""
        return MLP(self.inputs, self.actions, hidden, members)

    def state_value(self, hidden: Sequence[int]) -> MLP:
        """A network for V(obs)."""
        return MLP(self.inputs, 1, hidden)

    def actor(self, hidden: Sequence[int]) -> MLP:
        """A network for a policy."""
        return MLP(self.inputs, self.actions, hidden)

    def values(self, critic: MLP, obs: Tensor) -> Values:
        """Ask `critic` about `obs` [P, B, O]."""
        return Values(critic(obs))

    def policy(self, actor: MLP, obs: Tensor) -> Categorical:
        """Ask `actor` about `obs` [P, B, O]."""
        return Categorical(actor(obs).squeeze(1))

    def act(self, network: MLP, obs: Tensor) -> Tensor:
        """The action [P, B] that an actor or a critic ranks highest."""
        return network(obs).mean(1).argmax(-1)

    def explore(self, action: np.ndarray, share: float, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Replace a share of `action` [P, n] by uniformly random ones; every seed draws for itself."""
        drawn = np.stack([g.random((2, action.shape[1])) for g in generators], axis=1)  # [2, P, n]
        return np.where(drawn[0] < share, (drawn[1] * self.actions).astype(action.dtype), action)


def head(spec: Spec) -> Discrete:
    """The head for a world's actions."""
    if not spec.actions:
        raise ValueError("this world has box actions; learners here take discrete ones: choose --env gridworld")
    return Discrete(spec)


def huber(error: Tensor) -> Tensor:
    """Huber loss with threshold 1, element by element (Mnih et al. 2015: the clipped error term)."""
    return torch.nn.functional.huber_loss(error, torch.zeros_like(error), reduction="none")
