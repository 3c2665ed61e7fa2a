"""RND: random network distillation (Burda et al. 2018, arXiv 1810.12894).

    bonus(s') = coef * |predictor(s') - target(s')|^2 / sd,   L(predictor) = E[|predictor(s') - target(s')|^2]

Differs from the paper, to fit a replay buffer: the bonus is recomputed whenever a batch
is sampled, so that it never goes stale; `sd` is the running standard deviation of the
error itself, not of discounted intrinsic returns; the coefficient decays linearly. With
n-step rewards it judges the state n steps later.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.learning.networks import Network
from curriculum.types import Batch, Spec, State, within


@dataclass(kw_only=True)
class RND:
    """Reward what the predictor has not yet learnt to foresee: states seen rarely."""

    # weight of the bonus, in standard deviations of the prediction error: 0 for none
    coef: float = 1.0
    # environment steps until the weight has fallen linearly to 0
    duration: int = 10_000
    embedding: int = 32  # numbers that target and predictor give a state
    width: int = 64  # hidden units of both networks
    # the predictor's: too fast and nothing stays new, too slow and everything does
    learning_rate: float = 3e-3

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "coef", "learning_rate")
        within(self, 1, float("inf"), "duration", "embedding", "width")

    def setup(self, spec: Spec, seeds: tuple[int, ...], device: str = "cpu") -> Self:
        """See `curriculum.types.Bonus`."""
        networks = _Distillation(
            embedding=self.embedding,
            hidden=(self.width,),
            learning_rate=self.learning_rate,
        )
        self.networks = networks.setup(spec, seeds, device)
        # count, sum, sum of squares
        self.moments = torch.zeros(3, len(seeds), dtype=torch.float64, device=device)
        return self

    def reward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `curriculum.types.Bonus`."""
        if not self.networks.updates:
            self.networks.fit_normalizer([obs.cpu().numpy() for obs in batch.next_obs])
        with torch.no_grad():
            # [P, B]
            error = self.networks.errors(self.networks.normalize(batch.next_obs))
        self.networks.update(batch)
        seen = torch.full_like(error[:, 0], error.shape[-1])
        self.moments += torch.stack([seen, error.sum(-1), error.square().sum(-1)])
        count, total, squares = self.moments
        # [P]
        deviation = (
            (squares / count - (total / count) ** 2).clamp(min=1e-12).sqrt().float()
        )
        coef = self.coef * max(0.0, 1 - step / self.duration)
        bonus = coef * error / deviation.unsqueeze(-1)
        log = {
            "bonus_mean": bonus.mean(-1),
            "bonus_std": bonus.std(-1),
            "predictor_loss": error.mean(-1),
        }
        return bonus, log | {"coef": torch.full_like(seen, coef)}

    def state(self) -> State:
        """Everything needed to go on exactly from here."""
        return {"networks": self.networks.state(), "moments": self.moments.clone()}

    def load(self, state: State) -> None:
        """Go back to what `state` returned."""
        self.networks.load(state["networks"])
        self.moments.copy_(state["moments"])


@dataclass(kw_only=True)
class _Distillation(Learner):
    embedding: int = 32

    def build(self) -> dict[str, Network]:
        return {
            "target": self.head.network(self.embedding),
            "predictor": self.head.network(self.embedding),
        }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"predictor": self.errors(batch.next_obs).mean(-1)}

    def errors(self, obs: Tensor) -> Tensor:
        """Squared prediction error [P, B] at normalised observations."""
        with torch.no_grad():
            target = self.net.target(obs)
        return (self.net.predictor(obs) - target).square().mean(-1).squeeze(1)
