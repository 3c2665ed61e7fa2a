"""Experts that learn a soft actor-critic: what those for box actions share."""

from dataclasses import dataclass
from typing import ClassVar

from curriculum.planners._expert.expert import TrainedExpert


@dataclass(kw_only=True)
class ActorCritic(TrainedExpert):
    """Learns a stochastic policy whose entropy bonus is tuned automatically."""

    # maximum environment steps of training; a goal not reached by then is an error;
    # without a goal the best policy of all evaluations is kept
    max_steps: int = 100_000
    # environment steps between evaluations; with fewer, training stops closer to the
    # goal; without a goal there are at most 20
    eval_every: int = 500
    rows: int = 8  # training environments, stepped together
    batch_size: int = 256  # transitions in one update
    # act by the mean of the policy; otherwise draw from it, as in training
    deterministic: bool = True

    discrete: ClassVar[bool] = False
