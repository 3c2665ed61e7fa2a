"""Record files of RL Unplugged from the file to an evaluated policy."""

import contextlib
import gzip
import io
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from test_pictures import field, record

from curriculum import collect, evaluate, train
from curriculum.data.dataset import DataSet
from curriculum.formats._frames import example, png
from curriculum.formats.rlu import RLU
from curriculum.replay.buffer import Buffer
from curriculum.starts.dataset import Dataset
from curriculum.types import Batch, stream

EPISODES = 50
LENGTH = 6  # steps
DAMAGED = (7, 20, 49)
UNPACKED = 30
WORLD = "--env mini_atari --env.max-steps 40"


def values(number: int) -> dict[str, example.Value]:
    """The lists of an episode as the original files have them; the first picture shows
    the number. Odd episodes end truly, the others are cut short."""
    rng = stream(number, "pictures")
    pictures = rng.integers(0, 256, (LENGTH, 84, 84)).astype(np.uint8)
    pictures[0] = number
    discounts = np.ones(LENGTH, np.float32)
    discounts[-1] = number % 2 == 0
    return {
        "checkpoint_idx": np.array([0]),
        "episode_idx": np.array([number]),
        "observations": [png.encoded(picture) for picture in pictures],
        "actions": rng.integers(0, 3, LENGTH),
        "unclipped_rewards": np.full(LENGTH, 3, np.float32),
        "clipped_rewards": np.ones(LENGTH, np.float32),
        "discounts": discounts,
    }


def unpacked(actions: np.ndarray) -> bytes:
    """The list of actions alone, an element for each of them, in a message that follows
    another one."""
    elements = b"".join(bytes([0x08, action]) for action in actions)
    integers = bytes([0x1A, len(elements)]) + elements
    feature = bytes([0x12, len(integers)]) + integers
    return field(1, field(1, field(1, b"actions") + feature))


class Unplugged(NamedTuple):
    """A converted file, and what was said meanwhile."""

    data: DataSet
    said: str


@pytest.fixture(scope="module")
def unplugged(tmp_path_factory: pytest.TempPathFactory) -> Unplugged:
    """Fifty episodes: a wrong checksum, a missing list, an unpacked list, a torn
    end."""
    folder = tmp_path_factory.mktemp("unplugged")
    content = b""
    for number in range(EPISODES):
        lists = values(number)
        tail = b""
        if number == 20:
            del lists["discounts"]
        if number == UNPACKED:
            tail = unpacked(np.asarray(lists.pop("actions")))
        piece = bytearray(record(example.message(lists) + tail))
        if number == 7:
            piece[100] ^= 1
        content += piece
    path = folder / "run_1-00000-of-00050"
    path.write_bytes(gzip.compress(content[:-1000], 1))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        collect.main(["convert", str(path), str(folder / "data"), *WORLD.split()])
    return Unplugged(DataSet(folder / "data"), said.getvalue())


def test_damaged_episodes_are_named_and_the_others_are_kept(unplugged: Unplugged):
    assert unplugged.said.splitlines()[-4:] == [
        "episode 7: its checksum is wrong",
        "episode 20: it has 0 discounts for 6 observations",
        "episode 49: the file ends within it",
        "episodes left out: 3",
    ]
    kept = [number for number in range(EPISODES) if number not in DAMAGED]
    episodes = list(unplugged.data.episodes())
    shown = [episode.observation[0, -1, 0, 0] for episode in episodes]
    assert shown == kept
    for number, episode in zip(kept, episodes, strict=True):
        is_over = number % 2 == 1
        steps = LENGTH if is_over else LENGTH - 1
        assert (episode.terminated, episode.truncated) == (is_over, not is_over)
        assert episode.reward.tolist() == [1] * steps  # clipped from 3
        actions = np.asarray(values(number)["actions"])
        assert episode.action.tolist() == actions[:steps].tolist()
    assert unplugged.data.manifest.env == "mini_atari"


def drawn(path: Path, n_step: int = 1, **chosen: Any) -> Batch:
    """A batch of 500 transitions of a data set."""
    data = Dataset(path=str(path), **chosen).data()
    buffer = Buffer(capacity=2).setup(data.spec, (0,), 1, data=data)
    [batch] = buffer.sample(500, 0.5, n_step)
    return batch


def test_rewards_are_clipped_step_by_step_and_summed_when_drawn(unplugged: Unplugged):
    batch = drawn(unplugged.data.folder, n_step=3)
    # of three steps, and of the last two and the last one of an episode; from rewards
    # of 3, whose sums would be 5.25, 4.5 and 3
    assert set(batch.reward[0].tolist()) == {1.75, 1.5, 1.0}
    # cut short after three, two and one step, and truly ended
    assert set(batch.discount[0].tolist()) == {0.125, 0.25, 0.5, 0.0}


def test_the_last_episodes_show_their_own_pictures(unplugged: Unplugged):
    batch = drawn(unplugged.data.folder, share=0.02, tail=True)
    expected = set()
    for number in (47, 48):  # 6 and 5 transitions, 2 % are 5.16
        pictures = RLU()._episode(values(number))
        for obs, after in zip(
            pictures.observation, pictures.next_observation, strict=True
        ):
            expected.add((obs.tobytes(), after.tobytes()))
    found = set()
    for obs, after in zip(batch.obs[0], batch.next_obs[0], strict=True):
        found.add((obs.numpy().tobytes(), after.numpy().tobytes()))
    assert batch.obs.dtype == torch.uint8
    assert found == expected


def test_draws_do_not_depend_on_the_name_of_the_folder(
    unplugged: Unplugged, tmp_path: Path
):
    copied = tmp_path / "7"
    shutil.copytree(unplugged.data.folder, copied)
    mine = drawn(unplugged.data.folder)
    other = drawn(copied)
    assert torch.equal(mine.obs, other.obs)
    assert torch.equal(mine.action, other.action)


@pytest.mark.parametrize("learner", ["bc", "dqn"])
def test_records_train_a_policy_that_is_evaluated(
    learner: str, unplugged: Unplugged, tmp_path: Path
):
    words = f"""{WORLD} --start dataset --start.path {unplugged.data.folder} --steps 0
        --offline-updates 4 --eval-every 2 --log-every 2 --no-evaluation
        --keep-policies all --learner {learner} --learner.encoder nips
        --learner.hidden 8 --learner.batch-size 4 --runs-dir {tmp_path}/runs --name a"""
    train.main(words.split())
    run = tmp_path / "runs" / "mini_atari-bricks" / "a"
    words = f"{run} --policy all --epsilon 0.001 --episodes 2 --out {tmp_path}/out"
    evaluate.main(words.split())
    table = (tmp_path / "out" / "table.md").read_text()
    for update in (0, 2, 4):
        assert f"| update {update} |" in table
    first, *_, last = sorted((run / "policies").rglob("*.cur"))
    assert first.read_bytes() != last.read_bytes()
