"""Turn a command line and a YAML file into a `Config`, without importing torch.

Two passes: the first finds out which plug-ins are chosen, the second reads all flags,
those of the chosen plug-ins included.
"""

import contextlib
import dataclasses
import io
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import tyro
import yaml

from curriculum.setting import plugins, suggestions
from curriculum.setting.config import Config
from curriculum.setting.description import Description, Field, read_class
from curriculum.types import World

FAMILIES = plugins.CHOSEN
EXTRAS = (
    Field(
        "config",
        str,
        "",
        "read settings from this YAML file; flags win over it; the config.yaml of a "
        "run repeats the run",
    ),
    Field(
        "resume",
        str,
        "",
        "auto: the newest unfinished run of this name; or the path of a run or a "
        "checkpoint",
    ),
)


class Flag(NamedTuple):
    """A flag of a command line and the words up to the next flag."""

    name: str  # without dashes in front
    values: list[str]


class CommandLine(NamedTuple):
    """A parsed command line."""

    config: Config
    resume: str


class Choices(NamedTuple):
    """The result of the first pass."""

    plugins: dict[str, str]  # family -> name
    # settings by the YAML file and by short names, with underscores for dashes
    settings: dict[str, Any]
    # settings that the world suggests and that are not given, by the same names
    suggested: dict[str, Any]


def parse(argv: list[str], prog: str = "python -m curriculum.train") -> CommandLine:
    """Read a command line; ends the program with a message if it is wrong."""
    try:
        return read(argv, prog)
    except ValueError as error:
        fail(prog, error)


def read(argv: list[str], prog: str = "python -m curriculum.train") -> CommandLine:
    """Read a command line; ValueError says what is wrong with it."""
    chosen = choices(argv)
    descriptions = _describe(chosen)
    for technique in _techniques(argv, chosen.settings):
        plugins.describe("technique", technique)
    if asks_for_help(argv):
        if sys.platform != "win32":
            # so that `--help | head` ends quietly
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        print(_list_choices())
    words = [*_to_words(chosen.settings), *argv]
    own = _with_defaults(_own_fields(), chosen.suggested)
    options = _read_options(_options_class(descriptions, own), prog, words)
    return _build(options, chosen.plugins, descriptions)


def choices(argv: list[str]) -> Choices:
    """Find out which plug-ins a command line and its YAML file choose."""
    given = _last_values(argv)
    settings = _read_yaml(given.get("config", ""))
    chosen: dict[str, str] = {}
    for family in FAMILIES:
        written = settings.get(family)
        if not isinstance(written, str | None):
            raise ValueError(f"{family} must be one name, got {written!r}")
        flag = given.get(family)
        if flag not in (None, written):
            # settings of another plug-in
            settings = _without_group(settings, family)
        name = flag or written or str(getattr(Config, family))
        chosen[family], implied = plugins.resolve(family, name)
        for field, value in implied.items():
            settings[f"{family}.{field}"] = value
    world = _world(argv, settings, chosen["env"])
    for family, name in plugins.suited(world).items():
        chosen[family] = chosen[family] or name
    known = settings.keys() | _given_settings(argv)
    suggested = suggestions.suggested(world, chosen, known)
    return Choices(chosen, settings, suggested)


def scan(argv: Sequence[str]) -> list[Flag]:
    """Split a command line into flags, each with the words up to the next flag."""
    flags: list[Flag] = []
    for word in argv:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flags.append(Flag(name, [value] if equals else []))
        elif word == "-h":
            flags.append(Flag("help", []))
        elif flags:
            flags[-1].values.append(word)
        else:
            raise ValueError(f"expected a flag such as --start, got {word!r}")
    return flags


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return "--help" in argv or "-h" in argv


def fail(prog: str, error: object, status: int = 2) -> NoReturn:
    """Print one message and end the program."""
    print(f"{prog}: {error}", file=sys.stderr)
    raise SystemExit(status)


# --- the first pass ---


def _last_values(argv: list[str]) -> dict[str, str]:
    """The last word behind the last appearance of each flag that has a value."""
    values = {flag.name: flag.values for flag in scan(argv)}
    return {name: words[-1] for name, words in values.items() if words}


def _read_yaml(path: str) -> dict[str, Any]:
    if not path:
        return {}
    if not Path(path).is_file():
        raise ValueError(f"--config {path}: there is no such file")
    try:
        content = yaml.safe_load(Path(path).read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--config {path} is not valid YAML: {reason}") from None
    is_flat = isinstance(content, dict) and not any(
        isinstance(value, dict) for value in content.values()
    )
    if not is_flat:
        raise ValueError(
            f"--config {path} must be a flat list of `flag: value`, "
            "such as learner.discount: 0.99"
        )
    return {str(key).replace("-", "_"): value for key, value in content.items()}


def _without_group(settings: Mapping[str, Any], family: str) -> dict[str, Any]:
    prefix = f"{family}."
    return {key: value for key, value in settings.items() if not key.startswith(prefix)}


def _world(argv: Sequence[str], settings: Mapping[str, Any], name: str) -> World:
    """Make the world from all of its settings, which decide what suits it."""
    description = plugins.describe("env", name)
    own = {key: value for key, value in settings.items() if key.startswith("env.")}
    words = _to_words(own)
    for flag in scan(argv):
        if flag.name.startswith("env."):
            words += [f"--{flag.name}", *flag.values]
    options = _read_options(_group("env", description), "", words)
    return _make("env", name, vars(options.env_fields))


def _given_settings(argv: Sequence[str]) -> set[str]:
    """The settings that a command line sets, by their names in a YAML file."""
    names = {flag.name.replace("-", "_") for flag in scan(argv)}
    for name in list(names):
        group, dot, field = name.rpartition(".")
        names.add(f"{group}{dot}{field.removeprefix('no_')}")
    return names


def _techniques(argv: list[str], settings: Mapping[str, Any]) -> Sequence[str]:
    for flag in reversed(scan(argv)):
        if flag.name == "techniques" and flag.values:
            return flag.values
    return settings.get("techniques") or ()


def _describe(chosen: Choices) -> dict[str, Description]:
    """Describe the chosen plug-ins, with the settings that all of a family share."""
    described: dict[str, Description] = {}
    for family, name in chosen.plugins.items():
        if family == "bonus" and name == "none":
            continue
        summary = plugins.describe(family, name).summary
        fields = plugins.flags(family, name)
        fields = _with_defaults(fields, chosen.suggested, f"{family}.")
        described[family] = Description(summary, fields)
    return described


def _with_defaults(
    fields: Sequence[Field], suggested: Mapping[str, Any], prefix: str = ""
) -> tuple[Field, ...]:
    """The fields, with suggested defaults; names of suggestions have the prefix."""
    replaced = []
    for field in fields:
        default = suggested.get(prefix + field.name, field.default)
        replaced.append(dataclasses.replace(field, default=default))
    return tuple(replaced)


def _list_choices() -> str:
    """List every choice of every plug-in flag, one on each line."""
    lines = ["Choices (each has fields of its own: --learner iql --help):", ""]
    for family in (*FAMILIES, "technique"):
        flag = "--techniques" if family == "technique" else f"--{family}"
        for name in (*plugins.names(family), *plugins.installed(family)):
            choice = f"{flag} {name}"
            lines.append(f"  {choice:<25} {plugins.describe(family, name).summary}")
    lines.append("")
    return "\n".join(lines)


# --- the second pass ---


def _to_words(settings: Mapping[str, Any]) -> list[str]:
    """Write settings as the command line that sets them."""
    words: list[str] = []
    for key, value in settings.items():
        flag = key.replace("_", "-")
        if isinstance(value, list):
            words += [f"--{flag}", *map(str, value)]
        elif value is True:
            words.append(f"--{flag}")
        elif value is False:
            group, dot, name = flag.rpartition(".")
            words.append(f"--{group}{dot}no-{name}")
        else:
            words += [f"--{flag}", str(value)]
    return words


def _options_class(
    descriptions: Mapping[str, Description], own_fields: Sequence[Field]
) -> type:
    """Make a dataclass with every flag: those of the configuration, then one group for
    each plug-in."""
    entries = [_family_entry(family) for family in FAMILIES]
    entries.append(("techniques", tuple[str, ...], dataclasses.field(default=())))
    entries += [_entry(field) for field in (*EXTRAS, *own_fields)]
    for family, description in descriptions.items():
        entries.append(_group_entry(family, description))
    return dataclasses.make_dataclass("Options", entries, kw_only=True)


def _group(family: str, description: Description) -> type:
    """Make a dataclass with the flags of one plug-in."""
    entries = [_group_entry(family, description)]
    return dataclasses.make_dataclass("Options", entries, kw_only=True)


def _group_entry(family: str, description: Description) -> tuple[str, Any, Any]:
    fields = [_entry(field) for field in description.fields]
    group = dataclasses.make_dataclass(family, fields, kw_only=True)
    group.__doc__ = description.summary
    annotation: Any = Annotated[group, tyro.conf.arg(name=family)]
    default = dataclasses.field(default_factory=group)
    return f"{family}_fields", annotation, default


def _own_fields() -> list[Field]:
    """The fields of `Config` that neither choose a plug-in nor belong to its group."""
    elsewhere = {*FAMILIES, "techniques"}
    for family in FAMILIES:
        elsewhere |= {f"{family}_{field.name}" for field in plugins.shared(family)}
    config = read_class(Path(__file__).with_name("config.py"))
    return [field for field in config.fields if field.name not in elsewhere]


def _family_entry(family: str) -> tuple[str, Any, Any]:
    default = str(getattr(Config, family) or "what suits the world")
    text = "built in, installed, module:Class or a .py file"
    return _entry(Field(family, str, default, text))


def _entry(field: Field) -> tuple[str, Any, Any]:
    annotation: Any = Annotated[field.type, tyro.conf.arg(help=field.help)]
    return field.name, annotation, dataclasses.field(default=field.default)


def _read_options(options: type, prog: str, words: list[str]) -> Any:
    """Read all flags; ValueError says which one is wrong."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(options, prog=prog, args=words)
    except SystemExit as ending:
        if ending.code:
            raise ValueError(_on_one_line(complaint.getvalue())) from None
        raise  # after --help


def _on_one_line(box: str) -> str:
    """Return what tyro prints in a box as one line: the error, then similar flags."""
    lines = [line.strip("╭╮╰╯│─ ") for line in box.splitlines()[1:]]
    message = " ".join(line for line in lines if line)
    return message.replace(" Argument helptext:", "; it takes")


def _build(
    options: Any,
    chosen: Mapping[str, str],
    descriptions: Mapping[str, Description],
) -> CommandLine:
    """Make the plug-ins and the configuration."""
    settings: dict[str, Any] = dict(chosen)
    for family in descriptions:
        group = dict(vars(getattr(options, f"{family}_fields")))
        for field in plugins.shared(family):
            settings[f"{family}_{field.name}"] = group.pop(field.name)
        settings[family] = _make(family, chosen[family], group)
    for config_field in dataclasses.fields(Config):
        if config_field.name not in settings:
            settings[config_field.name] = getattr(options, config_field.name)
    return CommandLine(Config(**settings), options.resume)


def _make(family: str, name: str, settings: Mapping[str, Any]) -> Any:
    """Make a plug-in; ValueError names its flag."""
    try:
        return plugins.make(family, name, **settings)
    except ValueError as error:
        raise ValueError(f"--{family} {name}: {error}") from None
