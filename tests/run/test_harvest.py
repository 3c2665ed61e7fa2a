"""A buffer that is frozen, and what a run has collected as a data set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum import collect
from curriculum.data.dataset import DataSet
from curriculum.decays.constant import Constant
from curriculum.envs.pendulum import Pendulum
from curriculum.learners.dqn import DQN
from curriculum.learners.sac import SAC
from curriculum.run import checkpoint, folders
from curriculum.run.loop import train
from curriculum.run.run import Run
from curriculum.setting.config import Config, flat
from curriculum.starts.dataset import Dataset
from curriculum.starts.random import Random
from curriculum.types import SOURCES


def small(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "learner": DQN(hidden=(16,), batch_size=16, reward_shift=-1.0),
        "start": Random(size=40),
        "decay": Constant(value=0.5),
        "offline_updates": 0,
        "steps": 160,
        "rows": 4,
        "log_every": 40,
        "eval_every": 160,
        "eval_episodes": 2,
        "eval_mixed": False,
        "seeds": (0, 1),
    }
    return Config(**(defaults | changes))


def test_a_frozen_buffer_stays_while_training_goes_on():
    frozen, growing = Run(small(freeze_buffer_after=80)), Run(small())
    for run in (frozen, growing):
        assert run.collector
        run.reset()
        run.fill()
        while run.step < 120:
            run.take_step()
    assert frozen.step == growing.step
    assert frozen.buffer.size.tolist() == [40 + 80] * 2
    assert growing.buffer.size.tolist() == [40 + 120] * 2
    assert frozen.use.calls.max() < growing.use.calls.min()
    assert (frozen.trainer.updates == growing.trainer.updates).all()
    for run in (frozen, growing):
        run.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose buffer holds parts of episodes: it stores only the planner's."""
    folder = tmp_path_factory.mktemp("run")
    _finish(small(store="planner"), folder)
    return folder


def _finish(config: Config, folder: Path) -> None:
    """Train, and write the settings as the command does."""
    folder.mkdir(exist_ok=True)
    folders.write(folder / folders.SETTINGS, flat(config))
    list(train(config, folder))


def transitions(data: DataSet) -> list[tuple[bytes, ...]]:
    """Every transition of a data set as bytes."""
    return [
        (
            episode.observation[step].tobytes(),
            np.float32(episode.action[step]).tobytes(),
            np.float32(episode.reward[step]).tobytes(),
            episode.next_observation[step].tobytes(),
        )
        for episode in data.episodes()
        for step in range(len(episode.reward))
    ]


def test_a_run_gives_back_every_transition_that_it_holds(folder: Path, tmp_path: Path):
    collect.main(["make", str(tmp_path / "data"), "--from-run", str(folder)])
    data = DataSet(tmp_path / "data")
    expected = []
    resumed = Run(small(store="planner"))
    [newest, *_] = checkpoint.newest(folder / "checkpoints")
    buffer = resumed.buffer
    buffer.load(checkpoint.read(newest)["buffer"])
    resumed.close()
    for seed in range(2):
        packed = buffer.storage.packed[seed, : int(buffer.size[seed])]
        columns = buffer.layout.split(packed)
        for row in range(len(packed)):
            one = {name: column[row].numpy() for name, column in columns.items()}
            expected.append(
                (
                    one["obs"].tobytes(),
                    one["action"].tobytes(),
                    np.float32(one["reward"] + 1).tobytes(),  # without the shift
                    one["next_obs"].tobytes(),
                )
            )
    assert sorted(transitions(data)) == sorted(expected)
    manifest = data.manifest
    assert (manifest.env, manifest.seeds, manifest.sources) == (
        *("gridworld", (0, 1)),
        SOURCES,
    )
    found = {
        SOURCES[i] for e in data.episodes() for i in np.unique(np.asarray(e.source))
    }
    assert found == {"random", "planner"}
    for episode in data.episodes():
        following = episode.observation[1:]
        np.testing.assert_array_equal(episode.next_observation[:-1], following)
        assert not (episode.terminated and episode.truncated)


def test_one_seed_of_a_run_with_box_actions_trains_another_run(tmp_path: Path):
    learner = SAC(hidden=(16,), batch_size=16)
    config = small(
        env=Pendulum(max_steps=30),
        learner=learner,
        start="none",
        steps=80,
        capacity=48,  # older transitions are evicted
        eval_every=80,
    )
    _finish(config, tmp_path / "run")
    out = tmp_path / "data"
    words = ["make", str(out), "--from-run", str(tmp_path / "run"), "--from-seeds", "1"]
    collect.main(words)
    data = DataSet(out)
    assert (data.manifest.transitions, data.manifest.seeds) == (48, (1,))
    assert all(np.abs(e.action).max() <= 1 for e in data.episodes())
    again = Run(small(env=Pendulum(), learner=learner, start=Dataset(path=str(out))))
    assert again.buffer.size.tolist() == [48, 48]
    again.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from-seeds", "0"], "--from-seeds goes with --from-run RUN"),
        (["--from-run", "RUN", "--env", "cartpole"], "--env has no part in it"),
        (["--from-run", "RUN", "--episodes", "3"], "--episodes has no part in it"),
        (["--from-run", "RUN", "--from-seeds", "7"], "no seed 7; there are: 0, 1"),
        (["--from-run", "nowhere"], "nowhere is not a run"),
        (
            ["--env", "gridworld", "--planner", "explorer"],
            "explorer learns while a run",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_sentence(
    folder: Path,
    tmp_path: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
):
    given = [str(folder) if word == "RUN" else word for word in words]
    with pytest.raises(SystemExit):
        collect.main(["make", str(tmp_path / "data"), *given])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
