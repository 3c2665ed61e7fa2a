"""FQE: fitted Q evaluation (Le, Voloshin & Yue 2019, arXiv 1903.08738), which estimates
what a policy returns from data alone.

    L(Q)     = E[(r + discount Q'(s', pi(s')) - Q(s, a))^2]
    estimate = E[Q(s_0, pi(s_0))]

(s, a, r, s') come from the data, s_0 are the first observations of its episodes, pi is
the policy as it is deployed, without noise. Q' is the target network. The discount is 0
where an episode terminated, and not where it was cut short.

The learner's own critic does not answer this question: CQL's is too low on purpose,
that of IQL values another policy, BC has none.

Differs from the paper: Q takes gradient steps on batches, with a target network, as in
Paine et al. 2020 (arXiv 2007.09055), instead of being fitted anew in every iteration.
Rewards are divided by the scale of their discounted sums, so that values are about 1.
Hidden layers are normalised: without, values of policies that leave the data diverged.
Step size and target network slow down linearly to a standstill, which averages noise.

Shapes: P seeds, K critics, B batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from curriculum.activity import phase
from curriculum.learning.kernels import Precision
from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.replay.buffer import Buffer
from curriculum.run import advice
from curriculum.types import Batch

CHUNK = 32  # batches sampled at once
# the target network moves so fast that its first error shrinks to exp(-SETTLING), even
# if nothing terminates
SETTLING = 5.0
LEAST = 1e-3  # 1 - discount, of discounts near 1
STARTS = 4_096  # first observations that an estimate averages, at most
PART = 256  # of them that are valued at once


@dataclass(kw_only=True)
class FQE(Learner):
    """Learn the value of a policy that does not change."""

    targets: ClassVar[tuple[str, ...]] = ("fqe",)
    critic: ClassVar[str] = "fqe"

    # actions [P, B] or [P, B, A] at normalised observations
    policy: Callable[[Tensor], Tensor]

    def build(self) -> dict[str, Network]:
        return {"fqe": self.head.critic()}

    def choose(self, obs: Tensor) -> Tensor:
        return self.policy(obs)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        q = self.head.values(self.net.fqe, batch.obs).of(batch.action)  # [P, K, B]
        error = (q - self.td_target(batch)).square()
        return {"fqe": error.mean(-1).sum(-1)}

    def td_target(self, batch: Batch) -> Tensor:
        """r + discount Q'(s', pi(s')), [P, K, B]."""
        with torch.no_grad():
            next_action = self.choose(batch.next_obs)
            next_values = self.head.values(self.target.fqe, batch.next_obs)
            return batch.backup(next_values.of(next_action))


def estimate(
    learner: Learner, buffer: Buffer, updates: int, precision: Precision = "fp32"
) -> np.ndarray:
    """Estimate the discounted return of the learner's policy, in rewards of the world,
    [P]; nan for a seed whose buffer holds no first step of an episode.

    Neither the learner nor what the buffer draws for it changes."""
    critic = FQE(
        policy=learner.choose,
        hidden=learner.hidden,
        layer_norm=True,
        encoder=learner.encoder,
        batch_size=learner.batch_size,
        discount=learner.discount,
        schedule="linear",
        schedule_updates=updates,
    )
    critic.setup(buffer.spec, learner.seeds, learner.device, precision)
    critic.normalizer = learner.normalizer  # the policy takes what it was trained with
    data = buffer.drawn_apart("fqe batch")
    first = data.sample(learner.batch_size, learner.discount, batches=CHUNK)
    scale = _scale(first, learner.reward_shift)
    _fit(critic, data, learner.reward_shift, scale, updates)
    value = _mean_value(critic, buffer.first_obs(STARTS))
    return value * scale.squeeze(-1).cpu().numpy()


def _scale(batches: list[Batch], shift: float) -> Tensor:
    """The discounted sum of absolute rewards, if rewards and ends came at random,
    [P, 1]; 1 where all rewards are 0."""
    rewards = torch.stack([batch.reward - shift for batch in batches])
    discounts = torch.stack([batch.discount for batch in batches])
    reward = rewards.abs().mean((0, 2))
    discount = discounts.mean((0, 2))
    scale = reward / (1 - discount).clamp(min=LEAST)  # [P]
    return torch.where(scale > 0, scale, torch.ones_like(scale)).unsqueeze(-1)


def _fit(critic: FQE, data: Buffer, shift: float, scale: Tensor, updates: int) -> None:
    """Fit a critic to rewards without the learner's shift, divided by `scale`."""
    has_data = data.size > 0
    # the normaliser multiplies rewards by the learner's factor
    unit = scale * critic.normalizer.reward_factor
    horizon = 1 / max(1 - critic.discount, LEAST)
    first_share = min(2 * SETTLING * horizon / updates, 1.0)
    name = "off-policy evaluation"
    with phase(name, updates, "updates", advice.OFF_POLICY) as current:
        while critic.updates < updates:
            count = min(CHUNK, updates - critic.updates)
            critic.polyak = first_share * (1 - critic.updates / updates)
            for batch in data.sample(critic.batch_size, critic.discount, batches=count):
                reward = (batch.reward - shift) / unit
                critic.update(batch._replace(reward=reward), has_data)
            current.advance(count)


def _mean_value(critic: FQE, starts: list[np.ndarray]) -> np.ndarray:
    """The mean value of the first observations [n, *O] of every seed, [P].

    They are valued in parts of one size, so that the arithmetic of a seed does not
    depend on how many the others have."""
    counts = np.array([len(obs) for obs in starts])
    total = np.zeros(len(starts))
    for first in range(0, counts.max(), PART):
        places = np.arange(first, first + PART)
        part = np.stack([_repeated(obs, places) for obs in starts])
        is_start = places < counts[:, None]
        total += np.where(is_start, critic.value(part), 0).sum(-1)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _repeated(obs: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Observations at these places, over and over again; zeros if there are none."""
    if not len(obs):
        return np.zeros((len(places), *obs.shape[1:]), obs.dtype)
    return obs[places % len(obs)]
