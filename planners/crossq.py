"""A soft actor-critic without target networks (Bhatt et al. 2024, CrossQ), trained up
to a level by sb3-contrib."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sb3_contrib import CrossQ as Algorithm

from curriculum.planners._expert.expert import Expert


@dataclass(kw_only=True)
class CrossQ(Expert):
    """For box actions, not for pictures; batch normalisation stands in for the target
    networks."""

    # training stops at the first evaluation with this success rate; 0: no such level
    until_success: float = 0.0
    # training stops at the first evaluation with this mean return; None: at none
    until_return: float | None = None
    # environment steps of training at most; a level not reached by then is an error
    max_steps: int = 100_000
    # environment steps between evaluations: with fewer it stops nearer to the level
    eval_every: int = 500
    eval_episodes: int = 100  # episodes of an evaluation, played greedily
    rows: int = 8  # environments it is trained in, stepped together
    updates_per_step: float = 0.5  # gradient updates per environment step
    learning_rate: float = 1e-3  # of Adam
    batch_size: int = 256  # transitions of one update
    hidden: tuple[int, ...] = (256, 256)  # widths of the layers
    discount: float = 0.99  # how much the next step counts
    learning_starts: int = 1_000  # random environment steps before the first update
    capacity: int = 100_000  # transitions remembered
    policy_delay: int = 3  # updates of the critics for one of the policy
    # act by the mean; otherwise draw from the policy, as in training
    deterministic: bool = True
    seed: int = 0  # of training
    # folder of trained experts, each found again by its settings
    cache: str = "runs/experts"

    name: ClassVar[str] = "crossq"
    algorithm: ClassVar = Algorithm
    discrete: ClassVar[bool] = False

    def settings(self) -> dict[str, Any]:
        """How rarely the policy moves."""
        return {"policy_delay": self.policy_delay}
