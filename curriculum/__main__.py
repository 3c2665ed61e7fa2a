"""`python -m curriculum` lists the commands."""

import ast
from pathlib import Path


def main() -> None:
    """Print every module here that can be run, with its first line."""
    print("usage: python -m curriculum.COMMAND [FLAGS], each with --help\n")
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_text()
        if 'if __name__ == "__main__":' in source and path.stem != "__main__":
            print(f"  {path.stem:<10} {(ast.get_docstring(ast.parse(source)) or '').splitlines()[0]}")


if __name__ == "__main__":
    main()
