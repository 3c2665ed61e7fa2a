"""What a study will cost, before it begins."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from curriculum.comparison import options
from curriculum.comparison.plan import read_arms
from curriculum.report.preview import duration, parts_of_time
from curriculum.run.preview import NotMeasured, preview, probe
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.setting.places import parent_of
from curriculum.setting.studies import Study

# choices on which the time of a step or an update depends most
KIND = ("learner", "planner", "bonus", "start")


class Cost(NamedTuple):
    """The cost of one comparison."""

    world: str
    arms: int
    steps: int  # environment steps of all arms and seeds
    updates: float  # of all arms and seeds
    seconds: float  # nan where it was not measured


def costs(study: Study) -> list[Cost]:
    """Work out what the comparisons of a study cost: time by a probe of some seconds
    for each kind of arm. ValueError says what is wrong with its flags."""
    measured: dict[tuple[str, ...], dict[str, float]] = {}
    found = []
    for words in study.command_lines:
        _, flags_of_arms = options.read(words)
        configs, _ = read_arms(flags_of_arms)
        found.append(_cost(configs, measured))
    return found


def _cost(
    configs: Mapping[str, Config], measured: dict[tuple[str, ...], dict[str, float]]
) -> Cost:
    steps = 0
    updates = 0.0
    seconds = 0.0
    for config in configs.values():
        count = len(config.seeds)
        steps += count * config.steps
        updates += count * config.updates
        seconds += _seconds(config, measured)
    world = parent_of(next(iter(configs.values()))).name
    return Cost(world, len(configs), steps, updates, seconds)


def _seconds(
    config: Config, measured: dict[tuple[str, ...], dict[str, float]]
) -> float:
    """Seconds of an arm; nan where its planner takes long to set up."""
    kind = tuple(plugins.name_of(name, getattr(config, name)) for name in KIND)
    phases = (bool(config.steps), bool(config.offline_updates))
    key = (*kind, *map(str, phases))
    try:
        if key not in measured:
            measured[key] = probe(config)
    except NotMeasured:
        return np.nan
    parts = parts_of_time(preview(config, measured[key])).values()
    return float(np.nansum([*parts]))


def text(study: Study, found: list[Cost]) -> str:
    """The cost in words and numbers."""
    lines = [f"study {study.name}: {study.question}"]
    for cost in found:
        lines.append(
            f"  {cost.world}: {cost.arms} arms, {cost.steps:,} environment steps, "
            f"{cost.updates:,.0f} updates, {_time(cost.seconds)}"
        )
    total = sum(cost.seconds for cost in found)
    lines.append(
        f"  in all {_time(total)}, one arm at a time, by a short probe of this machine "
        "as it is now; arms that are finished are not trained again"
    )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "of unknown length"
    return f"about {duration(seconds)}"
