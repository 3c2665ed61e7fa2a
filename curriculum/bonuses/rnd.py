"""RND: random network distillation (Burda et al. 2018, arXiv 1810.12894).

    bonus(s')    = coef * |predictor(s') - target(s')|^2 / sd
    L(predictor) = E[|predictor(s') - target(s')|^2]

As in the paper, observations are normalised by running statistics and clipped to
[-5, 5]. A feature with useful bounds is scaled by these instead, as for the learner.

Differs from the paper, to fit a replay buffer: the bonus is recomputed for every
sampled batch, so it never goes stale; `sd` is the running standard deviation of the
error itself, not of discounted intrinsic returns, since the transitions of a batch are
not in order; the coefficient decays linearly. Bonus and reward have one critic, with
one discount, so the intrinsic return ends with the episode: the paper's second critic,
whose returns go on over the ends of episodes, would have to be in every learner. With
n-step rewards, s' is the state n steps later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, Bonus, Spec, State, at_most, within

# updates between batches that the running statistics of observations take in
EVERY = 16


@dataclass(kw_only=True)
class RND(Bonus):
    """Reward states whose random features the predictor has not learnt: rare states."""

    # weight of the bonus, in standard deviations of the prediction error; 0: no bonus
    coef: float = 1.0
    # environment steps in which the weight decreases linearly to 0
    duration: int = 10_000
    embedding: int = 32  # features of a state
    width: int = 64  # hidden units of target and predictor
    # of the predictor; if it is too high nothing stays new, if too low everything does
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "coef")
        at_most(self, 1e6, "coef")
        within(self, 0, float("inf"), "learning_rate")
        at_most(self, 100, "learning_rate")
        within(self, 1, float("inf"), "duration", "embedding", "width")

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str = "cpu") -> Self:
        networks = _Distillation(
            embedding=self.embedding,
            hidden=(self.width,),
            learning_rate=self.learning_rate,
        )
        self.networks = networks.setup(spec, seeds, device)
        self.errors = _Deviation(len(seeds), device)
        return self

    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        present = _present(batch)
        self._observe(batch, present)
        networks = self.networks
        with torch.no_grad():
            obs = networks.normalizer.normalize(batch.next_obs)
            error = networks.prediction_error(obs)  # [P, B]
        networks.finish_update(networks.step(batch, self.learning_rate, present))
        self.errors.add(error, present)
        coef = self.coef * max(0.0, 1 - step / self.duration)
        bonus = coef * error / self.errors.deviation().unsqueeze(-1)
        return bonus, {
            "bonus_mean": bonus.mean(-1),
            "bonus_std": bonus.std(-1),
            "predictor_loss": error.mean(-1),
            "coef": torch.full_like(error[:, 0], coef),
        }

    def _observe(self, batch: Batch, present: Tensor) -> None:
        """Show observations to the normaliser: the first batch of a seed, then one in
        EVERY."""
        normalizer = self.networks.normalizer
        wanted = normalizer.unseen
        if self.networks.updates % EVERY == 0:
            wanted[:] = True
        if wanted.any():
            obs = batch.next_obs.cpu().numpy()
            normalizer.add(obs, wanted & (present.cpu().numpy() > 0))

    def state(self) -> State:
        return {"networks": self.networks.state(), "errors": self.errors.sums.clone()}

    def load(self, state: State) -> None:
        self.networks.load(state["networks"])
        self.errors.sums.copy_(state["errors"])


def _present(batch: Batch) -> Tensor:
    """1 for seeds that the batch has data of, 0 for those whose buffer is empty and
    whose part of the batch is zeros, [P]."""
    continues = (batch.discount != 0).any(-1)
    moves = (batch.next_obs != 0).flatten(1).any(-1)
    return (continues | moves).float()


class _Deviation:
    """Running standard deviation of the numbers of each seed."""

    def __init__(self, seeds: int, device: str):
        # count, sum and sum of squares, [3, P]
        self.sums = torch.zeros(3, seeds, dtype=torch.float64, device=device)

    def add(self, numbers: Tensor, present: Tensor) -> None:
        """Take in numbers [P, n] of the seeds that are 1 in `present` [P]."""
        count = torch.full_like(numbers[:, 0], numbers.shape[-1])
        total = numbers.sum(-1)
        squares = numbers.square().sum(-1)
        self.sums += torch.stack([count, total, squares]) * present

    def deviation(self) -> Tensor:
        """Standard deviation [P] of all numbers so far."""
        count, total, squares = self.sums
        count = count.clamp(min=1)
        variance = squares / count - (total / count) ** 2
        return variance.clamp(min=1e-12).sqrt().float()


@dataclass(kw_only=True)
class _Distillation(Learner):
    """A predictor that learns the outputs of a random target."""

    obs_limit: ClassVar[float] = 5.0

    embedding: int = 32

    def build(self) -> Mapping[str, Network | nn.Module]:
        return {
            "target": self.head.network(self.embedding),
            "predictor": self.head.network(self.embedding),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"predictor": self.prediction_error(batch.next_obs).mean(-1)}

    def prediction_error(self, obs: Tensor) -> Tensor:
        """Squared error [P, B] at normalised observations."""
        with torch.no_grad():
            target = self.net.target(obs)
        error = self.net.predictor(obs) - target  # [P, 1, B, embedding]
        return error.square().mean(-1).squeeze(1)
