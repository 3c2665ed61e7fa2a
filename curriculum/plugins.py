"""Find plug-ins by name: the file name is the flag, the file's one public class is the plug-in.

`describe` reads a plug-in's summary and fields without importing it, so that `--help` needs no torch.
"""

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

PACKAGES = {  # flag -> package whose files are its choices
    "env": "envs",
    "learner": "curriculum.learners",
    "planner": "planners",
    "decay": "curriculum.decays",
    "gate": "curriculum.gates",
    "start": "curriculum.starts",
    "bonus": "curriculum.bonuses",
    "technique": "curriculum.techniques",
    "listener": "curriculum.listeners",
}
CHOSEN = ("env", "learner", "planner", "decay", "gate", "start", "bonus")  # flags that take one plug-in of a run
PARTS = {  # files of a package that are no plug-ins
    "envs": ("cellworld", "dynamics", "make", "mazes", "mujoco", "pursuit", "simulate"),
    "planners": ("belief", "expert", "tree"),
}
ANNOTATIONS = {"Literal": Literal, "tuple": tuple, "int": int, "float": float, "bool": bool, "str": str, "Any": Any}


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
    package = PACKAGES[family]
    files = _folder(package).glob("*.py")
    return sorted(f.stem for f in files if not f.stem.startswith("_") and f.stem not in PARTS.get(package, ()))


def find(family: str, name: str) -> type:
    """The class behind a name: a built-in one, or `module:Class` from anywhere on the Python path."""
    if ":" in name:
        return _foreign(family, name)
    module = importlib.import_module(f"{PACKAGES[family]}.{_known(family, name)}")
    return getattr(module, _public_class(ast.parse(inspect.getsource(module))).name)


def make(family: str, choice: Any, **settings: Any) -> Any:
    """An instance from a name and its settings; an instance is passed through."""
    return find(family, choice)(**settings) if isinstance(choice, str) else choice


def name_of(family: str, plugin: Any) -> str:
    """The name under which `find` gives the class of this instance."""
    if isinstance(plugin, str):
        return plugin
    module, name = type(plugin).__module__, type(plugin).__qualname__
    package, _, stem = module.rpartition(".")
    return stem if package == PACKAGES[family] else f"{module}:{name}"


def describe(family: str, name: str) -> Description:
    """Summary and fields of a plug-in, its own before those it inherits."""
    if ":" not in name:
        return read_class(_folder(PACKAGES[family]) / f"{_known(family, name)}.py")
    plugin = _foreign(family, name)
    fields, types = dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else (), get_type_hints(plugin)
    listed = [Field(f.name, types[f.name], f.default, "") for f in fields if f.default is not dataclasses.MISSING]
    return Description((inspect.getdoc(plugin) or "").split("\n")[0], tuple(listed))


def read_class(path: Path, name: str | None = None) -> Description:
    """Describe the class `name` of a file, or its one public class, from the source alone."""
    source = path.read_text()
    tree = ast.parse(source)
    found = (
        next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name) if name else _public_class(tree)
    )
    fields = [_field(n, source.splitlines()) for n in found.body if _is_field(n)]
    for base in found.bases:
        origin = [
            n.module
            for n in tree.body
            if isinstance(n, ast.ImportFrom) and ast.unparse(base) in [a.name for a in n.names]
        ]
        if origin and str(origin[0]).startswith("curriculum."):
            inherited = read_class(
                _folder("curriculum") / f"{str(origin[0]).split('.')[1]}.py", ast.unparse(base)
            ).fields
            fields += [f for f in inherited if f.name not in [g.name for g in fields]]
    module_doc = (ast.get_docstring(tree) or "").split("\n")[0]
    return Description(module_doc, tuple(fields))


def unknown(what: str, name: str, choices: list[str]) -> ValueError:
    """The error for a name that does not exist."""
    close = difflib.get_close_matches(name, choices, 1)
    hint = f" (perhaps you meant {close[0]})" if close else ""
    return ValueError(f"no {what} {name!r}; there are: {', '.join(choices)}{hint}")


def _known(family: str, name: str) -> str:
    if name not in names(family):
        raise unknown(family, name, names(family))
    return name


def _foreign(family: str, name: str) -> type:
    module, _, attribute = name.partition(":")
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
            k for k, v in vars(importlib.import_module(module)).items() if inspect.isclass(v) and v.__module__ == module
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
    public = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    if len(public) != 1:
        raise ValueError(f"a plug-in file has exactly one public class, found {[n.name for n in public]}")
    return public[0]


def _is_field(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.AnnAssign)
        and node.value is not None
        and not ast.unparse(node.annotation).startswith("ClassVar")
    )


def _field(node: Any, lines: list[str]) -> Field:
    beside, above = lines[node.end_lineno - 1][node.end_col_offset :].strip(), lines[node.lineno - 2].strip()
    comment = (beside or (above if above.startswith("#") else "")).lstrip("# ")
    annotation = eval(ast.unparse(node.annotation), {"__builtins__": {}}, ANNOTATIONS)
    return Field(node.target.id, annotation, ast.literal_eval(node.value), comment)
