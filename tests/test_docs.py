"""What the documentation shows works: every plug-in, every command, every link."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from data_sets import data_set, episode

from curriculum import collect, compress, diagnose, evaluate, export, play, runs, train
from curriculum.comparison import machines, options, slurm
from curriculum.search import options as search_options
from curriculum.search import space, study
from curriculum.setting import arms, command_line, flags, studies

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)?(?: title=\"(.+?)\")?\n(.*?)^```", re.M | re.S)
SMALL = """--steps 64 --rows 4 --eval-every 64 --eval-episodes 2 --log-every 64
    --learner.batch-size 8 --runs-dir out --name small --planner.episodes 1
    --no-eval-mixed --checkpoint-every 64 --offline-updates 0"""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    title: str
    text: str


def blocks() -> list[Block]:
    """All fenced blocks of all pages, in order."""
    found = []
    for page in PAGES:
        for language, title, text in FENCE.findall(page.read_text()):
            found.append(Block(str(page.relative_to(ROOT)), language, title, text))
    return found


def commands() -> list[str]:
    """Every line of a shell block that runs a command of ours."""
    shell = [block.text for block in blocks() if block.language == "bash"]
    lines = "\n".join(shell).replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in line.split("&&")]
    return [part for part in parts if " -m curriculum." in part]


PLUGINS = {
    block.title: (block.text, after.text)
    for block, after in zip(blocks(), blocks()[1:], strict=False)
    if block.title and after.language == "bash"
}


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=pytest.mark.slow if number % 3 else ())
        for number, file in enumerate(PLUGINS)
    ],
)
def test_every_plugin_of_the_guide_trains_from_a_folder_outside(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, command = PLUGINS[file]
    (tmp_path / file).write_text(source)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["python", "-m", "curriculum.train"]
    start = [] if file == "half_and_half.py" else ["--start.size", "32"]
    train.main([*words[3:], *SMALL.split(), *start])
    (run,) = (tmp_path / "out").glob("*/small")
    assert (run / "result.json").is_file()


def test_every_plugin_of_the_guide_is_followed_by_its_command():
    titles = {block.title for block in blocks() if block.title}
    assert titles == PLUGINS.keys()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in the place of those that the documentation names."""
    folder = tmp_path_factory.mktemp("data") / "set"
    data_set(folder, [episode([[0.0], [1.0]], [0])], env="gridworld")
    return folder


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_every_command_of_the_documentation_is_understood(
    command: str, data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machines, "find_spec", lambda name: True)  # an extra is missing
    words = shlex.split(command, comments=True)
    if "--start.path" in words:
        words[words.index("--start.path") + 1] = str(data)
    at = words.index("-m")
    module = words[at + 1]
    arguments = words[at + 2 :]
    if any(word.endswith(".py") for word in arguments):
        return  # a plug-in of the guide: trained with above
    if "--resume" in arguments or "--with" in arguments or "--config" in arguments:
        return  # names a run that does not exist here
    if module == "curriculum.compare":
        named = studies.find(arguments)
        lines = [study.command_lines[0] for study in named] or [arguments]
        for line in lines:
            _, words_of_arms = options.read(line)
            for words_of_arm in arms.parse(words_of_arms).command_lines.values():
                flags.parse(words_of_arm)
    elif module == "curriculum.sweep":
        understand_sweep(arguments)
    elif module == "curriculum.collect":
        name, *rest = arguments
        command_line.read(collect.COMMANDS[name], rest, collect.PROG)
    elif module == "curriculum.diagnose":
        command_line.read(diagnose.COMMAND, arguments, diagnose.PROG)
    elif module == "curriculum.compress":
        command_line.read(compress.COMMAND, arguments, compress.PROG)
    elif module == "curriculum.evaluate":
        command_line.read(evaluate.COMMAND, arguments, evaluate.PROG)
    elif module == "curriculum.export":
        command_line.read(export.COMMAND, arguments, export.PROG)
    elif module == "curriculum.play":
        command_line.read(play.COMMAND, arguments, play.PROG)
    elif module == "curriculum.runs":
        command_line.read(runs.COMMAND, arguments, runs.PROG)
    elif "--help" not in arguments:
        assert module == "curriculum.train"
        flags.parse(train.without_preview(arguments)[1])


def understand_sweep(arguments: list[str]) -> None:
    """Read the words of a search, or of a job for Slurm."""
    if arguments[0] == "slurm":
        _, _, command = slurm.read(arguments[1:])
        assert command[0] in slurm.COMMANDS
        return
    kinds = search_options.KINDS | machines.KINDS
    given, words_of_runs = search_options.split(arguments, kinds)
    machines.read(given)
    chosen = search_options.read(given)
    study.checked(words_of_runs, space.parse(chosen.search))


def test_the_planner_of_the_readme_is_that_of_the_guide():
    readme = (ROOT / "README.md").read_text()
    assert PLUGINS["greedy.py"][0] in readme


def test_every_test_that_the_documentation_names_is_there():
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    there = set(re.findall(r"^def (test_\w+)\(", "\n".join(sources), re.M))
    pages = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"`(test_\w+)`", pages))
    assert named
    assert named <= there


def test_every_link_of_the_readme_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
        missing = [
            link
            for link in links
            if not link.startswith("http") and not (ROOT / link).exists()
        ]
        assert missing == []
