"""Two hundred policy files that were changed: each is refused in one sentence, in
little memory and time, by the loader and by the commands."""

import hashlib
import io
import json
import struct
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curriculum import evaluate, export, play
from curriculum.learning.normalizer import Normalize
from curriculum.shipping.operations import program_of
from curriculum.shipping.policy_file import save
from curriculum.shipping.standalone import DOCUMENT, WEIGHTS, checksum, load_policy

CONTRACT = {
    "observation": {"shape": [6], "dtype": "float32"},
    "action": {"kind": "discrete", "n": 3, "start": 0},
    "world": {"name": "gridworld", "settings": {"start": "fixed"}},
    "trained": {"seed": 0, "policy": "last", "step": 0},
}
COUNT = 200
MOST_SECONDS = 1.0
MOST_MEMORY = 4 * 2**20  # bytes, of a file of 3 kB
NUMBERS = (np.nan, np.inf, -np.inf)
NAMES = (
    *("../policy.json", "/etc/passwd", "..\\policy.json", "policy.json/../x"),
    *("C:\\policy.json", "weights.safetensors/", "./policy.json", "Policy.json"),
    *("policy.json\0.txt", "\u202epolicy.json"),
)
Members = dict[str, bytes]
Rng = np.random.Generator


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    policy = nn.Sequential(
        Normalize(torch.rand(6), torch.ones(6)),
        *(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
    )
    path = tmp_path_factory.mktemp("whole") / "policy.cur"
    save(program_of(policy), CONTRACT, path)
    return path


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(data, "w", method) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def signed(document: dict[str, Any], weights: bytes) -> bytes:
    """A file whose checksums hold."""
    rest = {name: value for name, value in document.items() if name != "sha256"}
    rest["sha256"] = {
        DOCUMENT: checksum(rest),
        WEIGHTS: hashlib.sha256(weights).hexdigest(),
    }
    return zipped((DOCUMENT, json.dumps(rest).encode()), (WEIGHTS, weights))


def with_header(weights: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A safetensors file with another header."""
    length = int.from_bytes(weights[:8], "little")
    about = json.loads(weights[8 : 8 + length])
    change(about)
    text = json.dumps(about).encode()
    return struct.pack("<Q", len(text)) + text + weights[8 + length :]


# --- kinds of changes: a whole file, its members and a generator -> a changed file ---


def flipped(data: bytes, members: Members, rng: Rng) -> bytes:
    """A bit of the document or the weights, in a zip that knows it or one that does
    not."""
    name = (DOCUMENT, WEIGHTS)[int(rng.integers(2))]
    content = bytearray(members[name])
    place = int(rng.integers(len(content)))
    if name == DOCUMENT:  # spaces mean nothing
        place = next(k for k in range(place, len(content)) if content[k] != 32)
    content[place] ^= 1 << int(rng.integers(7))
    if rng.integers(2):
        return data.replace(members[name], bytes(content))
    return zipped(*(members | {name: bytes(content)}).items())


def truncated(data: bytes, members: Members, rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data)))]


def shifted(data: bytes, members: Members, rng: Rng) -> bytes:
    """Bytes removed from the members, or inserted there."""
    start = int(rng.integers(60, len(members[DOCUMENT]) + len(members[WEIGHTS])))
    length = int(rng.integers(1, 40))
    if rng.integers(2):
        return data[:start] + data[start + length :]
    return data[:start] + rng.bytes(length) + data[start:]


def bomb(data: bytes, members: Members, rng: Rng) -> bytes:
    """Zeros that are compressed, and said to be so or not."""
    size = int(rng.integers(10**6, 10**7))
    packed = bytearray(
        zipped(
            *((DOCUMENT, bytes(size)), (WEIGHTS, bytes(size))),
            method=(zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)[int(rng.integers(2))],
        )
    )
    if rng.integers(2):
        for mark, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
            place = packed.find(mark)
            while place >= 0:
                packed[place + offset : place + offset + 2] = b"\0\0"
                place = packed.find(mark, place + 4)
    return bytes(packed)


def misshapen(data: bytes, members: Members, rng: Rng) -> bytes:
    """The numbers of an array in another shape."""

    def change(header: dict[str, Any]) -> None:
        name = list(header)[int(rng.integers(len(header)))]
        size = int(np.prod(header[name]["shape"]))
        others = [[size, 1], [1, size], [size, 1, 1], [size + 1], [size - 1], []]
        header[name]["shape"] = others[int(rng.integers(len(others)))]

    weights = with_header(members[WEIGHTS], change)
    return signed(json.loads(members[DOCUMENT]), weights)


def enormous(data: bytes, members: Members, rng: Rng) -> bytes:
    """A shape far larger than the file, of an array or of observations."""
    document = json.loads(members[DOCUMENT])
    sides = [int(2 ** rng.integers(18, 40)) for _ in range(rng.integers(1, 5))]
    if rng.integers(2):
        document["observation"]["shape"] = sides
        return signed(document, members[WEIGHTS])

    def change(header: dict[str, Any]) -> None:
        first = next(iter(header.values()))
        first["shape"] = sides
        first["data_offsets"] = [0, 4 * int(np.prod(np.array(sides, object)))]

    return signed(document, with_header(members[WEIGHTS], change))


def not_finite(data: bytes, members: Members, rng: Rng) -> bytes:
    """A weight that is no number, with checksums that hold."""
    weights = bytearray(members[WEIGHTS])
    length = int.from_bytes(weights[:8], "little")
    place = 8 + length + 4 * int(rng.integers((len(weights) - 8 - length) // 4))
    weights[place : place + 4] = struct.pack("<f", NUMBERS[int(rng.integers(3))])
    return signed(json.loads(members[DOCUMENT]), bytes(weights))


def renamed(data: bytes, members: Members, rng: Rng) -> bytes:
    """A member with another name, in place of one of the two or besides them."""
    name = NAMES[int(rng.integers(len(NAMES)))]
    both = list(members.items())
    place = int(rng.integers(3))
    both[place : place + 1] = [(name, members[DOCUMENT])]
    return zipped(*both)


def twice(data: bytes, members: Members, rng: Rng) -> bytes:
    """A name that is there twice, once with something else."""
    both = list(members.items())
    name, content = both[int(rng.integers(2))]
    both.insert(int(rng.integers(3)), (name, (content, b"{}")[int(rng.integers(2))]))
    return zipped(*both)


KINDS = {
    **{flipped: 60, truncated: 20, shifted: 20, bomb: 10, misshapen: 20},
    **{enormous: 20, not_finite: 20, renamed: 20, twice: 10},
}
MUTATIONS = [(kind, number) for kind, count in KINDS.items() for number in range(count)]


def mutated(whole: Path, kind: Callable[..., bytes], number: int) -> bytes:
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    rng = np.random.default_rng([number, list(KINDS).index(kind)])
    return kind(whole.read_bytes(), members, rng)


def require_refusal(path: Path) -> str:
    """The sentence of the loader."""
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(ValueError, match=" is not a policy: ") as problem:
        load_policy(path)
    seconds = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < MOST_SECONDS
    assert peak < MOST_MEMORY + 2 * path.stat().st_size
    sentence = str(problem.value)
    assert sentence.startswith(f"{path} is not a policy: ")
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 500
    return sentence


def require_refusals(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of all commands, with the sentence of the loader."""
    expected = require_refusal(path)
    before = sorted(path.parent.iterdir())
    out = path.parent / "out"
    for command, words in (
        (evaluate, ["--out", str(out)]),
        (play, ["--gif", str(out.with_suffix(".gif"))]),
        (export, [str(out.with_suffix(".h"))]),
    ):
        first = [str(path)] if command is not export else [str(path), *words]
        rest = words if command is not export else []
        with pytest.raises(SystemExit) as end:
            command.main([*first, *rest])
        assert end.value.code == 2
        error = capsys.readouterr().err
        assert error == f"{command.PROG}: {expected}\n"
    assert sorted(path.parent.iterdir()) == before


def test_there_are_two_hundred():
    assert len(MUTATIONS) == COUNT


def test_the_whole_file_is_accepted(whole):
    assert load_policy(whole).act(np.zeros(6, np.float32)) in (0, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_is_refused(whole, tmp_path, kind):
    path = tmp_path / "changed.cur"
    for number in range(1 if kind is bomb else 3):
        path.write_bytes(mutated(whole, kind, number))
        require_refusal(path)


def test_the_commands_refuse_it_too(whole, tmp_path, capsys):
    path = tmp_path / "changed.cur"
    path.write_bytes(mutated(whole, not_finite, 0))
    require_refusals(path, capsys)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), MUTATIONS)
def test_two_hundred_changed_files_are_refused(whole, tmp_path, capsys, kind, number):
    path = tmp_path / "changed.cur"
    path.write_bytes(mutated(whole, kind, number))
    require_refusals(path, capsys)
