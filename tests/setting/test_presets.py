"""Settings that come with the package, chosen by name."""

from pathlib import Path

import pytest

from curriculum import compare, train
from curriculum.planners.policy import Policy
from curriculum.setting import flags, presets


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_can_be_run_as_it_is(name):
    chosen = flags.read(["--config", name]).config.plugged()
    if isinstance(chosen["planner"], Policy):  # the policy that it names is there
        chosen["planner"].check_world(chosen["env"])


@pytest.mark.parametrize("name", presets.names())
def test_the_first_line_of_a_preset_says_what_it_is_for(name):
    text = (presets.FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert f"# {presets.summary(name)}\n" in text
    assert len(presets.summary(name)) > 20


def test_the_slim_recipe_is_that_of_its_authors():
    for name, epsilon in (("dqn", 1.5e-4), ("cql", 3.125e-4)):
        config = flags.read(["--config", f"atari-slim-{name}"]).config
        learner = config.plugged()["learner"]
        assert config.offline_updates == 50 * config.eval_every == 3_125_000
        assert (config.steps, config.keep_policies) == (0, "all")
        assert (learner.batch_size, learner.target_every) == (32, 2_000)
        assert (learner.learning_rate, learner.adam_epsilon) == (5e-5, epsilon)
        assert (learner.n_step, learner.discount, learner.huber) == (1, 0.99, False)
        assert learner.hidden == (512,)
    assert learner.alpha == 0.1


def test_flags_win_over_a_preset():
    words = ["--config", "pointmass-hard"]
    assert flags.read(words).config.steps == 30_000
    config = flags.read([*words, "--steps", "7", "--decay.half-life", "5"]).config
    assert config.steps == 7
    assert config.plugged()["decay"].half_life == 5
    assert config.plugged()["env"].maze == "hard"


def test_a_file_wins_over_a_preset_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pointmass-hard").mkdir()  # such as the folder of its runs
    assert flags.read(["--config", "pointmass-hard"]).config.steps == 30_000
    Path("pointmass-hard").rmdir()
    Path("pointmass-hard").write_text("steps: 9\n")
    assert flags.read(["--config", "pointmass-hard"]).config.steps == 9


@pytest.mark.parametrize("command", [train, compare])
def test_list_prints_every_preset_and_trains_nothing(
    command, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        command.main(["--config", "list"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if line}
    for name in presets.names():
        assert found[name] == presets.summary(name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_preset_is_refused_with_the_one_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^--config pointmas-hard: .* no preset") as e:
        flags.read(["--config", "pointmas-hard"])
    assert "(perhaps you meant pointmass-hard); --config list prints" in str(e.value)
    with pytest.raises(ValueError, match=r"^--config a/b: there is no such file$"):
        flags.read(["--config", "a/b"])
