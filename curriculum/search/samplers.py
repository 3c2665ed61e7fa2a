"""How a search chooses the next setting from the results so far."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from curriculum.search.schedule import Trial
from curriculum.search.space import CHOICE, Parameter, Settings

NAMES = ("tpe", "random", "grid")
ATTEMPTS = 5  # of TPE to propose a setting that was not tried
STARTUP = 8  # trials that TPE draws at random before it learns from them


class Sampler(Protocol):
    """Chooses settings; the same results bring the same settings."""

    def propose(self, trials: Sequence[Trial]) -> Settings | None:
        """The setting of the next trial, given all earlier ones; None if there is no
        other one."""


def make(name: str, space: Sequence[Parameter], seed: int, maximize: bool) -> Sampler:
    """Make a sampler by its name; ValueError says what it lacks."""
    if name == "grid":
        return Grid(space)
    if name == "random":
        return Random(space, seed)
    if find_spec("optuna") is None:
        raise ValueError(
            "--sampler tpe needs Optuna: pip install 'planning-curriculum[search]'; "
            "--sampler random needs nothing"
        )
    return TPE(space, seed, maximize)


class Random:
    """Independent uniform settings."""

    def __init__(self, space: Sequence[Parameter], seed: int):
        self.space = space
        self.generator = np.random.default_rng(seed)

    def propose(self, trials: Sequence[Trial]) -> Settings:
        shares = self.generator.random(len(self.space))
        pairs = zip(self.space, shares, strict=True)
        return {
            parameter.flag: parameter.at(float(share)) for parameter, share in pairs
        }


class Grid:
    """All combinations of choices, in order."""

    def __init__(self, space: Sequence[Parameter]):
        for parameter in space:
            if parameter.kind != CHOICE:
                raise ValueError(
                    f"--sampler grid needs choices; give --search "
                    f'"{parameter.flag}=choice(...)"'
                )
        flags = [parameter.flag for parameter in space]
        every = itertools.product(*(parameter.choices for parameter in space))
        self.settings: list[Settings] = [
            dict(zip(flags, values, strict=True)) for values in every
        ]

    def propose(self, trials: Sequence[Trial]) -> Settings | None:
        return self.settings[len(trials)] if len(trials) < len(self.settings) else None


class TPE:
    """The tree-structured Parzen estimator of Bergstra et al. (2011), by Optuna, over
    all parameters together.

    Where it insists on settings that were tried, one is drawn at random instead. Every
    proposal shows Optuna all trials anew, those that were stopped behind those
    that came further, and those under way as likely to be bad (a constant liar): so
    nothing of it is kept on disk."""

    def __init__(self, space: Sequence[Parameter], seed: int, maximize: bool):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.maximize = maximize
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some options are experimental
            self.sampler = optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=STARTUP,
                multivariate=True,
                constant_liar=True,
            )
        self.random = Random(space, seed)
        self.distributions = {each.flag: _distribution(each) for each in space}

    def propose(self, trials: Sequence[Trial]) -> Settings:
        import optuna

        direction = optuna.study.StudyDirection(1 + self.maximize)
        study = optuna.create_study(direction=direction, sampler=self.sampler)
        study.add_trials([self._known(trial) for trial in trials])
        tried = [trial.settings for trial in trials]
        for _ in range(ATTEMPTS):
            settings = self._settings(study.ask(self.distributions).params)
            if settings not in tried:
                return settings
        return self.random.propose(trials)

    def _settings(self, drawn: Mapping[str, Any]) -> Settings:
        """What Optuna has drawn, as settings."""
        return {
            each.flag: drawn[each.flag]
            if each.kind == CHOICE
            else each.rounded(drawn[each.flag])
            for each in self.space
        }

    def _known(self, trial: Trial) -> Any:
        """A trial as Optuna knows it."""
        from optuna.trial import TrialState, create_trial

        state = TrialState.RUNNING
        if trial.problem:
            state = TrialState.FAIL
        elif trial.is_complete:
            state = TrialState.COMPLETE
        elif trial.values and not trial.is_running:
            state = TrialState.PRUNED
        value = trial.values[-1] if state == TrialState.COMPLETE else None
        return create_trial(
            state=state,
            value=value,
            params=trial.settings,
            distributions=self.distributions,
            intermediate_values=dict(enumerate(trial.values)),
        )


def _distribution(parameter: Parameter) -> Any:
    """A parameter as Optuna describes it."""
    from optuna import distributions

    if parameter.kind == CHOICE:
        return distributions.CategoricalDistribution(parameter.choices)
    log = parameter.is_logarithmic
    if parameter.is_whole:
        low, high = int(parameter.low), int(parameter.high)
        return distributions.IntDistribution(low, high, log=log)
    return distributions.FloatDistribution(parameter.low, parameter.high, log=log)
