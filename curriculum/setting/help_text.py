"""The text of `--help`: every flag with its default, and every choice of a plug-in."""

import dataclasses
import signal
import sys
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from typing import Annotated, Any, NoReturn

from curriculum.setting import plugins
from curriculum.setting.description import Description, Field


def show(
    prog: str,
    fields: Sequence[Field],
    descriptions: Mapping[str, Description],
    families: Sequence[str] = (*plugins.CHOSEN, "technique"),
) -> NoReturn:
    """Print all flags and end the program: `fields` belong to the run, `descriptions`
    to the chosen plug-ins. All choices of these families are listed first."""
    import tyro  # here, not above: it is slow to import and only draws this text

    if sys.platform != "win32":
        # so that `--help | head` ends quietly
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if families:
        print(_list_choices(families))
    entries = [_entry(field) for field in fields]
    for family, description in descriptions.items():
        group = dataclasses.make_dataclass(
            family, [_entry(field) for field in description.fields], kw_only=True
        )
        group.__doc__ = description.summary
        annotation: Any = Annotated[group, tyro.conf.arg(name=family)]
        default = dataclasses.field(default_factory=group)
        entries.append((f"{family}_fields", annotation, default))
    options = dataclasses.make_dataclass("Options", entries, kw_only=True)
    tyro.cli(options, prog=prog, args=["--help"])
    raise SystemExit(0)


def _entry(field: Field) -> tuple[str, Any, Any]:
    import tyro

    argument = tyro.conf.arg(name=field.name, help=field.help)
    annotation: Any = Annotated[field.type, argument]
    # "from" can be a flag, but no field of a class
    name = f"{field.name}_" if iskeyword(field.name) else field.name
    return name, annotation, dataclasses.field(default=field.default)


def _list_choices(families: Sequence[str]) -> str:
    """List every choice of the flags of plug-ins, one on each line."""
    flags = {"technique": "--techniques", "format": "--from and --to"}
    lines = ["Choices (each has fields of its own: --learner iql --help):", ""]
    for family in families:
        if family in plugins.FAMILY:
            continue  # listed with the family itself
        flag = flags.get(family, f"--{family}")
        for name in (*plugins.names(family), *plugins.installed(family)):
            choice = f"{flag} {name}"
            lines.append(f"  {choice:<25} {plugins.describe(family, name).summary}")
    lines.append("")
    return "\n".join(lines)
