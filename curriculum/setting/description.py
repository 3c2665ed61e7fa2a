"""Describe the settings of a class, for built-in ones without importing them."""

import ast
import dataclasses
import importlib.util
import inspect
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_type_hints

# names that annotations of settings consist of
ANNOTATIONS = {
    "Literal": Literal,
    "tuple": tuple,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "Any": Any,
}
NO_SETTINGS = ("ClassVar", "InitVar")  # annotations of other members


@dataclass(frozen=True)
class Field:
    """One setting of a class."""

    name: str
    type: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Description:
    """The text and the settings that `--help` shows for a class."""

    summary: str
    fields: tuple[Field, ...]


class _Source(NamedTuple):
    """A parsed file."""

    tree: ast.Module
    lines: list[str]


def describe_class(plugin: type) -> Description:
    """Describe an imported class, without help texts."""
    fields: list[Field] = []
    if dataclasses.is_dataclass(plugin):
        types = types_of(plugin)
        for field in dataclasses.fields(plugin):
            if field.default is not dataclasses.MISSING:
                kind = types.get(field.name, Any)
                fields.append(Field(field.name, kind, field.default, ""))
    return Description(_first_paragraph(inspect.getdoc(plugin)), tuple(fields))


def types_of(plugin: type) -> dict[str, Any]:
    """The types of a class's fields, as far as their annotations can be read."""
    try:
        return get_type_hints(plugin)
    except (NameError, TypeError, AttributeError):  # names for type checkers only
        found = {}
        for field in dataclasses.fields(plugin):
            if not isinstance(field.type, str):
                found[field.name] = field.type
        return found


@cache
def read_class(path: Path, name: str | None = None) -> Description:
    """Describe the class `name` of a file, or its one public class, from the source
    alone; its own fields come before inherited ones."""
    source = _read(path)
    definition = _find_class(source.tree, name) if name else public_class(source.tree)
    fields: list[Field] = []
    if _is_dataclass(definition):
        fields = [
            _read_field(node, source.lines)
            for node in definition.body
            if isinstance(node, ast.AnnAssign) and _is_field(node)
        ]
    for base in definition.bases:
        names = {field.name for field in fields}
        inherited = _read_base(ast.unparse(base), source.tree)
        fields += [field for field in inherited if field.name not in names]
    docstring = ast.get_docstring(source.tree)
    return Description(_first_paragraph(docstring), tuple(fields))


def declares(path: Path, member: str) -> bool:
    """Whether the one public class of a file sets a member to True, from the source
    alone."""
    for node in public_class(_read(path).tree).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == member:
            return node.value is not None and ast.unparse(node.value) == "True"
    return False


def public_class(tree: ast.Module) -> ast.ClassDef:
    """Return the one class of a plug-in file whose name has no leading underscore."""
    public = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    if len(public) != 1:
        names = [node.name for node in public]
        raise ValueError(f"a plug-in file has exactly one public class, found {names}")
    return public[0]


@cache
def _read(path: Path) -> _Source:
    text = path.read_text()
    return _Source(ast.parse(text), text.splitlines())


def _find_class(tree: ast.Module, name: str) -> ast.ClassDef:
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return node
    raise ValueError(f"no class {name!r}")


def _is_dataclass(definition: ast.ClassDef) -> bool:
    decorators = [ast.unparse(decorator) for decorator in definition.decorator_list]
    return any("dataclass" in decorator for decorator in decorators)


def _is_field(node: ast.AnnAssign) -> bool:
    annotation = ast.unparse(node.annotation)
    return node.value is not None and not annotation.startswith(NO_SETTINGS)


def _read_base(name: str, tree: ast.Module) -> tuple[Field, ...]:
    """Read the fields of a base class that a file imports from this package."""
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        imported = [alias.name for alias in node.names]
        if node.module.startswith("curriculum.") and name in imported:
            return read_class(_file_of(node.module), name).fields
    return ()


def _file_of(module: str) -> Path:
    """Find a module of this package without importing the room it is in."""
    package, room, *inside = module.split(".")
    spec = importlib.util.find_spec(f"{package}.{room}")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin)
    return path.parent.joinpath(*inside).with_suffix(".py") if inside else path


def _read_field(node: ast.AnnAssign, lines: list[str]) -> Field:
    assert isinstance(node.target, ast.Name)
    assert node.value is not None
    annotation = ast.unparse(node.annotation)
    kind = eval(annotation, {"__builtins__": {}}, ANNOTATIONS)
    default = ast.literal_eval(node.value)
    return Field(node.target.id, kind, default, _read_comment(node, lines))


def _read_comment(node: ast.AnnAssign, lines: list[str]) -> str:
    """Read the comment behind a field, or the lines of comment directly above it."""
    assert node.end_lineno is not None
    trailing = lines[node.end_lineno - 1][node.end_col_offset :].strip()
    if trailing:
        return trailing.lstrip("# ")
    comments: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        comment = line.strip()
        if not comment.startswith("# "):
            break
        comments.insert(0, comment.lstrip("# "))
    return " ".join(comments)


def _first_paragraph(docstring: str | None) -> str:
    """Return the first paragraph of a docstring on one line."""
    paragraph = (docstring or "").partition("\n\n")[0]
    return " ".join(paragraph.split())
