"""Hyperparameters that all learners share."""

import math
from dataclasses import dataclass
from typing import Literal

from curriculum.types import among, at_most, within

INFINITY = float("inf")


@dataclass(kw_only=True)
class Hyperparameters:
    """Networks, optimisation, returns, scaling and exploration."""

    hidden: tuple[int, ...] = (128, 128)  # widths of the hidden layers of every network
    # of the policy's network instead, where there is one; nothing: as hidden
    actor_hidden: tuple[int, ...] = ()
    layer_norm: bool = False  # normalise hidden layers of critics and state values
    # of images: the small encoder of DQN (2013); that of DQN (2015), without and with
    # padding of its inputs; or the deeper one of IMPALA (2018)
    encoder: Literal["nips", "nature", "nature-same", "impala"] = "nature"
    # how networks of images are drawn: as layers of torch, or by Glorot & Bengio (2010)
    initialization: Literal["torch", "xavier"] = "torch"
    # of images: subtracted from pixels, which are in [0, 1]. Near their mean, a network
    # finds small things on an even background, such as a ball, after far fewer updates
    pixel_center: float = 0.0
    # of images: pixels that those of a batch are shifted by at random, each alone (DrQ:
    # Kostrikov et al. 2020, arXiv 2004.13649, with 4); 0: not at all
    random_shift: int = 0
    learning_rate: float = 1e-3  # Adam's step size
    # added to the deviation that Adam divides by: large values slow down weights with
    # small gradients
    adam_epsilon: float = 1e-8
    # how the learning rate decreases to 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    # updates after which the learning rate is 0; needed unless the schedule is constant
    schedule_updates: int = 0
    batch_size: int = 128  # transitions per update and seed
    discount: float = 0.99  # 0 sees one step ahead, towards 1 the whole future counts
    # rewards summed before bootstrapping: more steps pass rewards on faster, but also
    # the mistakes of the behaviour policy
    n_step: int = 1
    # share of the distance that target networks move per update: 1 means no target
    # networks, towards 0 they are frozen
    polyak: float = 0.01
    # updates between hard copies of target networks; 0: move them by polyak instead
    target_every: int = 0
    # discrete actions: temporal-difference errors count linearly beyond 1; otherwise
    # their squares count, twice as much below 1
    huber: bool = True
    # largest gradient norm of one network of one seed; 0: no limit
    grad_clip: float = 10.0
    # map each feature of observations to about [-1, 1], by its bounds, or by the mean
    # and deviation of all data so far where bounds are missing or far too wide
    normalize_obs: bool = True
    # added to every reward before it is scaled: -1 makes each step cost something where
    # only the goal is rewarded
    reward_shift: float = 0.0
    reward_scale: float = 1.0  # factor on rewards
    # also scale rewards so that returns of the start span 1000 (IQL's rule for
    # locomotion)
    return_range: bool = False
    # weight of cloning the planner's own actions where it was asked, beside the
    # learner's losses: 0 ignores them; see --label-share and --label-decay
    label_weight: float = 0.0
    # where a critic acts: by how much it should value the planner's action above all
    # others (Hester et al. 2018, arXiv 1704.03732)
    label_margin: float = 0.8
    # discrete actions: clone the planner's weights of all actions, such as visits of
    # its tree, instead of its action alone (Anthony et al. 2017, arXiv 1705.08439)
    soft_labels: bool = False
    # labels count in proportion to stake^stake_power, the stake being by how much the
    # planner's choice beats the mean of its alternatives: 0: all alike; 1: what decides
    # nothing is not cloned
    stake_power: float = 0.0
    # weight of half the squared amount by which the critic values the planner's action
    # below the planner's own value, taken as a lower bound (Oh et al. 2018, arXiv
    # 1806.05635, eq. 3): 0 ignores the planner's values
    bound_weight: float = 0.0
    # how discrete actions are chosen while collecting. epsilon: the best one, or a
    # random one; boltzmann: in proportion to exp(value / temperature), of an actor in
    # proportion to probability^(1 / temperature)
    selection: Literal["epsilon", "boltzmann"] = "epsilon"
    # while collecting: share of random actions, or the temperature of boltzmann; box
    # actions: standard deviation of added noise
    exploration: float = 0.05
    # what --exploration-decay leaves of it
    exploration_floor: float = 0.0

    def __post_init__(self) -> None:
        within(self, 0, 1, "discount", "polyak")
        self._check_exploration()
        within(self, 0, INFINITY, "learning_rate", "adam_epsilon")
        at_most(self, 1, "adam_epsilon")
        within(self, 0, 1, "pixel_center")
        within(self, 0, INFINITY, "random_shift")
        at_most(self, 42, "random_shift")
        at_most(self, 100, "learning_rate")
        within(self, 0, INFINITY, "grad_clip")
        at_most(self, 1e9, "grad_clip")
        within(self, 0, INFINITY, "schedule_updates", "target_every")
        within(self, 0, INFINITY, "label_weight", "label_margin", "bound_weight")
        at_most(self, 1e6, "label_weight", "label_margin", "bound_weight")
        within(self, 0, INFINITY, "stake_power")
        at_most(self, 10, "stake_power")
        within(self, -1e9, 1e9, "reward_shift")
        within(self, 1e-9, INFINITY, "reward_scale")
        at_most(self, 1e9, "reward_scale")
        within(self, 1, INFINITY, "batch_size")
        at_most(self, 1_000_000, "batch_size")
        within(self, 1, INFINITY, "n_step")
        at_most(self, 100_000, "n_step")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(
                f"hidden must name at least one positive layer width, got {self.hidden}"
            )
        if min(self.actor_hidden, default=1) < 1:
            raise ValueError(
                f"actor_hidden must name positive layer widths, got {self.actor_hidden}"
            )
        among(self, "encoder", "initialization", "schedule")
        is_constant = self.schedule == "constant"
        if is_constant != (self.schedule_updates == 0):
            raise ValueError(
                "schedule and schedule_updates go together, got "
                f"{self.schedule} and {self.schedule_updates}: give both "
                "--learner.schedule cosine and --learner.schedule-updates, or neither"
            )

    def _check_exploration(self) -> None:
        among(self, "selection")
        highest = 1 if self.selection == "epsilon" else 1e6
        within(self, 0, highest, "exploration")
        within(self, 0, self.exploration, "exploration_floor")

    def learning_rate_at(self, update: int) -> float:
        """Adam's step size after so many updates."""
        if self.schedule == "constant":
            return self.learning_rate
        progress = min(update / self.schedule_updates, 1.0)
        if self.schedule == "linear":
            return self.learning_rate * (1 - progress)
        return self.learning_rate * (0.5 * (1 + math.cos(math.pi * progress)))
