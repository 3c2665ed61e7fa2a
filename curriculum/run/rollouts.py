"""Episodes of the learner of a run, alone, with what it expected of them and what a
planner would have done in its place.

Letters: P seeds, E episodes of each, N = P * E rows.
"""

import copy
from typing import NamedTuple

import numpy as np

from curriculum.data.states import NEGLIGIBLE
from curriculum.envs._base.door import Door
from curriculum.learning.learner import Learner
from curriculum.run import advice
from curriculum.run.evaluation import FREE_RUN, evaluation_door, final_episodes, play
from curriculum.run.guard import Guard, set_up
from curriculum.types import Planner, Spec, World


class Rollouts(NamedTuple):
    """Final episodes, [P, E]."""

    # discounted, in rewards of the world with the learner's shift; nan where
    # evaluations have other rewards than training
    returns: np.ndarray
    value: np.ndarray  # expected at the first observation; nan without values
    # episodes that were cut while the rewards to come still had weight
    is_cut: np.ndarray
    # how far the learner is from the planner that was asked at every step, [P]: the
    # share of equal actions, or the mean squared difference of box actions
    agreement: np.ndarray | None = None


def roll_out(
    learner: Learner,
    world: World,
    spec: Spec,
    episodes: int,
    planner: Planner | None = None,
) -> Rollouts:
    """Let the learner of every seed play alone; a planner says at every step what it
    would do."""
    shape = (len(learner.seeds), episodes)
    value = np.full(shape, np.nan)
    owners = [f"evaluation of seed {seed}" for seed in learner.seeds]
    with evaluation_door(world, final_episodes(episodes), owners) as door:
        judge = _Judge(planner, door, learner, spec, shape) if planner else None

        def act(obs: np.ndarray, now: np.ndarray) -> np.ndarray:
            all_obs = door.obs.reshape(*shape, *door.obs.shape[1:])
            if not door.rows.time.any():
                value[:] = _first_values(learner, all_obs)
            action = learner.act(all_obs)
            action = action.reshape(-1, *action.shape[2:])[now]
            if judge:
                judge.compare(obs, now, action)
            return action

        hint = advice.mixed(planner) if planner else advice.EVALUATION
        played = play(act, door, hint=hint, discount=learner.discount)
        limit = door.rows.world.max_steps or FREE_RUN
    played = played.reshape(*shape)
    returns = played.discounted + _shift(learner, played.length)
    weight_left = learner.discount**played.length
    is_cut = (played.length >= limit) & (weight_left > NEGLIGIBLE)
    if world.evaluated() != world:
        returns[:] = np.nan
    return Rollouts(
        returns=returns,
        value=value,
        is_cut=is_cut,
        agreement=judge.agreement() if judge else None,
    )


def _first_values(learner: Learner, obs: np.ndarray) -> np.ndarray | float:
    """Values [P, E] in rewards of the world; nan if the learner has none."""
    if not {learner.state_value, learner.critic} & learner.nets.keys():
        return np.nan
    return learner.value(obs) / learner.normalizer.reward_factor.cpu().numpy()


def _shift(learner: Learner, length: np.ndarray) -> np.ndarray:
    """What the learner's shift of every reward adds to discounted returns, [P, E]."""
    if learner.discount == 1:
        return learner.reward_shift * length
    weights = (1 - learner.discount**length) / (1 - learner.discount)
    return learner.reward_shift * weights


class _Judge:
    """A planner that is asked what it would do, and does nothing."""

    def __init__(
        self,
        planner: Planner,
        door: Door,
        learner: Learner,
        spec: Spec,
        shape: tuple[int, int],
    ):
        own = set_up(copy.deepcopy(planner), door.rows, spec, learner.seeds)
        self.guard = Guard(own, spec, instead="its step does not count")
        self.episodes = shape[1]
        self.total = np.zeros(shape[0])
        self.steps = np.zeros(shape[0])

    def compare(self, obs: np.ndarray, now: np.ndarray, action: np.ndarray) -> None:
        """Compare the learner's actions in the rows `now` with the planner's."""
        planned = self.guard.ask(obs, now).action
        self.guard.interrupt(now)
        if planned is None:
            return
        if planned.ndim == 1:
            agrees = (planned == action).astype(float)
        else:
            agrees = np.square(planned - action).mean(-1)
        seed = now // self.episodes
        np.add.at(self.total, seed, agrees)
        np.add.at(self.steps, seed, 1)

    def agreement(self) -> np.ndarray:
        """Its mean over steps, [P]; nan without a valid answer."""
        steps = np.where(self.steps > 0, self.steps, np.nan)
        return self.total / steps
