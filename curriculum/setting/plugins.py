"""Find plug-ins by name: the file name is the flag, the file's one public class is the
plug-in.

Others come from elsewhere: by the name that an installed package gives them in the
entry-point group `curriculum.planners` (`curriculum.learners`, ...), as `module:Class`,
or as a path to a `.py` file of one public class. `describe` reads a built-in one's
summary and fields without importing it, so that `--help` needs no torch.
"""

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_type_hints

from curriculum.setting.adoption import adopt, adopt_instance

PACKAGES = {  # flag -> package whose files are its choices
    "env": "curriculum.envs",
    "learner": "curriculum.learners",
    "planner": "curriculum.planners",
    "decay": "curriculum.decays",
    "gate": "curriculum.gates",
    "start": "curriculum.starts",
    "bonus": "curriculum.bonuses",
    "technique": "curriculum.techniques",
    "listener": "curriculum.listeners",
}
# flags that take one plug-in of a run
CHOSEN = ("env", "learner", "planner", "decay", "gate", "start", "bonus")
ANNOTATIONS = {
    "Literal": Literal,
    "tuple": tuple,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "Any": Any,
}


@dataclass(frozen=True)
class Field:
    """One hyperparameter of a plug-in."""

    name: str
    type: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Description:
    """What `--help` says of a plug-in."""

    summary: str
    fields: tuple[Field, ...]


def names(family: str) -> list[str]:
    """All built-in choices of a flag."""
    files = _folder(PACKAGES[family]).glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def installed(family: str) -> dict[str, metadata.EntryPoint]:
    """The choices that installed packages add, by name; a name that is built in stays
    what it is."""
    group = f"curriculum.{PACKAGES[family].rpartition('.')[2]}"
    return {
        entry.name: entry
        for entry in _entry_points(group)
        if entry.name not in names(family)
    }


def find(family: str, name: str) -> type:
    """The class behind a name."""
    if not _built_in(name) or name in installed(family):
        return adopt(family, _foreign(family, name))
    module = importlib.import_module(f"{PACKAGES[family]}.{_known(family, name)}")
    return getattr(module, _public_class(ast.parse(inspect.getsource(module))).name)


def resolve(family: str, name: str) -> tuple[str, dict[str, Any]]:
    """The plug-in that a short name means and the settings that it implies: any id of
    Gymnasium is an `env`."""
    if family != "env" or not re.search(r"-v\d+$", name):
        return name, {}
    return (
        ("atari", {"game": name[4:].rpartition("-")[0]})
        if name.startswith("ALE/")
        else ("gym", {"id": name})
    )


def make(family: str, choice: Any, **settings: Any) -> Any:
    """An instance from a name and its settings; an instance is completed with the
    defaults of its protocol and returned."""
    if not isinstance(choice, str):
        return choice if _is_ours(family, choice) else adopt_instance(family, choice)
    name, implied = resolve(family, choice)
    return find(family, name)(**implied | settings)


def _is_ours(family: str, plugin: object) -> bool:
    return type(plugin).__module__.startswith(f"{PACKAGES[family]}.")


def name_of(family: str, plugin: Any) -> str:
    """The name under which `find` gives the class of this instance."""
    if isinstance(plugin, str):
        return plugin
    module, name = type(plugin).__module__, type(plugin).__qualname__
    package, _, stem = module.rpartition(".")
    if package == PACKAGES[family] or module.endswith(".py"):
        return module if module.endswith(".py") else stem
    return next(
        (n for n, e in installed(family).items() if e.value == f"{module}:{name}"),
        f"{module}:{name}",
    )


def suited(world: Any) -> dict[str, str]:
    """The names of the planner and the learner that suit a world, or the env of that
    name."""
    return {"planner": "random", "learner": "iql"} | getattr(
        make("env", world), "defaults", {}
    )


def flags(family: str, name: str) -> tuple[Field, ...]:
    """The settings behind `--<family>.`: those of the plug-in, and what a run's own
    configuration puts there."""
    own, general = describe(family, name).fields, shared(family)
    if taken := sorted({f.name for f in own} & {f.name for f in general}):
        raise ValueError(
            f"--{family} {name} has a field {taken[0]!r}, which every {family} has already; rename it"
        )
    return own + general


def shared(family: str) -> tuple[Field, ...]:
    """What `Config` says of every plug-in of a family: its field `planner_budget` is
    the flag `--planner.budget`."""
    settings, prefix = (
        read_class(_folder("curriculum.setting") / "config.py").fields,
        f"{family}_",
    )
    return tuple(
        dataclasses.replace(f, name=f.name[len(prefix) :])
        for f in settings
        if f.name.startswith(prefix)
    )


def describe(family: str, name: str) -> Description:
    """Summary and fields of a plug-in, its own before those it inherits."""
    if _built_in(name) and name not in installed(family):
        return read_class(_folder(PACKAGES[family]) / f"{_known(family, name)}.py")
    plugin = _foreign(family, name)
    fields, types = (
        dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else (),
        get_type_hints(plugin),
    )
    listed = [
        Field(f.name, types[f.name], f.default, "")
        for f in fields
        if f.default is not dataclasses.MISSING
    ]
    return Description(_summary(inspect.getdoc(plugin)), tuple(listed))


def read_class(path: Path, name: str | None = None) -> Description:
    """Describe the class `name` of a file, or its one public class, from the source
    alone."""
    source = path.read_text()
    tree = ast.parse(source)
    found = (
        next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)
        if name
        else _public_class(tree)
    )
    is_dataclass = any(
        "dataclass" in ast.unparse(decorator) for decorator in found.decorator_list
    )
    fields = (
        [_field(n, source.splitlines()) for n in found.body if _is_field(n)]
        if is_dataclass
        else []
    )
    for base in found.bases:
        inherited = _read_base(ast.unparse(base), tree)
        known = [field.name for field in fields]
        fields += [field for field in inherited if field.name not in known]
    return Description(_summary(ast.get_docstring(tree)), tuple(fields))


def _read_base(name: str, tree: ast.Module) -> tuple[Field, ...]:
    """Fields of a base class that a file of ours imports from another file of ours."""
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(
            "curriculum."
        ):
            continue
        if name in [alias.name for alias in node.names]:
            spec = importlib.util.find_spec(str(node.module))
            assert spec is not None
            assert spec.origin is not None
            return read_class(Path(spec.origin), name).fields
    return ()


def unknown(what: str, name: str, choices: list[str]) -> ValueError:
    """The error for a name that does not exist."""
    close = difflib.get_close_matches(name, choices, 1)
    hint = f" (perhaps you meant {close[0]})" if close else ""
    return ValueError(f"no {what} {name!r}; there are: {', '.join(choices)}{hint}")


def _known(family: str, name: str) -> str:
    if name not in names(family):
        raise unknown(family, name, sorted([*names(family), *installed(family)]))
    return name


def _built_in(name: str) -> bool:
    return ":" not in name and not name.endswith(".py")


@cache
def _entry_points(group: str) -> metadata.EntryPoints:
    return metadata.entry_points(group=group)


def _from_file(family: str, path: Path) -> type:
    """The one public class of a file, which is imported once under its path as its
    name."""
    if not path.is_file():
        raise ValueError(f"--{family} {path}: there is no such file")
    try:
        name = _public_class(ast.parse(path.read_text())).name
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"--{family} {path}: {error}") from None
    if (module := sys.modules.get(str(path.resolve()))) is None:
        spec = importlib.util.spec_from_file_location(str(path.resolve()), path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[spec.name]
            if isinstance(error, ModuleNotFoundError):
                raise ValueError(
                    f"--{family} {path} needs the module {error.name!r}, which is not installed"
                ) from None
            raise
    return getattr(module, name)


def _foreign(family: str, name: str) -> type:
    if name.endswith(".py"):
        return _from_file(family, Path(name))
    module, _, attribute = (
        installed(family)[name].value if _built_in(name) else name
    ).partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise ValueError(
                f"--{family} {name}: no module {module!r} on the Python path; run where it can be imported"
            ) from None
        raise ValueError(
            f"--{family} {name}: {module} needs the module {error.name!r}, which is not installed"
        ) from None
    except AttributeError:
        public = [
            k
            for k, v in vars(importlib.import_module(module)).items()
            if inspect.isclass(v) and v.__module__ == module
        ]
        raise ValueError(
            f"--{family} {name}: {module} has no {attribute!r}; its classes: {', '.join(public) or 'none'}"
        ) from None


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _public_class(tree: ast.Module) -> ast.ClassDef:
    public = [
        n
        for n in tree.body
        if isinstance(n, ast.ClassDef) and not n.name.startswith("_")
    ]
    if len(public) != 1:
        raise ValueError(
            f"a plug-in file has exactly one public class, found {[n.name for n in public]}"
        )
    return public[0]


def _is_field(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.AnnAssign)
        and node.value is not None
        and not ast.unparse(node.annotation).startswith("ClassVar")
    )


def _field(node: Any, lines: list[str]) -> Field:
    comment = _comment(node, lines)
    annotation = eval(ast.unparse(node.annotation), {"__builtins__": {}}, ANNOTATIONS)
    return Field(node.target.id, annotation, ast.literal_eval(node.value), comment)


def _comment(node: ast.AnnAssign, lines: list[str]) -> str:
    """What stands behind a field, or in the lines of comment right above it."""
    assert node.end_lineno is not None
    beside = lines[node.end_lineno - 1][node.end_col_offset :].strip()
    if beside:
        return beside.lstrip("# ")
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("# "):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above)


def _summary(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((docstring or "").split("\n\n")[0].split())
