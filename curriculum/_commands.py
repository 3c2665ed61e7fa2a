"""The commands of the package: the modules that `python -m curriculum.NAME` runs."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

GUARD = 'if __name__ == "__main__":'  # what makes a module a command


def commands() -> dict[str, str]:
    """The first line of every command's docstring, by name."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        source = path.read_text()
        if GUARD in source:
            docstring = ast.get_docstring(ast.parse(source)) or ""
            found[path.stem] = docstring.partition("\n")[0]
    return found


def is_command(name: str) -> bool:
    """Whether a command has this name; reads no other module."""
    path = Path(__file__).with_name(f"{name}.py")
    return path.is_file() and not name.startswith("_") and GUARD in path.read_text()


def refuse_others(command_line: Sequence[str]) -> None:
    """End the program if `python -m` names a module of this package that is no command.

    `command_line` is that of the interpreter, such as `sys.orig_argv`."""
    module = command_line[command_line.index("-m") + 1]
    package, _, name = module.partition(".")
    if package != "curriculum" or not name or is_command(name):
        return
    names = ", ".join(commands())
    print(f"{module} is not a command; there are: {names}", file=sys.stderr)
    raise SystemExit(2)
