"""`play` shows a run in a window or as a film, and lets a person take over."""

import csv
from pathlib import Path

import gymnasium as gym
import numpy as np
import pygame
import pytest
from gymnasium.envs.registration import EnvSpec

from curriculum import collect, play
from curriculum.data.dataset import DataSet
from curriculum.envs.gridworld import Gridworld
from curriculum.envs.gym import Gym
from curriculum.learners.bc import BC
from curriculum.run import folders, loop
from curriculum.run.playing import screens
from curriculum.run.playing.keyboard import Keyboard
from curriculum.setting.config import Config, flat
from curriculum.starts.expert import Expert

DOWN, UP = pygame.KEYDOWN, pygame.KEYUP


def written(folder: Path, **settings) -> Path:
    """A run of a few updates."""
    config = Config(
        learner=BC(hidden=(8,), batch_size=16),
        start=Expert(size=32),
        steps=0,
        offline_updates=2,
        eval_episodes=1,
        **settings,
    )
    folder.mkdir()
    folders.write(folder / "config.yaml", flat(config))
    list(loop.train(config, folder))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("play") / "run"
    return written(folder, env=Gridworld(start="fixed"), seeds=(3, 5))


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        play.main(words)
    assert end.value.code == 2
    message = capsys.readouterr().err.strip()
    assert "\n" not in message
    return message


def test_a_film_and_a_table_are_written_without_a_window(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "none that exists")
    film, table, data = (tmp_path / name for name in ("a.gif", "a.csv", "data"))
    files = ["--gif", str(film), "--csv", str(table), "--out", str(data)]
    play.main([str(run), *files, "--planner", "shortest_path"])
    assert film.stat().st_size < 100_000
    lines = list(csv.DictReader(table.open()))
    assert len(lines) == 18
    assert float(lines[-1]["cumulative_reward"]) == pytest.approx(8.30)
    assert DataSet(data).manifest.sources == ("expert", "planner", "learner")


class Scripted(screens.Window):
    """A window whose keys are pressed by a list: names of keys for every frame, "-name"
    releases one, "x" closes the window."""

    script: tuple[list[str], ...] = (
        [],
        ["down", "-down"],  # a tap
        [],  # the grid waits for a key
        ["space"],
        ["tab"],
        ["p"],
        [],
        ["p"],
        ["right"],
        [],  # it is held
        ["n"],
        ["-right", "w", "-w"],
        ["tab"],
        ["x"],
    )

    def read(self, keyboard: Keyboard) -> None:
        self.frame = getattr(self, "frame", -1) + 1
        for name in self.script[self.frame]:
            if name == "x":
                pygame.event.post(pygame.event.Event(pygame.QUIT))
                continue
            kind = UP if name.startswith("-") else DOWN
            key = pygame.key.key_code(name.removeprefix("-"))
            pygame.event.post(pygame.event.Event(kind, key=key))
        super().read(keyboard)


def rightwards(learned: list[str]) -> list[str]:
    """What a person does who presses right twice, after the learner has gone down."""
    heading = 2 + sum(int(action) - 1 for action in learned)  # quarters, clockwise
    actions = []
    for _ in range(2):
        action = {0: 1, 1: 2}.get((1 - heading) % 4, 0)
        heading += action - 1
        actions.append(str(action))
    return actions


def test_a_person_takes_over_and_gives_back(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(screens, "Window", Scripted)
    monkeypatch.setattr(screens, "HOLD", 0)
    table, data = tmp_path / "a.csv", tmp_path / "data"
    planner = ["--planner", "constant", "--planner.action", "1"]
    words = ["--keys", *planner, "--fps", "200"]
    play.main([str(run), *words, "--csv", str(table), "--out", str(data)])
    lines = list(csv.DictReader(table.open()))
    found = [(line["episode"], line["who"], line["action"]) for line in lines]
    learned = [action for _, who, action in found if who == "learner"]
    assert found == [
        ("0", "planner", "1"),
        ("0", "person", "2"),  # down, from facing right
        ("0", "planner", "1"),
        *[("0", "learner", action) for action in learned],
        *[("0", "person", action) for action in rightwards(learned)],
        ("1", "person", "0"),  # up
        ("1", "planner", "1"),
    ]
    assert len(learned) == 2
    assert [line["latency_ms"] == "" for line in lines] == [
        who == "person" for _, who, _ in found
    ]
    made = DataSet(data)
    assert made.columns.length.tolist() == [7, 2]
    assert made.columns.terminated.tolist() == [False, False]
    assert made.columns.truncated.tolist() == [True, True]
    names = [made.manifest.sources[index] for index in made.columns.source.tolist()]
    assert names == [who.replace("person", "expert") for _, who, _ in found]
    capsys.readouterr()
    collect.main(["check", str(data)])
    assert "return of expert" in capsys.readouterr().out


def test_a_window_of_one_episode_closes_after_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(screens, "HOLD", 0.05)
    table = tmp_path / "a.csv"
    words = ["--planner", "shortest_path", "--fps", "200", "--csv", str(table)]
    play.main([str(run), *words])
    assert len(table.read_text().splitlines()) == 1 + 18
    assert pygame.display.get_surface() is None


def test_a_slow_planner_ends_with_one_sentence(run, tmp_path, capsys):
    words = ["--gif", str(tmp_path / "a.gif"), "--max-latency-ms", "1e-6"]
    with pytest.raises(SystemExit) as end:
        play.main([str(run), *words])
    assert end.value.code == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "stopped at step 1 of episode 0: the learner took" in last


def test_what_cannot_be_played_is_refused(run, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert "no display" in refused([str(run)], capsys)
    film = ["--gif", str(tmp_path / "a.gif")]
    wanted = {
        "has no config.yaml": [str(tmp_path), *film],
        "no seed 4; there are: 3, 5": [str(run), *film, "--seed", "4"],
        "must end with .gif": [str(run), "--gif", str(tmp_path / "a.png")],
        "not both": [str(run), *film, "--mp4", "b.mp4"],
        "--keys needs a window": [str(run), *film, "--keys"],
        "--fps must be": [str(run), *film, "--fps", "0"],
        "at most 50": [str(run), *film, "--fps", "60"],
        "no planner 'nobody'": [str(run), *film, "--planner", "nobody"],
        "usage": [*film],
        "run exists": [str(run), *film, "--out", str(run)],
        "config.yaml exists": [str(run), *film, "--csv", str(run / "config.yaml")],
    }
    for sentence, words in wanted.items():
        assert sentence in refused(words, capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_refused(run, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "config.yaml").write_text("steps: [")
    film = tmp_path / "a.gif"
    assert "damaged" in refused([str(folder), "--gif", str(film)], capsys)
    assert not film.exists()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    assert "damaged" in refused([str(folder)], capsys)


class Blind(gym.Env):
    """An environment without pictures."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, True, {}


def test_a_world_without_pictures_or_arrow_keys_says_so(tmp_path, capsys, monkeypatch):
    spec = EnvSpec("Blind-v0", Blind)  # type: ignore[arg-type]
    monkeypatch.setitem(gym.registry, "Blind-v0", spec)
    folder = written(tmp_path / "run", env=Gym(id="Blind-v0"), planner="random")
    film = tmp_path / "a.gif"
    with pytest.raises(SystemExit) as end:
        play.main([str(folder), "--gif", str(film)])
    assert end.value.code == 1
    assert "Blind-v0 draws no pictures" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [folder]
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert "--keys is for gridworld" in refused([str(folder), "--keys"], capsys)
