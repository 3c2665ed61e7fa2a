"""The arms of a comparison: flags with several values, and arms written by hand."""

import itertools
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from curriculum.setting import flags, plugins
from curriculum.setting.flags import Choices, Flag

# flags whose several values belong to one arm
LISTS = ("seeds", "techniques", "shares")
# flags of a comparison of finished runs
OF_FINISHED = ("with", "name", "runs-dir")

Settings = list[Flag]  # of one arm


class Arms(NamedTuple):
    """What a comparison consists of."""

    command_lines: dict[str, list[str]]  # name of an arm -> its flags
    finished: list[str]  # folders or URLs of runs given by --with


def parse(argv: Sequence[str]) -> Arms:
    """Split the command line of a comparison into arms.

    A setting of a plug-in is left out of the arms that choose another plug-in; it is an
    error if no arm has it."""
    given = flags.scan(argv)
    finished = _values(given, "with")
    settings = [flag for flag in given if flag.name not in ("arm", "with")]
    varied = [flag for flag in settings if _varies(flag)]
    common = [flag for flag in settings if flag not in varied]
    written = dict(parse_arm(text) for text in _values(given, "arm"))
    arms = _combine(_product(varied), written)
    if not arms and not names_only_finished_runs(argv):
        arms = {"as given": []}
    command_lines = {
        name: _command_line(common, settings) for name, settings in arms.items()
    }
    _check_used(common, command_lines)
    return Arms(command_lines, finished)


def names_only_finished_runs(argv: Sequence[str]) -> bool:
    """Whether a command line compares finished runs and trains nothing."""
    names = {flag.name for flag in flags.scan(argv)}
    return "with" in names and names <= {*OF_FINISHED}


def _values(given: Sequence[Flag], name: str) -> list[str]:
    return [value for flag in given if flag.name == name for value in flag.values]


def _varies(flag: Flag) -> bool:
    """Whether each value of a flag makes an arm."""
    if len(flag.values) < 2 or flag.name in LISTS:
        return False
    family, _, field_name = flag.name.partition(".")
    if family in plugins.names("technique"):
        return not _is_list("technique", field_name.replace("-", "_"))
    if family not in plugins.CHOSEN or not field_name:
        return True
    return not _is_list(family, field_name.replace("-", "_"))


def _is_list(family: str, field_name: str) -> bool:
    """Whether a field of a built-in plug-in takes several values."""
    for name in plugins.names(family):
        for field in plugins.describe(family, name).fields:
            if field.name == field_name and "tuple" in str(field.type):
                return True
    return False


def _product(varied: Sequence[Flag]) -> dict[str, Settings]:
    """One arm for each combination of values; none where nothing varies."""
    if not varied:
        return {}
    arms: dict[str, Settings] = {}
    for values in itertools.product(*(flag.values for flag in varied)):
        chosen = [
            Flag(flag.name, [value]) for flag, value in zip(varied, values, strict=True)
        ]
        name = ", ".join(f"{flag.name} {flag.values[0]}" for flag in chosen)
        arms[name] = chosen
    return arms


def parse_arm(text: str) -> tuple[str, Settings]:
    """Split `NAME: FLAGS`."""
    name, colon, words = text.partition(":")
    if not colon or not name.strip():
        raise ValueError(
            f"--arm looks like --arm 'NAME: --start none --decay linear', got {text!r}"
        )
    return name.strip(), flags.scan(shlex.split(words))


def _combine(
    product: Mapping[str, Settings], written: Mapping[str, Settings]
) -> dict[str, Settings]:
    """Every arm written by hand with every combination of values."""
    if not product or not written:
        return {**product, **written}
    combined: dict[str, Settings] = {}
    for name, chosen in product.items():
        for written_name, settings in written.items():
            combined[f"{written_name}, {name}"] = [*chosen, *settings]
    return combined


def _command_line(common: Sequence[Flag], own: Sequence[Flag]) -> list[str]:
    """The flags of one arm, without common ones that its plug-ins do not have."""
    merged = {flag.name: flag for flag in (*common, *own)}
    chosen = flags.choices(_to_words(_choosing(merged)))
    used = [
        flag
        for flag in merged.values()
        if flag not in common or _has_setting(chosen, flag.name)
    ]
    return _to_words(used)


def fitting(argv: Sequence[str]) -> list[str]:
    """A command line without settings that its plug-ins do not have."""
    return _command_line(flags.scan(argv), [])


def _choosing(settings: Mapping[str, Flag]) -> Settings:
    """The flags of an arm that decide which plug-ins it has: choices, and settings of
    the world or of the data that name it.

    Settings of other plug-ins may be those of another arm."""
    start = settings.get("start", Flag("start", ["dataset"])).values
    found = []
    for flag in settings.values():
        family, dot, _ = flag.name.partition(".")
        is_of_data = flag.name == "start.path" and start == ["dataset"]
        if not dot or family not in plugins.CHOSEN or family == "env" or is_of_data:
            found.append(flag)
    return found


def _to_words(settings: Sequence[Flag]) -> list[str]:
    words: list[str] = []
    for flag in settings:
        words += [f"--{flag.name}", *flag.values]
    return words


def _has_setting(chosen: Choices, flag: str) -> bool:
    """Whether a flag is no setting of a plug-in or of collectors, or one of a chosen
    plug-in, or of collectors that there are."""
    if flag.replace("-", "_") in flags.OF_COLLECTORS:
        given = chosen.settings.get("collectors")
        return given is not None and given.words != ["0"]
    family, dot, name = flag.partition(".")
    if dot and family in plugins.names("technique"):
        return family in chosen.techniques
    plugin = chosen.plugins.get(family)
    if not dot or plugin is None:
        return True
    if plugin == "none":
        return False
    fields = plugins.flags(family, plugin)
    return name.replace("-", "_") in [field.name for field in fields]


def _check_used(
    common: Sequence[Flag], command_lines: Mapping[str, Sequence[str]]
) -> None:
    for flag in common:
        word = f"--{flag.name}"
        if command_lines and not any(word in words for words in command_lines.values()):
            raise ValueError(
                f"{word}: no arm has a plug-in, or collectors, with such a setting"
            )
