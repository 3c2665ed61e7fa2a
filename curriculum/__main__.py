"""`python -m curriculum` lists the commands."""

from curriculum._commands import commands


def main() -> None:
    """Print every command and its summary."""
    print("usage: python -m curriculum.COMMAND [FLAGS], each with --help\n")
    for name, summary in commands().items():
        print(f"  {name:<10} {summary}")


if __name__ == "__main__":
    main()
