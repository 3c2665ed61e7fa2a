"""The planner for Pong that reads the console's memory: it finds the ball there, and
plays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "ale_py", reason="needs ale-py 0.12: pip install 'planning-curriculum[atari]'"
)

from curriculum import contract
from curriculum.envs._base.spec import spec_of
from curriculum.envs.atari import Atari
from curriculum.setting import plugins
from curriculum.trust import trusting
from curriculum.types import stream

FILE = Path(__file__).parents[2] / "benchmarks/plugins/pong.py"
DOWN = 3
HALF_A_MINUTE = 400  # steps, in which a paddle at rest misses ten balls


def tracker(**fields: Any) -> Any:
    with trusting():
        return plugins.make("planner", str(FILE), **fields)


def games(*seeds: int, **fields: Any) -> Any:
    made = Atari(frames=1, engine="single", **fields)
    return made.rows([stream(seed, "environment") for seed in seeds])


def test_the_memory_of_each_game_shows_its_paddle():
    rows = games(0, 1, sticky=0.0)
    simulator = rows.simulator()
    rows.reset()
    for action in [0] * 4 + [DOWN] * 6:
        rows.step(np.array([action, 0]))
    memory = simulator.memory(np.array([1, 0]))
    assert (memory.shape, memory.dtype) == ((2, 128), np.uint8)
    paddle = memory[:, 51].astype(int)
    assert paddle[1] > paddle[0] + 50


def test_the_tracker_keeps_its_contract():
    # without rest it moves from the first steps on, so that its state counts
    report = contract.check_planner(tracker(rest=0.0), "atari", steps=8)
    assert report.planner


def test_the_tracker_returns_the_ball():
    rows = games(0, 1)
    planner = tracker().setup(rows, spec_of(rows.world), (0, 1))
    obs = rows.reset()
    lost = np.zeros(2)
    for _ in range(HALF_A_MINUTE):
        step = rows.step(planner.act(obs, np.arange(2)))
        lost += step.reward < 0
        obs = step.obs
    assert (lost <= 4).all()
