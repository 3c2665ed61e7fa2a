"""Read many damaged data sets of every format.

    python -m tests.campaigns.damaged_data --inputs 10000 --out /tmp/damaged

Every file must be read, or refused by a ValueError of one line that names it; episodes
that are left out are reported in one line each. No input may take long or much memory,
end the process, or run code. Inputs are numbered and made anew from their number:
`--first 1234 --inputs 1` repeats one.
"""

import argparse
import gzip
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NoReturn

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "formats"))

from generated import Kind, episode  # noqa: E402

from curriculum import crc  # noqa: E402
from curriculum.formats._frames.stacks import stacked  # noqa: E402
from curriculum.setting import plugins  # noqa: E402
from curriculum.types import Episode  # noqa: E402

BATCH = 1_000  # inputs of one process
SECONDS = 30  # for one input
MEMORY = 700  # MB more than a process that has read nothing
CANARY = "canary"  # a file that an unpickled object would make
LONGEST = 1_000  # characters of a message
DTYPES = np.dtype(np.float32)
VECTOR = Kind(DTYPES, (3,), 2, DTYPES, DTYPES, True)


class Bomb:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path(CANARY),))


class Slow(Exception):
    """An input takes too long."""


def game(rng: np.random.Generator, steps: int) -> Episode:
    whole = stacked(rng.integers(0, 256, (steps + 1, 6, 5), np.uint8), 4)
    return Episode(
        observation=whole[:-1],
        action=rng.integers(0, 6, steps),
        reward=rng.normal(size=steps).astype(np.float32),
        next_observation=whole[1:],
        terminated=True,
        truncated=False,
    )


def originals(folder: Path) -> list[tuple[str, Path]]:
    """A good data set of every format, and those that others wrote."""
    rng = np.random.default_rng(0)
    vectors = [episode(rng, VECTOR, steps, 1 + steps % 2) for steps in range(1, 12)]
    games = [game(rng, steps) for steps in range(1, 8)]
    found = []
    for name in plugins.names("format"):
        path = folder / f"good.{name}"
        data = games if name in ("rlu", "slim") else vectors
        plugins.make("format", name).write(path, data, {"env": "x", "seeds": [1]})
        found.append((name, path))
    recorded = TESTS / "formats" / "recorded"
    found += [("hdf5", path) for path in sorted(recorded.glob("*.h5"))]
    found += [("minari", path) for path in sorted(recorded.glob("minari-*"))]
    return found


# --- damages ---


def damage(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with one to a few damages."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not content:
            break
        place = int(rng.integers(len(content)))
        size = int(rng.choice([1, 2, 4, 8, 64]))
        kind = rng.integers(6)
        if kind == 0:  # one bit
            content[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:  # noise
            content[place : place + size] = rng.bytes(size)
        elif kind == 2:  # extreme numbers
            content[place : place + size] = rng.choice([b"\xff", b"\0", b"\x7f"]) * size
        elif kind == 3:  # an end that is cut off
            del content[place:]
        elif kind == 4:  # a piece that is missing
            del content[place : place + size]
        else:  # a piece that comes twice
            content[place:place] = content[place : place + size]
    return bytes(content)


def damage_npz(path: Path, rng: np.random.Generator) -> None:
    """Damage arrays inside an archive whose checksums are right, or replace one by an
    object that runs code where it is unpickled."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = str(rng.choice(sorted(members)))
    if rng.random() < 0.2:
        with tempfile.TemporaryFile() as file:
            np.save(file, np.array([Bomb()] * 66, object), allow_pickle=True)
            file.seek(0)
            members[name] = file.read()
    else:
        members[name] = damage(members[name], rng)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def damage_gzip(path: Path, rng: np.random.Generator) -> None:
    """Damage what is compressed; checksums of records may be made right again."""
    data = gzip.decompress(path.read_bytes())
    if path.name == "good.rlu" and rng.random() < 0.7:
        length = int.from_bytes(data[:8], "little")
        payload = damage(data[12 : 12 + length], rng)
        head = len(payload).to_bytes(8, "little")
        record = head + crc.masked(head).to_bytes(4, "little") + payload
        record += crc.masked(payload).to_bytes(4, "little")
        data = record + data[16 + length :]
    else:
        data = damage(data, rng)
    path.write_bytes(gzip.compress(data, 1))


def damage_path(path: Path, rng: np.random.Generator) -> None:
    """Damage one file of a data set."""
    files = (
        [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    )
    file = files[rng.integers(len(files))]
    inside = rng.random() < 0.6
    if inside and zipfile.is_zipfile(file):
        damage_npz(file, rng)
    elif inside and file.read_bytes()[:2] == b"\x1f\x8b":
        damage_gzip(file, rng)
    elif rng.random() < 0.02:
        file.unlink()
    else:
        file.write_bytes(damage(file.read_bytes(), rng))


# --- reading ---


def read(name: str, path: Path) -> str:
    """Read a data set; returns "read", "reported" or "refused", or what is wrong."""
    chosen = plugins.make("format", name)
    reports: list[str] = []
    outcome = "read"
    for call in (
        chosen.metadata,
        lambda path: [0 for _ in chosen.read(path, reports.append)],
    ):
        try:
            call(path)
        except ValueError as error:
            message = str(error)
            outcome = "refused"
            if "\n" in message or len(message) > LONGEST or str(path) not in message:
                return f"WRONG MESSAGE {message[:300]!r}"
        except Slow:
            return "SLOW"
        except BaseException as error:
            return f"RAISED {type(error).__name__}: {error}"[:300]
    for report in reports:
        if "\n" in report or not report.startswith("episode ") or len(report) > LONGEST:
            return f"WRONG REPORT {report[:300]!r}"
    if reports and outcome == "read":
        outcome = "reported"
    return outcome


def work(numbers: list[int], folder: Path, log: Path) -> None:
    """Read inputs in a process of their own, and write down how each ends."""

    def stop(number: int, frame: object) -> NoReturn:
        raise Slow

    signal.signal(signal.SIGALRM, stop)
    os.chdir(folder)
    good = originals(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
    with log.open("a") as file:
        for number in numbers:
            rng = np.random.default_rng([7, number])
            name, path = good[rng.integers(len(good))]
            copy = folder / "input" / path.name
            shutil.rmtree(copy.parent, ignore_errors=True)
            copy.parent.mkdir()
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
            damage_path(copy, rng)
            file.write(f"{number} {name} {path.name} ")
            file.flush()
            signal.alarm(SECONDS)
            outcome = read(name, copy)
            signal.alarm(0)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_000
            if memory > before + MEMORY:
                outcome = f"MEMORY {memory - before:.0f} MB"
                before = memory
            if (folder / CANARY).exists():
                outcome = "EXECUTED"
                (folder / CANARY).unlink()
            file.write(f"{outcome}\n")
            file.flush()


def run(first: int, inputs: int, out: Path) -> dict[str, int]:
    """Read all inputs; returns how many ended how, by format."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.txt"
    log.write_text("")
    waiting = list(range(first, first + inputs))
    context = multiprocessing.get_context("spawn")
    while waiting:
        batch = waiting[:BATCH]
        with tempfile.TemporaryDirectory(dir=out) as folder:
            process = context.Process(target=work, args=(batch, Path(folder), log))
            process.start()
            process.join()
        lines = log.read_text().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            with log.open("a") as file:
                file.write(f"CRASHED {process.exitcode}\n")
        done = len(log.read_text().splitlines())
        if done == inputs - len(waiting):
            raise SystemExit("a process ended before its first input")
        waiting = list(range(first + done, first + inputs))
    counts: dict[str, int] = {}
    for line in log.read_text().splitlines():
        _, name, _, outcome = line.split(" ", 3)
        key = outcome if outcome.islower() else f"FAULT {line}"
        label = f"{name:8} {key}" if outcome.islower() else key
        counts[label] = counts.get(label, 0) + 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    begin = time.monotonic()
    counts = run(arguments.first, arguments.inputs, arguments.out.resolve())
    for label, count in sorted(counts.items()):
        print(f"{count:6} {label}")
    print(f"{time.monotonic() - begin:.0f} s")
    if any(label.startswith("FAULT") for label in counts):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
