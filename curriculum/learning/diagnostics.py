"""What learners report of their critics, for every transition of a batch.

All learners use these names, so that their curves can be compared:

    td_error         |target - Q(s, a)|
    q_data           Q(s, a) of the data's actions
    q_policy         Q(s, b) of the policy's actions
    q_gap            q_policy - q_data
    target_lag       |Q(s, a) - Q'(s, a)|, Q' the target network
    critic_std       standard deviation of Q(s, b) over critics, if there are several
    cloning_error    how far b is from a: 0 or 1 for discrete actions, the mean squared
                     error of the numbers of a box action

Policies report `policy_entropy` and `log_prob_data`, the log-probability (box actions:
log-density) of a: see `ActionDistribution.diagnostics`. State values are `value`,
advantages `advantage`.

Values are averaged over critics and are in units of scaled rewards. Letters: P seeds, K
critics, B batch.
"""

from torch import Tensor

from curriculum.learning.learner import Learner
from curriculum.types import Batch


def critic_diagnostics(
    learner: Learner, batch: Batch, target: Tensor
) -> dict[str, Tensor]:
    """What to log of the critic `net.q`, [P, B] each; `target` [P, 1, B] is what
    Q(s, a) is fitted to."""
    head = learner.head
    values = head.values(learner.net.q, batch.obs)
    q_data = values.of(batch.action)  # [P, K, B]
    action = learner.choose(batch.obs)
    q_policy = values.of(action)
    slow_q = head.values(learner.slow.q, batch.obs).of(batch.action)
    found = {
        "td_error": (target - q_data).abs().mean(-2),
        "q_data": q_data.mean(-2),
        "q_policy": q_policy.mean(-2),
        "q_gap": (q_policy - q_data).mean(-2),
        "target_lag": (q_data - slow_q).abs().mean(-2),
        "cloning_error": head.action_error(action, batch.action),
    }
    if q_policy.shape[-2] > 1:
        found["critic_std"] = q_policy.std(-2)
    return found
