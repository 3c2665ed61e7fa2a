"""`python -m curriculum` lists the commands, `python -m curriculum train` runs one."""

import sys
from importlib import import_module

from curriculum._commands import commands
from curriculum.setting.flags import fail
from curriculum.setting.spelling import suggestion

PROG = "python -m curriculum"


def main(argv: list[str] | None = None) -> None:
    """Run the command that the first word names; list all commands without one."""
    argv = sys.argv[1:] if argv is None else argv
    names = commands()
    if not argv or argv[0] in ("--help", "-h"):
        print(f"usage: {PROG} COMMAND [FLAGS], each with --help\n")
        for name, summary in names.items():
            print(f"  {name:<10} {summary}")
        return
    name, *words = argv
    if name not in names:
        hint = suggestion(name, names)
        fail(
            PROG, f"{name[:60]!r} is not a command; there are: {', '.join(names)}{hint}"
        )
    import_module(f"curriculum.{name}").main(words)


if __name__ == "__main__":
    main()
