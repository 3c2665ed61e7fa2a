"""Module names of version 0.1, which work for one more release, with a warning."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

RENAMED = {
    "curriculum.batches": "curriculum.replay.workspace",
    "curriculum.buffer": "curriculum.replay.buffer",
    "curriculum.chains": "curriculum.replay.episodes",
    "curriculum.checkpoint": "curriculum.run.checkpoint",
    "curriculum.cli": "curriculum.setting.flags",
    "curriculum.config": "curriculum.setting.config",
    "curriculum.deploy": "curriculum.shipping.artefact",
    "curriculum.engine": "curriculum.learning.engine",
    "curriculum.figures": "curriculum.report.figures",
    "curriculum.folders": "curriculum.run.folders",
    "curriculum.frames": "curriculum.replay.frames",
    "curriculum.heads": "curriculum.learning.heads",
    "curriculum.imitation": "curriculum.shipping.imitation",
    "curriculum.law": "curriculum.replay.sampling",
    "curriculum.layers": "curriculum.shipping.layers",
    "curriculum.learner": "curriculum.learning.learner",
    "curriculum.loop": "curriculum.run.loop",
    "curriculum.mixture": "curriculum.run.mixture",
    "curriculum.nets": "curriculum.learning.networks",
    "curriculum.pixels": "curriculum.learning.pixels",
    "curriculum.plugins": "curriculum.setting.plugins",
    "curriculum.policies": "curriculum.learning.policies",
    "curriculum.rollout": "curriculum.run.ledger",
    "curriculum.statistics": "curriculum.report.statistics",
    "curriculum.support": "curriculum.learning.behaviour",
    "curriculum.values": "curriculum.learning.values",
    "envs": "curriculum.envs",
    "envs.cellworld": "curriculum.envs._cellworld.cells",
    "envs.dynamics": "curriculum.envs._base.native",
    "envs.emulator": "curriculum.envs._atari.emulator",
    "envs.flat": "curriculum.envs._gym.spaces",
    "envs.foreign": "curriculum.envs._gym.rows",
    "envs.make": "curriculum.envs._base.registration",
    "envs.mazes": "curriculum.envs._pointmass.mazes",
    "envs.physics": "curriculum.envs._gym.physics",
    "envs.pursuit": "curriculum.envs._cellworld.pursuit",
    "envs.scene": "curriculum.envs._cellworld.scene",
    "envs.sight": "curriculum.envs._cellworld.sight",
    "envs.simulate": "curriculum.envs._base.native",
    "planners": "curriculum.planners",
    "planners.belief": "curriculum.planners._tlppo.belief",
    "planners.expert": "curriculum.planners._expert.expert",
    "planners.scenarios": "curriculum.planners._tlppo.scenarios",
    "planners.training": "curriculum.planners._expert.training",
    "planners.tree": "curriculum.planners._search.tree",
}
FOLDERS = ("envs", "planners")  # were top-level packages in version 0.1


def install() -> None:
    """Make the old names importable; an installed module of the same name wins."""
    sys.meta_path.insert(0, _Finder())


def current_name(name: str) -> str | None:
    """Return today's name of a module of version 0.1, None for any other name."""
    top, _, rest = name.partition(".")
    if top not in FOLDERS:
        return RENAMED.get(name)
    if not rest:
        # a package or module of the user
        is_foreign = PathFinder.find_spec(name) is not None
        return None if is_foreign else RENAMED[name]
    if sys.modules.get(top) is not sys.modules.get(f"curriculum.{top}"):
        return None
    return RENAMED.get(name, f"curriculum.{name}")


def alias(old: str, new: str) -> ModuleType:
    """Import `new`, and warn that `old` is its former name."""
    warnings.warn(
        f"{old} is now {new}; the old name goes in the next release",
        FutureWarning,
        stacklevel=2,
    )
    return import_module(new)


class _Finder(MetaPathFinder):
    """Finds modules by their old names."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        new = current_name(fullname)
        return None if new is None else ModuleSpec(fullname, _Loader(new))


class _Loader(Loader):
    """Returns the module of the new name."""

    def __init__(self, new: str):
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = alias(spec.name, self.new)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # the import system has replaced it by one with the old name
        module.__spec__ = self.spec
