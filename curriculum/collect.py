"""Collect data sets: `python -m curriculum.collect make OUT --env gridworld`.

`python -m curriculum.collect COMMAND --help` lists the flags of a command.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curriculum import train
from curriculum.activity import Interrupted
from curriculum.listeners.progress import Progress
from curriculum.setting import flags, help_text, plugins, values
from curriculum.setting.description import Description, Field
from curriculum.trust import trusting_words

PROG = "python -m curriculum.collect"
# families of plug-ins that `make` takes, with their fields
FAMILIES = ("env", "planner")
SEED = Field("seed", int, 0, "seed of all random numbers")
EPISODES = 100  # of `make`, without a flag
MAKE = (
    Field("episodes", int, 0, f"episodes to play; without a flag {EPISODES}"),
    Field(
        "transitions",
        int,
        0,
        "transitions to play instead; the last episode is played to its end",
    ),
    Field("noise", float, 0.0, "share of actions that are random, in [0, 1]"),
    Field(
        "longest",
        int,
        100_000,
        "steps after which an episode is cut, such as in worlds without a time limit",
    ),
    SEED,
)


class Words(NamedTuple):
    """The words of a command line."""

    positional: list[str]
    own: dict[str, Any]  # values of the command's flags, by name
    others: list[str]  # flags of plug-ins, with their values


class Command(NamedTuple):
    """A command of `collect`."""

    usage: str
    summary: str
    fields: tuple[Field, ...]
    run: Callable[[Words], None]
    positional: int  # words before the first flag; -1: any number
    takes_plugins: bool = False


def main(argv: list[str] | None = None) -> None:
    """Run the command that the first word names."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("--help", "-h"):
        _list_commands()
        return
    name, *words = argv
    if name not in COMMANDS:
        flags.fail(PROG, plugins.unknown("command", name, list(COMMANDS)))
    command = COMMANDS[name]
    prog = f"{PROG} {name}"
    finished = True
    trust = trusting_words(words)
    with train.signals() as stop, Progress().following(stop), trust:
        try:
            read = _read(command, words, prog)
            command.run(read)
        except (ValueError, OSError) as error:
            flags.fail(prog, error)
        except Interrupted:
            finished = False
    if not finished:
        flags.fail(prog, "stopped", 128 + stop.signal)


def _list_commands() -> None:
    print(f"usage: {PROG} COMMAND, each with --help\n")
    for name, command in COMMANDS.items():
        print(f"  {name:<10} {command.summary}")


# --- the command line ---


def _read(command: Command, words: Sequence[str], prog: str) -> Words:
    """Read the words after a command's name; ends the program after --help."""
    first_flag = [i for i, word in enumerate(words) if word.startswith("-")]
    end = first_flag[0] if first_flag else len(words)
    positional = list(words[:end])
    given = flags.scan(words[end:])
    if flags.asks_for_help(words):
        _show_help(command, words[end:], prog)
    if command.positional not in (-1, len(positional)):
        raise ValueError(f"usage: {prog} {command.usage}")
    fields = {field.name: field for field in command.fields}
    own = {field.name: field.default for field in command.fields}
    others = []
    for flag in given:
        name = flag.name.replace("-", "_")
        family = name.partition(".")[0]
        if name in fields:
            own[name] = _value(fields[name], flag)
        elif command.takes_plugins and family in (*FAMILIES, "config", "trust"):
            others += [f"--{flag.name}", *flag.values]
        else:
            names = [field.replace("_", "-") for field in fields]
            raise plugins.unknown("flag", f"--{flag.name}", [f"--{n}" for n in names])
    return Words(positional, own, others)


def _value(field: Field, flag: flags.Flag) -> Any:
    words = flag.values
    if field.type is bool and not words:
        words = ["true"]
    try:
        return values.read(field.type, words)
    except values.Mismatch as problem:
        raise ValueError(f"--{flag.name} {problem}") from None


def _show_help(command: Command, words: Sequence[str], prog: str) -> None:
    """Print the flags of a command, those of the chosen plug-ins included, and end the
    program."""
    print(f"usage: {prog} {command.usage}\n\n{command.summary}\n")
    described: dict[str, Description] = {}
    if command.takes_plugins:
        taken = ("env", "planner")
        others = [f for f in flags.scan(words) if f.name in taken]
        chosen = flags.choices([w for f in others for w in (f"--{f.name}", *f.values)])
        for family in taken:
            described[family] = plugins.describe(family, chosen.plugins[family])
    help_text.show(prog, command.fields, described)


# --- make ---


def make(words: Words) -> None:
    """Let a planner play."""
    config = flags.read(words.others, f"{PROG} make").config
    from curriculum.run.making import Making, make_data

    own = words.own
    if not own["episodes"] and not own["transitions"]:
        own["episodes"] = EPISODES
    making = Making(
        out=Path(words.positional[0]),
        config=config,
        command=" ".join([PROG, "make", *sys.argv[2:]]),
        **own,
    )
    data = make_data(making)
    _announce(data)


def _announce(data: Any) -> None:
    """Print what a new data set holds."""
    manifest = data.manifest
    lengths = data.columns.length
    print(
        f"data set {data.folder}\n"
        f"episodes {manifest.episodes:,}  transitions {manifest.transitions:,}  "
        f"mean return {manifest.returns['mean']:.2f}  "
        f"mean length {lengths.mean():.2f}"
    )


COMMANDS = {
    "make": Command(
        "OUT --env WORLD --planner PLANNER [--episodes N | --transitions N]",
        "Let a planner play, and keep what it did.",
        MAKE,
        make,
        positional=1,
        takes_plugins=True,
    ),
}


if __name__ == "__main__":
    main()
