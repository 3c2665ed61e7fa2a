"""The commands of the package: the modules that `python -m curriculum.NAME` runs."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path


def commands() -> dict[str, str]:
    """What every command does, in one line, by name."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        source = path.read_text()
        if 'if __name__ == "__main__":' in source:
            docstring = ast.get_docstring(ast.parse(source)) or ""
            found[path.stem] = docstring.partition("\n")[0]
    return found


def refuse_others(command_line: Sequence[str]) -> None:
    """End the program where `python -m` names a module of ours that is no command."""
    module = command_line[command_line.index("-m") + 1]
    package, _, name = module.partition(".")
    if package == "curriculum" and name and name not in commands():
        names = ", ".join(commands())
        print(f"{module} is not a command; there are: {names}", file=sys.stderr)
        raise SystemExit(2)
