"""Updates per second of our learners by every engine, beside those of d3rlpy,
Stable-Baselines3 and tianshou, in one process.

    python benchmarks/learners.py
    python benchmarks/learners.py --sizes wide --threads 2 --work dqn "iql, box"
    python benchmarks/learners.py --engine native torch compile --rounds 7

`--sizes default`: networks 128x128, batches of 128, Adam at 1e-3 and gradients clipped
at 10, as our learners are if nothing is set. `--sizes wide`: networks 256x256, batches
of 256, Adam at 3e-4, no clipping except where SB3 has it (then ours too). Both have 11
observations and 3 actions; peers are set alike. A missing peer is left out; how to
install them stands under `peers` in setup.cfg.

Every round times each engine and each peer for `--seconds`, after a second in which
ours warms up. The table gives medians; a ratio compares rates of one round and stands
with its least and its largest value. Where there is one thread, seconds are those of
the processor, which other work on the machine disturbs less. The share of peak divides
the FLOP of our update's matrix products, counted by hand, by the fastest product of
large matrices that the same run measured.

Updates are timed on one prepared batch; `buffer.py` times sampling. Timed are what
`curriculum.learning.engine` makes of `learner.update(Batch)`, as a run of a million
updates chooses it; `algo.impl.update(TorchMiniBatch, step)` of d3rlpy;
`model.train(10)` of SB3 with a buffer that returns the prepared batch, counted as ten;
the target and `_update_with_batch` of tianshou. Ours moves the target networks in every
update; the peers' discrete learners copy them too rarely to matter. Our `setup` makes
glibc retain freed memory for the whole process, which speeds up the peers as well,
d3rlpy by 5 to 25 % on one thread.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from peers import d3rlpy, plain_edac, sb3, tianshou
from work import (
    ACTIONS,
    FRAMES,
    GAMMA,
    OBS,
    PIXEL_ROWS,
    PIXELS,
    PIXELS_TRAIN,
    SIZES,
    Build,
    Columns,
    Contender,
    Flop,
    Net,
    Options,
    columns,
)

from curriculum.learning import engine
from curriculum.setting import plugins
from curriculum.types import Batch, Spec

UPDATES_AHEAD = 1_000_000  # what `auto` chooses by
WARM_UP_SECONDS = 1.0  # of ours
# and so many updates of native code, which is compared with torch in the updates 1, 2,
# 4, 8 and so on: seldom enough in a long run
WARM_UP_UPDATES = 70
ENGINES = ("auto", "torch", "native", "compile")
BuildOurs = Callable[[Options, engine.Engine], Contender]


class Row(NamedTuple):
    """What one learner is compared with."""

    ours: BuildOurs
    peers: dict[str, Build]
    flop: float  # of the matrix products in one of our updates


# --- ours ---


def spec_of(box: bool, pixels: bool) -> Spec:
    """The world that a learner is set up for."""
    actions = 0 if box else ACTIONS
    action_size = ACTIONS if box else 0
    if pixels:
        low = np.zeros(FRAMES)
        high = np.full(FRAMES, 255.0)
        return Spec(FRAMES, "uint8", low, high, actions, action_size, FRAMES[0])
    high = np.full(OBS, np.inf)
    return Spec((OBS,), "float32", -high, high, actions, action_size)


def batch_of(options: Options, box: bool, seeds: int, rows: int, pixels: bool) -> Batch:
    """A batch of all seeds."""
    each = [columns(options.device, box, rows, pixels, seed) for seed in range(seeds)]
    stacked = Columns(*(torch.stack(column) for column in zip(*each, strict=True)))
    return Batch(
        obs=stacked.obs,
        action=stacked.action,
        reward=stacked.reward,
        discount=GAMMA * (1 - stacked.terminal),
        next_obs=stacked.next_obs,
    )


def ours(
    name: str,
    box: bool = False,
    seeds: int = 1,
    rows: int = 0,
    pixels: bool = False,
    **settings: Any,
) -> BuildOurs:
    """Our learner `name`; an update of several seeds counts as that many updates."""

    def build(options: Options, chosen: engine.Engine) -> Contender:
        sizes = SIZES[options.sizes]
        fields = {
            "hidden": (512,) if pixels else sizes.hidden,
            "learning_rate": sizes.learning_rate,
            "batch_size": rows or sizes.rows,
            "grad_clip": sizes.grad_clip,
            "discount": GAMMA,
            **settings,
        }
        precision = fields.pop("precision", options.precision)
        mode, _ = engine.choose(
            chosen, options.device, precision, UPDATES_AHEAD, pixels
        )
        learner = plugins.make("learner", name, **fields)
        spec = spec_of(box, pixels)
        learner.setup(spec, tuple(range(seeds)), options.device, precision)
        update = engine.updater(learner, mode)
        batch = batch_of(options, box, seeds, fields["batch_size"], pixels)
        return Contender(lambda: update(batch, None), seeds)

    return build


def with_engine(build: BuildOurs, chosen: engine.Engine) -> Build:
    return lambda options: build(options, chosen)


def separately(name: str, seeds: int, **settings: Any) -> Build:
    """Our learner with its seeds in separate learners, updated one after another by the
    first engine."""
    build_one = ours(name, **settings)

    def build(options: Options) -> Contender:
        each = [build_one(options, options.engine[0]) for _ in range(seeds)]

        def update_all() -> None:
            for contender in each:
                contender.update()

        return Contender(update_all, seeds)

    return build


# --- rows ---


def default_work() -> dict[str, Row]:
    """Learners at their own sizes."""
    flop = Flop(SIZES["default"])
    double_dqn: dict[str, Build] = {
        "d3rlpy": d3rlpy("DoubleDQN"),
        "SB3": sb3,
        "tianshou": partial(tianshou, box=False),
    }
    return {
        "dqn": Row(ours("dqn"), double_dqn, flop.double_dqn),
        "dqn, 5 seeds": Row(ours("dqn", seeds=5), {}, flop.double_dqn),
        "dqn, 16 seeds": Row(ours("dqn", seeds=16), {}, flop.double_dqn),
        "cql": Row(ours("cql"), {"d3rlpy": d3rlpy("DiscreteCQL")}, flop.double_dqn),
        "iql": Row(ours("iql"), {}, flop.iql(box=False)),
        "bc": Row(ours("bc"), {"d3rlpy": d3rlpy("DiscreteBC")}, flop.bc),
        **box_work(flop),
    }


def box_work(flop: Flop) -> dict[str, Row]:
    """The common learners of box actions."""
    td3bc: dict[str, Build] = {
        "d3rlpy": d3rlpy("TD3PlusBC", box=True),
        "tianshou": partial(tianshou, box=True),
    }
    # ours maximises the likelihood, d3rlpy minimises the error of a sampled action
    bc = d3rlpy("BC", box=True, policy_type="stochastic")
    return {
        "bc, box": Row(ours("bc", box=True), {"d3rlpy": bc}, flop.bc_box),
        "iql, box": Row(
            ours("iql", box=True), {"d3rlpy": d3rlpy("IQL", box=True)}, flop.iql(True)
        ),
        "awac, box": Row(
            ours("awac", box=True), {"d3rlpy": d3rlpy("AWAC", box=True)}, flop.awac
        ),
        "td3bc, box": Row(ours("td3bc", box=True), td3bc, flop.td3bc),
    }


def wide_work() -> dict[str, Row]:
    """Wide networks, learners with many critics or actions, pixels, and stacked
    seeds."""
    flop = Flop(SIZES["wide"])
    return {
        "bc": Row(ours("bc"), {"d3rlpy": d3rlpy("DiscreteBC")}, flop.bc),
        "dqn": Row(ours("dqn", double=False), {"d3rlpy": d3rlpy("DQN")}, flop.dqn),
        "dqn, clipped": Row(
            ours("dqn", double=False, grad_clip=10.0), {"SB3": sb3}, flop.dqn
        ),
        "double dqn": Row(
            ours("dqn"),
            {"d3rlpy": d3rlpy("DoubleDQN"), "tianshou": partial(tianshou, box=False)},
            flop.double_dqn,
        ),
        "cql": Row(ours("cql"), {"d3rlpy": d3rlpy("DiscreteCQL")}, flop.double_dqn),
        **box_work(flop),
        **large_work(flop),
        **pixel_work(),
        **stacked_work(flop),
    }


def large_work(flop: Flop) -> dict[str, Row]:
    """Learners with many critics, or with many actions for every state.

    d3rlpy's CQL adds actions that the policy takes at the next state: with 10 samples
    its critics see 30 actions for each state, ours 20 (as in appendix F of the paper);
    the second row gives both 30. Alpha is fixed on both sides."""
    cql = d3rlpy("CQL", box=True, n_action_samples=10, alpha_learning_rate=0.0)
    bcq = d3rlpy("BCQ", box=True, n_action_samples=100)
    return {
        "cql, box": Row(
            ours("cql", box=True, samples=10), {"d3rlpy": cql}, flop.cql(10)
        ),
        "cql, box, 30 rows a state": Row(
            ours("cql", box=True, samples=15), {"d3rlpy": cql}, flop.cql(15)
        ),
        "bcq, box": Row(
            ours("bcq", box=True, samples=100), {"d3rlpy": bcq}, flop.bcq(100)
        ),
        "edac, box, 10 critics": Row(
            ours("edac", box=True, critics=10), {"separate": plain_edac}, flop.edac(10)
        ),
    }


def pixel_work() -> dict[str, Row]:
    """Learners of images, which begin with convolutions."""
    dqn = ours("dqn", pixels=True, rows=PIXEL_ROWS, double=False, grad_clip=10.0)
    cql = d3rlpy("DiscreteCQL", pixels=True)
    return {
        "dqn, pixels": Row(
            dqn,
            {"SB3": partial(sb3, pixels=True)},
            PIXEL_ROWS * (PIXELS_TRAIN + PIXELS),
        ),
        "cql, pixels": Row(
            ours("cql", pixels=True, rows=PIXEL_ROWS),
            {"d3rlpy": cql},
            PIXEL_ROWS * (PIXELS_TRAIN + 2 * PIXELS),
        ),
    }


def stacked_work(flop: Flop) -> dict[str, Row]:
    """Seeds side by side, beside seeds in separate learners."""
    small: dict[str, Any] = {"rows": 64, "hidden": (64, 64)}
    net = Net((OBS, 64, 64, ACTIONS))
    return {
        "dqn, 16 seeds of 64x64": Row(
            ours("dqn", seeds=16, **small),
            {"separate": separately("dqn", 16, **small)},
            64 * (net.train + 2 * net.forward),
        ),
        "iql, box, 5 seeds": Row(
            ours("iql", box=True, seeds=5),
            {"separate": separately("iql", 5, box=True)},
            flop.iql(True),
        ),
    }


WORK = {"default": default_work(), "wide": wide_work()}


# --- measuring ---


def rate(contender: Contender, options: Options, seconds: float) -> float:
    """Updates per second over so many seconds."""
    gpu = options.device == "cuda"
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    if gpu:
        torch.cuda.synchronize()
    done = 0
    start = clock()
    while clock() - start < seconds:
        contender.update()
        done += contender.counts
        # the queue must not run ahead of the clock
        if gpu and done % 50 == 0:
            torch.cuda.synchronize()
    if gpu:
        torch.cuda.synchronize()
    return done / (clock() - start)


def peak(size: int, options: Options) -> float:
    """GFLOP/s of square matrix products of this size."""
    left, right = torch.randn(2, size, size, device=options.device)
    out = torch.empty_like(left)
    multiply = Contender(lambda: torch.mm(left, right, out=out), 1)
    previous = torch.get_float32_matmul_precision()
    is_bf32 = options.precision == "bf32"
    torch.set_float32_matmul_precision("medium" if is_bf32 else "highest")
    try:
        rates = [rate(multiply, options, options.seconds) for _ in range(3)]
    finally:
        torch.set_float32_matmul_precision(previous)
    return 2e-9 * size**3 * max(rates)


def contenders_of(name: str, row: Row, options: Options) -> dict[str, Contender]:
    """Ours by each engine that can run, and the peers that are installed."""
    builds: dict[str, Build] = {
        chosen: with_engine(row.ours, chosen) for chosen in options.engine
    }
    found = {}
    for label, build in (builds | row.peers).items():
        try:
            found[label] = build(options)
        except (ImportError, ValueError) as missing:
            print(f"{name}: no {label}: {missing}", file=sys.stderr)
    return found


def measure(name: str, row: Row, options: Options) -> dict[str, list[float]]:
    """Updates per second in every round, by the name of an engine or a peer."""
    contenders = contenders_of(name, row, options)
    for label, contender in contenders.items():
        if label in (*options.engine, "separate"):
            warm_up(contender, options, 1 if label == "torch" else WARM_UP_UPDATES)
        else:
            rate(contender, options, options.seconds)
    rates: dict[str, list[float]] = {label: [] for label in contenders}
    for _ in range(options.rounds):
        for label, contender in contenders.items():
            rates[label].append(rate(contender, options, options.seconds))
    return rates


def warm_up(contender: Contender, options: Options, updates: int) -> None:
    """At least so many updates, and for at least `WARM_UP_SECONDS`."""
    for _ in range(updates):
        contender.update()
    rate(contender, options, WARM_UP_SECONDS)


# --- the table ---


def others_of(options: Options) -> list[str]:
    """What the columns of ratios compare with."""
    peers = [peer for name in options.work for peer in work_of(options)[name].peers]
    baseline = ["torch"] if "torch" in options.engine and options.engine[1:] else []
    return baseline + list(dict.fromkeys(peers))


def lines(
    name: str, rates: dict[str, list[float]], best: float, options: Options
) -> list[str]:
    """A line of the table for each engine."""
    found = []
    flop = work_of(options)[name].flop
    for chosen in options.engine:
        if chosen not in rates:
            continue
        mine = rates[chosen]
        middle = statistics.median(mine)
        cells = [name, chosen, f"{middle:,.0f}"]
        for other in others_of(options):
            is_compared = other in rates and other != chosen
            cells.append(ratio(mine, rates[other]) if is_compared else "")
        cells.append(f"{middle * flop * 1e-9 / best:.0%}")
        found.append(f"| {' | '.join(cells)} |")
    return found


def ratio(mine: list[float], theirs: list[float]) -> str:
    """The median of ours to theirs, and the least and the largest."""
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    middle = statistics.median(ratios)
    return f"{middle:.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def work_of(options: Options) -> dict[str, Row]:
    return WORK[options.sizes]


def parse() -> Options:
    """Read the flags."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flag = parser.add_argument
    flag("--sizes", default="default", choices=list(SIZES))
    names = "; ".join(dict.fromkeys(name for rows in WORK.values() for name in rows))
    flag("--work", nargs="+", default=[], metavar="NAME", help=names)
    flag("--engine", nargs="+", default=["auto", "torch"], choices=ENGINES)
    flag("--rounds", type=int, default=5)
    flag("--seconds", type=float, default=0.3, help="of every contender in a round")
    flag("--threads", type=int, default=1)
    precisions = ["fp32", "bf32", "bf16"]
    flag("--precision", default="fp32", choices=precisions, help="of ours")
    flag("--device", default="cpu", choices=["cpu", "cuda"])
    clocks = "default: cpu where one thread of the processor does all the work"
    flag("--clock", default="", choices=["wall", "cpu"], help=clocks)
    flag("--json", type=Path, help="a file for all rounds' numbers")
    options = Options(**vars(parser.parse_args()))
    options.work = options.work or list(work_of(options))
    unknown = [name for name in options.work if name not in work_of(options)]
    if unknown:
        parser.error(f"--sizes {options.sizes} has no {', '.join(unknown)}")
    has_one_thread = options.threads == 1 and options.device == "cpu"
    if options.clock == "cpu" and not has_one_thread:
        parser.error(
            "--clock cpu adds up the time of all threads, also of waiting ones; "
            "give --threads 1 and --device cpu with it"
        )
    options.clock = options.clock or ("cpu" if has_one_thread else "wall")
    return options


def main() -> None:
    """Measure and print a Markdown table."""
    options = parse()
    torch.set_num_threads(options.threads)
    best = max(peak(256, options), peak(2048, options))
    others = [f"x {other}" for other in others_of(options)]
    head = ["work", "engine", "updates/s", *others, "of peak"]
    print(f"| {' | '.join(head)} |")
    print(f"|:--|:--|{'--:|' * (len(head) - 2)}", flush=True)
    everything = {}
    for name in options.work:
        everything[name] = measure(name, work_of(options)[name], options)
        print("\n".join(lines(name, everything[name], best, options)), flush=True)
    threads = "one thread" if options.threads == 1 else f"{options.threads} threads"
    seconds = "processor" if options.clock == "cpu" else "wall clock"
    print(
        f"\n{threads.capitalize()}, seconds of the {seconds}, {options.rounds} "
        f"rounds of {options.seconds} s; ours in {options.precision} on "
        f"{options.device}; peak {best:.0f} GFLOP/s."
    )
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items()}
        found = {"options": settings, "peak": best, "rates": everything}
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
