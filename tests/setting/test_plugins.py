"""Plug-ins: a file is a flag, `--help` tells the truth without importing it, and a
wrong name is told what is right."""

import dataclasses
import inspect
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from curriculum.setting import description, plugins
from curriculum.setting.description import Description

ALL = [(family, name) for family in plugins.PACKAGES for name in plugins.names(family)]
every_plugin = pytest.mark.parametrize(("family", "name"), ALL)
FOREIGN = '''"""A planner from elsewhere."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Patient:
    """Waits before it acts.

    And then it waits on."""

    wait: int = 3
    tone: "str" = "kind"

    def setup(self, rows, spec, seeds):
        return self

    def act(self, obs, rows):
        return rows


class Plain:
    """Has no settings."""
'''


@every_plugin
def test_what_help_says_is_what_the_class_has(family, name):
    plugin, described = plugins.find(family, name), plugins.describe(family, name)
    hints = get_type_hints(plugin)
    real = {
        field.name: (hints[field.name], field.default)
        for field in dataclasses.fields(plugin)
    }
    assert {
        field.name: (field.type, field.default) for field in described.fields
    } == real
    own = [
        field.name for field in described.fields if field.name in plugin.__annotations__
    ]
    # its own settings come first
    assert [field.name for field in described.fields][: len(own)] == own


@every_plugin
def test_every_setting_is_explained_and_summed_up_in_one_line(family, name):
    described = plugins.describe(family, name)
    assert [field.name for field in described.fields if not field.help] == []
    doc = import_module(f"{plugins.PACKAGES[family]}.{name}").__doc__ or ""
    assert described.summary == " ".join(doc.partition("\n\n")[0].split())
    assert 10 < len(described.summary) <= 120


@every_plugin
def test_a_file_has_one_public_class_and_its_name_leads_there_and_back(family, name):
    module = import_module(f"{plugins.PACKAGES[family]}.{name}")
    public = [
        k
        for k, v in vars(module).items()
        if inspect.isclass(v) and v.__module__ == module.__name__
    ]
    assert [k for k in public if not k.startswith("_")] == [
        plugins.find(family, name).__name__
    ]
    # made of its defaults
    assert plugins.name_of(family, plugins.make(family, name)) == name


@every_plugin
def test_settings_are_given_by_keyword_only(family, name):
    if plugins.describe(family, name).fields:
        with pytest.raises(TypeError, match="positional"):
            plugins.find(family, name)(1)


def test_parts_of_a_package_are_no_choices():
    assert not {"make", "dynamics", "__init__"} & set(plugins.names("env"))


def test_describing_needs_neither_torch_nor_the_plugin_itself():
    code = (
        "import sys; from curriculum.setting import plugins\n"
        "for family in plugins.PACKAGES: [plugins.describe(family, "
        "name) for name in plugins.names(family)]\n"
        "assert not [m for m in sys.modules if m in ('torch', "
        "'gymnasium', 'curriculum.learners.dqn')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- wrong names ---


def message(family: str, name: str) -> str:
    messages = []
    for ask in (plugins.find, plugins.describe):
        with pytest.raises(ValueError, match=name.partition(":")[0]) as caught:
            ask(family, name)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    return messages[0]


def test_a_wrong_name_is_answered_by_all_names_and_the_nearest():
    assert message("start", "expret") == (
        "no start 'expret'; there are: dataset, expert, none, random "
        "(perhaps you meant expert)"
    )
    listed = "dataset, expert, none, random"
    assert message("start", "xyz") == f"no start 'xyz'; there are: {listed}"


@pytest.mark.parametrize("family", plugins.PACKAGES)
def test_every_family_suggests_the_nearest_name(family):
    for name in plugins.names(family):
        said = message(family, f"{name}x")
        assert said.startswith(f"no {family} '{name}x'; there are: ")
        assert said.endswith(f" (perhaps you meant {name})")


@pytest.mark.parametrize("name", ["", "__init__", "../learner", "DQN"])
def test_what_is_no_file_of_the_family_is_no_name(name):
    with pytest.raises(ValueError, match="no learner"):
        plugins.find("learner", name)


# --- plug-ins from elsewhere ---


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder on the Python path, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    (tmp_path / "patience.py").write_text(FOREIGN)
    (tmp_path / "patience_2.py").write_text("import patience_1\n")
    (tmp_path / "patience_3.py").write_text("import patience_\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in set(sys.modules) - before:
        del sys.modules[module]


@pytest.mark.usefixtures("elsewhere")
def test_a_class_from_anywhere_on_the_path_is_a_plugin():
    made: Any = plugins.make("planner", "patience:Patient", wait=5)
    assert (made.wait, made.tone) == (5, "kind")
    assert plugins.name_of("planner", made) == "patience:Patient"
    assert plugins.make("planner", made) is made
    described = plugins.describe("planner", "patience:Patient")
    assert described.summary == "Waits before it acts."
    assert [(f.name, f.type, f.default) for f in described.fields] == [
        ("wait", int, 3),
        ("tone", str, "kind"),
    ]
    assert plugins.describe("planner", "patience:Plain") == Description(
        "Has no settings.", ()
    )


@pytest.mark.usefixtures("elsewhere")
def test_what_is_wrong_elsewhere_is_told_in_a_sentence():
    at = "--planner patience"
    assert (
        message("planner", "patience:Hasty")
        == f"{at}:Hasty: patience has no 'Hasty'; its classes: Patient, Plain"
    )
    missing = "no module 'patience_9' on the Python path; run where it can be imported"
    assert message("planner", "patience_9:Patient") == f"{at}_9:Patient: {missing}"
    needs = "needs the module 'patience_1', which is not installed"
    assert (
        message("planner", "patience_2:Patient")
        == f"{at}_2:Patient: patience_2 {needs}"
    )
    needs = "needs the module 'patience_', which is not installed"
    assert (
        message("planner", "patience_3:Patient")
        == f"{at}_3:Patient: patience_3 {needs}"
    )


def test_every_setting_of_a_run_is_explained_in_help():
    settings = description.read_class(
        Path(plugins.__file__).with_name("config.py")
    ).fields
    unexplained = [
        f.name
        for f in settings
        if not f.help and f.name not in (*plugins.CHOSEN, "techniques")
    ]
    assert unexplained == []


def test_a_file_is_a_plugin_under_its_path(tmp_path: Path):
    path = tmp_path / "patient.py"
    path.write_text(FOREIGN.split("class Plain")[0])
    made: Any = plugins.make("planner", str(path), wait=5)
    assert (type(made).__name__, made.wait) == ("Patient", 5)
    assert plugins.name_of("planner", made) == str(path.resolve())
    # not imported a second time
    assert plugins.find("planner", str(path)) is type(made)
    described = plugins.describe("planner", str(path))
    assert [(f.name, f.type, f.default) for f in described.fields] == [
        ("wait", int, 3),
        ("tone", str, "kind"),
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "there is no such file"),
        (
            FOREIGN,
            "a plug-in file has exactly one public class, found ['Patient', 'Plain']",
        ),
        ("class A:\n    x = = 3\n", "invalid syntax"),
        (
            "import nothing_like_it\nclass A: ...\n",
            "needs the module 'nothing_like_it', which is not installed",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_a_sentence(
    tmp_path: Path, source: str | None, says: str
):
    path = tmp_path / "planner.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(ValueError, match=re.escape(f"--planner {path}")) as caught:
        plugins.find("planner", str(path))
    assert says in str(caught.value)


# --- short names, what suits a world, settings of every planner ---


def test_ids_of_gymnasium_are_worlds():
    assert plugins.resolve("env", "Hopper-v5") == ("gym", {"id": "Hopper-v5"})
    assert plugins.resolve("env", "minigrid:MiniGrid-Empty-5x5-v0") == (
        "gym",
        {"id": "minigrid:MiniGrid-Empty-5x5-v0"},
    )
    assert plugins.resolve("env", "ALE/MsPacman-v5") == ("atari", {"game": "MsPacman"})
    assert plugins.resolve("env", "gridworld") == ("gridworld", {})
    assert plugins.resolve("planner", "Hopper-v5") == ("Hopper-v5", {})


def test_every_world_names_a_planner_and_a_learner_that_suit_it():
    for name in plugins.names("env"):
        suited = plugins.suited(name)
        assert suited["planner"] in plugins.names("planner")
        assert suited["learner"] in plugins.names("learner")


def test_every_planner_has_a_budget_and_a_deadline_and_may_not_have_its_own(
    tmp_path: Path,
):
    shared = ["budget", "deadline_ms", "episodes"]
    assert [f.name for f in plugins.flags("planner", "random")] == shared
    assert all(f.help for f in plugins.shared("planner"))
    assert plugins.shared("learner") == ()
    path = tmp_path / "thrifty.py"
    path.write_text(
        "from dataclasses import dataclass\n\n@dataclass\nclass "
        "Thrifty:\n    budget: int = 3\n"
    )
    with pytest.raises(
        ValueError,
        match="has a field 'budget', which every planner has already; rename it",
    ):
        plugins.flags("planner", str(path))


# --- packages that bring plug-ins ---

EXAMPLE = Path(__file__).parents[1] / "example_package"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment into which the example package was installed
    with pip."""
    folder = tmp_path_factory.mktemp("scratch")
    package = shutil.copytree(EXAMPLE, folder / "package")  # building leaves traces
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True
    )
    python = folder / "venv" / "bin" / "python"
    (target,) = (folder / "venv" / "lib").glob("python*/site-packages")
    ours = [
        str(Path(__file__).parents[2]),
        *(p for p in sys.path if p.endswith("site-packages")),
    ]
    # what it would install from the index, lent by this environment
    (target / "ours.pth").write_text("\n".join(ours))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, "--no-build-isolation", str(package)], check=True)
    return python


@pytest.mark.slow
def test_an_installed_package_brings_a_planner_under_its_name(
    scratch: Path, tmp_path: Path
):
    words = (
        "--planner greedy --planner.clumsiness 0.1 --planner.budget 100 "
        "--steps 96 --start.size 64 --eval-every 96"
    )
    small = "--eval-episodes 2 --learner.hidden 8 --learner.batch-size 16"
    command = [
        str(scratch),
        "-m",
        "curriculum.train",
        *words.split(),
        *small.split(),
        "--runs-dir",
        "out",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "planner greedy" in done.stdout, done.stderr
    assert "planner calls  100," in done.stdout
    settings = yaml.safe_load(
        (tmp_path / "out/gridworld/greedy-cql-exponential/config.yaml").read_text()
    )
    assert (
        settings["planner"],
        settings["planner.clumsiness"],
        settings["planner.budget"],
    ) == ("greedy", 0.1, 100)


@pytest.mark.slow
def test_the_names_that_packages_bring_are_among_the_choices(scratch: Path):
    command = [str(scratch), "-m", "curriculum.train", "--planner", "gredy"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert "greedy" in said.partition("perhaps")[0]
    assert "(perhaps you meant greedy)" in said


def test_the_planner_of_the_example_package_keeps_every_promise(scratch: Path):
    check = (
        "from curriculum.contract import check_planner; from "
        "greedy_lab.search import Greedy\n"
    )
    said = subprocess.run(
        [
            str(scratch),
            "-c",
            f"{check}print(check_planner(Greedy(clumsiness=0.5), "
            f"'gridworld', deadline_ms=100))",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "keeps its contract in gridworld; it needs the observation" in said.stdout, (
        said.stderr
    )
