"""Training from a data set: which episodes, that all seeds share it, and that a run
goes on exactly."""

import hashlib
import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planning import act

from curriculum import contract
from curriculum import train as command
from curriculum.contract.resources import needs
from curriculum.data.manifest import Manifest
from curriculum.data.writer import write
from curriculum.envs._base.spec import spec_of
from curriculum.learners.calql import CalQL
from curriculum.learners.cql import CQL
from curriculum.run import checkpoint
from curriculum.run.loop import advance, prepare, train
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.dataset import Dataset
from curriculum.types import Episode, stream

LENGTHS = [5, 3, 2, 4, 6]
SMALL: dict[str, Any] = {"hidden": (16,), "batch_size": 16}


def numbered(folder: Path) -> Path:
    """Episodes of these lengths whose rewards number all transitions."""
    episodes = []
    first = 0
    for length in LENGTHS:
        obs = np.zeros((length + 1, 6), np.float32)
        reward = np.arange(first, first + length, dtype=np.float32)
        action = np.zeros(length, np.int64)
        episodes.append(Episode(obs[:-1], action, reward, obs[1:], True, False))
        first += length
    spec = spec_of(plugins.make("env", "gridworld"))
    write(folder, episodes, Manifest(spec=spec, env="gridworld"))
    return folder


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty episodes of random play in the gridworld."""
    world = plugins.make("env", "gridworld")
    spec = spec_of(world)
    rows = world.rows([stream(0, "environment")])
    random = plugins.make("planner", "random").setup(rows, spec, (0,))
    obs = rows.reset()
    episodes = []
    for _ in range(20):
        steps = []
        over = False
        while not over:
            action = act(random, obs, np.arange(1))
            step = rows.step(action)
            steps.append((obs[0].copy(), action[0], step.reward[0], step.next_obs[0]))
            obs = step.obs
            over = bool(step.terminated[0] | step.truncated[0])
        columns = [np.array(column) for column in zip(*steps, strict=True)]
        terminated = bool(step.terminated[0])
        episodes.append(Episode(*columns, terminated, not terminated))  # type: ignore[call-arg, arg-type]
    folder = tmp_path_factory.mktemp("data") / "random"
    write(folder, episodes, Manifest(spec=spec, env="gridworld"))
    return folder


def tiny(path: Path, **changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "learner": CQL(**SMALL),
        "start": Dataset(path=str(path)),
        "steps": 160,
        "offline_updates": 40,
        "updates_per_step": 0.25,
        "log_every": 40,
        "eval_every": 80,
        "eval_episodes": 2,
        "checkpoint_every": 80,
    }
    return Config(**(defaults | changes))


def digest(folder: Path) -> str:
    newest = checkpoint.newest(folder / "checkpoints")[0]
    return hashlib.sha256((newest / "arrays.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("settings", "rewards"),
    [
        ({}, range(20)),
        ({"share": 0.25}, range(5)),
        ({"share": 0.26}, range(8)),
        ({"share": 0.05, "tail": True}, range(14, 20)),
        ({"share": 0.35, "tail": True}, range(10, 20)),
        ({"share": 1e-9}, range(5)),
    ],
)
def test_a_share_is_the_fewest_first_or_last_episodes_that_hold_it(
    settings: dict, rewards: range, tmp_path: Path
):
    start = Dataset(path=str(numbered(tmp_path / "data")), **settings)
    data = start.data()
    assert data.reward.tolist() == list(rewards)
    assert start.size == len(rewards) == data.length.sum() == len(data.action)
    assert len(data.obs) == len(rewards) + len(data.length)


def test_the_columns_are_views_of_the_files(tmp_path: Path):
    data = Dataset(path=str(numbered(tmp_path / "data")), share=0.5).data()
    for column in (data.obs, data.action, data.reward, data.length):
        base = column
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)


def test_it_keeps_the_contract_of_starts(tmp_path: Path):
    report = contract.check_start(Dataset(path=str(numbered(tmp_path / "data"))))
    assert str(report).startswith("start dataset keeps its contract; it adds 0 ")


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_is_one_of_the_whole(share: float):
    with pytest.raises(ValueError, match=r"^share must be "):
        Dataset(path="data", share=share)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "--start dataset needs the folder of a data set: --start.path DATA"),
        ("--start.path nowhere", "nowhere is no data set, it has no manifest.json"),
        ("--start.path {data} --env pendulum", "the world has observations [3] and"),
        ("--start.path {data} --start.share 2", "share must be between 0 and 1"),
    ],
)
def test_what_cannot_be_read_is_refused_before_a_run(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    data = numbered(tmp_path / "data")
    words = words.format(data=data)
    runs = tmp_path / "runs"
    with pytest.raises(SystemExit) as ending:
        command.main(["--start", "dataset", *words.split(), "--runs-dir", str(runs)])
    assert ending.value.code == 2
    assert says in capsys.readouterr().err.strip().splitlines()[-1]
    assert not runs.exists()


def test_a_damaged_data_set_is_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    data = numbered(tmp_path / "data")
    file = data / "reward.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match=r"reward\.npy is damaged"):
        prepare(tiny(data))
    words = ["--start", "dataset", "--start.path", str(data)]
    with pytest.raises(SystemExit) as ending:
        command.main([*words, "--runs-dir", str(tmp_path / "runs")])
    assert ending.value.code == 2
    assert "reward.npy is damaged" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_memory_counts_the_data_once_and_no_rings_that_stay_empty(tmp_path: Path):
    start = Dataset(path=str(numbered(tmp_path / "data")))
    found = []
    for seeds in ((0,), (0, 1, 2)):
        for steps in (0, 160):
            config = tiny(Path(start.path), seeds=seeds, steps=steps, capacity=1_000)
            [buffer] = [need for need in needs(config) if need.part == "the buffer"]
            found.append(buffer.bytes)
            prepared = prepare(config)
            assert prepared.buffer.memory_bytes == buffer.bytes
            prepared.close()
    # six numbers twice, action, reward and discount; reward, end and successor again
    data = 20 * (4 * 15 + 9)
    # and truncated, episode, time, distance, source and planning rate
    ring = 4 * 15 + 9 + 1 + 4 + 4 + 4 + 1 + 4
    # eight rows step twice at least
    assert found == [
        data + 16 * ring,
        data + 1_000 * ring,
        data + 3 * 16 * ring,
        data + 3 * 1_000 * ring,
    ]


def test_a_run_without_steps_is_continued_with_some(played: Path, tmp_path: Path):
    list(train(tiny(played, steps=0), tmp_path / "run"))
    [newest, *_] = checkpoint.newest(tmp_path / "run" / "checkpoints")
    records = list(train(tiny(played, steps=160), tmp_path / "run", newest))
    size = Dataset(path=str(played)).size + 160
    collected = [record.values for record in records if record.kind == "collect"]
    assert collected[-1]["buffer/size"].tolist() == [size]


def test_all_seeds_start_from_the_same_data(played: Path):
    config = tiny(played, learner=CalQL(**SMALL), seeds=(0, 1, 2), steps=8)
    run = prepare(config)
    records = list(advance(run))
    transitions = Dataset(path=str(played)).size
    [start] = [record.values for record in records if record.kind == "start"]
    assert start["buffer/size"].tolist() == [transitions] * 3
    assert start["buffer/share_dataset"].tolist() == [1, 1, 1]
    # 40 before the first step, two after eight steps
    assert run.trainer.updates.tolist() == [42, 42, 42]


def test_a_seed_alone_learns_from_data_as_among_others(played: Path):
    settings = {"learner": CalQL(**SMALL), "sampling": "symmetric", "steps": 80}
    together = list(train(tiny(played, seeds=(0, 4), **settings)))
    alone = list(train(tiny(played, seeds=(4,), **settings)))
    losses = [r for r in together if r.kind == "update"]
    expected = [r for r in alone if r.kind == "update"]
    for found, wanted in zip(losses, expected, strict=True):
        for tag, value in wanted.values.items():
            np.testing.assert_array_equal(found.values[tag][1], value[0])


def test_a_run_from_data_stopped_anywhere_ends_as_one_that_was_not(
    played: Path, tmp_path: Path
):
    config = tiny(played, sampling="annealed", seeds=(0, 1))
    list(train(config, tmp_path / "whole"))
    # before the offline updates, and between two steps
    for count in (2, 20):
        folder = tmp_path / str(count)
        going = itertools.chain([False] * count, itertools.repeat(True))
        list(train(config, folder, stop=partial(next, going)))
        [found, *_] = checkpoint.newest(folder / "checkpoints")
        list(train(config, folder, found))
        assert digest(folder) == digest(tmp_path / "whole")


def test_a_run_is_not_resumed_with_other_data(played: Path, tmp_path: Path):
    list(train(tiny(played), tmp_path / "run"))
    [newest, *_] = checkpoint.newest(tmp_path / "run" / "checkpoints")
    other = tiny(played, start=Dataset(path=str(played), share=0.5), steps=320)
    with pytest.raises(ValueError, match="other episodes than when the run was"):
        prepare(other, tmp_path / "run", newest)
