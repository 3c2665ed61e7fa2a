"""The one scanner of command lines, and what it finds out before flags are read."""

import subprocess
import sys
from pathlib import Path

import pytest

from curriculum.setting import flags
from curriculum.setting.flags import Flag


def test_a_flag_has_the_words_up_to_the_next_flag():
    words = [
        "--start",
        "expert",
        "random",
        "--seeds=3",
        "--no-eval-mixed",
        "--lr",
        "-5",
    ]
    assert flags.scan(words) == [
        Flag("start", ["expert", "random"]),
        Flag("seeds", ["3"]),
        Flag("no-eval-mixed", []),
        Flag("lr", ["-5"]),
    ]


def test_a_command_line_begins_with_a_flag():
    with pytest.raises(ValueError, match="expected a flag such as --start, got 'iql'"):
        flags.scan(["iql", "--seeds", "3"])


def test_the_last_appearance_of_a_flag_counts():
    words = ["--decay", "linear", "--decay=cosine", "--learner", "iql", "-h"]
    chosen = flags.choices(words).plugins
    assert (chosen["decay"], chosen["learner"]) == ("cosine", "iql")


def test_short_help_is_help(tmp_path: Path):
    words = ["-m", "curriculum.train", "--learner", "iql", "-h"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--learner.expectile" in done.stdout


def test_settings_of_a_plugin_that_is_replaced_do_not_follow(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("decay: linear\ndecay.duration: 7\nlearner: iql\n")
    kept = flags.choices(["--config", str(path)])
    assert kept.settings["decay.duration"].words == ["7"]
    replaced = flags.choices(["--config", str(path), "--decay", "cosine"])
    assert "decay.duration" not in replaced.settings
    assert replaced.plugins["learner"] == "iql"
