"""Where runs are written."""

from pathlib import Path

from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.setting.names import require_folder_name


def parent_of(config: Config, study: str = "") -> Path:
    """The folder of all runs in this world, or of those of a study."""
    world = plugins.make("env", config.env)
    name = plugins.name_of("env", config.env)
    if name.endswith(".py"):
        name = Path(name).stem
    title = (world.title or name).replace(":", "-").replace("/", "-")
    require_folder_name("the title of the world", title)
    return Path(config.runs_dir) / study / title
