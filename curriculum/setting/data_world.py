"""The world of a data set, for runs that name the data set and no world, and that of a
policy file."""

from typing import Any, NamedTuple

from curriculum.data.manifest import Manifest
from curriculum.storage import data_at
from curriculum.trust import require_trust

RECORDED = "recorded"  # the world that only has the spaces in a manifest


class DataWorld(NamedTuple):
    """A world as `--env` names it, and its settings."""

    env: str
    settings: dict[str, Any]
    file: str  # that names it


def world_of(path: str, evaluation: bool) -> DataWorld:
    """The world that a data set is from; without evaluation, its recorded spaces.

    ValueError if the manifest names none. One that is code has to be trusted."""
    file = f"{path}/manifest.json"
    if not evaluation:
        return DataWorld(RECORDED, {"path": path}, file)
    manifest = Manifest.read(data_at(path))
    if not manifest.env:
        raise ValueError(
            f"{path} does not say which world it is from; name it by --env, or train "
            "without it: --steps 0 --no-evaluation"
        )
    for value in (manifest.env, *manifest.env_settings.values()):
        word = str(value)
        if ":" in word or word.endswith(".py"):
            require_trust(f"{word} in {file}", word)
    return DataWorld(manifest.env, dict(manifest.env_settings), file)
