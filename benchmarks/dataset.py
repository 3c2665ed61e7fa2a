"""Training from a data set: updates per second beside those from a ring, and memory of
one seed and of five.

    python benchmarks/dataset.py --size 1000000 --rounds 7 --updates 256
    python benchmarks/dataset.py --pixels --size 100000 --learners bc --updates 64

The data set has the shape of Hopper: 11 observations, 3 numbers of action, episodes of
1,000 steps, batches of 256; with `--pixels` that of Atari games: stacks of four frames
of 84 x 84, 3 actions, batches of 32 and the encoder `nips`. Speed: one process, in
which a buffer with the data set and a buffer whose ring holds the same transitions
train copies of one learner in turn; a ratio is within one round, the table has the
median and in brackets the least and the largest. An update is `Buffer.sample` of 32
batches and the learner's updates on them. Memory: a process for each number of seeds
that prepares a run, as `train` does, and takes 500 updates; the peak includes libraries
and the pages of the data set's files.
"""

import argparse
import copy
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest, spec_of_arrays
from curriculum.data.writer import write
from curriculum.learning.learner import Learner
from curriculum.replay.buffer import SOURCE, Buffer
from curriculum.replay.layout import Transition
from curriculum.run.loop import prepare
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.dataset import Dataset
from curriculum.types import Episode, Spec

OBS, ACTIONS, STEPS = 11, 3, 1_000
CHUNK = 32  # batches a call
FRAMES = (4, 84, 84)
PIXELS = Spec(
    FRAMES, "uint8", np.zeros(FRAMES), np.full(FRAMES, 255.0), 3, frames=FRAMES[0]
)


class Kind(NamedTuple):
    """What is learned from."""

    episodes: Callable[[int], Iterator[Episode]]
    spec: Spec | None  # None: that of the arrays
    env: str
    learner: dict[str, Any]  # settings


def vectors(size: int) -> Iterator[Episode]:
    """Random numbers in episodes of 1,000 steps."""
    rng = np.random.default_rng(0)
    for _ in range(size // STEPS):
        obs = rng.standard_normal((STEPS + 1, OBS), np.float32)
        action = rng.uniform(-1, 1, (STEPS, ACTIONS)).astype(np.float32)
        reward = rng.random(STEPS, np.float32)
        yield Episode(obs[:-1], action, reward, obs[1:], False, True)


def pictures(size: int) -> Iterator[Episode]:
    """Random frames in episodes of 1,000 steps."""
    rng = np.random.default_rng(0)
    for _ in range(size // STEPS):
        shape = (STEPS + FRAMES[0], *FRAMES[1:])
        whole = rng.integers(0, 256, shape, np.uint8)
        views = np.lib.stride_tricks.sliding_window_view(whole, FRAMES[0], axis=0)
        obs = np.moveaxis(views, -1, 1)
        action = rng.integers(0, PIXELS.actions, STEPS)
        reward = rng.random(STEPS, np.float32)
        yield Episode(obs[:-1], action, reward, obs[1:], False, True)


VECTORS = Kind(vectors, None, "Hopper-v5", {"batch_size": 256, "hidden": (256, 256)})
PICTURES = Kind(
    pictures,
    PIXELS,
    "mini_atari",
    {"batch_size": 32, "hidden": (256,), "encoder": "nips"},
)


def make_data(folder: Path, size: int, kind: Kind) -> None:
    """Write the data set."""
    first = next(kind.episodes(STEPS))
    spec = kind.spec or spec_of_arrays(first.observation, first.action)
    write(folder, kind.episodes(size), Manifest(spec=spec, env=kind.env))


def ring_of(folder: Path, spec: Spec, seeds: tuple[int, ...], size: int) -> Buffer:
    """A buffer that has collected the data set, one row per episode."""
    data = DataSet(folder)
    rows = len(data)
    buffer = Buffer(capacity=size).setup(spec, seeds, rows)
    shape = (len(seeds), rows)
    none = np.zeros(shape, bool)
    source = np.full(shape, SOURCE["learner"])
    episodes = list(data.episodes())
    for t in range(STEPS):
        columns = []
        for name in ("observation", "action", "reward", "next_observation"):
            values = np.stack([getattr(episode, name)[t] for episode in episodes])
            columns.append(np.broadcast_to(values, (len(seeds), *values.shape)))
        obs, action, reward, next_obs = columns
        last = np.full(shape, t == STEPS - 1)
        step = Transition(obs, action, reward, none, last, next_obs, source, none)
        buffer.add(step)
    return buffer


def rate(buffer: Buffer, learner: Learner, updates: int, n_step: int) -> float:
    """Updates per second of processor time, which other processes do not slow down as
    much as wall time."""
    has_data = buffer.size > 0
    began = time.process_time()
    for _ in range(updates // CHUNK):
        for batch in buffer.sample(learner.batch_size, 0.99, n_step, batches=CHUNK):
            learner.update(batch, has_data)
    return updates / (time.process_time() - began)


def compare_speed(folder: Path, options: argparse.Namespace, kind: Kind) -> None:
    """Print the table of updates per second."""
    print(
        "| learner | seeds | n-step | ring | data set | ratio |\n"
        "|:--|--:|--:|--:|--:|:--|"
    )
    data = Dataset(path=str(folder)).data()
    spec = data.spec
    for seeds in ((0,), (0, 1, 2, 3, 4)):
        ring = ring_of(
            folder, spec, seeds, options.size if len(seeds) == 1 else options.size // 5
        )
        shared = Buffer(capacity=100_000).setup(spec, seeds, 8, data=data)
        for name in options.learners:
            for n_step in (1, 3):
                learner = plugins.make("learner", name, **kind.learner)
                learners = [copy.deepcopy(learner).setup(spec, seeds) for _ in range(2)]
                pairs = list(zip((ring, shared), learners, strict=True))
                rates: list[list[float]] = [[], []]
                for turn in range(options.rounds + 1):
                    for index, (buffer, own) in enumerate(pairs):
                        found = rate(buffer, own, options.updates, n_step)
                        if turn:
                            rates[index].append(found)
                ratios = [b / a for a, b in zip(*rates, strict=True)]
                middles = [statistics.median(each) for each in rates]
                print(
                    f"| {name} | {len(seeds)} | {n_step} | {middles[0]:,.0f} | "
                    f"{middles[1]:,.0f} | {statistics.median(ratios):.3f} "
                    f"({min(ratios):.3f}-{max(ratios):.3f}) |"
                )


def train_some(folder: Path, seeds: int, learner: str, kind: Kind) -> None:
    """Prepare a run and take 500 updates; prints the memory of this process in MB."""
    config = Config(
        env=kind.env,
        planner="random",
        start=Dataset(path=str(folder)),
        learner=plugins.make("learner", learner, **kind.learner),
        seeds=tuple(range(seeds)),
        steps=1_000,
    )
    run = prepare(config)
    run.fit_normalizer()
    for _ in range(500 // CHUNK):
        run.trainer.update_offline(CHUNK)
    status = Path("/proc/self/status").read_text()
    found = {
        name: int(kilobytes) / 1e3
        for name, kilobytes in re.findall(r"(\w+):\s+(\d+) kB", status)
    }
    print(found["VmHWM"], found["VmRSS"], found["RssFile"])


def compare_memory(folder: Path, options: argparse.Namespace) -> None:
    """Print the table of memory."""
    print("\n| learner | seeds | peak MB | MB after training | of these, files |")
    print("|:--|--:|--:|--:|--:|")
    for name in options.learners:
        for seeds in (1, 5):
            words = [sys.executable, __file__, "--data", str(folder)]
            words += ["--train", str(seeds), "--learners", name]
            words += ["--pixels"] * options.pixels
            output = subprocess.run(words, check=True, capture_output=True, text=True)
            values = [f"{float(x):,.0f}" for x in output.stdout.split()]
            print(f"| {name} | {seeds} | {' | '.join(values)} |")


def main() -> None:
    """Make the data set and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pixels", action="store_true", help="frames of Atari games")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--updates", type=int, default=256)
    parser.add_argument("--learners", nargs="+", default=["td3bc", "bc"])
    parser.add_argument("--skip", choices=("speed", "memory"), default="")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kind = PICTURES if options.pixels else VECTORS
    if options.train:
        train_some(options.data, options.train, options.learners[0], kind)
        return
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "data"
        make_data(folder, options.size, kind)
        if options.skip != "speed":
            compare_speed(folder, options, kind)
        if options.skip != "memory":
            compare_memory(folder, options)


if __name__ == "__main__":
    main()
