"""Whether planner and learner fit the world of a run, asked before the run begins."""

import copy

from curriculum.envs._base.door import Door
from curriculum.envs._base.spec import spec_of
from curriculum.replay.shared import require_fit
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Planner, World, stream


def check_fit(config: Config) -> None:
    """Raise ValueError where the planner, the learner or the data of the start cannot
    be used in the world.

    Nothing is trained and nothing is written."""
    chosen = config.plugged()
    world = chosen["env"]
    spec = spec_of(world)
    chosen["learner"].check_actions(spec)
    data = chosen["start"].data()
    if data:
        require_fit(data, spec)
    if chosen["bonus"]:
        chosen["bonus"].use_world(world)
    if config.evaluation or chosen["start"].asks_planner:
        _check_planner(chosen["planner"], world)


def check_planner_fit(planner: Planner, world: World) -> None:
    """Raise ValueError where a planner cannot act in a world outside a run."""
    if planner.learns:
        name = plugins.name_of("planner", planner)
        raise ValueError(
            f"{name} learns while a run trains, and knows nothing outside it; train "
            f"with --planner {name}, then use the run: what it collected by "
            "`python -m curriculum.collect make OUT --from-run RUN`, its policy by "
            "--planner policy --planner.path RUN"
        )
    _check_planner(planner, world)


def _check_planner(planner: Planner, world: World) -> None:
    if type(planner).check_world is Planner.check_world:
        _set_up(copy.deepcopy(planner), world)
    else:
        planner.check_world(world)


def _set_up(planner: Planner, world: World) -> None:
    """Set a planner up for one row, before its first reset as in a run."""
    with Door(world.rows([stream(0, "check")])) as door:
        planner.setup(door.rows, spec_of(world), (0,))
