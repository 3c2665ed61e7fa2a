"""The text of `--help`: every flag with its default, and every choice of a plug-in."""

import dataclasses
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

from curriculum.setting import plugins
from curriculum.setting.description import Description, Field


def show(
    prog: str, fields: Sequence[Field], descriptions: Mapping[str, Description]
) -> NoReturn:
    """Print all flags and end the program: `fields` belong to the run, `descriptions`
    to the chosen plug-ins."""
    import tyro  # here, not above: it is slow to import and only draws this text

    if sys.platform != "win32":
        # so that `--help | head` ends quietly
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(_list_choices())
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

    annotation: Any = Annotated[field.type, tyro.conf.arg(help=field.help)]
    return field.name, annotation, dataclasses.field(default=field.default)


def _list_choices() -> str:
    """List every choice of every plug-in flag, one on each line."""
    lines = ["Choices (each has fields of its own: --learner iql --help):", ""]
    for family in (*plugins.CHOSEN, "technique"):
        flag = "--techniques" if family == "technique" else f"--{family}"
        for name in (*plugins.names(family), *plugins.installed(family)):
            choice = f"{flag} {name}"
            lines.append(f"  {choice:<25} {plugins.describe(family, name).summary}")
    lines.append("")
    return "\n".join(lines)
