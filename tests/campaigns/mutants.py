"""Plant single-line bugs in the source and count how many the default tests notice.

    python tests/campaigns/mutants.py --mutants 120 --seed 0 --out mutants.json

Bugs are spread over all rooms by their lines of code. Each one is planted in a copy of
the tree; the tests of its room run first, all others only if those pass. The survivors
are listed at the end: a survivor is a missing test, or code that changes nothing.
"""

import argparse
import ast
import concurrent.futures
import json
import os
import queue
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCES = ("curriculum", "envs", "planners")
SECONDS = 900  # after which a run of tests counts as failed: the bug is an endless loop
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "//",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "maximum": "minimum",
    "argmin": "argmax",
    "argmax": "argmin",
    "mean": "sum",
    "sum": "mean",
    "zeros": "ones",
    "ones": "zeros",
    "terminated": "truncated",
    "low": "high",
}


# functions that make pictures, which people look at instead of tests
DRAWING = re.compile("draw|paint|picture|render|show|_note|label")


class Mutant(NamedTuple):
    """One planted bug."""

    path: str  # relative to the root
    line: int
    before: str  # the line
    after: str

    def __str__(self) -> str:
        before = self.before.strip()
        return f"{self.path}:{self.line}: {before}  ->  {self.after.strip()}"


def mutants(path: Path) -> Iterator[Mutant]:
    """All bugs that can be planted in a file."""
    source = path.read_text()
    lines = source.splitlines()
    tree = ast.parse(source)
    ignored = _ignored(tree)
    for node in ast.walk(tree):
        if id(node) in ignored or not isinstance(node, ast.expr | ast.stmt):
            continue
        for start, end, text in _replacements(node, lines):
            number = node.lineno
            before = lines[number - 1]
            after = before[:start] + text + before[end:]
            if after != before:
                yield Mutant(str(path.relative_to(ROOT)), number, before, after)


def _ignored(tree: ast.Module) -> set[int]:
    """Nodes in annotations, messages of errors, drawings, and in the constants and
    defaults of modules and classes: another default is no bug."""
    roots: list[ast.AST] = list(_constants(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            roots += _constants(node)
        if isinstance(node, ast.FunctionDef) and DRAWING.search(node.name):
            roots.append(node)
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            roots.append(node.annotation)
        elif isinstance(node, ast.FunctionDef) and node.returns:
            roots.append(node.returns)
        elif isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
            roots.append(node)
    return {id(node) for root in roots for node in ast.walk(root)}


def _constants(scope: ast.Module | ast.ClassDef) -> Iterator[ast.AST]:
    for statement in scope.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            yield statement


def _replacements(
    node: ast.expr | ast.stmt, lines: list[str]
) -> Iterator[tuple[int, int, str]]:
    """(first column, column behind the last, new text) on the line of `node`."""
    if node.lineno != node.end_lineno:
        return
    start = node.col_offset
    end = _end(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        sign = COMPARISONS[type(node.ops[0])]
        yield _end(node.left), node.comparators[0].col_offset, f" {sign} "
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        between = slice(_end(node.left), node.right.col_offset)
        if not set("()") & set(lines[node.lineno - 1][between]):
            yield between.start, between.stop, f" {ARITHMETIC[type(node.op)]} "
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield start, node.operand.col_offset, ""
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield start, end, str(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield start, end, repr(node.value + 1)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield end - len(node.attr), end, NAMES[node.attr]
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield start, end, NAMES[node.id]
    elif _is_call(node) or isinstance(node, ast.AugAssign):
        yield start, end, "pass"


def _end(node: ast.expr | ast.stmt) -> int:
    assert node.end_col_offset is not None
    return node.end_col_offset


def _is_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def sample(count: int, seed: int) -> list[Mutant]:
    """Choose bugs, at most one a line, so that each room has its share of lines."""
    generator = random.Random(seed)
    found: dict[tuple[str, int], list[Mutant]] = {}
    for path in _files():
        for mutant in mutants(path):
            found.setdefault((mutant.path, mutant.line), []).append(mutant)
    places = generator.sample(sorted(found), count)
    return [generator.choice(found[place]) for place in places]


def _files() -> list[Path]:
    files = []
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            linked = folder == "curriculum" and path.relative_to(ROOT).parts[1] in (
                "envs",
                "planners",
            )
            if not linked and path.name != "__init__.py":
                files.append(path)
    return files


def tests_of(path: str) -> list[str]:
    """The tests of the room that a file lies in, those named like the file or its
    folder first."""
    parts = Path(path).with_suffix("").parts
    room = parts[1] if parts[0] == "curriculum" else parts[0]
    folder = ROOT / "tests" / room
    if folder.is_dir():
        names = [part.strip("_") for part in parts[::-1]]
        files = sorted(
            str(file.relative_to(ROOT))
            for name in names
            for file in folder.glob(f"test_{name}*.py")
        )
        return [*dict.fromkeys(files), f"tests/{room}"]
    files = [str(file.relative_to(ROOT)) for file in ROOT.glob(f"tests/test_{room}*")]
    return sorted(files) or ["tests/test_cli.py"]


def survives(mutant: Mutant, tree: Path, rooms_only: bool) -> bool:
    """Whether the default tests, or only those of its room, pass with the bug in
    `tree`, a copy of the source."""
    path = tree / mutant.path
    original = path.read_text()
    lines = original.splitlines(keepends=True)
    lines[mutant.line - 1] = mutant.after + "\n"
    path.write_text("".join(lines))
    try:
        own = _passes(tree, tests_of(mutant.path))
        return own and (rooms_only or _passes(tree, ["tests"]))
    finally:
        path.write_text(original)


def _passes(tree: Path, tests: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", *tests]
    # processes that a test starts elsewhere have the bug, too
    environment = os.environ | {"PYTHONPATH": str(tree)}
    try:
        ended = subprocess.run(
            command,
            cwd=tree,
            env=environment,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 0


def main() -> None:
    """Plant, test, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip", type=int, default=0, help="bugs done before")
    parser.add_argument("--workers", type=int, default=2, help="bugs tested at once")
    parser.add_argument(
        "--rooms-only", action="store_true", help="run only the tests of a bug's room"
    )
    parser.add_argument("--out", type=Path, default=Path("mutants.json"))
    options = parser.parse_args()
    chosen = sample(options.mutants, options.seed)[options.skip :]
    survivors: list[str] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trees = queue.SimpleQueue[Path]()
        for worker in range(options.workers):
            trees.put(_copy(Path(folder) / str(worker)))

        def test(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                return survives(mutant, tree, options.rooms_only)
            finally:
                trees.put(tree)

        with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
            for number, alive in enumerate(pool.map(test, chosen), 1):
                mutant = chosen[number - 1]
                if alive:
                    survivors.append(str(mutant))
                word = "SURVIVED" if alive else "killed"
                minutes = (time.monotonic() - began) / 60
                done = f"{number}/{len(chosen)} {minutes:.0f} min"
                print(f"{done} {word} {mutant}", flush=True)
                result = {"tested": number, "survivors": survivors}
                options.out.write_text(json.dumps(result, indent=1))
    share = 1 - len(survivors) / len(chosen)
    print(f"{share:.1%} of {len(chosen)} killed; survivors:", *survivors, sep="\n  ")


def _copy(tree: Path) -> Path:
    ignore = shutil.ignore_patterns(".git", ".venv", "runs", "__pycache__")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignore)
    return tree


if __name__ == "__main__":
    main()
