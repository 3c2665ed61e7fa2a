"""Every world through the whole loop: planner, hand-over, learner alone, and exactly on
after a break."""

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.decays.linear import Linear
from curriculum.run import checkpoint
from curriculum.run.loop import train
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert

PACKAGES = {
    "Hopper-v5": "mujoco",
    "ALE/Pong-v5": "ale_py",
    "MiniGrid-Empty-5x5-v0": "minigrid",
}
SMALL: dict[str, dict[str, Any]] = {  # settings with which a planner is quick
    "tlppo": {"simulations": 10, "scenarios": 4, "depth": 5},
    "mcts": {"simulations": 3, "rollouts": 1, "horizon": 3},
    "mppi": {"samples": 3, "horizon": 3},
    "shooting": {"horizon": 3},
}
PLAYED: list[Any] = [  # world, its settings, planner, learner
    ("gridworld", {}, "shortest_path", "dqn"),
    ("pointmass", {"maze": "hard", "time_limit": 30}, "shortest_path", "iql"),
    ("pointmass", {"merge_ends": True, "time_limit": 30}, "noisy", "dqn"),
    ("botevade", {"actions": "points", "max_steps": 20}, "tlppo", "iql"),
    (
        "botevade",
        {"actions": "continuous", "predator": "equal", "max_steps": 20},
        "constant",
        "td3bc",
    ),
    ("cartpole", {}, "balance", "iql"),
    ("pendulum", {"max_steps": 30}, "mppi", "td3bc"),
    ("Hopper-v5", {"time_limit": 12}, "mppi", "td3bc"),
    ("MiniGrid-Empty-5x5-v0", {"time_limit": 12}, "mcts", "iql"),
    pytest.param(  # every new row loads the game anew
        *("ALE/Pong-v5", {"engine": "single", "max_steps": 12}, "shooting", "bc"),
        marks=pytest.mark.slow,
    ),
]


def config(env: str, settings: dict[str, Any], planner: str, learner: str) -> Config:
    if not importlib.util.find_spec(PACKAGES.get(env, "numpy")):
        pytest.skip(f"{env} needs {PACKAGES[env]}, an optional package")
    return Config(
        env=plugins.make("env", env, **settings),
        planner=plugins.make("planner", planner, **SMALL.get(planner, {})),
        learner=plugins.make("learner", learner, hidden=(16,), batch_size=8),
        decay=Linear(duration=40),
        start=Expert(size=16),
        steps=48,
        rows=2,
        seeds=(0, 3),
        capacity=64,
        eval_every=24,
        eval_episodes=2,
        log_every=16,
        checkpoint_every=16,
    )


@pytest.mark.parametrize(("env", "settings", "planner", "learner"), PLAYED)
def test_a_planner_hands_every_world_over_and_a_break_changes_nothing(
    env: str, settings: dict[str, Any], planner: str, learner: str, tmp_path: Path
):
    whole = config(env, settings, planner, learner)
    records = list(train(whole, tmp_path / "whole"))
    assert records[-1].kind == "final"
    rates = np.array(
        [r.values["curriculum/planning_rate"] for r in records if r.kind == "collect"]
    )
    assert (rates[0] > 0).all()
    assert (rates[-1] == 0).all()
    assert np.isfinite(records[-1].values["final/last_mean_reward"]).all()

    list(itertools.islice(train(whole, tmp_path / "broken"), 4))
    newest = checkpoint.newest(tmp_path / "broken" / "checkpoints")[0]
    assert list(train(whole, tmp_path / "broken", newest))[-1].kind == "final"
    arrays = [
        next((tmp_path / name / "checkpoints").glob("step-*48/arrays*"))
        for name in ("whole", "broken")
    ]
    assert arrays[0].read_bytes() == arrays[1].read_bytes()
