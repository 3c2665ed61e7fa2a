"""Who may import whom: the rooms of the house, from the ground floor up.

Imports count wherever they stand: at the top, inside functions, under TYPE_CHECKING.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"curriculum": "curriculum", "envs": "curriculum.envs"}
FOLDERS |= {"planners": "curriculum.planners"}
ROOMS = {  # a room -> the rooms that its files may import, besides its own
    "types": (),
    "activity": (),
    "trust": (),
    "answers": ("types",),
    "calls": ("activity",),
    "compiled": ("activity", "files"),
    "nested": ("types",),
    "files": (),
    "storage": ("files",),
    "crc": (),
    "modules": (),
    "setting": ("types", "trust", "modules", "data", "files", "storage"),
    "envs": ("types", "modules", "compiled"),
    "planners": ("envs", "types", "activity", "compiled", "trust"),
    "decays": ("types",),
    "gates": ("types",),
    "starts": ("types", "data", "storage"),
    "presets": (),
    "formats": ("types", "files", "activity", "crc"),
    "data": ("types", "files"),
    "replay": ("types",),
    "learning": ("types", "files"),
    "learners": ("learning", "types"),
    "bonuses": ("learning", "envs", "setting", "types"),
    "shipping": ("learning", "types", "files"),
    "techniques": ("shipping", "types"),
    "report": ("types", "files"),
    "listeners": ("report", "types", "activity", "files", "crc"),
    "run": (
        *("setting", "envs", "replay", "learning", "shipping", "report", "data"),
        *("activity", "answers", "calls", "trust", "nested", "types", "files"),
        "storage",
    ),
    "contract": (
        *("run", "setting", "envs", "replay", "learning", "shipping"),
        *("activity", "answers", "calls", "nested", "types"),
    ),
    "search": ("contract", "run", "setting", "report", "files"),
    "comparison": (
        *("contract", "run", "setting", "report"),
        *("activity", "trust", "files", "storage"),
    ),
}
EXTRA = {  # a file -> rooms that it alone of its room may import
    "planners/noisy.py": ("setting",),  # it wraps another planner, given by name
    "planners/explorer.py": ("setting", "learning"),  # it is a learner with a bonus
    "planners/policy.py": ("run", "shipping"),  # it acts as a run does
    "planners/__init__.py": ("_renamed",),
    "envs/__init__.py": ("_renamed",),
    "envs/recorded.py": ("data", "storage"),  # the world that a manifest describes
}
GROUND = ("curriculum/_commands.py", "curriculum/_renamed.py")  # import nothing of ours
MOST_FLOORS = 6
ONLY = {  # a library -> the places that may import it
    "torch": (
        *("curriculum/types.py", "curriculum/nested.py"),
        *("curriculum/replay/*", "curriculum/learning/*", "curriculum/learning/*/*"),
        *("curriculum/learners/*", "curriculum/bonuses/*", "curriculum/bonuses/*/*"),
        *("curriculum/shipping/*", "curriculum/techniques/*"),
        *("curriculum/run/*", "curriculum/contract/*"),
        *("planners/_expert/*", "planners/explorer.py"),
    ),
    "gymnasium": (
        *("envs/*", "envs/*/*", "curriculum/types.py"),
        "curriculum/contract/world.py",  # checks spaces
        "planners/_expert/*",  # policies of Stable-Baselines3 have its spaces
    ),
    "stable_baselines3": ("planners/_expert/*", "planners/*"),
    "sb3_contrib": ("planners/_expert/*", "planners/*"),
    "tensorboard": ("curriculum/listeners/*", "curriculum/listeners/_board/*"),
    "rich": ("curriculum/listeners/*", "curriculum/listeners/_phases/*"),
    "matplotlib": ("curriculum/report/*",),
    "pygame": ("envs/*", "envs/*/*", "curriculum/run/playing/*"),
    "imageio": ("curriculum/run/playing/*",),
    "h5py": ("curriculum/formats/*", "curriculum/formats/*/*"),
    "pyarrow": ("curriculum/formats/*", "curriculum/formats/*/*"),
    "sklearn": ("curriculum/report/*",),
    "PIL": ("curriculum/formats/_frames/*",),
    "numba": ("curriculum/compiled.py",),
    "llvmlite": ("curriculum/learning/native/machine.py",),
    "optuna": ("curriculum/search/samplers.py",),
    "ray": ("curriculum/comparison/cluster.py",),
    "tyro": ("curriculum/setting/help_text.py",),
    "fsspec": ("curriculum/storage.py",),
    "onnx": ("curriculum/shipping/onnx_model.py",),
    "onnxruntime": ("curriculum/shipping/onnx_model.py",),
}
NEVER = {  # modules that `--help` imports -> libraries it must not wait for
    "curriculum.train": ("torch", "matplotlib", "stable_baselines3", "tensorboard"),
    "curriculum.compare": ("torch", "matplotlib", "stable_baselines3", "tensorboard"),
    "curriculum.sweep": ("torch", "matplotlib", "ray", "optuna", "tensorboard"),
    "curriculum.play": ("torch", "pygame", "stable_baselines3", "tensorboard"),
    "curriculum.setting.flags": ("torch", "matplotlib"),
    "curriculum.runs": ("torch", "matplotlib", "tensorboard"),
    "curriculum.run.query": ("torch", "matplotlib"),  # its catalogue included
    "curriculum.report.columns": ("torch", "matplotlib"),
    "curriculum.compress": ("torch", "matplotlib", "stable_baselines3"),
    "curriculum.export": ("torch", "matplotlib", "stable_baselines3"),
    "curriculum.shipping.standalone": ("torch", "gymnasium", "safetensors"),
    "curriculum.report.statistics": ("torch", "matplotlib"),
}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def files(root: Path) -> dict[str, Path]:
    """Every module of the package, by its dotted name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            inside = path.relative_to(root / folder)
            if folder == "curriculum" and inside.parts[0] in FOLDERS:
                continue  # the links to envs/ and planners/
            parts = [package, *inside.with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            found[".".join(parts)] = path
    return found


@cache
def imported(path: Path) -> frozenset[str]:
    """Every dotted name a file imports: the module, and `module.name` for each name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def at_import(path: Path) -> set[str]:
    """Modules that importing a file imports, without those in functions."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def graph(root: Path) -> dict[str, set[str]]:
    """The modules of the package that each module imports."""
    modules = files(root)
    return {
        name: set(imported(path) & modules.keys()) - {name, "curriculum"}
        for name, path in modules.items()
    }


def room(module: str) -> str:
    """The room of a module: the folder or file it lies in below `curriculum`."""
    return module.split(".")[1] if "." in module else ""


def commands(root: Path) -> set[str]:
    """The rooms that are commands."""
    guard = 'if __name__ == "__main__":'
    paths = (root / "curriculum").glob("[!_]*.py")
    return {path.stem for path in paths if guard in path.read_text()}


def offences(root: Path) -> list[str]:
    """Every import that the tables above do not allow, as 'file imports module'."""
    found = []
    modules = files(root)
    verbs = commands(root)
    for name, others in graph(root).items():
        path = str(modules[name].relative_to(root))
        own = room(name)
        allowed = {own, *ROOMS.get(own, ()), *EXTRA.get(path, ())}
        for other in sorted(others):
            if room(other) in verbs and own not in verbs:
                found.append(f"{path} imports the command {other}")
            elif path in GROUND or (own in ROOMS and room(other) not in allowed):
                found.append(f"{path} imports {other}")
        libraries = {other.split(".")[0] for other in imported(modules[name])}
        for library, places in ONLY.items():
            allowed_here = any(Path(path).match(place) for place in places)
            if library in libraries and not allowed_here:
                found.append(f"{path} imports {library}")
        found += [f"{path} imports {pickle}" for pickle in sorted(libraries & PICKLES)]
    return found


def test_every_file_imports_only_what_its_room_allows():
    assert offences(ROOT) == []


def test_every_room_is_in_the_table():
    rooms = {room(name) for name in files(ROOT)} - commands(ROOT)
    known = {*ROOMS, "", "__main__", "_commands", "_renamed"}
    assert rooms <= known


def test_no_import_circles():
    try:
        TopologicalSorter(graph(ROOT)).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


def floors(edges: dict[str, set[str]]) -> dict[str, int]:
    """The floor of every room: one above the highest room it imports."""
    found: dict[str, int] = {}
    for name in TopologicalSorter(edges).static_order():
        below = [found[other] for other in edges.get(name, ())]
        found[name] = 1 + max(below, default=0)
    return found


def test_the_house_has_at_most_six_floors():
    edges: dict[str, set[str]] = {}
    for name, others in graph(ROOT).items():
        own = room(name)
        if own in ("", "_commands", "_renamed"):
            continue
        edges.setdefault(own, set())
        edges[own] |= {room(other) for other in others} - {own, ""}
    assert max(floors(edges).values()) <= MOST_FLOORS


@pytest.mark.parametrize("module", NEVER)
def test_importing_what_help_needs_is_quick(module: str):
    modules = files(ROOT)
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in modules and name not in seen:
            seen.add(name)
            waiting += at_import(modules[name])
    reached = {other for name in seen for other in at_import(modules[name])}
    libraries = {other.split(".")[0] for other in reached}
    assert libraries.isdisjoint(NEVER[module])


@pytest.mark.parametrize(
    ("file", "line", "named"),
    [
        (
            "curriculum/decays/planted.py",
            "import torch",
            "curriculum/decays/planted.py imports torch",
        ),
        (
            "envs/planted.py",
            "from curriculum.setting import config",
            "envs/planted.py imports curriculum.setting.config",
        ),
        (
            "planners/_search/planted.py",
            "def f():\n    from curriculum.setting import config",
            "planners/_search/planted.py imports curriculum.setting.config",
        ),
        (
            "curriculum/learners/planted.py",
            "if TYPE_CHECKING:\n    import curriculum.setting.config",
            "curriculum/learners/planted.py imports curriculum.setting.config",
        ),
        (
            "curriculum/run/planted.py",
            "from curriculum.order import main",
            "curriculum/run/planted.py imports the command curriculum.order",
        ),
        (
            "curriculum/run/planted.py",
            "def f():\n    import pickle",
            "curriculum/run/planted.py imports pickle",
        ),
        (
            "curriculum/run/planted.py",
            "import stable_baselines3.common",
            "curriculum/run/planted.py imports stable_baselines3",
        ),
    ],
)
def test_a_planted_offender_is_named(tmp_path: Path, file: str, line: str, named: str):
    planted = {
        file: line,
        "curriculum/setting/config.py": "",
        "curriculum/order.py": 'if __name__ == "__main__":\n    pass',
    }
    for name, text in planted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert offences(tmp_path) == [named]
