"""Weights of a learner's losses that fall in the course of a run."""

import numpy as np

from curriculum.learning.learner import Learner
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Decay, State

FOLLOWS_PLANNER = "planning-rate"


class WeightSchedules:
    """Sets the factors on the weights of the regularizer and of labels before
    updates."""

    def __init__(self, config: Config, learner: Learner):
        self.regularizer = _schedule(config, "regularizer_decay")
        self.label = _schedule(config, "label_decay")
        name = type(learner).__name__
        if self.regularizer and not learner.regularized:
            raise ValueError(
                "--regularizer-decay lowers the weight of a term that keeps the "
                f"learner close to the data, and {name} has none; choose "
                "--learner cql, calql or td3bc, or leave it out"
            )
        if self.label and not learner.label_weight:
            raise ValueError(
                "--label-decay lowers --learner.label-weight, which is 0; give both"
            )

    def apply(self, learner: Learner, step: int, planning_rate: np.ndarray) -> None:
        """Set the factors for the updates after environment step `step`, at planning
        rates [P]."""
        if not (self.regularizer or self.label):
            return
        learner.schedule_weights(
            regularizer=_factor(self.regularizer, step, planning_rate),
            label=_factor(self.label, step, planning_rate),
        )

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        schedules = {"regularizer": self.regularizer, "label": self.label}
        return {
            name: schedule.state()
            for name, schedule in schedules.items()
            if not isinstance(schedule, str)
        }

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        for name, saved in state.items():
            getattr(self, name).load(saved)


def _schedule(config: Config, flag: str) -> Decay | str:
    """The decay that a flag chooses, or the word that takes its place; empty where the
    weight stays."""
    choice = getattr(config, flag)
    if plugins.is_none(flag, choice):
        return "" if choice == "none" else choice
    decay = config.plugged()[flag]
    if decay.listens:
        written = flag.replace("_", "-")
        raise ValueError(
            f"--{written} {plugins.name_of(flag, choice)} moves on evaluations, which "
            f"only --decay is shown; --{written} {FOLLOWS_PLANNER} follows it"
        )
    return decay


def _factor(
    schedule: Decay | str, step: int, planning_rate: np.ndarray
) -> np.ndarray | None:
    """The factor [P] at a step; None where the weight stays."""
    if not schedule:
        return None
    if isinstance(schedule, str):
        return planning_rate
    return np.broadcast_to(schedule.rate(step), planning_rate.shape).astype(float)
