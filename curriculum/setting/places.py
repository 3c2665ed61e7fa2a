"""Where runs are written."""

from pathlib import Path

from curriculum.files import is_url
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.setting.names import require_folder_name
from curriculum.storage import Remote, folder_at


def parent_of(config: Config, study: str = "") -> Path | Remote:
    """The folder of all runs in this world, or of those of a study."""
    world = plugins.make("env", config.env)
    name = plugins.name_of("env", config.env)
    if name.endswith(".py"):
        name = Path(name).stem
    title = (world.title or name).replace(":", "-").replace("/", "-")
    require_folder_name("the title of the world", title)
    runs = folder_at(config.runs_dir)
    if study and is_url(config.runs_dir):
        raise ValueError(
            f"--study {study} gathers comparisons on one machine; give a --runs-dir of "
            "this machine, or leave out --study"
        )
    return runs / study / title if study else runs / title
