"""Turn a command line and a YAML file into a `Config`, without importing torch.

Two passes: the first finds out which plug-ins are chosen, the second reads all
settings, those of the chosen plug-ins included, by the types of their fields.
"""

import dataclasses
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from curriculum.files import is_url
from curriculum.setting import (
    data_world,
    help_text,
    plugins,
    presets,
    settings_file,
    suggestions,
    techniques,
    values,
)
from curriculum.setting.config import ENGINE_OF_COMPILE, Config
from curriculum.setting.description import Description, Field, read_class
from curriculum.setting.spelling import suggestion
from curriculum.trust import require_trust, trusting_words
from curriculum.types import World

FAMILIES = plugins.CHOSEN
PLACE = (
    ".path"  # ends the names of settings that may be URLs, whose colons name no code
)
OF_COLLECTORS = ("round_steps", "rounds_ahead")  # settings that nothing else has
EXTRAS = (
    Field(
        "config",
        str,
        "",
        "read settings from this YAML file or preset (list: print the presets); flags "
        "win over it; the config.yaml of a run repeats the run",
    ),
    Field(
        "resume",
        str,
        "",
        "auto: the newest unfinished run of this name; or the path or the URL of a run "
        "or a checkpoint",
    ),
    Field(
        "preview",
        str,
        "",
        "do not train: print the planned planning rate, the expected planner calls and "
        "the expected time; with the name of a picture, draw them, too",
    ),
    Field(
        "trust",
        bool,
        False,
        "trust files that can run code: zips of Stable-Baselines3, and plug-ins that a "
        "settings file names",
    ),
)

# former names of settings, which work for one more release, with a warning
RENAMED = {"pretrain_updates": "offline_updates", "compile": "engine"}
# former values of settings with a former name
FORMER_VALUES = {"compile": ENGINE_OF_COMPILE}


class Flag(NamedTuple):
    """A flag of a command line and the words up to the next flag."""

    name: str  # without dashes in front
    values: list[str]


class CommandLine(NamedTuple):
    """A parsed command line."""

    config: Config
    resume: str


class Text(NamedTuple):
    """A setting as it was written."""

    words: list[str] | None  # None: null
    flag: str = ""  # that set it
    file: str = ""  # that set it


class Choices(NamedTuple):
    """The result of the first pass."""

    plugins: dict[str, str]  # family -> name
    # what is set by file, short names and flags, with underscores for dashes
    settings: dict[str, Text]
    # what the world suggests and is not set, by the same names
    suggested: dict[str, Any]
    # the chosen compression techniques, by the group of their settings
    techniques: dict[str, Description]


def parse(argv: list[str], prog: str = "python -m curriculum.train") -> CommandLine:
    """Read a command line; ends the program with a message if it is wrong."""
    try:
        return read(argv, prog)
    except ValueError as error:
        fail(prog, error)


def read(
    argv: list[str],
    prog: str = "python -m curriculum.train",
    world: data_world.DataWorld | None = None,
) -> CommandLine:
    """Read a command line; ValueError says what is wrong with it.

    A `world` takes the place of the settings file."""
    chosen = choices(argv, world)
    own = _with_defaults(_own_fields(), chosen.suggested)
    descriptions = _describe(chosen)
    groups = descriptions | chosen.techniques
    if asks_for_help(argv):
        families = [_family_field(family) for family in FAMILIES]
        help_text.show(prog, [*families, *EXTRAS, *own], groups)
    if "preview" in chosen.settings:
        raise ValueError("--preview is a flag of curriculum.train alone")
    fields = _fields(own, groups)
    read_values = {name: field.default for name, field in fields.items()}
    for name, text in chosen.settings.items():
        field, text = _field_of(fields, name, text, chosen.plugins)
        read_values[field] = _value(fields[field], text)
    _require_collectors(chosen.settings, read_values["collectors"])
    given = {name for name in read_values if name in _names_set(chosen.settings)}
    read_values["techniques"] = _techniques(read_values, given, chosen)
    return _build(read_values, chosen.plugins, descriptions)


def choices(argv: list[str], world: data_world.DataWorld | None = None) -> Choices:
    """Find out which plug-ins a command line and its YAML file, or a world in its
    place, choose.

    Raises ValueError where the file names code and the user trusts no file."""
    flags = _given_flags(argv)
    written = _read_file(flags) if world is None else _settings_of(world)
    with trusting_words(argv):
        _require_trust_of_code(written, flags)
        written |= _world_of_data(written | flags)
    if "techniques" in flags:
        kept = techniques.groups(_technique_names(flags))
        for group in techniques.groups(_technique_names(written)):
            if group not in kept:
                written = _without_group(written, group)
    chosen: dict[str, str] = {}
    for family in FAMILIES:
        named = _one_name(written, family)
        flag = _one_name(flags, family)
        if flag and flag != named:
            # settings of another plug-in
            written = _without_group(written, family)
        name = flag or named or str(getattr(Config, family))
        chosen[family], implied = plugins.resolve(family, name)
        source = flags if flag else written
        for field, value in implied.items():
            origin = source[family]._replace(words=[value])
            written[f"{family}.{field}"] = origin
    settings = {name: text for name, text in written.items() if name not in flags}
    settings |= flags
    described = techniques.describe(_technique_names(settings))
    made: World = _plugin("env", chosen["env"], settings)
    for family, name in plugins.suited(made, chosen["learner"]).items():
        chosen[family] = chosen[family] or name

    def start_size() -> int:
        return suggestions.size_of(_plugin("start", chosen["start"], settings))

    names = _names_set(settings)
    suggested = suggestions.suggested(made, chosen, names, start_size)
    return Choices(chosen, settings, suggested, described)


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
            raise ValueError(
                f"expected a flag such as --start, got {values.shown(word)}"
            )
    return flags


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return "--help" in argv or "-h" in argv


def fail(prog: str, error: object, status: int = 2) -> NoReturn:
    """Print one message and end the program."""
    print(f"{prog}: {error}", file=sys.stderr)
    raise SystemExit(status)


# --- the first pass ---


def _given_flags(argv: Sequence[str]) -> dict[str, Text]:
    """The last appearance of each flag."""
    given: dict[str, Text] = {}
    for flag in scan(argv):
        if flag.name != "help":
            written = flag.name.replace("-", "_")
            name = _current_name(written, f"--{flag.name}")
            given.pop(name, None)  # so that the last flag comes last
            words = _current_words(written, flag.values)
            given[name] = Text(words, flag=f"--{flag.name}")
    return given


def _read_file(flags: Mapping[str, Text]) -> dict[str, Text]:
    """The settings of the file that --config names."""
    path = _one_name(flags, "config")
    if not path:
        return {}
    if path == presets.LIST:
        presets.show()
    written = settings_file.read(presets.path_of(path))
    for extra in EXTRAS:
        if extra.name in written:
            raise ValueError(
                f"--config {path}: {extra.name} is not a setting; "
                f"give --{extra.name} on the command line"
            )
    return {
        _current_name(name, f"--config {path}: {name}"): Text(
            _current_words(name, words), file=path
        )
        for name, words in written.items()
    }


def _current_words(name: str, words: list[str] | None) -> list[str] | None:
    """Today's words for those of a setting that may have a former name."""
    former = FORMER_VALUES.get(name)
    if former is None or words is None:
        return words
    return [former.get(word, word) for word in words]


@cache
def _current_name(name: str, shown: str) -> str:
    """Today's name of a setting; prints once that a former name is one."""
    if name not in RENAMED:
        return name
    current = RENAMED[name]
    flag = current.replace("_", "-")
    print(
        f"{shown} is now --{flag}; the old name goes in the next release",
        file=sys.stderr,
    )
    return current


def _one_name(settings: Mapping[str, Text], name: str) -> str:
    """The one word of a setting, empty if it is not set."""
    text = settings.get(name)
    return "" if text is None else _value(Field(name, str, "", ""), text)


def _without_group(settings: Mapping[str, Text], family: str) -> dict[str, Text]:
    prefix = f"{family}."
    return {key: text for key, text in settings.items() if not key.startswith(prefix)}


def _technique_names(settings: Mapping[str, Text]) -> Sequence[str]:
    """The techniques and chains that are chosen, by --techniques or for
    --compress-every."""
    words = settings.get("techniques", Text(None)).words
    every = settings.get("compress_every")
    if words or every is None:
        return words or ()
    is_on = _value(Field("compress_every", int, 0, ""), every)
    return techniques.DEFAULT if is_on else ()


def _techniques(
    values_read: Mapping[str, Any], given: Container[str], chosen: Choices
) -> tuple[Any, ...]:
    """The chosen techniques: names, or instances where settings are given."""
    own = {
        group: {
            field.name: values_read[f"{group}.{field.name}"]
            for field in description.fields
            if f"{group}.{field.name}" in given
        }
        for group, description in chosen.techniques.items()
    }
    return tuple(
        techniques.make(word, own)
        if any(own[techniques.group(name)] for name in techniques.links(word))
        else word
        for word in _technique_names(chosen.settings)
    )


def _require_trust_of_code(
    written: Mapping[str, Text], flags: Mapping[str, Text]
) -> None:
    """Ask for trust in code that a settings file names and flags do not replace."""
    chosen = {family: _one_name(flags, family) for family in FAMILIES}
    for name, text in written.items():
        family = name.partition(".")[0]
        if family not in (*FAMILIES, "techniques") or name in flags:
            continue
        if chosen.get(family) and chosen[family] != _one_name(written, family):
            continue  # a setting of another plug-in
        for word in text.words or ():
            # module:Class or the path of a file, also inside name=value or a chain
            parts = techniques.links(word)
            is_place = is_url(word) and name.endswith(PLACE)
            has_colon = ":" in word and not is_place
            if has_colon or any(part.endswith(".py") for part in parts):
                what = f"{name}: {values.shown(word)} in the settings file {text.file}"
                require_trust(what, word)


def _world_of_data(settings: Mapping[str, Text]) -> dict[str, Text]:
    """The world of the data set that training starts from, as settings, if the user
    names no other one."""
    path = _one_name(settings, "start.path")
    from_data = path and _one_name(settings, "start") == "dataset"
    if not from_data or _one_name(settings, "env"):
        return {}
    found = data_world.world_of(path, _is_on(settings, "evaluation"))
    given = _settings_of(found)
    return {
        name: text
        for name, text in given.items()
        if name == "env" or name not in settings
    }


def _settings_of(world: data_world.DataWorld) -> dict[str, Text]:
    """A world as settings."""
    given = {"env": Text([world.env], file=world.file)}
    for name, value in world.settings.items():
        given[f"env.{name}"] = Text(_as_words(value), file=world.file)
    return given


def _is_on(settings: Mapping[str, Text], name: str) -> bool:
    """Whether a switch that is on by default is on."""
    if f"no_{name}" in settings:
        return False
    text = settings.get(name)
    return text is None or not text.words or _value(Field(name, bool, True, ""), text)


def _as_words(value: Any) -> list[str] | None:
    """A value of a manifest as it is written in a settings file."""
    if value is None:
        return None
    if isinstance(value, list):
        return [str(item) for item in value]
    return [str(value)]


def _plugin(family: str, name: str, settings: Mapping[str, Text]) -> Any:
    """Make a plug-in from all of its settings: what is suggested depends on them."""
    prefix = f"{family}."
    fields = {
        prefix + field.name: field for field in plugins.describe(family, name).fields
    }
    group: dict[str, Any] = {}
    for setting, text in settings.items():
        if setting.startswith(prefix):
            found, text = _field_of(fields, setting, text, {family: name})
            group[found.removeprefix(prefix)] = _value(fields[found], text)
    return _make(family, name, group)


def _names_set(settings: Iterable[str]) -> set[str]:
    """The names that settings may have: no_eval_mixed sets eval_mixed."""
    names = set(settings)
    for name in settings:
        group, dot, field = name.rpartition(".")
        names.add(f"{group}{dot}{field.removeprefix('no_')}")
    return names


def _describe(chosen: Choices) -> dict[str, Description]:
    """Describe the chosen plug-ins, with the settings that all of a family share."""
    described: dict[str, Description] = {}
    for family, name in chosen.plugins.items():
        if plugins.is_none(family, name):
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


# --- the second pass ---


def _fields(
    own: Sequence[Field], descriptions: Mapping[str, Description]
) -> dict[str, Field]:
    """Every setting: those of the configuration, then those of each plug-in."""
    fields = {field.name: field for field in (*EXTRAS, *own)}
    for family in FAMILIES:
        fields[family] = _family_field(family)
    for family, description in descriptions.items():
        for field in description.fields:
            fields[f"{family}.{field.name}"] = field
    return fields


def _family_field(family: str) -> Field:
    default = str(getattr(Config, family) or "what suits the world")
    text = "built in, installed, module:Class or a .py file"
    return Field(family, str, default, text)


def _own_fields() -> list[Field]:
    """The fields of `Config` that neither choose a plug-in nor belong to its group."""
    elsewhere = set(FAMILIES)
    for family in FAMILIES:
        elsewhere |= {f"{family}_{field.name}" for field in plugins.shared(family)}
    config = read_class(Path(__file__).with_name("config.py"))
    fields = []
    for field in config.fields:
        if field.name == "techniques":
            field = dataclasses.replace(field, type=tuple[str, ...])
        if field.name not in elsewhere:
            fields.append(field)
    return fields


def _field_of(
    fields: Mapping[str, Field], name: str, text: Text, chosen: Mapping[str, str]
) -> tuple[str, Text]:
    """The name of the field that a setting sets, and the text to read:
    `--no-eval-mixed` is `--eval-mixed false`."""
    if name in fields:
        if text.flag and fields[name].type is bool and not text.words:
            text = text._replace(words=["true"])
        return name, text
    group, dot, last = name.rpartition(".")
    positive = f"{group}{dot}{last.removeprefix('no_')}"
    if text.flag and positive in fields and fields[positive].type is bool:
        if text.words:
            raise ValueError(f"{text.flag} takes no value, got {' '.join(text.words)}")
        return positive, text._replace(words=["false"])
    raise _unknown(fields, name, text, chosen)


def _unknown(
    fields: Iterable[str], name: str, text: Text, chosen: Mapping[str, str]
) -> ValueError:
    """Make the error for a setting that does not exist."""
    family, dot, setting = name.partition(".")
    own = [field for field in fields if "." in field or not dot]
    what = f"there is no flag {values.shown(text.flag)}"
    if text.file:
        what = f"--config {text.file}: there is no setting {values.shown(name)}"
    if dot and family in chosen:
        own = [field for field in own if field.startswith(f"{family}.")]
        what += f" of {family} {chosen[family]}"
    hint = _found_elsewhere(fields, family, setting or name) or suggestion(name, own)
    if text.flag:
        hint = hint.replace("meant ", "meant --").replace("_", "-")
    return ValueError(what + hint)


def _found_elsewhere(fields: Iterable[str], family: str, setting: str) -> str:
    """Say where a setting exists: in a group, or in other plug-ins of its family."""
    if family in plugins.names("technique"):
        return _of_technique(fields, family)
    for name in fields:
        if name.endswith(f".{setting}"):
            return f" (perhaps you meant {name})"
    if family not in FAMILIES:
        return ""
    owners = []
    for name in plugins.names(family):
        own = plugins.describe(family, name).fields
        if setting in [field.name for field in own]:
            owners.append(name)
    return f" (only of {', '.join(owners)})" if owners else ""


def _of_technique(fields: Iterable[str], name: str) -> str:
    """Say why a technique lacks a setting; nothing if it is chosen, and has others."""
    if any(field.startswith(f"{name}.") for field in fields):
        return ""
    if not plugins.describe("technique", name).fields:
        return f" ({name} has no settings)"
    return f" (it needs --techniques {name})"


def _value(field: Field, text: Text) -> Any:
    """Read the value of a field; ValueError names the setting."""
    try:
        if text.words is None:
            return values.read_null(field.type)
        return values.read(field.type, text.words)
    except values.Mismatch as problem:
        where = text.flag or f"--config {text.file}: {field.name}"
        raise ValueError(f"{where} {problem}") from None


def _require_collectors(settings: Mapping[str, Text], collectors: int) -> None:
    """Raise ValueError for flags that say how collectors play where there are none."""
    if collectors or "resume" in settings:  # the run that is resumed has its own
        return
    for name in OF_COLLECTORS:
        flag = settings[name].flag if name in settings else ""
        if flag:
            raise ValueError(
                f"{flag} says how --collectors play, and there are none; give "
                "--collectors N, or leave it out"
            )


def _build(
    given: Mapping[str, Any],
    chosen: Mapping[str, str],
    descriptions: Mapping[str, Description],
) -> CommandLine:
    """Make the plug-ins and the configuration from the values of all fields."""
    settings: dict[str, Any] = dict(chosen)
    for family, description in descriptions.items():
        group = {
            field.name: given[f"{family}.{field.name}"] for field in description.fields
        }
        for shared in plugins.shared(family):
            settings[f"{family}_{shared.name}"] = group.pop(shared.name)
        settings[family] = _make(family, chosen[family], group)
    for config_field in dataclasses.fields(Config):
        if config_field.name not in settings:
            settings[config_field.name] = given[config_field.name]
    try:
        config = Config(**settings)
    except ValueError as error:
        raise ValueError(_with_flag(error, settings) or str(error)) from None
    return CommandLine(config, given["resume"])


def _make(family: str, name: str, settings: Mapping[str, Any]) -> Any:
    """Make a plug-in; ValueError names its flag."""
    try:
        return plugins.make(family, name, **settings)
    except ValueError as error:
        text = _with_flag(error, settings, f"{family}.")
        raise ValueError(text or f"--{family} {name}: {error}") from None


def _with_flag(error: ValueError, names: Container[str], group: str = "") -> str:
    """A message that begins with the name of a setting, with its flag instead; empty
    for another one."""
    name, _, rest = str(error).partition(" ")
    return f"--{group}{name.replace('_', '-')} {rest}" if name in names else ""
