"""Measure again what README.md shows, and write the tables into it.

    python benchmarks/all.py
    python benchmarks/all.py --long
    python benchmarks/all.py --only jobs

Runs every command of README.md that stands above an `output` comment and replaces what
is between that comment and `end` by what the command prints. Without a flag these are
the commands of default use, about seven minutes; `--long` adds those whose comment is
`output, long`. The machine must have nothing else to do.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

README = Path(__file__).with_name("README.md")
ROOT = README.parents[1]
BLOCK = re.compile(
    r"```bash\npython benchmarks/(?P<command>[^\n]+)\n```\n\n"
    r"<!-- output(?P<long>, long)? -->\n(?P<table>.*?)<!-- end -->",
    re.DOTALL,
)


def processor() -> str:
    """The processor's name, and how many cores there are."""
    name = platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"model name\s*: (.*)", information.read_text())
        name = found.group(1) if found else name
    return f"{name}, {os.cpu_count()} cores"


def run(command: str) -> str:
    """What a benchmark prints, and where it ran."""
    load = os.getloadavg()[0]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = re.findall(r'"[^"]*"|\S+', command)
    done = subprocess.run(
        [sys.executable, *(f"benchmarks/{words[0]}", *words[1:])],
        cwd=ROOT,
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    where = (
        f"{time.strftime('%Y-%m-%d')}, {processor()}, load {load:.1f} before; "
        f"Python {platform.python_version()}, torch {version('torch')}."
    )
    return f"{done.stdout.strip()}\n{where}\n"


def main() -> None:
    """Replace the tables one by one, so that an interruption loses one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="all tables")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    options = parser.parse_args()
    for block in BLOCK.finditer(README.read_text()):
        command = block["command"]
        name = command.split(".")[0]
        wanted = name in options.only if options.only else True
        if not wanted or (block["long"] and not options.long):
            continue
        print(f"python benchmarks/{command}", flush=True)
        began = time.perf_counter()
        table = run(command)
        before, marker, _ = block.group().partition("-->\n")
        new = f"{before}{marker}{table}<!-- end -->"
        README.write_text(README.read_text().replace(block.group(), new))
        print(f"{table}{time.perf_counter() - began:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
