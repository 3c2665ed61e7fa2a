"""Find plug-ins by name: the name of a file is the value of a flag.

A built-in plug-in is the one public class of a file: `--decay exponential` is the class
in `decays/exponential.py`. A plug-in from outside is named in one of three ways: by the
name that an installed package gives it in the entry-point group `curriculum.planners`
(`curriculum.learners`, ...), as `module:Class`, or as the path of a `.py` file.
"""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple, NoReturn, overload

from curriculum.modules import import_file
from curriculum.setting import adoption, description, values
from curriculum.setting.description import Description, Field
from curriculum.setting.spelling import suggestion
from curriculum.types import (
    Bonus,
    Decay,
    Format,
    Gate,
    Listener,
    Planner,
    Start,
    Technique,
    World,
)

PACKAGES = {  # flag -> package whose files are its choices
    "env": "curriculum.envs",
    "learner": "curriculum.learners",
    "planner": "curriculum.planners",
    "decay": "curriculum.decays",
    "gate": "curriculum.gates",
    "start": "curriculum.starts",
    "bonus": "curriculum.bonuses",
    "technique": "curriculum.techniques",
    "format": "curriculum.formats",
    "listener": "curriculum.listeners",
}
# flags that take one plug-in of a run
CHOSEN = (
    "env",
    "learner",
    "planner",
    "decay",
    "gate",
    "start",
    "bonus",
    "label_decay",
    "regularizer_decay",
    "exploration_decay",
)
# flags that choose from the family of another one
FAMILY = {
    "label_decay": "decay",
    "regularizer_decay": "decay",
    "exploration_decay": "decay",
}
# values of flags that choose no plug-in
WITHOUT_PLUGIN = {
    "bonus": ("none",),
    "label_decay": ("none", "planning-rate"),
    "regularizer_decay": ("none", "planning-rate"),
    "exploration_decay": ("none",),
}


class Resolved(NamedTuple):
    """The plug-in that a short name stands for."""

    name: str
    settings: dict[str, str]


# --- names ---


def names(family: str) -> list[str]:
    """List the built-in choices of a flag."""
    files = _folder(_package(family)).glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def is_none(family: str, choice: object) -> bool:
    """Whether the value of a flag chooses no plug-in, such as "none"."""
    return isinstance(choice, str) and choice in WITHOUT_PLUGIN.get(family, ())


def installed(family: str) -> dict[str, metadata.EntryPoint]:
    """List the choices that installed packages add, by name.

    A package cannot replace a built-in choice."""
    built_in = names(family)
    package = _package(family).rpartition(".")[2]
    entries = _entry_points(f"curriculum.{package}")
    return {entry.name: entry for entry in entries if entry.name not in built_in}


def resolve(family: str, name: str) -> Resolved:
    """Resolve the short name of a plug-in: any id of Gymnasium is an `env`, and so is
    any class of an environment in a module or file."""
    if family != "env":
        return Resolved(name, {})
    if not re.search(r"-v\d+$", name):
        env_id = _id_of_class(name)
        return Resolved("gym", {"id": env_id}) if env_id else Resolved(name, {})
    if name.startswith("ALE/"):
        game = name.removeprefix("ALE/").rpartition("-")[0]
        return Resolved("atari", {"game": game})
    return Resolved("gym", {"id": name})


def name_of(family: str, plugin: object) -> str:
    """Return the name under which `find` finds the class of an instance."""
    if isinstance(plugin, str):
        return plugin
    module = type(plugin).__module__
    if module.endswith(".py"):
        return module
    package, _, stem = module.rpartition(".")
    if package == _package(family):
        return stem
    path = f"{module}:{type(plugin).__qualname__}"
    for name, entry in installed(family).items():
        if entry.value == path:
            return name
    return path


def unknown(what: str, name: str, choices: Sequence[str]) -> ValueError:
    """Make the error for a name that does not exist."""
    hint = suggestion(name, choices)
    listed = ", ".join(choices)
    return ValueError(f"no {what} {values.shown(name)}; there are: {listed}{hint}")


# --- classes and instances ---


def find(family: str, name: str) -> type[Any]:
    """Return the class behind a name."""
    if not _is_built_in(family, name):
        return adoption.adopt(FAMILY.get(family, family), _find_foreign(family, name))
    _check_known(family, name)
    module = importlib.import_module(f"{_package(family)}.{name}")
    definition = description.public_class(ast.parse(inspect.getsource(module)))
    return getattr(module, definition.name)


@overload
def make(family: Literal["env"], choice: World | str, **settings: Any) -> World: ...
@overload
def make(
    family: Literal["planner"], choice: Planner | str, **settings: Any
) -> Planner: ...
@overload
def make(family: Literal["decay"], choice: Decay | str, **settings: Any) -> Decay: ...
@overload
def make(family: Literal["gate"], choice: Gate | str, **settings: Any) -> Gate: ...
@overload
def make(family: Literal["start"], choice: Start | str, **settings: Any) -> Start: ...
@overload
def make(family: Literal["bonus"], choice: Bonus | str, **settings: Any) -> Bonus: ...
@overload
def make(
    family: Literal["technique"], choice: Technique | str, **settings: Any
) -> Technique: ...
@overload
def make(
    family: Literal["format"], choice: Format | str, **settings: Any
) -> Format: ...
@overload
def make(
    family: Literal["listener"], choice: Listener | str, **settings: Any
) -> Listener: ...
@overload
def make(family: str, choice: Any, **settings: Any) -> Any: ...
def make(family: str, choice: Any, **settings: Any) -> Any:
    """Make a plug-in from a name and its settings.

    An instance is returned, completed with the defaults of its protocol."""
    if isinstance(choice, str):
        name, implied = resolve(family, choice)
        return find(family, name)(**implied | settings)
    check_choice(family, choice)
    if _is_in_package(family, choice):
        return choice
    return adoption.adopt_instance(FAMILY.get(family, family), choice)


def _is_in_package(family: str, plugin: object) -> bool:
    return type(plugin).__module__.startswith(f"{_package(family)}.")


def check_choice(family: str, choice: Any) -> None:
    """Raise ValueError where a plug-in is neither a known name nor an instance whose
    settings have the types of their fields."""
    if isinstance(choice, str):
        name, _ = resolve(family, choice)
        if _is_built_in(family, name):
            _check_known(family, name)
        return
    if choice is None:
        raise ValueError(f"{family} must be a name or an instance, got None")
    if isinstance(choice, type):
        raise ValueError(
            f"{family} must be a name or an instance, got the class "
            f"{choice.__name__}; give {choice.__name__}()"
        )
    if not _is_in_package(family, choice):
        kind: Any = type(choice)
        adoption.adopt(FAMILY.get(family, family), kind)
    if not dataclasses.is_dataclass(choice):
        return
    kinds = description.types_of(type(choice))
    for field in dataclasses.fields(choice):
        value = getattr(choice, field.name)
        if value is field.default or field.name not in kinds:
            continue
        try:
            values.checked(kinds[field.name], value)
        except values.Mismatch as problem:
            name = type(choice).__name__
            raise ValueError(f"{family} {name}: {field.name} {problem}") from None


def suited(world: World | str, learner: str = "") -> dict[str, str]:
    """Return the names of the planner and the learner that suit a world, and how the
    weights of that learner fall; those of another `learner` stay."""
    defaults = make("env", world).defaults
    found = {
        "planner": defaults.get("planner", "random"),
        "learner": defaults.get("learner", "iql"),
    }
    is_own = learner in ("", found["learner"])
    for flag in FAMILY:
        found[flag] = defaults.get(flag, "none") if is_own else "none"
    return found


# --- descriptions ---


def describe(family: str, name: str) -> Description:
    """Describe a plug-in; a built-in one is not imported."""
    if not _is_built_in(family, name):
        return description.describe_class(_find_foreign(family, name))
    _check_known(family, name)
    return description.read_class(_folder(_package(family)) / f"{name}.py")


def says(family: str, name: str, member: str) -> bool:
    """Whether the class of a plug-in declares a member, such as `learns`, to be true; a
    built-in one is not imported."""
    if not _is_built_in(family, name):
        declared: bool = getattr(find(family, name), member)
        return declared
    _check_known(family, name)
    return description.declares(_folder(_package(family)) / f"{name}.py", member)


def flags(family: str, name: str) -> tuple[Field, ...]:
    """List the settings behind `--<family>.`: those of the plug-in, then those that
    `Config` adds to the family."""
    own = describe(family, name).fields
    general = shared(family)
    taken = {field.name for field in general}
    for field in own:
        if field.name in taken:
            raise ValueError(
                f"--{family} {name} has a field {field.name!r}, which every {family} "
                "has already; rename it"
            )
    return own + general


def shared(family: str) -> tuple[Field, ...]:
    """List the settings that `Config` adds to every plug-in of a family: its field
    `planner_budget` is the flag `--planner.budget`."""
    prefix = f"{family}_"
    config = description.read_class(_folder("curriculum.setting") / "config.py")
    return tuple(
        dataclasses.replace(field, name=field.name.removeprefix(prefix))
        for field in config.fields
        if field.name.startswith(prefix)
    )


# --- plug-ins from outside ---


def _id_of_class(name: str) -> str:
    """The id of the Gymnasium environment that a name of an `env` means; empty for a
    world."""
    if _is_built_in("env", name):
        return ""
    plugin = _find_foreign("env", name)
    if not (inspect.isclass(plugin) and adoption.is_gymnasium(plugin)):
        return ""
    return f"{plugin.__module__}:{plugin.__qualname__}"


def _is_built_in(family: str, name: str) -> bool:
    is_path = ":" in name or name.endswith(".py")
    return not is_path and name not in installed(family)


def _check_known(family: str, name: str) -> None:
    if name not in names(family):
        choices = sorted([*names(family), *installed(family)])
        choices += WITHOUT_PLUGIN.get(family, ())
        raise unknown(family.replace("_", "-"), name, choices)


def _find_foreign(family: str, name: str) -> type:
    """Import the class of a file, of `module:Class`, or of an installed package."""
    if name.endswith(".py"):
        return _from_file(family, Path(name))
    path = name if ":" in name else installed(family)[name].value
    module_name, _, class_name = path.partition(":")
    flag = f"--{family} {name}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        _refuse_import(flag, module_name, error)
    try:
        return getattr(module, class_name)
    except AttributeError:
        classes = _classes(module)
        hint = suggestion(class_name, classes)
        raise ValueError(
            f"{flag}: {module_name} has no {class_name!r}; "
            f"its classes: {', '.join(classes) or 'none'}{hint}"
        ) from None


def _from_file(family: str, path: Path) -> type:
    """Import the one public class of a file."""
    flag = f"--{family} {path}"
    if not path.is_file():
        raise ValueError(f"{flag}: there is no such file")
    try:
        definition = description.public_class(ast.parse(path.read_text()))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{flag}: {error}") from None
    try:
        module = import_file(path)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{flag} needs the module {error.name!r}, which is not installed"
        ) from None
    return getattr(module, definition.name)


def _refuse_import(flag: str, module: str, error: ModuleNotFoundError) -> NoReturn:
    """Say whether the module of a plug-in is missing, or one that it imports."""
    if f"{module}.".startswith(f"{error.name}."):
        raise ValueError(
            f"{flag}: no module {module!r} on the Python path; "
            "run where it can be imported"
        ) from None
    raise ValueError(
        f"{flag}: {module} needs the module {error.name!r}, which is not installed"
    ) from None


def _classes(module: ModuleType) -> list[str]:
    """List the classes that a module defines."""
    members = vars(module).items()
    return [
        name
        for name, member in members
        if inspect.isclass(member) and member.__module__ == module.__name__
    ]


@cache
def _entry_points(group: str) -> metadata.EntryPoints:
    return metadata.entry_points(group=group)


def _package(family: str) -> str:
    return PACKAGES[FAMILY.get(family, family)]


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
