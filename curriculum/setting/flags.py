"""Flags and YAML to a `Config` in two passes: which plug-ins, then their fields. Needs
no torch until that is done."""

import contextlib
import dataclasses
import io
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import tyro
import yaml

from curriculum.setting import plugins
from curriculum.setting.config import Config

FAMILIES = plugins.CHOSEN
EXTRAS = (
    plugins.Field(
        "config",
        str,
        "",
        "read settings from this YAML file (a run's config.yaml repeats the run); flags win over it",
    ),
    plugins.Field(
        "resume",
        str,
        "",
        "auto: the newest unfinished run of this name; or the path of a run or a checkpoint",
    ),
)


def parse(
    argv: list[str], prog: str = "python -m curriculum.train"
) -> tuple[Config, str]:
    """The configuration and the value of `--resume`; a wrong command line ends the
    program with a clear sentence."""
    try:
        chosen, written = choices(argv)
        used = {
            family: name
            for family, name in chosen.items()
            if (family, name) != ("bonus", "none")
        }
        described = {
            f: plugins.Description(plugins.describe(f, n).summary, plugins.flags(f, n))
            for f, n in used.items()
        }
        for technique in (
            _values_of(argv, "techniques") or written.get("techniques") or ()
        ):
            plugins.describe("technique", technique)
    except ValueError as error:
        fail(prog, error)
    if "--help" in argv or "-h" in argv:
        if hasattr(signal, "SIGPIPE"):  # `--help | head` ends quietly
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        print(_choices())
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options: Any = tyro.cli(
                _options(described), prog=prog, args=[*_as_flags(written), *argv]
            )
    except SystemExit as leaving:
        if leaving.code:
            fail(prog, _sentence(complaint.getvalue()))
        raise
    try:
        return _build(options, chosen, described)
    except ValueError as error:
        fail(prog, error)


def choices(argv: list[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The name of every plug-in, by flag, and all settings that the YAML file and short
    names imply."""
    written = _read_yaml(_value_of(argv, "config") or "")
    chosen = {
        f: _value_of(argv, f) or written.get(f) or str(getattr(Config, f))
        for f in FAMILIES
    }
    for family in FAMILIES:
        # another plug-in has other fields
        if _value_of(argv, family) not in (None, written.get(family)):
            written = {
                k: v for k, v in written.items() if not k.startswith(f"{family}.")
            }
        chosen[family], implied = plugins.resolve(family, chosen[family])
        written |= {f"{family}.{name}": value for name, value in implied.items()}
    if not (chosen["planner"] and chosen["learner"]):
        suited = plugins.suited(_world(argv, written, chosen["env"]))
        chosen = {family: name or suited[family] for family, name in chosen.items()}
    return chosen, written


def _world(argv: list[str], written: dict[str, Any], name: str) -> Any:
    """The world as far as its settings are words, which is enough to know what suits
    it."""
    words = [f.name for f in plugins.describe("env", name).fields if f.type is str]
    given = {
        word: _value_of(argv, f"env.{word.replace('_', '-')}")
        or written.get(f"env.{word}")
        for word in words
    }
    return plugins.make(
        "env", name, **{word: value for word, value in given.items() if value}
    )


def fail(prog: str, error: object, status: int = 2) -> NoReturn:
    """Print one sentence and leave."""
    print(f"{prog}: {error}", file=sys.stderr)
    raise SystemExit(status)


def _sentence(box: str) -> str:
    """What tyro says in a box, as one line: the error, then the flags that are meant or
    might have been."""
    lines = [line.strip("╭╮╰╯│─ ") for line in box.splitlines()[1:]]
    return " ".join(line for line in lines if line).replace(
        " Argument helptext:", "; it takes"
    )


def _options(described: dict[str, plugins.Description]) -> type:
    """A dataclass with every flag: the configuration's own, then one group for each
    plug-in."""
    settings = plugins.read_class(Path(__file__).with_name("config.py")).fields
    elsewhere = {
        f"{family}_{f.name}" for family in FAMILIES for f in plugins.shared(family)
    } | {"techniques"}
    own = [
        *EXTRAS,
        *(f for f in settings if f.type is not Any and f.name not in elsewhere),
    ]
    entries: list[Any] = [
        (
            f,
            Annotated[
                str,
                tyro.conf.arg(help="built in, installed, module:Class or a .py file"),
            ],
            dataclasses.field(
                default=str(getattr(Config, f) or "what suits the world")
            ),
        )
        for f in FAMILIES
    ]
    entries.append(("techniques", tuple[str, ...], dataclasses.field(default=())))
    entries += [_entry(f) for f in own]
    for family, description in described.items():
        group = dataclasses.make_dataclass(
            family, [_entry(f) for f in description.fields], kw_only=True
        )
        group.__doc__ = description.summary
        entries.append(
            (
                f"{family}_fields",
                Annotated[group, tyro.conf.arg(name=family)],
                dataclasses.field(default_factory=group),
            )
        )
    return dataclasses.make_dataclass("Options", entries, kw_only=True)


def _entry(field: plugins.Field) -> tuple[str, Any, Any]:
    return (
        field.name,
        Annotated[field.type, tyro.conf.arg(help=field.help)],
        dataclasses.field(default=field.default),
    )


def _build(
    options: Any, chosen: dict[str, str], described: dict[str, plugins.Description]
) -> tuple[Config, str]:
    """Make the plug-ins and the configuration."""
    made: dict[str, Any] = dict(chosen)
    plain: dict[str, Any] = {}
    for family in described:
        settings = dict(vars(getattr(options, f"{family}_fields")))
        plain |= {
            f"{family}_{f.name}": settings.pop(f.name) for f in plugins.shared(family)
        }
        try:
            made[family] = plugins.make(family, chosen[family], **settings)
        except ValueError as error:
            raise ValueError(f"--{family} {chosen[family]}: {error}") from None
    rest = [
        f.name for f in dataclasses.fields(Config) if f.name not in (*FAMILIES, *plain)
    ]
    plain |= {name: getattr(options, name) for name in rest}
    return Config(**made, **plain), options.resume


def _choices() -> str:
    """Every choice of every plug-in flag, a line each."""
    lines = ["Choices (each has fields of its own: --learner iql --help):", ""]
    for family in [*FAMILIES, "technique"]:
        flag = "techniques" if family == "technique" else family
        for name in [*plugins.names(family), *plugins.installed(family)]:
            lines.append(
                f"  {f'--{flag} {name}':<25} {plugins.describe(family, name).summary}"
            )
    return "\n".join([*lines, ""])


def _value_of(argv: list[str], flag: str) -> str | None:
    values = _values_of(argv, flag)
    return values[-1] if values else None


def _values_of(argv: list[str], flag: str) -> list[str]:
    """All that stands behind `--flag` (its last appearance), up to the next flag."""
    found: list[str] = []
    for at, word in enumerate(argv):
        if word == f"--{flag}":
            rest = argv[at + 1 :]
            found = rest[
                : next((i for i, w in enumerate(rest) if w.startswith("--")), len(rest))
            ]
        elif word.startswith(f"--{flag}="):
            found = [word.partition("=")[2]]
    return found


def _read_yaml(path: str) -> dict[str, Any]:
    if not path:
        return {}
    if not Path(path).is_file():
        raise ValueError(f"--config {path}: there is no such file")
    try:
        content = yaml.safe_load(Path(path).read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(
            f"--config {path} is not valid YAML: {str(error).splitlines()[0]}"
        ) from None
    if not isinstance(content, dict) or any(
        isinstance(value, dict) for value in content.values()
    ):
        raise ValueError(
            f"--config {path} must be a flat list of `flag: value`, such as learner.discount: 0.99"
        )
    return {str(key).replace("-", "_"): value for key, value in content.items()}


def _as_flags(settings: dict[str, Any]) -> list[str]:
    """Settings as the command line that sets them."""
    flags: list[str] = []
    for key, value in settings.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            group, dot, name = flag.rpartition(".")
            flags.append(f"--{flag}" if value else f"--{group}{dot}no-{name}")
        else:
            flags += [
                f"--{flag}",
                *(map(str, value) if isinstance(value, list) else [str(value)]),
            ]
    return flags
