"""Gridworld from scripted data alone: 100 times the same episode of 18 steps.

Its values are known: k steps before the goal the discounted return is
10 * 0.99^(k-1) - 0.1 (1 + 0.99 + ... + 0.99^(k-2)), 6.859 at the start and 8.387 on
average."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planning import act

from curriculum.data.manifest import Manifest
from curriculum.data.writer import write
from curriculum.envs._base.native import NativeRows
from curriculum.envs._base.spec import spec_of
from curriculum.envs.gridworld import Gridworld
from curriculum.planners.shortest_path import ShortestPath
from curriculum.run import loop
from curriculum.run.run import Run
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.types import Episode, Record, stream

WORLD = Gridworld(observation="vector", start="fixed")
VALUE_OF_START = 6.859
MEAN_VALUE = 8.387
UPDATES = 1_000


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of 1,800 transitions."""
    spec = spec_of(WORLD)
    rows = NativeRows(WORLD, [stream(0, "world")], 1)
    obs = rows.reset()
    planner = ShortestPath().setup(rows, spec, (0,))
    steps = []
    terminated = False
    while not terminated:
        chosen = act(planner, obs, np.arange(1))
        step = rows.step(chosen)
        steps.append((obs[0], chosen[0], step.reward[0], step.next_obs[0]))
        obs = step.obs
        terminated = bool(step.terminated[0])
    assert len(steps) == 18
    obs_before, action, reward, obs_after = zip(*steps, strict=True)
    episode = Episode(
        observation=np.stack(obs_before),
        action=np.stack(action),
        reward=np.stack(reward),
        next_observation=np.stack(obs_after),
        terminated=True,
        truncated=False,
    )
    folder = tmp_path_factory.mktemp("data") / "scripted"
    write(folder, [episode] * 100, Manifest(spec=spec, env="gridworld"))
    return folder


def train_offline(
    data: Path, learner: str, seeds: tuple[int, ...], **settings: Any
) -> tuple[Run, list[Record]]:
    """Train on the data; the world is stepped for evaluations only."""
    config = Config(
        env=WORLD,
        planner="shortest_path",
        start=plugins.make("start", "dataset", path=str(data)),
        learner=plugins.make("learner", learner, **settings),
        steps=0,
        offline_updates=UPDATES,
        seeds=seeds,
        log_every=UPDATES,
        eval_every=UPDATES,
        eval_episodes=1,
    )
    run = loop.prepare(config)
    return run, list(loop.advance(run))


def newest(records: list[Record], tag: str) -> np.ndarray:
    return next(r.values[tag] for r in reversed(records) if tag in r.values)


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["cql", "iql", "bc", "bcq", "td3bc"])
def test_learners_follow_scripted_data_to_the_goal(scripted: Path, learner: str):
    _, records = train_offline(scripted, learner, seeds=(0, 1, 2, 3, 4))
    reward = newest(records, "final/last_mean_reward")
    np.testing.assert_allclose(reward, 8.3, atol=1e-5)
    assert newest(records, "offline/cloning_error").max() == 0


def test_values_of_scripted_data_are_those_of_dynamic_programming(scripted: Path):
    settings = {"alpha": 0.1, "polyak": 0.1}
    run, records = train_offline(scripted, "cql", seeds=(0,), **settings)
    assert newest(records, "final/last_mean_reward") == pytest.approx(8.3)
    assert newest(records, "offline/q_data") == pytest.approx(MEAN_VALUE, rel=0.05)
    start = np.array([[[0, 0, 9, 9]]], np.float32)
    assert run.learner.value(start) == pytest.approx(VALUE_OF_START, rel=0.05)
    expected = newest(records, "offline/initial_value")
    assert expected == pytest.approx(VALUE_OF_START, rel=0.05)
    given = newest(records, "offline/discounted_reward")
    assert given == pytest.approx(VALUE_OF_START, abs=5e-4)
