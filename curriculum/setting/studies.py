"""Studies: files of the flags of comparisons, which answer one question.

A study file is a settings file (`curriculum.setting.settings_file`) with the flags of
`curriculum.compare`: a list of values makes an arm of each, `arm` lists arms written by
hand. `by` names flags of which every value makes a comparison of its own, such as
`by: env.maze`. Its first line is a comment with the question.
"""

import itertools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from curriculum.setting import arms, flags, settings_file
from curriculum.setting.flags import Flag
from curriculum.setting.names import require_folder_name
from curriculum.setting.spelling import suggestion

FOLDER = Path(__file__).parents[1] / "presets" / "studies"
LIST = "list"  # the word that prints all studies
ALL = "all"  # the word that runs all of them
# flags of the command that may stand beside the name of a label without any study
HOUSEKEEPING = (
    *("study", "runs-dir", "name", "resume", "jobs", "on", "address", "placement"),
    *("gpu-share", "retries", "scratch", "dashboard", "split-seeds"),
)


class Study(NamedTuple):
    """A question, and the command lines of the comparisons that answer it."""

    name: str  # of its folder in the folder of runs
    question: str
    command_lines: list[list[str]]
    # flags of each comparison in which it differs from the others
    differences: list[list[Flag]]


def names() -> list[str]:
    """The names of the studies that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find(argv: Sequence[str]) -> list[Study]:
    """The studies that `--study` names; none where it only names a folder, or is not
    given.

    Flags of the command line win over those of the file, also over those of its
    arms."""
    given = flags.scan(argv)
    words = [word for flag in given if flag.name == "study" for word in flag.values]
    if LIST in words:
        show()
    if words == [ALL]:
        words = names()
    paths = [_path_of(word) for word in words]
    if not any(paths):
        _require_label(words, given)
        return []
    own = [flag for flag in given if flag.name != "study"]
    return [
        _read(path, word, own) for path, word in zip(paths, words, strict=True) if path
    ]


def show() -> NoReturn:
    """Print the studies and end the program."""
    for name in names():
        print(f"{name:<18} {question_of(FOLDER / f'{name}.yaml')}")
    print(
        "\nall: every one of them; FILE.yaml: your own. Flags win over a study: "
        "--study NAME --seeds 0 1 2"
    )
    raise SystemExit(0)


def question_of(path: Path) -> str:
    """The question of a study: the comment in its first line, without its mark."""
    return path.read_text().partition("\n")[0].removeprefix("#").strip()


def _path_of(word: str) -> Path | None:
    """The file of a study; None where the word only names a folder."""
    if word in names():
        return FOLDER / f"{word}.yaml"
    short = f"pointmass-{word}"  # the parts of one document
    if short in names():
        return FOLDER / f"{short}.yaml"
    return Path(word) if word.endswith((".yaml", ".yml")) else None


def _require_label(words: Sequence[str], given: Sequence[Flag]) -> None:
    """Raise ValueError where the name of a folder is probably meant to be a study: no
    flag says what to compare."""
    for word in words:
        require_folder_name("--study", word)
    others = [flag.name for flag in given if flag.name not in HOUSEKEEPING]
    if words and not others:
        raise ValueError(
            f"no study {words[0]!r}{suggestion(words[0], names())}; --study {LIST} "
            "prints them, and a folder of this name needs arms to compare"
        )


def _read(path: Path, word: str, own: Sequence[Flag]) -> Study:
    """The study of a file, with the flags `own` of the command line."""
    written = settings_file.read(path, "--study")
    replaced = {flag.name for flag in own}
    listed = {name.replace("_", "-"): words or [] for name, words in written.items()}
    kept = [
        Flag(name, words)
        for name, words in listed.items()
        if name not in ("by", "arm", *replaced)
    ]
    if "arm" not in replaced:
        kept += _arms(listed.get("arm", []), replaced)
    name = path.stem
    require_folder_name("--study", name)
    shared, differences = _split([*kept, *own], listed.get("by", []), word)
    lines = [
        ["--study", name, *_words(different), *_words(shared)]
        for different in differences
    ]
    return Study(name, question_of(path), lines, differences)


def _arms(texts: Sequence[str], replaced: set[str]) -> list[Flag]:
    """The arms of a file without the flags that the command line gives; of arms that
    are the same then, the first."""
    found: dict[str, str] = {}
    for text in texts:
        name, settings = arms.parse_arm(text)
        left = [flag for flag in settings if flag.name not in replaced]
        words = shlex.join(_words(left))
        found.setdefault(words, f"{name}: {words}")
    return [Flag("arm", [arm]) for arm in found.values()]


def _split(
    given: Sequence[Flag], by: Sequence[str], word: str
) -> tuple[list[Flag], list[list[Flag]]]:
    """The flags that all comparisons share, and those of each combination of the values
    of the flags `by`."""
    latest = {flag.name: flag for flag in given if flag.name != "arm"}
    written = [flag for flag in given if flag.name == "arm"]
    for name in by:
        if name not in latest:
            raise ValueError(
                f"--study {word}: by names {name}, which the study does not set"
            )
    chosen = [[Flag(name, [value]) for value in latest.pop(name).values] for name in by]
    combinations = [list(each) for each in itertools.product(*chosen)]
    return [*latest.values(), *written], combinations


def _words(settings: Sequence[Flag]) -> list[str]:
    return [word for flag in settings for word in (f"--{flag.name}", *flag.values)]
