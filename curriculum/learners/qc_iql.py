"""QC-IQL: IQL with a critic of action chunks (Q-chunking: Li et al. 2025, arXiv
2507.07969).

IQL is that of Kostrikov, Nair & Levine (2021, arXiv 2110.06169):

    L(V)  = E[|expectile - 1(u < 0)| u^2],  u = min_k Q'_k(s, c) - V(s)
    L(Q)  = sum_k E[(r + discount V(s') - Q_k(s, c))^2]
    L(pi) = -E[min(exp(temperature u), 100) log pi(a | s)]

c = (a, ..., a_n) are the actions of an n-step window of the data, r its discounted
rewards, s' the state after it. `iql` with the same `n_step` credits a with whatever the
data did next; here Q knows what was done, so rewards pass n steps at once without that
bias, and V(s) is what the best chunks of the data are worth. A window that the end of
its episode cuts short is a chunk of fewer steps, which the critics tell apart.

Differs from Q-chunking: V takes the place of the best of many chunks that a model of
the data proposes. The policy takes one action at a time, the one that good chunks begin
with, and looks again after each; so it shares episodes with a planner, and is exported
and compressed, like any other. Where chance moves the world within a window, c is worth
what it earns without looking. Shapes: P seeds, K = 2 critics, B batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network, ObsNetwork
from curriculum.types import Batch, at_most, within

MAX_WEIGHT = 100.0  # of a transition in the policy's loss, as in the code of IQL


@dataclass(kw_only=True)
class QCIQL(Learner):
    """Learn the value of the best action chunks in the data and imitate how they
    begin."""

    targets: ClassVar[tuple[str, ...]] = ("window_q",)
    needs: ClassVar[tuple[str, ...]] = ("action_window", "window_taken")
    critic: ClassVar[str] = ""  # nothing values single actions

    n_step: int = 5  # actions of a chunk: 1 is IQL, many have to be alike in the data
    # expectile of the values of the data's chunks that V(s) estimates: 0.5 is their
    # mean, towards 1 their maximum
    expectile: float = 0.8
    # inverse temperature, per unit of return: 0 clones the data, large values imitate
    # only the chunks with the largest advantage; scale large rewards down
    temperature: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_most(self, 100, "n_step")
        within(self, 0, 1, "expectile")
        within(self, 0, float("inf"), "temperature")
        at_most(self, 1e6, "temperature")

    def build(self) -> dict[str, Network]:
        return {
            "window_q": self.head.window_critic(self.n_step, members=2),
            "value": self.head.state_value(),
            "policy": self.head.actor(),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        advantage = self.advantage(batch)  # [P, B]
        return {
            "window_q": self.critic_loss(batch),
            "value": self.value_loss(advantage),
            "policy": self.policy_loss(batch, advantage.detach()),
        }

    def q_of(self, critic: ObsNetwork, batch: Batch) -> Tensor:
        """Q_k(s, c), [P, K, B]."""
        assert batch.action_window is not None
        assert batch.window_taken is not None
        return self.head.window_values(
            critic, batch.obs, batch.action_window, batch.window_taken
        )

    def advantage(self, batch: Batch) -> Tensor:
        """u = min_k Q'_k(s, c) - V(s), [P, B]; its gradient moves V."""
        with torch.no_grad():
            lowest_q = self.q_of(self.target.window_q, batch).amin(-2)  # of the critics
        return lowest_q - self.value_at(batch.obs)

    def value_at(self, obs: Tensor) -> Tensor:
        """V(s), [P, B]."""
        return self.net.value(obs).squeeze(-1).squeeze(-2)  # of [P, 1, B, 1]

    def value_loss(self, advantage: Tensor) -> Tensor:
        """Expectile regression of V(s) on min_k Q'_k(s, c), [P]."""
        weight = torch.where(advantage < 0, 1 - self.expectile, self.expectile)
        return (weight * advantage.square()).mean(-1)

    def critic_loss(self, batch: Batch) -> Tensor:
        """Squared error to r + discount V(s'), summed over critics, [P]."""
        target = self.td_target(batch)
        q = self.q_of(self.net.window_q, batch)  # [P, K, B]
        return (q - target).square().mean(-1).sum(-1)

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount V(s'), [P, 1, B]."""
        with torch.no_grad():
            next_value = self.value_at(batch.next_obs).unsqueeze(-2)
            return batch.backup(next_value)

    def policy_loss(self, batch: Batch, advantage: Tensor) -> Tensor:
        """Negative log-likelihood of the first action, weighted by the advantage of its
        chunk, [P]."""
        weight = self.cloning_weight(advantage)
        policy = self.head.policy(self.net.policy, batch.obs)
        return -(weight * policy.log_prob(batch.action)).mean(-1)

    def cloning_weight(self, advantage: Tensor) -> Tensor:
        """exp(temperature u), at most MAX_WEIGHT, [P, B]."""
        return (self.temperature * advantage).exp().clamp(max=MAX_WEIGHT)

    def diagnose(self, batch: Batch) -> dict[str, Tensor]:
        policy = self.head.policy(self.net.policy, batch.obs)
        action = self.choose(batch.obs)
        advantage = self.advantage(batch)
        q = self.q_of(self.net.window_q, batch)  # [P, K, B]
        slow_q = self.q_of(self.slow.window_q, batch)
        clipped = self.cloning_weight(advantage) >= MAX_WEIGHT
        return {
            "td_error": (self.td_target(batch) - q).abs().mean(-2),
            "q_data": q.mean(-2),
            "target_lag": (q - slow_q).abs().mean(-2),
            "cloning_error": self.head.action_error(action, batch.action),
            "value": self.value_at(batch.obs),
            "advantage": advantage,
            "clipped_share": clipped.float(),
            **policy.diagnostics(batch.action),
        }
