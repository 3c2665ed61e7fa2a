"""What to lower where a phase of a run takes too long."""

from dataclasses import fields, is_dataclass

from curriculum.types import Planner, Start

# fields that make a planner slower, most effective first
COSTLY = ("simulations", "samples", "plans", "rollouts", "scenarios", "horizon")
EVALUATION = "--eval-episodes"
OFFLINE = "--offline-updates"
OFF_POLICY = "--ope-updates"
ONLINE = "--steps"


def planner(planner: Planner) -> str:
    """The flags that make the measurement of a planner shorter."""
    return _listed(["--planner.episodes", *_search(planner)])


def mixed(planner: Planner) -> str:
    """The flags that make an evaluation of planner and learner shorter."""
    return _listed(["--eval-episodes", *_search(planner)])


def start(start: Start, planner: Planner) -> str:
    """The flags that make a start shorter."""
    flags = []
    if is_dataclass(start) and "size" in _names(start):
        flags.append("--start.size")
    if start.asks_planner:
        flags += _search(planner)
    return _listed(flags)


def _search(planner: Planner) -> list[str]:
    """The first two of the planner's fields that make it slower, as flags."""
    if not is_dataclass(planner):
        return []
    names = _names(planner)
    costly = [name for name in COSTLY if name in names]
    return [f"--planner.{name}" for name in costly[:2]]


def _names(plugin: object) -> set[str]:
    assert is_dataclass(plugin)
    return {field.name for field in fields(plugin)}


def _listed(flags: list[str]) -> str:
    return " or ".join(flags)
