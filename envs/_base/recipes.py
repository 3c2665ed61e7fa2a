"""Settings that hand over without a dip, for worlds whose planner is worth imitating.

The learner first learns from the planner's start. Beside its temporal-difference loss
it clones the planner's own actions by a margin (Hester et al. 2018, arXiv 1704.03732),
and its conservatism (Kumar et al. 2020, arXiv 2006.04779) fades as it collects its own
data.
"""

from typing import Any

HAND_OVER: dict[str, Any] = {
    "learner": "cql",
    "learner.learning_rate": 3e-3,
    "learner.label_weight": 1.0,
    "regularizer_decay": "exponential",
    "regularizer_decay.half_life": 4_000,
    "offline_updates": 2_000,
    "updates_per_step": 0.15,
}
