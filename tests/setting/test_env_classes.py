"""`--env` takes the class of a Gymnasium environment that nobody registered."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from curriculum.run.loop import train
from curriculum.setting import flags, plugins
from curriculum.setting.config import Config, flat
from curriculum.types import stream

ENVIRONMENT = '''
import gymnasium as gym
import numpy as np


class Walk(gym.Env):
    """Reach `length` on a line."""

    observation_space = gym.spaces.Box(-9, 9, (1,), np.float32)

    def __init__(self, length: int = 3, render_mode=None):
        self.length = length
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.array([0], np.float32), {}

    def step(self, action):
        self.place += 2 * action - 1
        over = abs(self.place) == self.length
        return np.array([self.place], np.float32), float(self.place), over, False, {}
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "walking.py").write_text(ENVIRONMENT)
    monkeypatch.syspath_prepend(tmp_path)
    yield "walking"
    sys.modules.pop("walking", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_walk.py"
    path.write_text(ENVIRONMENT)
    return path


def test_a_class_in_a_module_is_a_world(module: str):
    config = flags.read(["--env", f"{module}:Walk"]).config
    settings = flat(config)
    assert (settings["env"], settings["env.id"]) == ("gym", f"{module}:Walk")
    assert (settings["planner"], settings["learner"]) == ("dqn", "iql")
    assert config.env.title == "walking-Walk"


def test_a_class_in_a_file_is_a_world(file: Path):
    settings = flat(flags.read(["--env", str(file)]).config)
    assert (settings["env"], settings["env.id"]) == ("gym", f"{file}:Walk")
    assert plugins.make("env", str(file)).title == "my_walk-Walk"


def test_options_are_keywords_of_its_constructor_and_time_limits_hold(file: Path):
    words = ["--env", str(file), "--env.options", "length=2", "--env.time-limit", "5"]
    world = flags.read(words).config.env
    rows = world.rows([stream(0, "walk")], 1)
    rows.reset()
    assert not rows.step(np.array([1])).terminated[0]
    assert rows.step(np.array([1])).terminated[0]
    for action in (0, 1, 0, 1):
        step = rows.step(np.array([action]))
        assert not step.truncated[0]
    assert rows.step(np.array([0])).truncated[0]


def test_wrong_options_are_named(file: Path):
    with pytest.raises(ValueError, match=r"Walk does not take these options: .*height"):
        flags.read(["--env", str(file), "--env.options", "height=2"])


def test_its_run_repeats_from_its_settings(file: Path, tmp_path: Path):
    words = ["--env", str(file), "--planner", "random", "--env.options", "length=2"]
    settings = flat(flags.read(words).config)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    # its own setting on the command line is the user's word that its code may run
    again = flags.read(["--config", str(path), "--env.id", settings["env.id"]]).config
    assert flat(again) == settings


def test_it_trains(file: Path, tmp_path: Path):
    config = Config(
        env=str(file),
        planner="random",
        learner="dqn",
        rows=2,
        steps=20,
        eval_every=20,
        eval_episodes=2,
    )
    records = list(train(config, tmp_path / "run"))
    assert records[-1].kind == "final"


def test_a_class_that_is_neither_is_refused(tmp_path: Path):
    path = tmp_path / "neither.py"
    path.write_text("class Neither:\n    pass\n")
    with pytest.raises(ValueError, match="env Neither has no observation_space"):
        flags.read(["--env", str(path)])


def test_an_instance_of_an_environment_is_told_how_to_be_given(module: str):
    walk = __import__(module).Walk()
    with pytest.raises(
        ValueError, match=r"Walk is a Gymnasium .*; give Gym\(id='walking:Walk'\)"
    ):
        Config(env=walk)
