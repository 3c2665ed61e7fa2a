"""The command that compares: what it writes, and how it goes on after interruptions."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curriculum import compare, train
from curriculum.comparison import options, plan, workers
from curriculum.setting import arms

TEXT = (
    "--start expert none --seeds 0 1 --steps 80 --eval-every 40 --eval-episodes 4 "
    "--checkpoint-every 40 --log-every 40 --learner.hidden 16 --learner.batch-size 16 "
    "--learner dqn --offline-updates 0 --start.size 64"
)
WORDS = TEXT.split()


class Compared:
    """A comparison of two arms, trained once for all tests."""

    def __init__(self, runs: Path):
        self.words = [*WORDS, "--runs-dir", str(runs), "--name", "starts"]
        self.folder = runs / "gridworld" / "starts"

    def at(self, place: Path) -> "Compared":
        """A copy that a test may change."""
        copied = Compared(place)
        shutil.copytree(self.folder, copied.folder)
        described = copied.folder / plan.DESCRIPTION
        parent = str(self.folder.parents[1])
        for path in (described, *copied.folder.glob("*/config.yaml")):
            path.write_text(path.read_text().replace(parent, str(place)))
        return copied

    def lose(self, *arms: str) -> None:
        """Take away the table, and everything of some arms."""
        (self.folder / plan.TABLE).unlink()
        for arm in arms:
            shutil.rmtree(self.folder / arm)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    compared = Compared(tmp_path_factory.mktemp("runs"))
    compare.main(compared.words)
    return compared


@pytest.fixture
def compared(trained: Compared, tmp_path: Path) -> Compared:
    return trained.at(tmp_path)


def timeless(folder: Path) -> str:
    """The table of a comparison without what clocks measured: the last two columns."""
    lines = []
    for line in (folder / plan.TABLE).read_text().splitlines():
        cells = line.split(" | ")
        lines.append(" | ".join(cells[:-2] if len(cells) == 11 else cells))
    return "\n".join(lines)


def refused(argv: list[str], capsys: pytest.CaptureFixture, status: int = 2) -> str:
    with pytest.raises(SystemExit) as ending:
        compare.main(argv)
    message = capsys.readouterr().err
    assert ending.value.code == status
    assert "Traceback" not in message
    return message


def never(*arguments: object) -> bool:
    raise AssertionError("trained again")


def test_compare_writes_figures_and_tables(trained: Compared):
    text = (trained.folder / "table.md").read_text()
    assert "| start expert |" in text
    assert "| start none |" in text
    assert "no winner: it takes 4 seeds or more" in text
    for figure in ("curves.png", "economics.png"):
        assert (trained.folder / figure).stat().st_size > 10_000
    with (trained.folder / "seeds.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["arm"], line["seed"]) for line in lines] == [
        *(("start expert", "0"), ("start expert", "1")),
        *(("start none", "0"), ("start none", "1")),
    ]


def test_the_same_command_reports_a_finished_comparison_and_trains_nothing(
    compared: Compared,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
):
    monkeypatch.setattr(train, "run", never)
    before = (compared.folder / plan.TABLE).read_bytes()
    (compared.folder / plan.TABLE).unlink()  # killed just before the end
    compare.main(compared.words)
    assert (compared.folder / plan.TABLE).read_bytes() == before
    capsys.readouterr()
    compare.main([*compared.words, "--measure", "eval/success_rate"])
    printed = capsys.readouterr()
    assert "nothing is trained, its report is written again" in printed.err
    assert "success rate over training" in printed.out
    compare.main(["--resume", str(compared.folder)])
    assert (compared.folder / plan.TABLE).read_bytes() == before
    assert os.listdir(compared.folder.parent) == ["starts"]


def test_the_same_command_trains_only_arms_that_are_not_finished(
    trained: Compared, compared: Compared, monkeypatch: pytest.MonkeyPatch
):
    compared.lose("start-none")
    ran = []

    def run(place: train.Place, *arguments: object) -> bool:
        name = place.folder.name
        ran.append(name)
        shutil.copytree(trained.folder / name, place.folder, dirs_exist_ok=True)
        return True

    monkeypatch.setattr(train, "run", run)
    compare.main(compared.words)
    assert ran == ["start-none"]
    assert timeless(compared.folder) == timeless(trained.folder)


def test_a_planner_that_learns_is_compared_with_one_that_does_not(tmp_path: Path):
    words = TEXT.replace("expert none", "none").replace("--start.size 64", "").split()
    words += ["--runs-dir", str(tmp_path), "--name", "found"]
    compare.main([*words, "--planner", "explorer", "shortest_path"])
    table = (tmp_path / "gridworld" / "found" / plan.TABLE).read_text()
    assert re.search(r"explorer \|.*\(learnt\)", table)
    assert "shortest_path |" in table


@pytest.mark.slow
def test_a_worker_trains_an_arm_as_the_command_does(
    trained: Compared, compared: Compared, monkeypatch: pytest.MonkeyPatch
):
    compared.lose("start-none")
    found = plan.find(compared.words)
    run = found.folder_of("start none")
    workers.prepare(found.configs["start none"], run)
    found.lock.release()
    reading, writing = os.pipe()
    order = [str(run), str(os.getppid()), str(writing), "0", "[]"]
    monkeypatch.setattr(sys, "argv", ["-c", *order])
    compare.work()
    os.close(writing)
    os.close(reading)
    monkeypatch.setattr(train, "run", never)
    compare.main(compared.words)
    assert timeless(compared.folder) == timeless(trained.folder)


@pytest.mark.parametrize(
    "words",
    [
        ["--steps", "120"],
        ["--name", "starts", "--seeds", "0"],
        ["--arm", "a: --decay linear"],
    ],
)
def test_other_settings_are_another_comparison(compared: Compared, words: list[str]):
    found = plan.find([*compared.words, *words])
    found.lock.release()
    assert found.lock.folder == compared.folder.with_name("starts-2")


def test_a_settings_file_that_changed_is_another_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    file = tmp_path / "settings.yaml"
    file.write_text("steps: 80\n")
    words = ["--config", str(file), "--decay", "linear", "constant"]
    words += ["--runs-dir", str(tmp_path / "runs")]
    first = plan.find(words)
    first.lock.release()
    again = plan.find(words)
    again.lock.release()
    assert again.lock.folder == first.lock.folder
    file.write_text("steps: 120\n")
    other = plan.find(words)
    other.lock.release()
    assert other.lock.folder != first.lock.folder
    message = refused(["--resume", str(first.lock.folder)], capsys)
    assert "has other settings now than when it was begun (steps of the arm" in message


def test_a_comparison_that_another_process_trains_is_left_alone(
    compared: Compared, capsys: pytest.CaptureFixture
):
    found = plan.find(compared.words)
    with found.lock:
        assert "is in use by process" in refused(compared.words, capsys)


def test_a_tag_that_no_arm_records_is_answered_without_a_new_report(
    compared: Compared, capsys: pytest.CaptureFixture
):
    before = (compared.folder / plan.TABLE).read_bytes()
    message = refused([*compared.words, "--measure", "eval/sucess"], capsys, status=1)
    assert "has recorded no such tag; did you mean eval/success_rate" in message
    assert (compared.folder / plan.TABLE).read_bytes() == before


def test_seeds_that_were_stopped_are_named_at_the_end(
    compared: Compared, capsys: pytest.CaptureFixture
):
    path = compared.folder / "start-none" / "metrics.jsonl"
    text = path.read_text()
    assert '"final/stopped": [false, false]' in text
    path.write_text(text.replace('stopped": [false, false]', 'stopped": [false, true]'))
    message = refused(compared.words, capsys, status=1)
    assert "seeds that were stopped: 1 of the arm start none" in message
    assert (compared.folder / plan.TABLE).is_file()


def test_a_study_lists_its_comparisons(compared: Compared, tmp_path: Path):
    runs = [str(compared.folder / arm) for arm in ("start-expert", "start-none")]
    words = ["--with", *runs, "--runs-dir", str(tmp_path), "--study", "starts"]
    earlier = tmp_path / "starts" / "gridworld" / "first"
    shutil.copytree(compared.folder, earlier)
    compare.main([*words, "--name", "second", "--equal", "calls"])
    index = (tmp_path / "starts" / "index.md").read_text()
    assert index.splitlines()[-2:] == [
        "| [gridworld/first](gridworld/first/table.md) | start expert, start none "
        "| no winner |",
        "| [gridworld/second](gridworld/second/table.md) | start-expert, start-none "
        "| no winner |",
    ]
    found = plan.find([*compared.words, "--study", "starts", "--name", "third"])
    found.lock.release()
    assert found.lock.folder == tmp_path / "starts" / "gridworld" / "third"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--start", "expert", "random", "--start.sise", "5"],
            "--start.sise: no arm has a plug-in, or collectors, with such a setting",
        ),
        (["--start", "expert", "nowhere"], "no start 'nowhere'"),
        (["--with", "nowhere"], "nowhere is no run"),
        (["--arm", "no colon"], "--arm looks like"),
        (["--arm", "a: --seeds 0", "--arm", "b: --seeds 1"], "must share their seeds"),
        (
            ["--learner", "cql", "bc", "--gate", "value"],
            "learner bc: --gate value compares",
        ),
        (["--jobs", "0"], "--jobs must be between 1 and 1,000, got 0"),
        (["--jobs", "two"], "--jobs"),
        (["--equal", "time"], "--equal"),
        (["--equal", "seconds", "--jobs", "2"], "leave out --jobs"),
        (["--smallest-effect", "-1"], "--smallest-effect must be at least 0"),
        (["--measure"], "--measure needs a tag"),
        (["--study", "a/b"], "'a/b' cannot name a folder"),
        (["--listeners", "nobody"], "no listener 'nobody'"),
    ],
)
def test_compare_finds_mistakes_before_it_trains(
    capsys: pytest.CaptureFixture, tmp_path: Path, words: list[str], says: str
):
    assert says in refused([*words, "--runs-dir", str(tmp_path)], capsys)
    assert os.listdir(tmp_path) == []


def test_compare_trains_nothing_where_only_finished_runs_are_given(
    capsys: pytest.CaptureFixture, compared: Compared
):
    runs = [str(compared.folder / arm) for arm in ("start-expert", "start-none")]
    compare.main(["--with", *runs])
    assert "| start-expert |" in capsys.readouterr().out
    written = compared.folder.with_name("compare")
    assert not list(written.glob("**/metrics.jsonl"))
    assert {"curves.png", "table.md", "seeds.csv"} <= set(os.listdir(written))
    message = refused(["--with", runs[0]], capsys)
    assert "give at least two runs" in message


def test_only_plot_compares_runs_of_the_same_name_in_different_folders(
    capsys: pytest.CaptureFixture, compared: Compared, tmp_path: Path
):
    arm = compared.folder / "start-expert"
    copy = tmp_path / "elsewhere" / "start-expert"
    shutil.copytree(arm, copy)
    words = ["--only-plot", str(arm), str(copy)]
    compare.main([*words, "--runs-dir", str(tmp_path / "plots"), "--name", "both"])
    [table] = (tmp_path / "plots").glob("*/both/table.md")
    assert "| elsewhere/start-expert |" in table.read_text()
    assert not list((tmp_path / "plots").glob("**/metrics.jsonl"))
    message = refused([*words, "--learner", "iql"], capsys)
    assert "--only-plot trains nothing; leave out --learner" in message
    message = refused([*words, "--jobs", "2"], capsys)
    assert "--only-plot trains nothing; leave out --jobs and --resume" in message


def test_help_lists_the_flags_of_a_comparison(capsys: pytest.CaptureFixture):
    compare.main(["--help"])
    printed = capsys.readouterr().out
    listed = re.findall(r"^  --([\w-]+)", printed, re.MULTILINE)
    assert {*listed, "trust"} == {*options.KINDS}


def test_a_setting_is_left_out_of_arms_whose_plug_in_does_not_have_it():
    words = ["--start", "none", "expert", "--start.size", "64", "--gate", "step"]
    assert arms.parse(words).command_lines == {
        "start none": ["--gate", "step", "--start", "none"],
        "start expert": ["--start.size", "64", "--gate", "step", "--start", "expert"],
    }


def test_a_comparison_is_estimated_once_its_first_arm_is_on_its_way():
    assert compare.share_done(0, 0.01, 4) == 0
    assert compare.share_done(0, 0.5, 4) == 1 / 8
    assert compare.share_done(2, 0.01, 4) == pytest.approx(0.5025)


# --- side by side ---


def command(words: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "curriculum.compare", *words, "--jobs", "2"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for_checkpoints(folder: Path) -> None:
    ending = time.monotonic() + 60
    while len(list(folder.glob("*/checkpoints/step-*"))) < 2:
        assert time.monotonic() < ending
        time.sleep(0.02)


LONGER = [*WORDS, "--steps", "2000"]


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison by one job."""
    runs = tmp_path_factory.mktemp("longer")
    compare.main([*LONGER, "--runs-dir", str(runs), "--name", "one"])
    return runs / "gridworld" / "one"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_two_jobs_that_are_stopped_go_on_to_the_table_of_one_job(
    longer: Path, tmp_path: Path, number: int
):
    words = [*LONGER, "--runs-dir", str(tmp_path), "--name", "two"]
    folder = tmp_path / "gridworld" / "two"
    process = command(words)
    wait_for_checkpoints(folder)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 128 + number
        assert f"continue with: {plan.PROG} --resume {folder}" in printed
    again = command(words)
    _, printed = again.communicate(timeout=240)
    assert again.returncode == 0, printed
    assert f"going on with {folder}" in printed
    assert timeless(folder) == timeless(longer)
