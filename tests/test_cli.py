"""The command line as a stranger meets it: help, mistakes, resumption after a kill,
plug-ins from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from curriculum import compare, train
from curriculum.activity import Aborted, Interrupted
from curriculum.run.lock import Lock
from curriculum.run.run import Run
from curriculum.setting import arms, flags
from curriculum.setting.config import Config, flat
from curriculum.setting.plugins import make

WORDS = (
    "--steps 400 --eval-every 200 --eval-episodes 4 --checkpoint-every 80 "
    "--log-every 40 --start.size 64"
)
SMALL, NETS = WORDS.split(), ["--learner.hidden", "16", "--learner.batch-size", "16"]


def command(
    *words: str, cwd: Path | None = None, module: str = "train"
) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", f"curriculum.{module}", *words],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def fails(capsys: pytest.CaptureFixture, argv: list[str], main=train.main) -> str:
    """Run a command that must be refused before training, in one readable message and
    without a traceback."""
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, without the locks of runs."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_help_shows_every_choice_and_imports_no_torch():
    code = (
        "import sys; from curriculum import train\n"
        "try: train.main(['--learner', 'iql', '--help'])\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    for expected in (
        "--decay staircase",
        "--planner shortest_path",
        "--learner.expectile",
        "--env.max-steps",
        "--gate horizon",
    ):
        assert expected in done.stdout
    assert done.stdout.strip().endswith("False")


def test_the_package_lists_its_commands():
    listed = subprocess.run(
        [sys.executable, "-m", "curriculum"], capture_output=True, text=True, check=True
    ).stdout
    assert "train " in listed
    assert "compare " in listed


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (
            ["--decay", "exponentail"],
            "no decay 'exponentail'; there are: constant, cosine, exponential",
        ),
        (["--planner", "nowhere"], "no planner 'nowhere'; there are: "),
        (["--planner", "no.where:Greedy"], "no module 'no.where'"),
        (["--planner", "curriculum.planners.random:Greedy"], "its classes: Random"),
        (["--learner", "iql", "--learner.expectil", "0.8"], "--learner.expectile"),
        (["--start.size", "-5"], "size must be at least 0, got -5"),
        (["--seeds", "x"], "--seeds"),
        (["--seeds", "1", "1"], "seeds must be different whole numbers"),
        (
            ["--steps", "0", "--offline-updates", "0"],
            "trains by offline updates only, and has none",
        ),
        (["--learner", "dqn", "--label-share", "0.1"], "DQN does not use"),
        (["--learner", "dqn", "--regularizer-decay", "linear"], "DQN has none"),
        (["--learner", "bc", "--gate", "value"], "BC learns none"),
        (["--learner", "dagger", "--gate", "advantage"], "DAgger learns none"),
        (["--steps", "-1"], "steps must be at least 0, got -1"),
        (["--config", "missing.yaml"], "missing.yaml: there is no such file"),
        (["--resume", "nowhere"], "nowhere: neither a run"),
        (["--techniques", "zip"], "no technique 'zip'"),
        (["--sampling", "fixed"], "--shares planner=0.5 learner=0.5"),
        (["--shares", "planner"], "shares"),
        (["--device", "tpu"], "tpu"),
    ],
)
def test_a_mistake_is_answered_in_one_clear_message_and_writes_nothing(
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    says: str,
):
    monkeypatch.chdir(tmp_path)
    assert says in fails(capsys, argv)
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_cannot_be_written_is_named(
    capsys: pytest.CaptureFixture, tmp_path: Path
):
    (tmp_path / "file").write_text("")
    message = fails(capsys, [*SMALL, "--runs-dir", str(tmp_path / "file")])
    assert f"cannot write to {tmp_path / 'file'}" in message
    assert (tmp_path / "file").read_text() == ""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the command line."""
    runs = tmp_path_factory.mktemp("runs")
    train.main(
        [*SMALL, *NETS, "--runs-dir", str(runs), "--name", "whole", "--seeds", "0", "1"]
    )
    return runs / "gridworld" / "whole"


def test_a_run_leaves_what_the_readme_promises(finished: Path):
    for file in (
        "config.yaml",
        "metrics.jsonl",
        "progress.csv",
        "result.json",
        "figures/handover.png",
    ):
        assert (finished / file).stat().st_size > 0
    for seed in ("seed0", "seed1"):
        assert list((finished / seed).glob("events.*"))
        assert (finished / seed / "policy-best.cur").is_file()
    for line in (finished / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        assert record.keys() == {"kind", "step", "time", "values"}
        assert all(len(column) == 2 for column in record["values"].values())
    header = (finished / "progress.csv").read_text().splitlines()[0].split(",")
    assert {
        "step",
        "seed",
        "eval/score",
        "curriculum/planning_rate",
        "rollout/ep_rew_mean",
    } <= set(header)


def test_config_yaml_repeats_the_run(finished: Path, tmp_path: Path):
    train.main(
        [
            "--config",
            str(finished / "config.yaml"),
            "--runs-dir",
            str(tmp_path),
            "--name",
            "again",
        ]
    )
    again = tmp_path / "gridworld" / "again"
    newest = "checkpoints/step-000000400/arrays.safetensors"
    assert (again / newest).read_bytes() == (finished / newest).read_bytes()
    assert (again / "progress.csv").read_bytes() == (
        finished / "progress.csv"
    ).read_bytes()


def test_a_taken_name_gets_a_number_and_nothing_is_overwritten(finished: Path):
    before = everything(finished)
    train.main(
        [
            *SMALL,
            *NETS,
            "--runs-dir",
            str(finished.parents[1]),
            "--name",
            "whole",
            "--steps",
            "40",
        ]
    )
    assert (finished.with_name("whole-2") / "result.json").is_file()
    assert everything(finished) == before


def test_a_damaged_checkpoint_is_refused_and_the_run_left_as_it_was(
    capsys: pytest.CaptureFixture, finished: Path, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    arrays = run / "checkpoints" / "step-000000400" / "arrays.safetensors"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    before = everything(run)
    message = fails(capsys, ["--resume", str(run)])
    assert "arrays.safetensors is not what its manifest says" in message
    older = arrays.parent.with_name("step-000000320")
    assert f"go on from the newest intact one: --resume {older}" in message
    arrays.write_bytes(content[:100])
    assert "is damaged" in fails(capsys, ["--resume", str(arrays.parent)])
    arrays.write_bytes(content)
    assert everything(run) == before


def test_other_settings_cannot_be_smuggled_into_a_resumed_run(
    capsys: pytest.CaptureFixture, finished: Path
):
    message = fails(capsys, ["--resume", str(finished), "--learner.discount", "0.5"])
    assert "learner.discount 0.5" in message


def test_a_finished_run_is_left_as_it_is(capsys: pytest.CaptureFixture, finished: Path):
    before = everything(finished)
    train.main(["--resume", str(finished)])
    assert "is finished: nothing to do" in capsys.readouterr().err
    message = fails(capsys, ["--resume", str(finished), "--steps", "48"])
    assert "a run of 400 steps, which cannot become one of 48" in message
    assert everything(finished) == before


def test_a_finished_run_can_be_extended(finished: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    train.main(["--resume", str(run), "--steps", "480"])
    steps = [
        json.loads(line)["step"]
        for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == sorted(steps)
    assert steps[-1] == 480
    assert json.loads((run / "result.json").read_text())["steps"] == 480
    assert yaml.safe_load((run / "config.yaml").read_text())["steps"] == 480


def test_a_run_stopped_before_its_first_step_is_left_as_it_was(
    finished: Path, tmp_path: Path
):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    config, _ = flags.parse(["--config", str(run / "config.yaml"), "--steps", "800"])
    stop = train.Stop()
    stop.signal = signal.SIGTERM
    newest = run / "checkpoints" / "step-000000400"
    with Lock(run) as lock:
        place = train.Place(config, run, newest, lock)
        assert not train.run(place, stop)
    assert timeless(run) == timeless(finished)


def test_the_second_signal_stops_at_once(capfd: pytest.CaptureFixture):
    stop = train.Stop()
    stop.catch(signal.SIGTERM, None)
    assert (stop(), stop.signal) == (True, signal.SIGTERM)
    assert "SIGTERM: stopping; once more to stop at once" in capfd.readouterr().err
    with pytest.raises(Aborted):
        stop.catch(signal.SIGINT, None)


def timeless(run: Path) -> list[dict]:
    """The lines of metrics.jsonl without what a clock measured."""
    lines = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    return [
        {k: v for k, v in line.items() if k != "time"}
        for line in lines
        if line["kind"] != "time"
    ]


def killed_and_resumed(whole: Path, tmp_path: Path, seconds: float) -> None:
    words = [
        "--config",
        str(whole / "config.yaml"),
        "--runs-dir",
        str(tmp_path),
        "--name",
        "killed",
        "--resume",
        "auto",
    ]
    process = command(*words)
    run = tmp_path / "gridworld" / "killed"
    while not (run / "metrics.jsonl").is_file():
        time.sleep(0.005)
        assert process.poll() is None, process.communicate()
    time.sleep(seconds)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the run was over before it was killed"
    process.communicate()
    train.main(words)
    assert timeless(run) == timeless(whole)
    assert (run / "progress.csv").read_bytes() == (whole / "progress.csv").read_bytes()
    for file in (
        "checkpoints/{}/arrays.safetensors",
        "seed0/policy-last.cur",
        "seed0/policy-best.cur",
    ):
        file = file.format(
            sorted(p.name for p in (whole / "checkpoints").iterdir())[-1]
        )
        assert (run / file).read_bytes() == (whole / file).read_bytes()


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of about a second, with a checkpoint every tenth of it."""
    runs = tmp_path_factory.mktemp("longer")
    words = (
        "--steps 2000 --checkpoint-every 160 --eval-every 800 "
        "--eval-episodes 4 --start.size 400 --bonus rnd"
    )
    train.main([*words.split(), *NETS, "--name", "whole", "--runs-dir", str(runs)])
    return runs / "gridworld" / "whole"


def test_a_run_killed_and_resumed_equals_one_that_was_not(longer: Path, tmp_path: Path):
    killed_and_resumed(longer, tmp_path, 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(10))
def test_a_run_killed_at_ten_moments_and_resumed_equals_one_that_was_not(
    longer: Path, tmp_path: Path, moment: int
):
    killed_and_resumed(longer, tmp_path, 0.15 * moment)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_writes_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
):
    process = command(
        "--steps", "1000000", "--runs-dir", str(tmp_path), "--start.size", "0", *NETS
    )
    run = tmp_path / "gridworld" / "shortest_path-cql-exponential"
    while not list(run.glob("checkpoints/step-*")):
        time.sleep(0.02)
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (
        f"stopped by {number.name} with a checkpoint; continue with: "
        f"python -m curriculum.train --resume {run}" in message
    )
    assert "Traceback" not in message


def test_the_planner_in_the_readme_works_from_outside_the_project_and_is_reported(
    tmp_path: Path,
):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "search.py").write_text(
        readme.split("```python\n")[1].split("```")[0]
    )
    words = [
        "--planner",
        "my_lab.search:Greedy",
        "--planner.columns-first",
        *SMALL,
        *NETS,
        "--runs-dir",
        "out",
    ]
    output, message = command(*words, cwd=tmp_path).communicate(timeout=120)
    assert "planner my_lab.search:Greedy" in output, message
    assert "my_lab.search:Greedy, which sees what the learner sees" in output
    [run] = (tmp_path / "out" / "gridworld").iterdir()
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert settings["planner"] == "my_lab.search:Greedy"
    assert settings["planner.columns_first"] is True
    baseline = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["values"]
    # it really walks to the goal, where no wall is in the way
    assert baseline["eval/planner_reward"][0] > 6


def test_flags_yaml_and_config_say_the_same_thing(tmp_path: Path):
    learner = "--learner iql --learner.expectile 0.9 --learner.hidden 8 8"
    config, _ = flags.parse(
        (
            f"{learner} --gate horizon --no-eval-mixed --seeds 4 5 --techniques prune"
        ).split()
    )
    assert config.learner == make("learner", "iql", expectile=0.9, hidden=(8, 8))
    assert (config.seeds, config.eval_mixed, config.techniques) == (
        (4, 5),
        False,
        ("prune",),
    )
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(flat(config)))
    again, _ = flags.parse(["--config", str(path)])
    assert flat(again) == flat(config)
    # iql's fields do not follow
    other, _ = flags.parse(["--config", str(path), "--learner", "dqn", "--seeds", "1"])
    assert flat(other)["learner.hidden"] == flat(Config())["learner.hidden"]
    assert other.seeds == (1,)


def test_arms_are_the_product_of_flags_with_several_values():
    named, finished = arms.parse(
        [
            "--start",
            "expert",
            "random",
            "--decay.half-life",
            "5",
            "--seeds",
            "0",
            "1",
            "--with",
            "a",
            "b",
        ]
    )
    assert list(named) == ["start expert", "start random"]
    assert named["start random"] == [
        "--decay.half-life",
        "5",
        "--seeds",
        "0",
        "1",
        "--start",
        "random",
    ]
    assert finished == ["a", "b"]


def test_only_arms_with_collectors_have_their_settings():
    named, _ = arms.parse(["--collectors", "0", "2", "--round-steps", "4"])
    assert named == {
        "collectors 0": ["--collectors", "0"],
        "collectors 2": ["--round-steps", "4", "--collectors", "2"],
    }
    with pytest.raises(ValueError, match="--round-steps: no arm has"):
        arms.parse(["--decay", "linear", "constant", "--round-steps", "4"])


def test_an_arm_by_hand_leaves_out_the_settings_it_has_no_use_for():
    words = [
        "--decay.half-life",
        "5",
        "--arm",
        "alone: --decay constant --decay.value 0",
        "--arm",
        "both:",
        "--learner.hidden",
        "8",
        "8",
    ]
    named, _ = arms.parse(words)
    assert named == {
        "alone": [
            "--learner.hidden",
            "8",
            "8",
            "--decay",
            "constant",
            "--decay.value",
            "0",
        ],
        "both": ["--decay.half-life", "5", "--learner.hidden", "8", "8"],
    }


@pytest.mark.parametrize(
    ("module", "setup", "words"),
    [(train, "find_place", ""), (compare, "find_comparison", "--start expert random")],
)
def test_a_signal_during_setup_ends_with_its_status(
    monkeypatch: pytest.MonkeyPatch, module, setup: str, words: str
):
    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        raise Interrupted

    monkeypatch.setattr(module, setup, interrupted)
    with pytest.raises(SystemExit) as ending:
        module.main(words.split())
    assert ending.value.code == 128 + signal.SIGTERM


def test_the_traceback_of_a_bug_is_kept_in_the_run(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(run):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Run, "take_step", broken)
    with pytest.raises(RuntimeError):
        train.main([*SMALL, *NETS, "--runs-dir", str(tmp_path)])
    [path] = tmp_path.glob("gridworld/*/error.txt")
    assert path.read_text().endswith("RuntimeError: a bug\n")
    assert f"the traceback is in {path}" in capsys.readouterr().err
