"""Batches per second from our replay buffer beside those of Stable-Baselines3, d3rlpy
and tianshou, in one process.

    python benchmarks/buffer.py --rounds 7 --seconds 0.5
    python benchmarks/buffer.py --work vectors --size 1000000

One seed, uniform sampling, windows of one step. `vectors`: batches of 256 from `--size`
transitions of 11 numbers and a discrete action. `pixels`: batches of 32 stacks of four
84x84 pictures from `--pixels` transitions, for which SB3 holds whole stacks (56 kB a
transition: 5.6 GB for 100,000), tianshou and d3rlpy single pictures as ours does.

Timed is the whole call by which a peer's own training gets a batch, as far as that is
sampling: `Buffer.sample`, `ReplayBuffer.sample` of SB3 (torch tensors, as ours) and of
tianshou (numpy arrays), d3rlpy's `sample_transition_batch` (numpy arrays). Ours stands
there twice: a call may sample several batches, as training does. Every round times each
of them for `--seconds`, in turn, and a ratio is ours to theirs within one round. The
table gives the median over rounds and in brackets the least and the largest. A peer
that is missing is left out.
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from curriculum.replay.buffer import SOURCE, Buffer
from curriculum.replay.layout import Transition
from curriculum.types import Spec

OURS = {"ours": 1, "ours, ten batches a call": 10}  # batches a call
OBS, ACTIONS, BATCH, EPISODE = 11, 3, 256, 200
FRAMES, PICTURE, PIXEL_BATCH = 4, (84, 84), 32
Draw = Callable[[], object]


def pictures(rng: np.random.Generator, size: int) -> np.ndarray:
    """Random pictures [size, 84, 84]: a few thousand bytes of noise, shifted, so that
    making them takes no minute."""
    noise = rng.integers(0, 256, 100_003 + PICTURE[0] * PICTURE[1], dtype=np.uint8)
    starts = rng.integers(0, 100_003, size)
    return np.stack([noise[s : s + PICTURE[0] * PICTURE[1]] for s in starts]).reshape(
        size, *PICTURE
    )


def ours_vectors(size: int, batches: int = 1) -> Draw:
    """Episodes of 200 steps in 1,000 rows."""
    rng, rows = np.random.default_rng(0), 1_000
    spec = Spec((OBS,), "float32", np.full(OBS, -np.inf), np.full(OBS, np.inf), ACTIONS)
    buffer = Buffer(capacity=size).setup(spec, (0,), rows)
    for t in range(-(-size // rows)):
        obs = rng.standard_normal((2, 1, rows, OBS), np.float32)
        buffer.add(step(rng, obs[0], obs[1], t))
    return lambda: buffer.sample(BATCH, 0.99, batches=batches)


def ours_pixels(size: int, batches: int = 1) -> Draw:
    """Episodes of 200 steps in one row."""
    rng = np.random.default_rng(0)
    spec = Spec(
        (FRAMES, *PICTURE),
        "uint8",
        np.zeros(1),
        np.full(1, 255),
        ACTIONS,
        frames=FRAMES,
    )
    buffer = Buffer(capacity=size).setup(spec, (0,), 1)
    seen = pictures(rng, size + size // EPISODE * FRAMES + FRAMES + 1)
    first = 0
    for t in range(size):
        stack = seen[first : first + FRAMES + 1][None, None]
        buffer.add(step(rng, stack[:, :, :-1], stack[:, :, 1:], t))
        first += 1 + FRAMES * ((t + 1) % EPISODE == 0)
    assert buffer.size[0] == size
    return lambda: buffer.sample(PIXEL_BATCH, 0.99, batches=batches)


def step(
    rng: np.random.Generator, obs: np.ndarray, next_obs: np.ndarray, t: int
) -> Transition:
    """Step `t` of all rows; `obs` [1, E, *O]."""
    shape = obs.shape[:2]
    none, over = np.zeros(shape, bool), np.full(shape, (t + 1) % EPISODE == 0)
    reward, source = rng.random(shape), np.full(shape, SOURCE["learner"])
    return Transition(
        obs,
        rng.integers(0, ACTIONS, shape),
        reward,
        none,
        over,
        next_obs,
        source,
        np.zeros(shape),
    )


def sb3(size: int, pixels: bool) -> Draw:
    """Its arrays filled from outside, as `add` would one by one."""
    from stable_baselines3.common.buffers import ReplayBuffer

    rng = np.random.default_rng(0)
    space = (
        gym.spaces.Box(0, 255, (FRAMES, *PICTURE), np.uint8)
        if pixels
        else gym.spaces.Box(-9, 9, (OBS,))
    )
    buffer = ReplayBuffer(
        size, space, gym.spaces.Discrete(ACTIONS), "cpu", optimize_memory_usage=False
    )
    for held in (buffer.observations, buffer.next_observations):
        for i in range(0, size, 1_000):
            part = held[i : i + 1_000]
            many = len(part) * FRAMES
            part[:] = (
                pictures(rng, many).reshape(part.shape)
                if pixels
                else rng.standard_normal(part.shape)
            )
    buffer.actions[:] = rng.integers(0, ACTIONS, buffer.actions.shape)
    buffer.rewards[:] = rng.random(buffer.rewards.shape)
    buffer.full = True
    return lambda: buffer.sample(PIXEL_BATCH if pixels else BATCH)


def d3rlpy(size: int, pixels: bool) -> Draw:
    """Episodes of 200 steps; pictures are stacked by its own picker."""
    from d3rlpy.dataset import (
        BasicTransitionPicker,
        Episode,
        FrameStackTransitionPicker,
        create_infinite_replay_buffer,
    )

    # its logger writes to the screen otherwise
    from d3rlpy.logging import set_log_context  # noqa: F401

    rng, episodes = np.random.default_rng(0), []
    for _ in range(size // EPISODE):
        obs: Any = (
            rng.standard_normal((EPISODE, OBS), np.float32)
            if not pixels
            else pictures(rng, EPISODE)[:, None]
        )
        actions = rng.integers(0, ACTIONS, (EPISODE, 1))
        episodes.append(
            Episode(
                obs,
                actions,
                rng.random((EPISODE, 1)).astype(np.float32),
                terminated=True,
            )
        )
    picker: Any = (
        FrameStackTransitionPicker(FRAMES) if pixels else BasicTransitionPicker()
    )
    buffer = create_infinite_replay_buffer(episodes=episodes, transition_picker=picker)
    return lambda: buffer.sample_transition_batch(PIXEL_BATCH if pixels else BATCH)


def tianshou(size: int, pixels: bool) -> Draw:
    """Filled at once; pictures are held singly and stacked by the buffer, as its Atari
    examples do."""
    from tianshou.data import Batch, ReplayBuffer

    rng, over = np.random.default_rng(0), np.arange(1, size + 1) % EPISODE == 0
    settings = (
        {"stack_num": FRAMES, "save_only_last_obs": True, "ignore_obs_next": True}
        if pixels
        else {}
    )
    buffer = ReplayBuffer(size, **settings)
    held = {
        "act": rng.integers(0, ACTIONS, size),
        "rew": rng.random(size),
        "terminated": over,
        "truncated": np.zeros(size, bool),
        "done": over,
        "obs": pictures(rng, size)
        if pixels
        else rng.standard_normal((size, OBS), np.float32),
    }
    if not pixels:
        held["obs_next"] = rng.standard_normal((size, OBS), np.float32)
    buffer.set_batch(Batch(**held))
    buffer._size, buffer._insertion_idx = size, 0
    return lambda: buffer.sample(PIXEL_BATCH if pixels else BATCH)


def rate(draw: Draw, seconds: float) -> float:
    """Calls per second."""
    calls, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        for _ in range(10):
            draw()
        calls += 10
    return calls / taken


def compare(draws: dict[str, tuple[Draw, int]], rounds: int, seconds: float) -> None:
    """Time all in turn, `rounds` times after one to warm up, and print the table."""
    rates: dict[str, list[float]] = {name: [] for name in draws}
    for turn in range(rounds + 1):
        for name, (draw, batches) in draws.items():
            found = batches * rate(draw, seconds if turn else seconds / 5)
            if turn:
                rates[name].append(found)
    print("| | batches/s | ours is faster by | with ten batches a call |")
    print("|:--|--:|--:|--:|")
    for name, mine in rates.items():
        ratios = [
            spread([a / b for a, b in zip(rates[own], mine, strict=True)], ".1f")
            if name not in OURS
            else ""
            for own in OURS
        ]
        print(f"| {name} | {spread(mine, ',.0f')} | {' | '.join(ratios)} |")


def spread(values: list[float], form: str) -> str:
    """Median, and in brackets minimum and maximum."""
    middle = f"{statistics.median(values):{form}}"
    lowest = f"{min(values):{form}}"
    highest = f"{max(values):{form}}"
    return f"{middle} ({lowest}-{highest})"


def main() -> None:
    """Fill every buffer and print a table for each kind of work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work",
        nargs="+",
        choices=("vectors", "pixels"),
        default=["vectors", "pixels"],
    )
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--pixels", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument(
        "--threads", type=int, default=2, help="of torch; numpy has one"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    peers = {"stable_baselines3": sb3, "d3rlpy": d3rlpy, "tianshou": tianshou}
    for name in [name for name in peers if importlib.util.find_spec(name) is None]:
        print(f"{name} is not installed, so it is left out")
        del peers[name]
    for work in options.work:
        pixels, size = (
            work == "pixels",
            options.pixels if work == "pixels" else options.size,
        )
        ours = ours_pixels if pixels else ours_vectors
        draws: dict[str, tuple[Draw, int]] = {
            name: (ours(size, each), each) for name, each in OURS.items()
        }
        draws |= {name: (peer(size, pixels), 1) for name, peer in peers.items()}
        batch_size = PIXEL_BATCH if pixels else BATCH
        print(f"\n{work}: batches of {batch_size} from {size:,} transitions\n")
        compare(draws, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
