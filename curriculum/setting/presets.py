"""Presets: settings files that come with the package and are chosen by name."""

from pathlib import Path
from typing import NoReturn

from curriculum import storage
from curriculum.files import is_url
from curriculum.setting.spelling import suggestion

FOLDER = Path(__file__).parents[1] / "presets"
LIST = "list"  # the word that prints all presets


def names() -> list[str]:
    """The names of all presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path_of(given: str) -> Path:
    """The settings file that --config names: a file, which is copied from a URL, or
    else a preset.

    ValueError where a single word is neither, or nothing is at a URL."""
    if is_url(given):
        return storage.copied(storage.Remote(given), lambda path: False)
    path = Path(given)
    if given in names() and not path.is_file():
        return FOLDER / f"{given}.yaml"
    is_word = len(path.parts) == 1 and not path.suffix
    if is_word and not path.exists():
        raise ValueError(
            f"--config {given}: there is no such file and no preset of this name"
            f"{suggestion(given, names())}; --config {LIST} prints the presets"
        )
    return path


def summary(name: str) -> str:
    """What the settings of a preset are for: the comment in its first line."""
    first = (FOLDER / f"{name}.yaml").read_text().partition("\n")[0]
    return first.removeprefix("# ")


def show() -> NoReturn:
    """Print the presets and end the program."""
    for name in names():
        print(f"{name:<20} {summary(name)}")
    print("\nFlags win over a preset: --config NAME --seeds 0 1 2")
    raise SystemExit(0)
