"""Feed mutated flags, files and folders to everything that reads them.

    python -m tests.campaigns.fuzz --inputs 10000 --seed 0

Every input must be accepted, or refused by one sentence: no other exception, no hang,
no memory beyond a multiple of the file, nothing written, and no code of a settings file
run. Not collected by pytest; prints each finding once and the counts at the end.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from curriculum import train
from curriculum.report.curves import read_curve
from curriculum.run import checkpoint, folders
from curriculum.run.run import Run
from curriculum.setting import arms, flags
from curriculum.shipping.standalone import load_policy

SECONDS = 10  # for one input
LONGEST = 500  # characters of a refusal
SPARE_BYTES = 64 * 2**20  # beyond a multiple of the file
CANARY = "raise SystemExit('the canary was run')\n"
WORDS = (
    *("", " ", "0", "-1", "1", "3", "2.5", "1e6", "1e30", "1e999999999", "nan", "inf"),
    *(
        "-inf",
        "null",
        "off",
        "yes",
        "--help",
        "--trust",
        "-h",
        "a b",
        "\\x00",
        "é" * 50,
    ),
    *("x" * 5000, "9" * 5000, "auto", "iql", "dqn", "mcts", "gym", "CartPole-v1"),
    *("expert", "linear", "quantize", "../..", "/dev/zero", "a=b"),
    *("learner=1", "fixed", "rnd", "%s%n", "{}", "[]", "!!python/name:os.system"),
)
EXTREMES = (b"\x00", b"\xff", b"{", b"[", b'"', b"NaN", b"1e999", b"-1", b"null", b": ")


class Hang(BaseException):
    """An input took too long."""


def on_alarm(number: int, frame: FrameType | None) -> None:
    raise Hang


class Inputs:
    """A finished run in a temporary folder, and mutations of its files."""

    def __init__(self, folder: Path, seed: int):
        self.random = random.Random(seed)
        self.folder = folder
        self.work = folder / "work"
        self.canary = folder / "canary.py"
        self.canary.write_text(CANARY)
        words = "--steps 80 --eval-episodes 2 --start.size 64 --learner.hidden 8"
        words += " --learner.batch-size 8 --name run --checkpoint-every 40"
        with contextlib.redirect_stdout(io.StringIO()):
            train.main([*words.split(), "--runs-dir", str(folder / "runs")])
        self.run = folder / "runs" / "gridworld" / "run"
        self.newest = max((self.run / "checkpoints").iterdir())
        self.policy = self.run / "seed0" / "policy-last.cur"
        config = (self.run / "config.yaml").read_text()
        self.settings = [line.split(":")[0] for line in config.splitlines()]
        self.kinds: list[Callable[[], Callable[[], Any]]] = [
            *(self.command_line, self.comparison, self.settings_file),
            *(self.opened_config, self.checkpoint, self.policy_file),
            *(self.records, self.curve, self.numpy_policy),
        ]

    def draw(self) -> tuple[str, Callable[[], Any]]:
        """The kind of an input, and what reads it."""
        kind = self.random.choice(self.kinds)
        return kind.__name__, kind()

    # --- flags ---

    def _words(self) -> list[str]:
        words = []
        for _ in range(self.random.randint(1, 5)):
            name = self.random.choice(self.settings).replace("_", "-")
            if self.random.random() < 0.2:
                name = self._typo(name)
            values = self.random.choices(WORDS, k=self.random.choice([0, 1, 1, 1, 2]))
            words += [f"--{name}", *values]
        return words

    def _typo(self, text: str) -> str:
        at = self.random.randint(0, len(text))
        return text[:at] + self.random.choice(["", "x", "-", ".", "_"]) + text[at + 1 :]

    def command_line(self) -> Callable[[], Any]:
        words = self._words()
        return lambda: flags.read(words)

    def comparison(self) -> Callable[[], Any]:
        words = self._words()
        text = self.random.choice(["", "a", "a:", "a: --steps", "a: 'x", ": --x 1"])
        words += self.random.choice([[], ["--arm", text], ["--with", str(self.run)]])
        return lambda: arms.parse(words)

    # --- files ---

    def _mutated(self, content: bytes) -> bytes:
        data = bytearray(content)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randint(0, len(data))
            end = min(len(data), at + self.random.choice([1, 1, 4, 64]))
            choice = self.random.randint(0, 4)
            if choice == 0 and at < len(data):
                data[at] ^= 1 << self.random.randint(0, 7)
            elif choice == 1:
                data[at:end] = self.random.choice(EXTREMES)
            elif choice == 2:
                del data[at:end]
            elif choice == 3:
                data[at:at] = data[at:end] * self.random.choice([1, 2, 1000])
            elif self.random.random() < 0.3:
                del data[at:]
        return bytes(data)

    def _lines(self) -> bytes:
        """A settings file whose lines were changed."""
        lines = (self.run / "config.yaml").read_text().splitlines()
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(lines))
            name = lines[at].split(":")[0]
            odd = ("&a 1", "*a", "!!int 3", "canary:Canary", str(self.canary))
            word = self.random.choice([*WORDS, *odd])
            changes = [f"{name}: {word}", f"{name}: [{word}]", f"{name}: {{a: {word}}}"]
            changes += [lines[at] * 2, "", word, f"- {word}", f"{name}:\n- {word}"]
            lines[at] = self.random.choice(changes)
        return "\n".join(lines).encode()

    def _copy(self, *parts: str) -> Path:
        """A fresh copy of the run with only these parts."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        for part in parts:
            source = self.run / part
            target = self.work / part
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, target)
        return self.work

    def _settings_bytes(self) -> bytes:
        if self.random.random() < 0.5:
            return self._lines()
        return self._mutated((self.run / "config.yaml").read_bytes())

    def settings_file(self) -> Callable[[], Any]:
        path = self._copy() / "config.yaml"
        path.write_bytes(self._settings_bytes())
        return lambda: flags.read(["--config", str(path)])

    def opened_config(self) -> Callable[[], Any]:
        work = self._copy("config.yaml", f"checkpoints/{self.newest.name}")
        (work / "config.yaml").write_bytes(self._settings_bytes())
        return lambda: Run.open(work)

    def checkpoint(self) -> Callable[[], Any]:
        work = self._copy(f"checkpoints/{self.newest.name}", "config.yaml")
        folder = work / "checkpoints" / self.newest.name
        path = self.random.choice(sorted(folder.iterdir()))
        path.write_bytes(self._mutated(path.read_bytes()))
        if self.random.random() < 0.5:  # the checksums agree: the content is wrong
            names = (checkpoint.ARRAYS, checkpoint.REST)
            manifest = {name: checkpoint._entry(folder / name) for name in names}
            (folder / checkpoint.MANIFEST).write_text(json.dumps(manifest))
        if self.random.random() < 0.5:
            return lambda: Run.open(work)
        return lambda: checkpoint.read(folder)

    def policy_file(self) -> Callable[[], Any]:
        path = self._copy() / "policy.cur"
        path.write_bytes(self._mutated(self.policy.read_bytes()))
        return lambda: load_policy(path).act(np.zeros(6, np.float32))

    def numpy_policy(self) -> Callable[[], Any]:
        policy = load_policy(self.policy)
        shapes: list[Any] = [(), (1,), (5,), (6,), (7,), (0, 6), (2, 6), (6, 2), (2, 3)]
        obs = np.full(
            self.random.choice(shapes), self.random.choice([0.0, np.nan, 1e30])
        )
        wrong: list[Any] = [obs, "text", None, obs.tolist(), [[1], [2, 3]], obs > 0]
        chosen = self.random.choice(wrong)
        return lambda: policy.act(chosen)

    def records(self) -> Callable[[], Any]:
        work = self._copy("metrics.jsonl", "config.yaml")
        path = work / folders.RECORDS
        path.write_bytes(self._mutated(path.read_bytes()))
        return lambda: folders.records(work)

    def curve(self) -> Callable[[], Any]:
        work = self._copy("metrics.jsonl", "result.json")
        path = work / self.random.choice(["metrics.jsonl", "result.json"])
        path.write_bytes(self._mutated(path.read_bytes()))
        return lambda: read_curve(work)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise Hang after the time of one input; keep the standard streams quiet."""
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(SECONDS)
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            yield
    finally:
        signal.alarm(0)


def finding(read: Callable[[], Any]) -> str:
    """What is wrong with how an input was answered; empty if nothing is."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        with limited():
            read()
    except ValueError as error:
        message = str(error)
        if len(message) > LONGEST or "\n" in message or not message:
            return f"a refusal of {len(message)} characters: {message[:100]!r}"
    except SystemExit as ending:
        if ending.code not in (0, 1, 2):
            return f"ended by {ending.code!r}"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return f"{type(error).__name__} in {where}: {str(error)[:100]}"
    used = tracemalloc.get_traced_memory()[1] - before
    return f"{used / 1e6:.0f} MB" if used > SPARE_BYTES else ""


def main() -> None:
    """Run the campaign and print its findings; status 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="one kind of input")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = Inputs(folder, options.seed)
        if options.only:
            inputs.kinds = [getattr(inputs, options.only)]
        os.chdir(folder)
        sys.path.insert(0, str(folder))  # the canary could be imported
        known = set(folder.iterdir()) | {inputs.work}
        tracemalloc.start()
        for number in range(options.inputs):
            kind, read = inputs.draw()
            counts[kind] += 1
            found = finding(read)
            if set(folder.iterdir()) - known:
                found = f"wrote {set(folder.iterdir()) - known}"
                known = set(folder.iterdir())
            if "canary" in sys.modules:
                found = "ran the canary"
            if found:
                if findings[f"{kind}: {found}"] == 0:
                    print(f"input {number}, {kind}: {found}", flush=True)
                findings[f"{kind}: {found}"] += 1
    print(f"{sum(counts.values())} inputs {dict(counts)}, {len(findings)} findings")
    raise SystemExit(1 if findings else 0)


if __name__ == "__main__":
    main()
