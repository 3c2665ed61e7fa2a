"""Job scripts for Slurm: what they say, and what is refused."""

import os
import subprocess
from pathlib import Path

import pytest

from curriculum import sweep
from curriculum.comparison import slurm

COMMAND = ["--", "python", "-m", "curriculum.compare", "--decay", "linear", "constant"]


def write(path: Path, *words: str) -> str:
    sweep.main(["slurm", str(path), *words, *COMMAND, "--arm", "it's: --rows 4"])
    return path.read_text()


def test_a_job_script_is_valid_and_starts_the_command(tmp_path: Path):
    path = tmp_path / "job.sh"
    text = write(path, "--nodes", "3", "--gpus", "2", "--account", "me")
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)
    for line in (
        "#SBATCH --nodes=3",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --account=me",
        "#SBATCH --signal=B:TERM@120",
    ):
        assert line in text.splitlines()
    assert "--partition" not in text
    started = "python -m curriculum.compare --decay linear constant --arm"
    assert f"""{started} 'it'"'"'s: --rows 4' --on ray --address "$address" &""" in text


def test_a_script_on_one_node_starts_no_other_ray(tmp_path: Path):
    text = write(tmp_path / "job.sh", "--nodes", "1", "--grace", "0")
    assert "if [ 0 -gt 0 ]" in text
    assert "signal" not in text.partition("set -euo")[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["job.sh", "--nodes", "2"], slurm.USAGE),
        ([*COMMAND], slurm.USAGE),
        (["job.sh", "--nods", "2", *COMMAND], "no flag --nods (perhaps you meant --"),
        (["job.sh", "--nodes", "0", *COMMAND], "--nodes must be between 1 and"),
        (["job.sh", "--time", "tomorrow", *COMMAND], "--time looks like 12:00:00"),
        (["job.sh", "--account", "a b", *COMMAND], "--account"),
        (["job.sh", "--partition", "a;b", *COMMAND], "--partition must be of letters"),
        (["job.sh", "--", "curriculum.play"], "after -- comes the command to run"),
        (["job.sh", *COMMAND, "--on", "ray"], "--on is set by the job"),
        (["no/job.sh", *COMMAND], "no is not a folder"),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    words: list[str],
    says: str,
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ending:
        sweep.main(["slurm", *words])
    assert ending.value.code == 2
    assert says in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_script_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = tmp_path / "job.sh"
    write(path)
    with pytest.raises(SystemExit):
        write(path)
    assert "exists; give another FILE" in capsys.readouterr().err
