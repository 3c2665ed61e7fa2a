"""What falls in the course of a run: weights of a learner's losses, exploration."""

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


class ExplorationSchedule:
    """Sets how much a learner explores before it acts."""

    def __init__(self, config: Config, learner: Learner):
        self.decay = _schedule(config, "exploration_decay")
        if self.decay and type(learner).act is not Learner.act:
            raise ValueError(
                f"--exploration-decay lowers --learner.exploration, and "
                f"{type(learner).__name__} explores by its own policy; leave it out"
            )

    def apply(self, learner: Learner, step: int) -> None:
        """Set the exploration for the actions at environment step `step`."""
        if isinstance(self.decay, str):
            return
        seeds = len(learner.seeds)
        learner.schedule_exploration(np.broadcast_to(self.decay.rate(step), seeds))

    def at(self, learner: Learner, step: int) -> np.ndarray:
        """What `apply` makes of the exploration at a step, [P]."""
        if isinstance(self.decay, str):
            return learner.exploration_now.copy()
        seeds = len(learner.seeds)
        return learner.exploration_at(np.broadcast_to(self.decay.rate(step), seeds))

    def state(self) -> State:
        """Return everything `load` needs to continue exactly from here."""
        return {} if isinstance(self.decay, str) else self.decay.state()

    def load(self, state: State) -> None:
        """Restore what `state` returned."""
        if not isinstance(self.decay, str):
            self.decay.load(state)


def _schedule(config: Config, flag: str) -> Decay | str:
    """The decay that a flag chooses, or the word that takes its place; empty where
    nothing falls."""
    choice = getattr(config, flag)
    if plugins.is_none(flag, choice):
        return "" if choice == "none" else choice
    decay = config.plugged()[flag]
    if decay.listens:
        written = flag.replace("_", "-")
        advice = "choose another one"
        if plugins.is_none(flag, FOLLOWS_PLANNER):
            advice = f"--{written} {FOLLOWS_PLANNER} follows it"
        raise ValueError(
            f"--{written} {plugins.name_of(flag, choice)} moves on evaluations, which "
            f"only --decay is shown; {advice}"
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
