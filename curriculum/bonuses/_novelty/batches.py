"""What bonuses do with every batch: seeds without data, observations, and the unit."""

import torch
from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.types import Batch

# updates between batches that the running statistics of observations take in
EVERY = 16


def present_in(batch: Batch) -> Tensor:
    """1 for seeds that the batch has data of, 0 for those whose buffer is empty and
    whose part of the batch is zeros, [P]."""
    continues = (batch.discount != 0).any(-1)
    moves = (batch.next_obs != 0).flatten(1).any(-1)
    return (continues | moves).float()


def in_units(
    novelty: Tensor, unit: Tensor | float, coef: float, present: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The bonus [P, B] that pays `novelty` [P, B] in units [P], and nothing to seeds
    without data, beside its mean, deviation and weight to log."""
    if isinstance(unit, Tensor):
        unit = unit.unsqueeze(-1)
    bonus = coef * novelty / unit * present.unsqueeze(-1)
    return bonus, {
        "bonus_mean": bonus.mean(-1),
        "bonus_std": bonus.std(-1),
        "coef": torch.full_like(bonus[:, 0], coef),
    }


def show_observations(networks: Learner, batch: Batch, present: Tensor) -> None:
    """Show next observations to the normaliser of networks: the first batch of a seed,
    then one in EVERY."""
    normalizer = networks.normalizer
    wanted = normalizer.unseen
    if networks.updates % EVERY == 0:
        wanted[:] = True
    if wanted.any():
        obs = batch.next_obs.cpu().numpy()
        normalizer.add(obs, wanted & (present.cpu().numpy() > 0))
