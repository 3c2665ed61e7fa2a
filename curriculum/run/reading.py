"""What the learner of a run says about a batch of states: its actions, their
probabilities and its values.

Letters: P seeds, n states, A actions (of a box: numbers of an action).
"""

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from curriculum.data.states import States
from curriculum.learning.learner import Learner
from curriculum.learning.networks import ObsNetwork
from curriculum.learning.values import DiscreteValues
from curriculum.types import Batch

CHUNK = 256  # states read at once
ACTOR = "its actor"
SOFTMAX = "softmax of its Q"
GREEDY = "its greedy action alone"


class Reading(NamedTuple):
    """What a learner says; what it does not know is None.

    Values are in the learner's units: rewards times its reward factor."""

    policy: str  # what `probs` come from
    chosen: np.ndarray  # [P, n] or [P, n, A]: what it does when it is evaluated
    probs: np.ndarray | None = None  # [P, n, A], where a distribution is known
    # [P, n] log of the probability, or density, of the data's action
    log_prob: np.ndarray | None = None
    error: np.ndarray | None = None  # [P, n] squared distance of `chosen` to the data
    q: np.ndarray | None = None  # [P, n, A] of all discrete actions
    q_data: np.ndarray | None = None  # [P, n]
    q_chosen: np.ndarray | None = None  # [P, n]
    value: np.ndarray | None = None  # [P, n] V(s), of learners that have one
    td_error: np.ndarray | None = None  # [P, n] one step


def read(learner: Learner, states: States) -> Reading:
    """Ask a learner about states, part by part."""
    parts = [
        _read_part(learner, states, slice(first, first + CHUNK))
        for first in range(0, len(states), CHUNK)
    ]
    joined = {}
    for name in Reading._fields[1:]:
        arrays = [getattr(part, name) for part in parts]
        if arrays[0] is not None:
            joined[name] = np.concatenate(arrays, 1)
    return Reading(parts[0].policy, **joined)


@torch.no_grad()
def _read_part(learner: Learner, states: States, part: slice) -> Reading:
    batch = learner.normalizer.prepare(_batch(learner, states, part))
    noise = learner.head.noise.state()
    action = learner.choose(batch.obs)
    found: dict[str, Tensor] = {}
    found |= _values(learner, batch, action)
    policy, own = _policy(learner, batch, found.get("q"))
    found |= own
    reported = learner.diagnose(batch)
    learner.head.noise.load(noise)
    if "td_error" in reported:
        found["td_error"] = reported["td_error"]
    if not learner.head.actions:
        found["error"] = learner.head.action_error(action, batch.action)
        if policy == ACTOR and "log_prob_data" in reported:
            found["log_prob"] = reported["log_prob_data"]
    arrays = {name: value.cpu().numpy() for name, value in found.items()}
    return Reading(policy, action.cpu().numpy(), **arrays)


def _batch(learner: Learner, states: States, part: slice) -> Batch:
    """One-step transitions of the data, the same for every seed."""
    seeds = len(learner.seeds)

    def same_for_all(column: np.ndarray) -> Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(column[part]))
        return tensor.to(learner.device).expand(seeds, *tensor.shape)

    discount = learner.discount * ~states.terminated
    batch = Batch(
        obs=same_for_all(states.obs),
        action=same_for_all(states.action),
        reward=same_for_all(states.reward + np.float32(learner.reward_shift)),
        discount=same_for_all(discount.astype(np.float32)),
        next_obs=same_for_all(states.next_obs),
    )
    if "label" in learner.columns:  # the data have none
        batch = batch._replace(
            label=batch.action, has_label=torch.zeros_like(batch.reward)
        )
        batch = batch._replace(**_undecided(learner, batch))
    if "action_window" in learner.columns:
        batch = batch._replace(**_windows_of_one(learner, batch))
    if "mc_return" not in learner.columns:
        return batch
    returns = states.returns(learner.discount, learner.reward_shift)
    known = np.where(np.isnan(returns), -np.inf, returns).astype(np.float32)
    return batch._replace(mc_return=same_for_all(known))


def _undecided(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Columns of planner's decisions where there are none."""
    found: dict[str, Tensor] = {}
    for name in ("label_value", "label_stake"):
        if name in learner.columns:
            found[name] = torch.zeros_like(batch.reward)
    if "soft_label" in learner.columns:
        shape = (*batch.reward.shape, learner.head.actions)
        found["soft_label"] = batch.reward.new_zeros(shape)
    return found


def _windows_of_one(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Windows of one step, as if episodes ended there."""
    shape = (*batch.reward.shape, learner.n_step)
    window = batch.action.new_zeros((*shape, *batch.action.shape[2:]))
    window[:, :, 0] = batch.action
    taken = batch.reward.new_zeros(shape)
    taken[..., 0] = 1
    return {"action_window": window, "window_taken": taken}


def _values(learner: Learner, batch: Batch, action: Tensor) -> dict[str, Tensor]:
    """Q of the data's action, of the chosen one and of all, and V, averaged over
    critics; empty for a learner without values."""
    found: dict[str, Tensor] = {}
    if learner.critic in learner.nets:
        critic = cast(ObsNetwork, learner.nets[learner.critic])
        values = learner.head.values(critic, batch.obs)
        found["q_data"] = values.of(batch.action).mean(1)
        found["q_chosen"] = values.of(action).mean(1)
        if isinstance(values, DiscreteValues):
            found["q"] = values.q.mean(1)
    if learner.state_value in learner.nets:
        found["value"] = learner.estimate(batch.obs)
    return found


def _policy(
    learner: Learner, batch: Batch, q: Tensor | None
) -> tuple[str, dict[str, Tensor]]:
    """The distribution that the learner acts by, of discrete actions."""
    if type(learner).choose is not Learner.choose:
        return GREEDY, {}
    if learner.actor in learner.nets:
        if not learner.head.actions:
            return ACTOR, {}
        actor = cast(ObsNetwork, learner.nets[learner.actor])
        logits = actor(batch.obs).squeeze(1)
        source = ACTOR
    elif q is not None:
        logits = q
        source = SOFTMAX
    else:
        return GREEDY, {}
    log_probs = logits.log_softmax(-1)
    index = batch.action.unsqueeze(-1)
    return source, {
        "probs": log_probs.exp(),
        "log_prob": log_probs.gather(-1, index).squeeze(-1),
    }
