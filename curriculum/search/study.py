"""The folder of a search: its runs, and the results of its trials as JSON.

A search is a function of its settings and of the results of its trials. So the results
are all that is kept: the same command proposes the same settings again, takes in the
results that are there, and goes on with what is left.
"""

import copy
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from curriculum.contract import check_foreign
from curriculum.files import write_text
from curriculum.report import measures
from curriculum.report.records import read_records
from curriculum.run import folders, mirror
from curriculum.run.fitting import require_learner_fits
from curriculum.run.lock import Lock
from curriculum.search import space
from curriculum.search.options import FRESH, Options
from curriculum.search.schedule import Job, Result, Trial, rungs_of
from curriculum.search.space import Parameter, Settings
from curriculum.setting import arms, flags
from curriculum.setting.config import Config, flat
from curriculum.setting.listening import require_listeners
from curriculum.setting.places import parent_of

DESCRIPTION = "search.yaml"
RESULTS = "search.json"
TRIALS = "trials"  # the folder of their runs
FRESH_RUN = "fresh"  # the run on fresh seeds
# flags that say nothing about what a run learns
NOT_SEARCHED = ("name", "runs-dir", "resume", "config", "trust", "preview", "listeners")
OWN = ("name", "runs_dir")  # settings of a run that say nothing about what it learns


class Study(NamedTuple):
    """A search and what is known of it."""

    lock: Lock  # of its folder
    options: Options
    words: list[str]  # the flags of its runs
    space: Sequence[Parameter]
    base: Config  # of some trial
    rungs: list[int]
    results: dict[Job, Result]
    settings: dict[int, Settings]  # of the trials that have results, by number

    @property
    def folder(self) -> Path:
        """Where the search is."""
        return self.lock.folder

    @property
    def fresh_run(self) -> Path:
        """The folder of the run of the best setting on fresh seeds."""
        return self.folder / FRESH_RUN

    @property
    def label(self) -> str:
        """What is searched for, in words."""
        return measures.label(self.options.measure)

    def run_of(self, trial: int) -> Path:
        """The folder of a trial's run."""
        return self.folder / TRIALS / f"{trial:04d}"

    def taken(self, settings: Settings) -> Settings:
        """Those of the settings that the plug-ins of a trial have."""
        names = {flag.name for flag in flags.scan(_words(self.words, settings))}
        return {flag: value for flag, value in settings.items() if flag in names}

    def shown(self, settings: Settings) -> Settings:
        """The settings, with "-" for those that the plug-ins of a trial do not have."""
        taken = self.taken(settings)
        return {flag: taken.get(flag, "-") for flag in settings}

    def config_of(self, settings: Settings) -> Config:
        """The configuration of a trial; ValueError says what is wrong with it."""
        return _config(self.words, settings)

    def fresh_config(self, settings: Settings) -> Config:
        """The configuration of a setting on fresh seeds."""
        config = copy.copy(self.config_of(settings))
        shifted = tuple(seed + FRESH + max(config.seeds) for seed in config.seeds)
        config.seeds = self.options.fresh_seeds or shifted
        return config

    def until(self, rung: int, config: Config) -> int:
        """The step at which a trial has come to a rung: rows step together. 0: its
        end."""
        if rung == len(self.rungs) - 1:
            return 0
        together = _together(config)
        return math.ceil(self.rungs[rung] / together) * together

    def keep(self, job: Job, trial: Trial, result: Result) -> None:
        """Remember a result, on disk too."""
        self.results[job] = result
        self.settings[job.trial] = trial.settings
        listed = [_as_json(job, each) for job, each in self.results.items()]
        content = {"settings": self.settings, "results": listed}
        write_text(self.folder / RESULTS, json.dumps(content, indent=1))

    def require_same(self, trial: Trial) -> None:
        """Raise ValueError where a trial that has results had another setting."""
        known = self.settings.get(trial.number, trial.settings)
        if known != trial.settings:
            raise ValueError(
                f"trial {trial.number} of {self.folder} had the setting {known} and is "
                f"now proposed with {trial.settings}: another version of Optuna or "
                "numpy chooses otherwise; begin a new search by another --name"
            )

    def measure(self, job: Job, config: Config) -> Result:
        """Read the result of a job from the records of its run."""
        position = "step" if config.steps else "updates"
        lines = [
            line
            for line in _records(self.run_of(job.trial))
            if position in line and (position == "updates" or "updates" not in line)
        ]
        rung = self.rungs[job.rung]
        slack = _together(config)
        tag = _recorded(self.options.measure, config)
        there = [
            line
            for line in lines
            if tag in line["values"]
            and rung - config.eval_every < line[position] < rung + slack
        ]
        if not there:
            raise ValueError(
                f"--measure {self.options.measure}: the run {self.run_of(job.trial)} "
                f"has not recorded it at its {position} {rung:,}"
            )
        values = np.array(there[-1]["values"][tag], float)
        value = float(values.mean())
        calls = _calls(lines, position, rung + slack)
        if job.rung:
            before = self.rungs[job.rung - 1] + slack
            calls -= _calls(lines, position, before)
        problem = "" if math.isfinite(value) else f"{tag} is not a number"
        return Result(value, calls, problem=problem)


def find(options: Options, words: list[str], command: str) -> Study:
    """Create the folder of a search, or find the one to go on with; ValueError says
    what is wrong, before anything is written."""
    parameters = space.parse(options.search)
    base = checked(words, parameters)
    rungs = _rungs(options, base)
    known = sorted({*options.fresh_seeds} & {*base.seeds})
    if known:
        raise ValueError(
            f"--fresh-seeds {' '.join(map(str, known))}: the search itself has these "
            "seeds; give others"
        )
    identity = options.identity() | {"flags": _identity(base)}
    parent = parent_of(base)
    name = base.name or "search"
    found = _begun(mirror.looked_into(parent, (DESCRIPTION,)), name, identity)
    if found is None:
        described = {"command": command, "name": name, "options": identity}
        lock = folders.create(parent, name, described, file=DESCRIPTION)
    else:
        lock = mirror.lock(mirror.writable(parent, found.name))
    results, settings = _read_results(lock.folder / RESULTS)
    return Study(lock, options, words, parameters, base, rungs, results, settings)


def checked(words: Sequence[str], parameters: Sequence[Parameter]) -> Config:
    """The configuration at a corner of the space, after all corners were checked."""
    every = [flag.name for flag in flags.scan(words)]
    _require_searchable(every, [parameter.flag for parameter in parameters])
    every += [parameter.flag for parameter in parameters]
    used: set[str] = set()
    configs = []
    for corner in space.corners(parameters):
        fitting = _words(words, corner)
        used |= {flag.name for flag in flags.scan(fitting)}
        config = flags.read(fitting).config
        check_foreign(config)
        require_learner_fits(config)
        require_listeners(config.listeners)
        configs.append(config)
    for name in every:
        if name not in used:
            raise ValueError(f"--{name}: no trial has a plug-in with such a setting")
    shared = ["seeds", "steps", "eval_every"]
    if not configs[0].steps:
        shared.append("offline_updates")
    for name in shared:
        if len({getattr(config, name) for config in configs}) > 1:
            flag = name.replace("_", "-")
            raise ValueError(f"--search {flag}: all trials must share it")
    if not configs[0].evaluation:
        raise ValueError("a search evaluates its trials; leave out --no-evaluation")
    return configs[0]


def _require_searchable(given: Sequence[str], searched: Sequence[str]) -> None:
    """Raise ValueError for flags that a search decides itself, or that are both given
    and searched for."""
    if "resume" in given:
        raise ValueError("the same command goes on with a search; leave out --resume")
    for name in searched:
        if name in NOT_SEARCHED:
            raise ValueError(f"--search {name}: it says nothing about what is learnt")
        if name in given:
            raise ValueError(
                f"--{name} is given and searched for; leave one of the two out"
            )


def _words(words: Sequence[str], settings: Settings) -> list[str]:
    return arms.fitting([*words, *space.words(settings)])


def _config(words: Sequence[str], settings: Settings) -> Config:
    config = flags.read(_words(words, settings)).config
    require_learner_fits(config)
    return config


def _identity(base: Config) -> dict[str, Any]:
    settings = flat(base)
    return {name: settings[name] for name in settings if name not in OWN}


def _rungs(options: Options, base: Config) -> list[int]:
    total = base.steps or base.offline_updates
    first = options.first_rung or math.ceil(total / options.halving**2)
    if first > total:
        raise ValueError(
            f"--first-rung must be at most the length of a run, {total:,}, got "
            f"{first:,}"
        )
    every = base.eval_every
    rungs = rungs_of(total, first, options.halving, every)
    cost = rungs[0] * len(base.seeds)
    if cost > options.budget.steps:
        raise ValueError(
            f"--budget-steps {options.budget.steps:,.0f} does not pay for one trial, "
            f"which takes {cost:,} to its first rung; raise it, or lower --steps or "
            "--first-rung"
        )
    return rungs


def _begun(parent: Path, name: str, identity: Mapping[str, Any]) -> Path | None:
    """The newest search of this name with these settings."""
    wanted = yaml.safe_load(yaml.safe_dump(identity))  # as they were saved
    found = []
    for path in parent.glob(f"*/{DESCRIPTION}"):
        try:
            described = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if not isinstance(described, dict) or described.get("name") != name:
            continue
        if described.get("options") == wanted:
            found.append(path)
    newest = max(found, key=lambda path: path.stat().st_mtime_ns, default=None)
    return newest.parent if newest else None


# --- results ---


def _as_json(job: Job, result: Result) -> dict[str, Any]:
    value = result.value if math.isfinite(result.value) else None
    return {**job._asdict(), **result._asdict(), "value": value}


def _read_results(path: Path) -> tuple[dict[Job, Result], dict[int, Settings]]:
    """The results of a search so far; ValueError if the file is damaged."""
    if not path.is_file():
        return {}, {}
    results = {}
    try:
        content = json.loads(path.read_text())
        listed = content["settings"].items()
        settings = {int(number): dict(own) for number, own in listed}
        for line in content["results"]:
            job = Job(int(line["trial"]), int(line["rung"]))
            value = math.nan if line["value"] is None else float(line["value"])
            numbers = value, float(line["calls"]), float(line["seconds"])
            results[job] = Result(*numbers, str(line["problem"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r:.80}); remove it to read nothing from it: "
            "trials that are trained are not trained again"
        ) from None
    return results, settings


def _records(run: Path) -> list[dict[str, Any]]:
    """The records of a run, also of one that has gone on from a checkpoint."""
    names = (folders.RECORDS, folders.RESUMED_RECORDS)
    known = [read_records(run / name) for name in names if (run / name).is_file()]
    return max(known, key=len, default=[])


def _recorded(tag: str, config: Config) -> str:
    """The name under which a run records a tag."""
    return tag if config.steps else tag.replace("eval/", "offline/")


def _together(config: Config) -> int:
    """Steps, or updates of an offline run, that are taken at once."""
    return config.rows if config.steps else 1


def _calls(lines: Sequence[Mapping[str, Any]], position: str, end: int) -> float:
    """The planner calls of all seeds up to a step."""
    tag = "planner/calls_total"
    known = [
        line["values"][tag]
        for line in lines
        if tag in line["values"] and line[position] < end
    ]
    return float(np.sum(known[-1])) if known else 0.0
