"""`curriculum.runs` lists runs quickly, names damaged ones, and changes nothing."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from curriculum import runs
from curriculum.report.columns import Column, fit
from curriculum.report.records import MOST_READ, read_newest
from curriculum.run.catalogue import read_all
from curriculum.run.lock import InUse, Lock, is_held
from curriculum.setting import settings_file
from curriculum.setting.config import Config, flat

OF_IQL: dict[str, Any] = {"learner": "iql", "learner.expectile": 0.7}
OF_HOPPER: dict[str, Any] = {"env": "gym", "env.id": "Hopper-v5"}


def record(kind: str, step: int, **values: Any) -> str:
    columns = {name.replace("__", "/"): column for name, column in values.items()}
    line = {"kind": kind, "step": step, "time": 1.0, "values": columns}
    return json.dumps(line) + "\n"


def add_run(
    folder: Path, score: float | None = None, finished: bool = False, **other: Any
) -> Path:
    """The folder of a run of two seeds, with a score if it is at step 80."""
    settings = {"env": "gridworld", "learner": "dqn", "seeds": [0, 1], "note": None}
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings | other))
    (folder / ".lock").touch()
    if score is not None:
        lines = record("evaluate", 80, eval__score=[score, score + 0.1])
        (folder / "metrics.jsonl").write_text(lines + record("update", 80))
    if finished:
        values = {"final/last_score": [score, None]}
        content = {"finished": 1e9, "seeds": [0, 1], "steps": 80, "values": values}
        (folder / "result.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of every state in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # of the terminal, whatever it is here
    add_run(Path("runs/gridworld/a"), score=0.5, finished=True)
    add_run(Path("runs/gridworld/b"), score=0.75, **OF_IQL)
    add_run(Path("runs/study/gridworld/compare/c"), **(OF_IQL | {"decay.width": 3e3}))
    return tmp_path


def listed(capsys: pytest.CaptureFixture, *words: str) -> list[str]:
    """The names in the table that the command prints."""
    runs.main([*words])
    table = capsys.readouterr().out.partition("\n\n")[0]
    return [line.split()[0].rpartition("/")[2] for line in table.splitlines()[1:]]


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        runs.main([*words])
    assert end.value.code == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0
    return error


def test_a_run_has_state_step_score_and_differing_settings(parent, capsys):
    with Lock(Path("runs/gridworld/b")):
        runs.main([])
    table, _, notes = capsys.readouterr().out.partition("\n\n")
    head, *rows = (line.split() for line in table.splitlines())
    assert head[:5] == ["name", "state", "step", "eval/score", "learner"]
    assert not {"seeds", "learner.expectile"} & {*head}  # equal in all that have them
    assert rows[0][:5] == ["runs/gridworld/a", "finished", "80", "0.55", "dqn"]
    assert rows[1][:5] == ["runs/gridworld/b", "running", "80", "0.80", "iql"]
    assert rows[2][1:5] == ["interrupted", "-", "-", "iql"]
    assert notes == "3 runs: 1 finished, 1 running, 1 interrupted\n"


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("learner=iql", "b c"),
        ("learner!=iql", "a"),
        ("decay.width>=3_000", "c"),
        ("decay.width!=3e3", ""),  # a run without the setting is not chosen
        ("learner.expectile<1e0", "b c"),
        ("eval/score>0.6", "b"),
        ("seeds=0 1", "a b c"),
        ("note=none", "a b c"),
        ("state=interrupted", "b c"),
        ("name~COMPARE", "c"),
        ("time<2001-10", "a"),
    ],
)
def test_a_condition_chooses_runs(parent, capsys, condition: str, names: str):
    assert listed(capsys, "--where", condition) == names.split()
    assert listed(capsys, "--where", condition, "learner=dqn") == (
        ["a"] if "a" in names else []
    )


def test_results_are_sorted_from_the_largest_on_and_unknown_last(parent, capsys):
    assert listed(capsys, "--sort", "eval/score") == ["b", "a", "c"]
    assert listed(capsys, "--sort", "eval/score", "--reverse") == ["a", "b", "c"]
    assert listed(capsys, "--sort", "learner", "name", "--reverse") == ["c", "b", "a"]
    newest = listed(capsys, "--sort", "time", "--limit", "2")
    assert {*newest} == {"b", "c"}
    assert listed(capsys, "runs/study", "runs/gridworld/b") == ["b", "c"]


def test_a_world_is_named_as_train_names_it(parent, capsys):
    add_run(Path("runs/hop"), **OF_HOPPER)
    assert listed(capsys, "--env", "Hopper-v5") == ["hop"]
    assert listed(capsys, "--env", "gridworld") == ["a", "b", "c"]
    message = refused(capsys, "--env", "gridwrold")
    assert "there are: Hopper-v5, gridworld (perhaps you meant gridworld)" in message


def test_damaged_runs_are_named_and_stop_nothing(parent, capsys):
    texts = {
        "config.yaml": "learner: [",
        "result.json": '{"finished": 1',
        "metrics.jsonl": '{"kind": "update", "step"}\n',
    }
    for name, text in texts.items():
        folder = add_run(Path(f"runs/bad/with-{name}"), score=0.5, finished=True)
        (folder / name).write_text(text)
    lost = add_run(Path("runs/bad/without"), score=0.5)
    (lost / "config.yaml").unlink()
    foreign = Path("runs/compressed")
    foreign.mkdir()
    (foreign / "config.yaml").write_text("techniques: [half]\n")  # no run
    runs.main([])
    notes = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    assert notes[0] == "7 runs: 4 damaged, 1 finished, 2 interrupted"
    for note, reason in zip(
        notes[1:],
        (
            "with-config.yaml: the settings config.yaml: it is not valid YAML",
            "with-metrics.jsonl: metrics.jsonl is damaged near its end: it is not JSON",
            "with-result.json: result.json is damaged",
            "without: it has no config.yaml",
        ),
        strict=True,
    ):
        assert note.startswith(f"damaged: runs/bad/{reason}")
    assert listed(capsys, "--where", "state=finished") == ["a"]


def test_the_table_file_has_every_setting_and_figure(parent, capsys):
    runs.main(["--csv", "all.csv", "--where", "learner=iql"])
    assert capsys.readouterr().out.endswith("table   all.csv\n")
    [b, c] = csv.DictReader(io.StringIO(Path("all.csv").read_text()))
    assert (b["learner.expectile"], b["decay.width"], c["decay.width"]) == (
        *("0.7", ""),
        "3000.0",
    )
    assert float(b["eval/score"]) == pytest.approx(0.8)
    assert "final/last_score" not in b  # of no run that is listed
    runs.main(["--csv", "all.csv"])  # its own file may be written again
    [a, *_] = csv.DictReader(io.StringIO(Path("all.csv").read_text()))
    assert a["final/last_score"] == "nan"  # of one seed only
    Path("notes.csv").write_text("name,mine\n")
    message = refused(capsys, "--csv", "notes.csv")
    assert "notes.csv exists and is no list of runs" in message
    assert Path("notes.csv").read_text() == "name,mine\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--where lerner=iql", "no run here has 'lerner' (perhaps you meant learner)"),
        ("--where learner", "--where takes conditions such as learner=iql"),
        ("--where state=runing", "no state 'runing'; there are: running, interrupted"),
        ("--where eval/score>high", "eval/score is a number, so 'high' cannot"),
        ("--sort eval/scor", "(perhaps you meant eval/score)"),
        ("--limit -1", "--limit must be at least 0, got -1"),
        ("--csv nowhere/all.csv", "there is no folder nowhere"),
        ("nowhere", "nowhere is not a folder"),
        ("empty", "there is no run in empty; runs are folders with config.yaml"),
    ],
)
def test_what_cannot_be_listed_is_refused(parent, capsys, words: str, message: str):
    Path("empty").mkdir()
    assert message in refused(capsys, *words.split())


def test_no_big_file_is_read_and_nothing_written(parent, monkeypatch):
    for number in range(40):
        folder = add_run(Path(f"many/{number}"), score=0.5, finished=number % 2 > 0)
        weights = folder / "checkpoints" / "step-000000080" / "arrays.safetensors"
        weights.parent.mkdir(parents=True)
        weights.touch()
        with (folder / "metrics.jsonl").open("r+b") as file:
            end = file.read()
            file.truncate(0)
            file.seek(2**32)  # a hole, as large as no test could read
            file.write(b"\n" + end)
    opened: list[tuple[str, str]] = []
    original = io.open

    def spy(path: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        opened.append((Path(path).name, mode))
        return original(path, mode, *rest, **more)

    monkeypatch.setattr(io, "open", spy)
    entries = read_all([Path("many")])
    assert {entry.step for entry in entries} == {80}
    assert {entry.figures["eval/score"][0] for entry in entries} == {0.5}
    names = {name for name, _ in opened}
    small = {"config.yaml", "result.json", ".lock", ".writer.json"}
    assert names == {"metrics.jsonl", *small}
    assert {mode for _, mode in opened} <= {"r", "rb"}


def test_the_end_of_records_is_read_as_far_as_needed(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    filler = record("update", 90, train__loss=[0.125] * 1_000)
    evaluation = record("evaluate", 80, eval__score=[0.5])
    path.write_text(evaluation + 40 * filler + filler[:-20])  # the last one is cut
    found = read_newest(path)
    assert found.record == json.loads(filler)
    assert found.evaluation == json.loads(evaluation)
    path.write_text(evaluation + (MOST_READ // len(filler) + 1) * filler)
    assert read_newest(path).evaluation is None  # too far from the end
    path.write_text(evaluation[:30])
    assert read_newest(path) == (None, None)


def test_asking_whether_a_lock_is_held_takes_it_from_nobody(tmp_path: Path):
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with Lock(tmp_path):
        holder = (tmp_path / ".lock").read_text()
        assert is_held(tmp_path)
        with pytest.raises(InUse, match=f"process {os.getpid()}"):
            Lock(tmp_path)
        assert (tmp_path / ".lock").read_text() == holder
    assert not is_held(tmp_path)
    Lock(tmp_path).release()


def test_settings_read_entry_by_entry_are_those_of_the_whole_file(tmp_path: Path):
    path = tmp_path / "config.yaml"
    long = " ".join(["word"] * 60)  # over several lines
    odd = {"a.text": long, "a.quoted": "- x: #y\n\nz", "a.empty": "", "a.list": []}
    path.write_text(yaml.safe_dump(flat(Config(seeds=(3, 5))) | odd, sort_keys=False))
    assert "\n  word" in path.read_text()
    whole = {
        name: "none" if words is None else " ".join(words)
        for name, words in settings_file.read(path).items()
    }
    assert settings_file.read_texts(path) == whole
    path.write_text("{a: 1,\nb: 2}\n")  # written by hand
    assert settings_file.read_texts(path) == {"a": "1", "b": "2"}
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(ValueError, match="a is set twice, again in line 2"):
        settings_file.read_texts(path)


def test_a_table_keeps_to_the_width_and_names_what_it_leaves_out():
    columns = [
        Column("name", ["x" * 60, "b\x1b[2J"]),
        Column("score", ["0.5", "10"], is_number=True),
        Column("learner", ["dqn", "iql"]),
    ]
    table = fit(columns, 40)
    assert table.text.splitlines() == [
        "name                      score  learner",
        "..." + "x" * 21 + "    0.5  dqn",
        "b?[2J                        10  iql",
    ]
    assert table.left_out == []
    assert fit(columns, 39).left_out == ["learner"]
