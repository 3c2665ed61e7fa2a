"""Simulate many planner workers that feed one learner, and say where it saturates.

    python benchmarks/cluster.py --figure docs/images/cluster.png

First what the learner's process does is measured here: storing transitions, updates,
encoding and decoding messages, and bytes through a socket. Then a simulation of
discrete events plays 20 seconds with these rates. Four designs are compared:

- rounds: as `--collectors` has it; all workers play a round, one process does the rest
- stream: every worker sends as soon as it is done; one process does the rest
- split: as stream, but other processes receive and store, and the learner only updates
- tree: as split, and relays join the messages of 32 workers and pass on weights

A worker plays at most one round ahead of those that were stored: a learner that is too
slow holds up the workers and keeps its weights fresh.
"""

import argparse
import heapq
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curriculum.envs._base.spec import spec_of
from curriculum.replay.buffer import Buffer
from curriculum.replay.layout import Transition
from curriculum.run import messages
from curriculum.run.loop import begin, prepare
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.random import Random

DESIGNS = ("rounds", "stream", "split", "tree")
WORKERS = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1_000, 2_000)
FAN = 32  # workers of a relay
SECONDS = 20.0  # that are simulated
STEPS = 8  # actions of a worker's round


class Rates(NamedTuple):
    """What things cost, in seconds and bytes."""

    store: float  # of one transition, in steps of 8
    update: float
    decode: float  # of a worker's message
    encode: float  # of an order with weights
    message: int  # bytes of a round
    weights: int  # bytes of an order
    bandwidth: float  # bytes a second
    latency: float = 50e-6  # of the network


class Outcome(NamedTuple):
    """What a simulation found."""

    actions: float  # of planners a second, those that were stored
    updates: float  # a second
    age: float  # updates that the weights of a transition are old
    busy: float  # share of the time in which the learner works


# --- measuring ---


def measured(bandwidth: float | None) -> Rates:
    """Measure this machine; a `bandwidth` in bytes a second replaces its own."""
    config = Config(
        learner="dqn",
        start=Random(size=2_000),
        evaluation=True,
        eval_episodes=1,
        planner_episodes=1,
        eval_mixed=False,
    )
    run = prepare(config)
    list(begin(run))
    update = _each(lambda: run.trainer.update_offline(32)) / 32
    spec = spec_of(plugins.make("env", "gridworld"))
    buffer = Buffer(capacity=50_000).setup(spec, (0,), 8)
    obs = np.zeros((1, 8, *spec.obs_shape), spec.obs_dtype)
    flags = np.zeros((1, 8), bool)
    step = Transition(
        obs=obs,
        action=np.zeros((1, 8), np.int64),
        reward=np.zeros((1, 8), np.float32),
        terminated=flags,
        truncated=flags,
        next_obs=obs,
        source=np.ones((1, 8), np.int64),
        planning_rate=np.ones((1, 8)),
    )
    store = _each(lambda: buffer.add(step)) / 8
    fields = {
        name: np.repeat(value[None, :, :1], STEPS, 0)
        for name, value in step._asdict().items()
        if value is not None
    }
    answer = messages.encode({"fields": fields, "notes": ""})
    order = {
        "weights": {
            name: own.vector
            for name, own in run.learner.weights.members.items()
            if name.startswith(("net/", "target/", "normalizer"))
        }
    }
    sent = messages.encode(order)
    text, _ = messages.HEADER.unpack(answer[: messages.HEADER.size])
    middle = messages.HEADER.size + text
    parts = answer[messages.HEADER.size : middle], answer[middle:]
    run.close()
    return Rates(
        store=store,
        update=update,
        decode=_each(lambda: messages.decode(*parts)),
        encode=_each(lambda: messages.encode(order)),
        message=len(answer),
        weights=len(sent),
        bandwidth=bandwidth or _bandwidth(),
    )


def _each(act: Callable[[], object]) -> float:
    """Processor seconds of an act: the median of several rounds."""
    act()
    found = []
    for _ in range(7):
        began = time.process_time()
        count = 0
        while time.process_time() - began < 0.05:
            act()
            count += 1
        found.append((time.process_time() - began) / count)
    return float(np.median(found))


def _bandwidth() -> float:
    """Bytes a second from one end of a local socket to the other."""
    one, other = socket.socketpair()
    block = bytes(1 << 20)
    count = 64
    thread = threading.Thread(target=lambda: [one.sendall(block) for _ in range(count)])
    began = time.perf_counter()
    thread.start()
    left = count * len(block)
    while left:
        left -= len(other.recv(1 << 20))
    thread.join()
    seconds = time.perf_counter() - began
    one.close()
    other.close()
    return count * len(block) / seconds


# --- simulating ---


class Server:
    """Something that serves one request after another."""

    def __init__(self) -> None:
        self.free = 0.0
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When a request that comes now is done."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


def play_seconds(rng: np.random.Generator, call: float, workers: int) -> np.ndarray:
    """Seconds that a round takes each worker: calls vary by a quarter, and one in 200
    takes ten times as long."""
    calls = call * np.exp(rng.normal(-0.03, 0.25, (workers, STEPS)))
    calls[rng.random(calls.shape) < 1 / 200] *= 10
    seconds: np.ndarray = calls.sum(1)
    return seconds


def in_rounds(workers: int, call: float, ratio: float, rates: Rates) -> Outcome:
    """Simulate rounds that all workers play together, one ahead of the learner: a round
    is asked for when the last but one has been stored."""
    rng = np.random.default_rng(0)
    each = rates.decode + STEPS * (rates.store + ratio * rates.update)
    receive = workers * rates.message / rates.bandwidth
    send = workers * (rates.encode + rates.weights / rates.bandwidth)
    work = workers * each + send
    played = np.zeros(workers)  # when each worker has played its last round
    before, last = 0.0, 0.0  # when the last two rounds were stored
    rounds = 0
    while last < SECONDS:
        asked = before + send + rates.latency
        played = np.maximum(played, asked) + play_seconds(rng, call, workers)
        begins = max(last, played.max() + receive + rates.latency)
        before, last = last, begins + work
        rounds += 1
    stored = rounds * workers * STEPS
    age = 1.5 * workers * STEPS * ratio
    return Outcome(stored / last, stored * ratio / last, age, rounds * work / last)


def in_streams(
    design: str, workers: int, call: float, ratio: float, rates: Rates
) -> Outcome:
    """Simulate workers that do not wait for one another."""
    rng = np.random.default_rng(0)
    learner = Server()
    store = learner if design == "stream" else Server()
    link_in = Server()
    link_out = Server()
    joined = FAN if design == "tree" else 1
    share = 1 / joined
    version = 0.0
    stored = 0
    ages = []
    events: list[tuple[float, int, int, float]] = []
    order = 0
    for worker, seconds in enumerate(play_seconds(rng, call, workers)):
        heapq.heappush(events, (seconds * rng.random(), order, worker, 0.0))
        order += 1
    # when each worker has heard that its last round was stored
    acknowledged = np.zeros(workers)
    while events:
        now, _, worker, weights = heapq.heappop(events)
        if now > SECONDS:
            break
        arrived = link_in.serve(now, rates.message / rates.bandwidth) + rates.latency
        # a relay joins messages: one decoding for all of them
        kept = store.serve(arrived, rates.decode * share + STEPS * rates.store)
        done = learner.serve(kept, STEPS * ratio * rates.update)
        stored += STEPS
        version += STEPS * ratio
        ages.append(version - weights)
        learner_encodes = rates.encode * share
        store.serve(kept, learner_encodes)
        given = link_out.serve(done, rates.weights * share / rates.bandwidth)
        # one round ahead: it begins at once unless the one before is not stored yet
        begins = max(now, acknowledged[worker])
        acknowledged[worker] = given + rates.latency
        ends = begins + float(play_seconds(rng, call, 1)[0])
        heapq.heappush(events, (ends, order, worker, version))
        order += 1
    length = max(SECONDS, learner.free)
    busy = learner.busy / length
    half = ages[len(ages) // 2 :]
    age = float(np.mean(half)) if half else 0.0
    return Outcome(stored / length, stored * ratio / length, age, busy)


def simulate(
    design: str, workers: int, call: float, ratio: float, rates: Rates
) -> Outcome:
    """Simulate a design; `ratio` is updates for each transition."""
    if design == "rounds":
        return in_rounds(workers, call, ratio, rates)
    return in_streams(design, workers, call, ratio, rates)


# --- reporting ---


def main() -> None:
    """Measure, simulate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ms", type=float, default=50.0, help="of a planner's action")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.25, 0.03125])
    parser.add_argument("--gigabits", type=float, default=10.0, help="0: measure")
    parser.add_argument("--figure", default="")
    options = parser.parse_args()
    rates = measured(options.gigabits * 1e9 / 8 or None)
    print(
        f"store {1e6 * rates.store:.1f} us, update {1e6 * rates.update:.0f} us, "
        f"decode {1e6 * rates.decode:.0f} us, encode {1e6 * rates.encode:.0f} us, "
        f"message {rates.message:,} bytes, weights {rates.weights:,} bytes, "
        f"socket here {_bandwidth() / 1e9:.1f} GB/s"
    )
    found: dict[tuple[float, str], list[Outcome]] = {}
    for ratio in options.ratios:
        print(f"\n{ratio:g} updates for each transition: actions/s (age in updates)")
        print(
            "| workers | " + " | ".join(DESIGNS) + " |\n|--:|" + "--:|" * len(DESIGNS)
        )
        for workers in WORKERS:
            cells = []
            for design in DESIGNS:
                outcome = simulate(design, workers, options.ms / 1000, ratio, rates)
                found.setdefault((ratio, design), []).append(outcome)
                cells.append(f"{outcome.actions:,.0f} ({outcome.age:,.0f})")
            print(f"| {workers:,} | " + " | ".join(cells) + " |")
    if options.figure:
        draw(found, options.ms / 1000, rates, Path(options.figure))


def draw(
    found: dict[tuple[float, str], list[Outcome]],
    call: float,
    rates: Rates,
    path: Path,
) -> None:
    """Draw actions a second over workers, for each number of updates."""
    from matplotlib import pyplot as plt

    ratios = list(dict.fromkeys(ratio for ratio, _ in found))
    figure, all_axes = plt.subplots(
        1, len(ratios), figsize=(4.5 * len(ratios), 3.6), sharey=True, squeeze=False
    )
    for axes, ratio in zip(all_axes[0], ratios, strict=True):
        axes.plot(WORKERS, np.array(WORKERS) / call, "k:", label="no limit")
        axes.axhline(1 / (ratio * rates.update), color="0.6", lw=1, label="updates")
        for design in DESIGNS:
            actions = [outcome.actions for outcome in found[ratio, design]]
            axes.plot(WORKERS, actions, marker="o", ms=3, label=design)
        axes.set(xscale="log", yscale="log", xlabel="workers")
        axes.set_title(f"{ratio:g} updates for each transition", fontsize=10)
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel("planner actions a second")
    all_axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
