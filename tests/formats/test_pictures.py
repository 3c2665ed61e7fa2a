"""Formats of single pictures: record files and index-based buffers."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from generated import Kind, assert_same
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum import crc
from curriculum.formats._frames import example
from curriculum.formats._frames.stacks import stacked
from curriculum.formats.rlu import RLU
from curriculum.formats.slim import Slim
from curriculum.types import Episode

VECTOR = Kind(np.dtype("f4"), (3,), 0, np.dtype("f4"), np.dtype("f4"), False)


def game(seed: int, steps: int, end: int, stack: int = 4) -> Episode:
    """An episode of random pictures; bits of `end`: terminated, truncated."""
    rng = np.random.default_rng(seed)
    whole = stacked(rng.integers(0, 256, (steps + 1, 6, 5), np.uint8), stack)
    return Episode(
        observation=whole[:-1],
        action=rng.integers(0, 18, steps),
        reward=rng.normal(0, 3, steps).astype(np.float32),
        next_observation=whole[1:],
        terminated=bool(end & 1),
        truncated=bool(end & 2),
        source=rng.integers(0, 9, steps, np.uint8),
    )


GAMES = st.lists(
    st.tuples(st.integers(0, 99), st.integers(1, 9), st.integers(0, 3)),
    min_size=1,
    max_size=4,
)
few = settings(max_examples=25, deadline=None, derandomize=True, database=None)


@few
@given(games=GAMES, stack=st.sampled_from([1, 4]))
def test_games_come_back_bit_for_bit_from_records(games, stack, tmp_path_factory):
    expected = [game(seed, steps, end, stack) for seed, steps, end in games]
    path = tmp_path_factory.mktemp("rlu") / "run_1-00000-of-00050"
    chosen = RLU(stack=stack, clip=False)
    chosen.write(path, expected, {})
    assert chosen.recognises(path)
    assert_same(list(chosen.read(path, pytest.fail)), expected)


@few
@given(games=GAMES, stack=st.sampled_from([1, 4]))
def test_games_come_back_bit_for_bit_from_indices(games, stack, tmp_path_factory):
    # it stores one flag, rewards as float64, and nobody who acted
    expected = [
        game(seed, steps, 1 + end % 2, stack)._replace(source=None)
        for seed, steps, end in games
    ]
    expected = [e._replace(reward=e.reward.astype(np.float64)) for e in expected]
    path = tmp_path_factory.mktemp("slim") / "0"
    chosen = Slim(stack=stack)
    chosen.write(path, expected, {})
    assert chosen.recognises(path)
    assert_same(list(chosen.read(path, pytest.fail)), expected)
    assert chosen.metadata(path)["spec"]["obs_shape"] == [stack, 6, 5]


def png(value: int) -> bytes:
    """A grey picture of 2 x 3 pixels, by hand."""
    rows = b"".join(b"\0" + bytes([value + r, value, value]) for r in range(2))

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    size = struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return (
        length + struct.pack("<I", crc.masked(length))
        + payload + struct.pack("<I", crc.masked(payload))
    )  # fmt: skip


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128 or number == 1
    size = len(content)
    varint = b""
    while size > 127:
        varint += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([size]) + content


def payload(last_discount: float) -> bytes:
    """An episode of three steps as the original files have it, numbers unpacked."""
    floats = [b"\x0d" + struct.pack("<f", x) for x in (1.0, 1.0, last_discount)]
    rewards = [b"\x0d" + struct.pack("<f", x) for x in (0.5, -3.0, 7.0)]
    lists = {
        b"observations": (1, b"".join(field(1, png(v)) for v in (10, 20, 30))),
        b"actions": (3, b"\x08\x02\x08\x00\x08\x05"),
        b"unclipped_rewards": (2, b"".join(rewards)),
        b"discounts": (2, b"".join(floats)),
    }
    entries = b""
    for name, (kind, content) in lists.items():
        feature = bytes([kind << 3 | 2]) + field(1, content)[1:]
        entries += field(1, field(1, name) + b"\x12" + field(1, feature)[1:])
    return field(1, entries)


def test_records_of_the_original_form_are_read(tmp_path: Path):
    path = tmp_path / "run_1-00000-of-00050"
    path.write_bytes(gzip.compress(record(payload(0)) + record(payload(1))))
    ended, cut = RLU(stack=2).read(path, pytest.fail)
    assert (ended.terminated, ended.truncated) == (True, False)
    assert ended.action.tolist() == [2, 0, 5]
    assert ended.reward.tolist() == [0.5, -1, 1]
    assert ended.observation[:, :, 0, 0].tolist() == [[0, 10], [10, 20], [20, 30]]
    assert ended.observation[0, 1].tolist() == [[10, 10, 10], [11, 10, 10]]
    assert RLU().metadata(path)["spec"] == {
        "obs_shape": [4, 2, 3],
        "obs_dtype": "uint8",
        "actions": 18,
        "action_size": 0,
        "frames": 4,
    }
    # the picture after the last step of an episode that was cut short is not stored
    assert (cut.terminated, cut.truncated) == (False, True)
    assert cut.action.tolist() == [2, 0]
    assert cut.next_observation[:, 1, 0, 0].tolist() == [20, 30]


@pytest.mark.parametrize("game", ["Pong", "Breakout"])
def test_the_folder_of_a_record_file_names_its_game(game: str, tmp_path: Path):
    path = tmp_path / game / "run_3-00007-of-00020"
    path.parent.mkdir()
    path.write_bytes(record(payload(0)))
    found = RLU().metadata(path)
    assert (found["env"], found["env_settings"]) == ("atari", {"game": game})


def test_a_record_with_a_wrong_checksum_is_left_out(tmp_path: Path):
    path = tmp_path / "records"
    damaged = bytearray(record(payload(0)))
    damaged[40] ^= 1
    path.write_bytes(record(payload(0)) + damaged + record(payload(0)))
    reports: list[str] = []
    assert len(list(RLU().read(path, reports.append))) == 2
    assert reports == ["episode 1: its checksum is wrong"]


@pytest.mark.parametrize("compressed", [False, True])
def test_what_comes_before_a_torn_end_is_kept(compressed: bool, tmp_path: Path):
    path = tmp_path / "records"
    content = 2 * record(payload(0))
    if compressed:
        content = gzip.compress(content, 0)
    path.write_bytes(content[:-30])
    reports: list[str] = []
    assert len(list(RLU().read(path, reports.append))) == 1
    assert reports == ["episode 1: the file ends within it"]


@pytest.mark.parametrize(
    ("place", "problem"),
    [(0, "the checksum of its length is wrong"), (None, "it has 1,099,511,627,776")],
)
def test_nothing_is_read_after_a_wrong_length(place, problem: str, tmp_path: Path):
    path = tmp_path / "records"
    damaged = bytearray(record(payload(0)))
    if place is None:
        length = struct.pack("<Q", 2**40)
        damaged[:12] = length + struct.pack("<I", crc.masked(length))
    else:
        damaged[place] ^= 1
    path.write_bytes(record(payload(0)) + damaged + record(payload(0)))
    reports: list[str] = []
    assert len(list(RLU().read(path, reports.append))) == 1
    [report] = reports
    assert report.startswith(f"episode 1: {problem}")
    assert report.endswith("; all after it are left out, too")


def test_damage_within_compressed_data_leaves_out_what_follows(tmp_path: Path):
    path = tmp_path / "records"
    content = bytearray(gzip.compress(3 * record(payload(0)), 9))
    content[-8] ^= 1  # the checksum of all
    path.write_bytes(content)
    reports: list[str] = []
    assert len(list(RLU().read(path, reports.append))) == 3
    assert reports[0].startswith("episode 3: CRC check failed")


def test_a_record_without_what_it_needs_is_left_out(tmp_path: Path):
    path = tmp_path / "records"
    path.write_bytes(record(example.message({"actions": np.array([-1])})))
    reports: list[str] = []
    assert list(RLU().read(path, reports.append)) == []
    assert reports == ["episode 0: it has no observations"]


def test_negative_numbers_and_names_come_back_from_a_message():
    values: dict[str, example.Value] = {
        "a": np.array([-1, 2**40]),
        "b": [b"", b"xy"],
        "c": np.ones(2, np.float32),
    }
    found = example.parsed(example.message(values))
    assert list(found["a"]) == [-1, 2**40]
    assert found["b"] == [b"", b"xy"]
    assert list(found["c"]) == [1, 1]


@pytest.mark.parametrize("chosen", [RLU(), Slim()])
def test_only_stacks_of_pictures_are_written_as_pictures(chosen, tmp_path: Path):
    vector = game(0, 3, 1)._replace(
        observation=np.zeros((3, 2)), next_observation=np.zeros((3, 2))
    )
    with pytest.raises(ValueError, match=r"^episode 0: .* stacks of grey pictures"):
        chosen.write(tmp_path / "x", [vector], {})
    shuffled = game(0, 3, 1)
    shuffled = shuffled._replace(
        observation=shuffled.observation[:, ::-1],
        next_observation=shuffled.next_observation[:, ::-1],
    )
    with pytest.raises(ValueError, match=r"^episode 0: .* not stacks"):
        chosen.write(tmp_path / "x", [shuffled], {})
    assert not list(tmp_path.iterdir())


def test_pictures_of_no_transition_are_passed_over(tmp_path: Path):
    path = tmp_path / "0"
    games = [game(seed, 5, 2) for seed in (1, 2)]
    Slim().write(path, games, {})
    for name in ("observations", "o_tm1_indices", "o_t_indices"):
        with gzip.open(path / f"{name}.gz") as stored:
            array = np.load(stored)
        is_picture = name == "observations"
        moved = np.concatenate([array[:3], array]) if is_picture else array + 3
        with gzip.open(path / f"{name}.gz", "wb") as stored:
            np.save(stored, moved)
    found = list(Slim().read(path, pytest.fail))
    for episode, original in zip(found, games, strict=True):
        np.testing.assert_array_equal(episode.observation, original.observation)
        last = original.next_observation[-1]
        np.testing.assert_array_equal(episode.next_observation[-1], last)


def test_sums_of_several_steps_are_reported(tmp_path: Path):
    path = tmp_path / "0"
    Slim().write(path, [game(1, 6, 2)], {})
    file = path / "o_t_indices.gz"
    with gzip.open(file) as stored:
        indices = np.load(stored)
    with gzip.open(file, "wb") as stored:
        np.save(stored, indices + 2)
    reports: list[str] = []
    assert list(Slim().read(path, reports.append)) == []
    assert reports[0] == (
        "episode 0: its rewards are not of one step; n-step sums are not read"
    )
