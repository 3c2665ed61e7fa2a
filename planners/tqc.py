"""A soft actor-critic of truncated quantile critics (Kuznetsov et al. 2020), trained up
to a level by sb3-contrib."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sb3_contrib import TQC as Algorithm

from curriculum.planners._expert.expert import Expert


@dataclass(kw_only=True)
class TQC(Expert):
    """For box actions; leaving out each critic's highest quantiles keeps it from hoping
    for too much."""

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
    # widths of the layers; of those behind the convolutions, for pictures
    hidden: tuple[int, ...] = (128, 128)
    discount: float = 0.99  # how much the next step counts
    learning_starts: int = 1_000  # random environment steps before the first update
    capacity: int = 100_000  # transitions remembered
    quantiles: int = 25  # of the return, estimated by each of the two critics
    # highest quantiles left out for each critic: more is more cautious
    dropped: int = 2
    # share of the way that the target networks go in an update
    target_rate: float = 0.01
    # act by the mean; otherwise draw from the policy, as in training
    deterministic: bool = True
    seed: int = 0  # of training
    # folder of trained experts, each found again by its settings
    cache: str = "runs/experts"

    name: ClassVar[str] = "tqc"
    algorithm: ClassVar = Algorithm
    discrete: ClassVar[bool] = False

    def settings(self) -> dict[str, Any]:
        """Quantiles and the target networks."""
        policy = {"n_quantiles": self.quantiles}
        return {
            "policy_kwargs": policy,
            "top_quantiles_to_drop_per_net": self.dropped,
            "tau": self.target_rate,
        }
