"""Commands take a policy file where they take a run, whatever kind of policy it is."""

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest

from curriculum import evaluate, export, play
from curriculum.envs._gym.source import find_facts
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.envs.pendulum import Pendulum
from curriculum.run import exporting, folders, loop
from curriculum.run.opened import OpenedRun
from curriculum.setting import plugins
from curriculum.setting.config import Config, flat
from curriculum.shipping import policy_file
from curriculum.shipping.operations import Program
from curriculum.shipping.standalone import load_policy
from curriculum.starts.random import Random


class Painter(gym.Env):
    """Shows the step of the episode as brightness."""

    observation_space = gym.spaces.Box(0, 255, (84, 84), np.uint8)
    action_space = gym.spaces.Discrete(2)
    metadata: ClassVar = {"render_modes": ["rgb_array"]}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.shade = int(self.np_random.integers(50))
        return self._seen(), {}

    def step(self, action):
        self.shade += 10
        over = self.shade > 90
        return self._seen(), float(action) + self.shade / 7, over, False, {}

    def _seen(self) -> np.ndarray:
        return np.full((84, 84), self.shade, np.uint8)

    def render(self) -> np.ndarray:
        return np.full((84, 84, 3), self.shade, np.uint8)


GRID = Gridworld(start="fixed", max_steps=20)
SWING = Pendulum(max_steps=8)
KINDS = {  # world, learner, its settings
    "layer norm": (GRID, "dqn", {"layer_norm": True}),
    "stochastic box": (SWING, "sac", {}),
    "bcq box": (SWING, "bcq", {}),
    "pictures": (Gym(id="Painter-v0"), "dqn", {}),
    "dense": (GRID, "bc", {}),
    "bcq discrete": (GRID, "bcq", {}),
    "box": (SWING, "td3bc", {}),
}
SLOW = ("pictures", "layer norm", "stochastic box", "dense", "bcq discrete", "box")


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = gym.envs.registration.EnvSpec("Painter-v0", Painter)  # type: ignore[arg-type]
    monkeypatch.setitem(gym.registry, "Painter-v0", spec)
    find_facts.cache_clear()


def written(kind: str, folder: Path) -> Path:
    """A run of a few updates."""
    world, learner, settings = KINDS[kind]
    config = Config(
        env=world,
        learner=plugins.make("learner", learner, hidden=(8,), batch_size=8, **settings),
        planner="random",
        start=Random(size=32),
        seeds=(3, 5),
        steps=0,
        offline_updates=2,
        eval_episodes=2,
    )
    path = folder / kind
    path.mkdir()
    folders.write(path / "config.yaml", flat(config))
    list(loop.train(config, path))
    return path


def asked(out: Path, *words: object) -> list[dict[str, Any]]:
    """Who played, by what `evaluate` writes."""
    evaluate.main([*map(str, words), "--out", str(out)])
    return json.loads((out / "evaluation.json").read_text())["players"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind in SLOW else ())
        for kind in KINDS
    ],
)
def test_a_file_does_what_its_run_does(kind, painter, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(exporting, "STEPS", 10)
    run = written(kind, tmp_path)  # it has no result, as if it had been interrupted
    file = run / "seed5" / "policy-last.cur"
    of_run, of_file = asked(tmp_path / "out", run, file, "--episodes", 2)
    assert of_file["seeds"] == [5]
    expected = of_run["episodes"]["return"][1]
    np.testing.assert_allclose(of_file["episodes"]["return"], [expected], rtol=1e-4)
    tables: list[list[list[str]]] = []
    for given in (run, file):
        table = tmp_path / f"{len(tables)}.csv"
        film = ["--gif", str(table.with_suffix(".gif")), "--csv", str(table)]
        play.main([str(given), *film, "--max-steps", "4", *seed_of(given)])
        tables.append([line.split(",")[-2:] for line in table.read_text().split()])
    assert tables[0] == tables[1]
    assert len(tables[1]) == 5
    copy = tmp_path / "copy.cur"
    export.main([str(file), str(copy)])
    assert copy.read_bytes() == file.read_bytes()
    said = capsys.readouterr().out
    assert "of its own episodes 0 to 3" in said


def seed_of(given: Path) -> list[str]:
    return ["--seed", "5", "--policy", "last"] if given.is_dir() else []


@pytest.fixture(scope="module")
def swing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written("stochastic box", tmp_path_factory.mktemp("runs"))


def changed(file: Path, out: Path, **entries: Any) -> Path:
    """A policy file with other entries in its contract."""
    policy = load_policy(file)
    program = Program(policy.operations, policy.arrays)
    policy_file.save(program, policy.contract | entries, out)
    return out


def test_a_file_returns_exactly_the_finals_of_its_run(tmp_path):
    run = written("layer norm", tmp_path)
    finals = OpenedRun(run).evaluate().mean_reward
    for index, seed in enumerate((3, 5)):
        file = run / f"seed{seed}" / "policy-last.cur"
        [player] = asked(tmp_path / f"out{seed}", file, "--episodes", 2)
        assert player["values"]["mean_reward"] == [finals[index]]
        assert player["values"]["score"] == [None]


def test_planners_play_in_the_world_of_a_file(swing, tmp_path):
    file = swing / "seed3" / "policy-best.cur"
    words = ("--episodes", 1, "--against", "random", swing)
    own, run, planner = asked(tmp_path / "out", file, *words)
    assert (own["seeds"], run["seeds"], planner["seeds"]) == ([3], [3, 5], [])
    assert len(planner["episodes"]["length"][0]) == 1


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        (evaluate, ["--policy", "all"], "--policy all is for runs, and"),
        (evaluate, ["--planning-rate", "0.5"], "--planning-rate is for runs, and"),
        (evaluate, ["--policy", "last"], "has no last policy; it has: best"),
        (play, ["--gif", "a.gif", "--seed", "5"], "no seed 5; "),
        (
            play,
            ["--gif", "a.gif", "--planner.noise", "1"],
            "--planner.noise without --planner is for runs",
        ),
        (export, ["a.h", "--which", "last"], "has no last policy; it has: best"),
        (export, ["a.h", "--seed", "5"], "no seed 5 in"),
    ],
)
def test_what_a_file_cannot_answer_is_refused(
    swing, tmp_path, monkeypatch, capsys, command, words, says
):
    file = shutil.copy(swing / "seed3" / "policy-best.cur", tmp_path)
    monkeypatch.chdir(tmp_path)
    positional = [] if words[0].startswith("-") else [words.pop(0)]
    assert says in refused(command, [str(file), *positional, *words], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["policy-best.cur"]


def refused(command: Any, words: list[str], capsys: Any, status: int = 2) -> str:
    with pytest.raises(SystemExit) as end:
        command.main(words)
    assert end.value.code == status
    [sentence] = capsys.readouterr().err.strip().splitlines()
    return sentence


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"world": None}, "does not name its world, so it cannot be played"),
        ({"world": {"name": 3, "settings": {}}}, "does not name its world"),
        ({"world": {"name": "moon", "settings": {}}}, "no env 'moon'"),
        ({"world": {"name": "pendulum", "settings": {"x": 1}}}, "no setting 'env.x'"),
        (
            {"world": {"name": "gridworld", "settings": {}}},
            "takes observations of shape (3,) (float32), those of Gridworld have",
        ),
        ({"world": {"name": "evil.py", "settings": {}}}, "can run any code when it"),
    ],
)
def test_a_file_whose_world_makes_no_sense_is_refused(
    swing, tmp_path, capsys, entries, says
):
    file = changed(swing / "seed3" / "policy-best.cur", tmp_path / "a.cur", **entries)
    for command, words in ((evaluate, []), (play, ["--gif", str(tmp_path / "a.gif")])):
        assert says in refused(command, [str(file), *words], capsys)
    assert list(tmp_path.iterdir()) == [file]
    # an export needs no world: it tries random observations
    export.main([str(file), str(tmp_path / "b.cur")])
    assert "they are random, as its world is not at hand: " in capsys.readouterr().out
