"""The command line of commands with words of their own, flags of their own, and flags
of plug-ins."""

import shlex
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from curriculum.setting import flags, help_text, plugins, values
from curriculum.setting.description import Description, Field


class Words(NamedTuple):
    """The words of a command line."""

    positional: list[str]
    own: dict[str, Any]  # values of the command's flags, by name
    plugins: list[flags.Flag]  # flags of plug-ins
    text: str  # all of it
    given: frozenset[str] = frozenset()  # names of the command's flags that were given


class Command(NamedTuple):
    """A command, or a command of `collect`."""

    usage: str
    summary: str
    fields: tuple[Field, ...]
    # checks the words, and returns what does the work
    prepare: Callable[[Words], Callable[[], None]]
    positional: int  # words before the first flag; -1: any number
    # of plug-ins whose flags it takes; technique: --techniques and their settings
    families: tuple[str, ...] = ()


def read(command: Command, words: Sequence[str], prog: str) -> Words:
    """Read the words after a command's name; ends the program after --help."""
    first_flags = [i for i, word in enumerate(words) if word.startswith("-")]
    end = first_flags[0] if first_flags else len(words)
    positional = list(words[:end])
    given = flags.scan(words[end:])
    if flags.asks_for_help(words):
        _show_help(command, given, prog)
    if command.positional not in (-1, len(positional)):
        raise ValueError(f"usage: {prog} {command.usage}")
    fields = {field.name: field for field in command.fields}
    own = {field.name: field.default for field in command.fields}
    others = []
    own_given = set()
    for flag in given:
        name = flag.name.replace("-", "_")
        if name in fields:
            own[name] = value_of(fields[name], flag)
            own_given.add(name)
        elif command.families and _is_taken(flag, command.families):
            others.append(flag)
        else:
            known = [f"--{field.replace('_', '-')}" for field in fields]
            shown = {"technique": "techniques"}
            known += [f"--{shown.get(name, name)}" for name in command.families]
            raise plugins.unknown("flag", f"--{flag.name}", known)
    text = f"{prog} {shlex.join(words)}"
    return Words(positional, own, others, text, frozenset(own_given))


def _is_taken(flag: flags.Flag, families: Sequence[str]) -> bool:
    """Whether a flag chooses a plug-in of these families, or sets its fields."""
    family, _, field = flag.name.replace("-", "_").partition(".")
    if family == "planner" and field in _shared_by_planners():
        return False  # such as the planner's budget in a run
    if "technique" in families and (family == "techniques" or field):
        return True
    return family in (*families, "config", "trust")


def _shared_by_planners() -> list[str]:
    return [field.name for field in plugins.shared("planner")]


def value_of(field: Field, flag: flags.Flag) -> Any:
    """Read the value of a field; ValueError names the flag."""
    words = flag.values
    if field.type is bool and not words:
        words = ["true"]
    try:
        return values.read(field.type, words)
    except values.Mismatch as problem:
        raise ValueError(f"--{flag.name} {problem}") from None


def _show_help(command: Command, given: Sequence[flags.Flag], prog: str) -> None:
    """Print the flags of a command, those of the chosen plug-ins included, and end the
    program."""
    print(f"usage: {prog} {command.usage}\n\n{command.summary}\n")
    described: dict[str, Description] = {}
    families = [family for family in command.families if family in plugins.CHOSEN]
    if families:
        chosen = flags.choices(join(f for f in given if f.name in families))
        for family in families:
            described[family] = plugins.describe(family, chosen.plugins[family])
    if "from" in command.families:
        families.append("format")
    if "technique" in command.families:
        families.append("technique")
        words = [flag for flag in given if flag.name == "techniques"]
        described |= flags.choices(join(words)).techniques
    help_text.show(prog, command.fields, described, families)


def plugin_words(given: Sequence[flags.Flag], family: str) -> list[str]:
    """The words that choose a plug-in of one family and set its fields; ValueError for
    other flags than these and --trust."""
    words = []
    for flag in given:
        if flag.name.partition(".")[0] == family:
            words += [f"--{flag.name}", *flag.values]
        elif flag.name != "trust":
            raise ValueError(f"there is no flag --{flag.name}")
    return words


def join(given: Any) -> list[str]:
    """The words of flags."""
    return [word for flag in given for word in (f"--{flag.name}", *flag.values)]
