"""A deep Q-network (Mnih et al. 2015), trained up to a level by Stable-Baselines3."""

from dataclasses import dataclass
from typing import Any, ClassVar

from stable_baselines3 import DQN as Algorithm

from curriculum.planners._expert.expert import Expert


@dataclass(kw_only=True)
class DQN(Expert):
    """For discrete actions, of which it takes the best."""

    # training stops at the first evaluation with this success rate; 0: no such level
    until_success: float = 0.0
    # training stops at the first evaluation with this mean return; None: at none
    until_return: float | None = None
    # environment steps of training at most; a level not reached by then is an error
    max_steps: int = 200_000
    # environment steps between evaluations: with fewer it stops nearer to the level
    eval_every: int = 1_000
    eval_episodes: int = 100  # episodes of an evaluation, played greedily
    rows: int = 32  # environments it is trained in, stepped together
    updates_per_step: float = 0.5  # gradient updates per environment step
    learning_rate: float = 1e-3  # of Adam
    batch_size: int = 64  # transitions of one update
    # widths of the layers; of those behind the convolutions, for pictures
    hidden: tuple[int, ...] = (128, 128)
    discount: float = 0.99  # how much the next step counts
    learning_starts: int = 1_000  # random environment steps before the first update
    capacity: int = 100_000  # transitions remembered
    exploration: float = 0.05  # share of random actions that is left in the end
    explore_steps: int = 5_000  # environment steps in which that share falls from 1
    target_every: int = 500  # environment steps between copies to the target network
    seed: int = 0  # of training
    # folder of trained experts, each found again by its settings
    cache: str = "runs/experts"

    name: ClassVar[str] = "dqn"
    algorithm: ClassVar = Algorithm
    discrete: ClassVar[bool] = True

    def settings(self) -> dict[str, Any]:
        """Exploration and the target network."""
        return {
            "exploration_final_eps": self.exploration,
            "exploration_fraction": min(1.0, self.explore_steps / self.max_steps),
            "target_update_interval": self.target_every,
        }
