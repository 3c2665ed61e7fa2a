"""Who may import whom (the architecture in one table): a file that reaches across is
named."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = {"curriculum.types"}
# files -> our own modules they may import; the first pattern that fits counts
ALLOWED = {
    "envs/*.py": {"envs"},
    "planners/noisy.py": {"curriculum.setting.plugins", "curriculum.types"},
    "planners/*.py": {"envs", "planners", "curriculum.types"},
    "curriculum/types.py": set(),
    "curriculum/setting/plugins.py": set(),
    "curriculum/report/statistics.py": set(),
    "curriculum/learning/networks.py": PLUGIN,
    "curriculum/learning/pixels.py": {"curriculum.learning.networks"},
    "curriculum/learning/policies.py": set(),
    "curriculum/learning/values.py": {
        "curriculum.learning.networks",
        "curriculum.learning.policies",
    },
    "curriculum/learning/heads.py": PLUGIN
    | {
        "curriculum.learning.networks",
        "curriculum.learning.pixels",
        "curriculum.learning.policies",
        "curriculum.learning.values",
    },
    "curriculum/learning/support.py": PLUGIN
    | {"curriculum.learning.networks", "curriculum.learning.heads"},
    "curriculum/learning/engine.py": PLUGIN | {"curriculum.learning.learner"},
    "curriculum/learning/learner.py": PLUGIN
    | {"curriculum.learning.heads", "curriculum.learning.networks"},
    "curriculum/replay/sampling.py": PLUGIN,
    "curriculum/replay/episodes.py": PLUGIN,
    "curriculum/shipping/layers.py": set(),
    "curriculum/shipping/imitation.py": set(),
    "curriculum/replay/frames.py": PLUGIN | {"curriculum.replay.workspace"},
    "curriculum/replay/workspace.py": PLUGIN,
    "curriculum/replay/buffer.py": PLUGIN
    | {
        "curriculum.replay.sampling",
        "curriculum.replay.frames",
        "curriculum.replay.workspace",
        "curriculum.replay.episodes",
    },
    "curriculum/run/checkpoint.py": PLUGIN,
    "curriculum/shipping/artefact.py": PLUGIN | {"curriculum.shipping.layers"},
    "curriculum/run/mixture.py": PLUGIN | {"curriculum.replay.buffer"},
    "curriculum/run/ledger.py": PLUGIN | {"curriculum.replay.buffer"},
    "curriculum/contract.py": PLUGIN
    | {"curriculum.setting.plugins", "curriculum.run.loop", "envs"},
    "curriculum/setting/config.py": PLUGIN | {"curriculum.setting.plugins"},
    "curriculum/setting/flags.py": {
        "curriculum.setting.plugins",
        "curriculum.setting.config",
    },
    "curriculum/report/figures.py": {"curriculum.report.statistics"},
    "curriculum/learners/*.py": PLUGIN
    | {
        "curriculum.learning.learner",
        "curriculum.learning.networks",
        "curriculum.learning.heads",
        "curriculum.learning.support",
    },
    "curriculum/bonuses/*.py": PLUGIN
    | {"curriculum.learning.learner", "curriculum.learning.networks"},
    "curriculum/techniques/*.py": PLUGIN
    | {
        "curriculum.shipping.artefact",
        "curriculum.shipping.imitation",
        "curriculum.shipping.layers",
    },
    "curriculum/listeners/*.py": PLUGIN | {"curriculum.report.figures"},
    "curriculum/decays/*.py": PLUGIN,
    "curriculum/gates/*.py": PLUGIN,
    "curriculum/starts/*.py": PLUGIN,
}
ONLY = {  # a library -> the files that may import it
    "torch": (
        "curriculum/*.py",
        "curriculum/learners/*",
        "curriculum/bonuses/*",
        "curriculum/techniques/*",
        "curriculum/listeners/tensorboard.py",
        "planners/*",
    ),
    "gymnasium": ("envs/*",),
    "stable_baselines3": ("planners/*",),
    "sb3_contrib": ("planners/*",),
    "tensorboard": ("curriculum/listeners/*",),
    "rich": ("curriculum/listeners/*",),
    "matplotlib": ("curriculum/report/figures.py",),
    "pygame": ("envs/*",),
    "tyro": ("curriculum/setting/flags.py",),
}
# files that `--help` reads or that need no networks, and the libraries they may not
# pull in
NEVER = {
    "curriculum/report/statistics.py": {"torch"},
    "curriculum/types.py": {"torch"},
    "curriculum/setting/plugins.py": {"torch"},
    "curriculum/setting/config.py": {"torch"},
    "curriculum/setting/flags.py": {"torch"},
    "curriculum/train.py": {"torch"},
}
COMMANDS = {"curriculum.train", "curriculum.compare"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def imported(path: Path) -> set[str]:
    """Every module a file imports, wherever the import stands, except for type checking
    alone."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = (
                {f"{node.module}.{a.name}" for a in node.names}
                if node.module in OURS
                else {node.module}
            )
            found |= modules
    return found


OURS = ("curriculum", "planners", "envs")


def offences(root: Path) -> list[str]:
    """Every import that the tables above do not allow, as 'file imports module'."""
    wrong = []
    for folder in OURS:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root)
            ours = {m for m in imported(path) if m.split(".")[0] in OURS}
            allowed = next(
                (rule for pattern, rule in ALLOWED.items() if name.match(pattern)), None
            )
            if allowed is not None:
                wrong += [
                    f"{name} imports {m}"
                    for m in sorted(ours)
                    if not any(f"{m}.".startswith(f"{a}.") for a in allowed)
                ]
            elif f"curriculum.{path.stem}" not in COMMANDS:
                wrong += [f"{name} imports {m}" for m in sorted(ours & COMMANDS)]
            foreign = {m.split(".")[0] for m in imported(path)}
            for library, places in ONLY.items():
                if library in foreign and not any(
                    name.match(place) for place in places
                ):
                    wrong.append(f"{name} imports {library}")
            wrong += [
                f"{name} imports {m}"
                for m in sorted(foreign & (PICKLES | NEVER.get(str(name), set())))
            ]
    return wrong


def test_every_file_imports_only_what_its_place_allows():
    assert offences(ROOT) == []


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
            "from curriculum.types import Spec",
            "envs/planted.py imports curriculum.types",
        ),
        (
            "planners/planted.py",
            "from curriculum import loop",
            "planners/planted.py imports curriculum.run.loop",
        ),
        (
            "curriculum/learners/planted.py",
            "import curriculum.replay.buffer",
            "curriculum/learners/planted.py imports curriculum.replay.buffer",
        ),
        (
            "curriculum/planted.py",
            "from curriculum.train import main",
            "curriculum/planted.py imports curriculum.train",
        ),
        (
            "curriculum/report/statistics.py",
            "from torch import nn",
            "curriculum/report/statistics.py imports torch",
        ),
        (
            "curriculum/planted.py",
            "def f():\n    import pickle",
            "curriculum/planted.py imports pickle",
        ),
        (
            "curriculum/planted.py",
            "import stable_baselines3.common",
            "curriculum/planted.py imports stable_baselines3",
        ),
    ],
)
def test_a_planted_offender_is_named(tmp_path: Path, file: str, line: str, named: str):
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line + "\n")
    assert offences(tmp_path) == [named]
