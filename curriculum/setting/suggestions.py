"""Settings that a world suggests: they are the defaults of flags in that world.

`World.defaults` names the planner and the learner that suit a world, and any other
setting by its name in `config.yaml`: {"planner": "dqn", "planner.max_steps": 20_000,
"eval_episodes": 10}. Whatever the user gives wins.
"""

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any

from curriculum.setting import plugins
from curriculum.setting.description import read_class
from curriculum.types import Start, World

# an expert with a goal needs another budget than one that is trained without a goal
GOALS = ("planner.until_success", "planner.until_return")
BUDGET = "planner.max_steps"
# settings of a run that first learns from its start
OFFLINE = ("offline_updates", "updates_per_step")
WORTH_LEARNING = 1_000  # transitions of a start
# settings of a run whose planner is worth imitating
OF_IMITATION = (*OFFLINE, "learner.label_weight", "label_share")
# settings of a run that go with one learner
OF_LEARNER = (*OFFLINE, "label_share")


def suggested(
    world: World,
    chosen: Mapping[str, str],
    given: Container[str],
    start_size: Callable[[], int],
) -> dict[str, Any]:
    """List the settings that a world suggests and that are not `given`.

    Those that imitate the planner do not hold for one that learns in the run. Settings
    of a plug-in hold for the one that suits the world, and not for another
    one that is `chosen`, by family; those of the offline phase and of labels for the
    learner that suits it, and the former for a start of at least `WORTH_LEARNING`
    transitions. ValueError for a suggestion that is no setting."""
    suited = plugins.suited(world, chosen["learner"])
    is_worth_imitating = not plugins.says("planner", chosen["planner"], "learns")
    has_goal = any(goal in given for goal in GOALS)
    found: dict[str, Any] = {}
    for name, value in _beyond_plugins(world).items():
        family, _, field = name.partition(".")
        if name not in _general() and family not in chosen:
            title = type(world).__name__
            raise ValueError(f"{title} suggests {name!r}, which is no setting")
        if name in given or (name == BUDGET and has_goal):
            continue
        if name in OF_IMITATION and not is_worth_imitating:
            continue
        if name in OFFLINE and start_size() < WORTH_LEARNING:
            continue
        if name in OF_LEARNER and chosen["learner"] != suited["learner"]:
            continue
        if field:
            choice = chosen[family]
            is_suited = choice == suited.get(family, choice)
            if not is_suited or field not in _fields(family, choice):
                continue
        found[name] = value
    return found


def size_of(start: Start) -> int:
    """Transitions that a start adds; 0 where that cannot be told: what is wrong is
    said where it is used."""
    try:
        return start.size
    except (ValueError, OSError):
        return 0


def followed(world: World, settings: Mapping[str, Any]) -> dict[str, Any]:
    """List the suggestions of a world that a run with these settings, by their names in
    `config.yaml`, follows."""
    suggestions = _beyond_plugins(world)
    if not suggestions:
        return {}
    return {
        name: settings[name]
        for name, value in (plugins.suited(world) | suggestions).items()
        if settings.get(name, "none") == _plain(value) != "none"
    }


def _beyond_plugins(world: World) -> dict[str, Any]:
    """The suggestions of a world that do not choose a plug-in."""
    return {
        name: value
        for name, value in world.defaults.items()
        if name not in plugins.CHOSEN
    }


def _general() -> list[str]:
    """The settings that belong to no plug-in."""
    config = read_class(Path(__file__).with_name("config.py"))
    return [field.name for field in config.fields]


def _fields(family: str, choice: str) -> list[str]:
    if plugins.is_none(family, choice):
        return []
    return [field.name for field in plugins.flags(family, choice)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
