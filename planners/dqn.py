"""A deep Q-network (Mnih et al. 2015), trained by Stable-Baselines3."""

from dataclasses import dataclass
from typing import ClassVar

from stable_baselines3 import DQN as Algorithm

from curriculum.planners._expert.q_network import QNetwork


@dataclass(kw_only=True)
class DQN(QNetwork):
    """For discrete actions: takes the one with the largest Q-value."""

    name: ClassVar[str] = "dqn"
    algorithm: ClassVar = Algorithm
