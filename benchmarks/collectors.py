"""Measure how many planner actions a second a run collects, by --collectors.

    python benchmarks/collectors.py --collectors 0 4 --ms 50

The planner waits for every action, so it takes no processor: the processes scale where
there are fewer cores than processes, too. Evaluations are not counted.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from curriculum.run.loop import begin, prepare
from curriculum.setting import plugins
from curriculum.setting.config import Config
from curriculum.starts.expert import Expert
from curriculum.trust import trusting

SLOW = Path(__file__).parent / "plugins" / "slow.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collectors", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--ms", type=float, default=50.0)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--half-life", type=float, default=400, help="0: constant rate")
    parser.add_argument("--learner", default="cql")
    parser.add_argument("--updates", type=float, default=0.25, help="for each step")
    parser.add_argument("--rounds-ahead", type=int, default=1)
    parser.add_argument("--round-steps", type=int, default=8)
    options = parser.parse_args()
    for collectors in options.collectors:
        with trusting():
            measure(collectors, options)


def measure(collectors: int, options: argparse.Namespace) -> None:
    """Train with so many collectors and print what came of it."""
    decay = plugins.make("decay", "constant")
    if options.half_life:
        decay = plugins.make("decay", "exponential", half_life=options.half_life)
    config = Config(
        env="gridworld",
        learner=options.learner,
        updates_per_step=options.updates,
        planner=plugins.make("planner", str(SLOW), ms=options.ms),
        decay=decay,
        start=Expert(size=160),
        steps=options.steps,
        seeds=tuple(options.seeds),
        collectors=collectors,
        round_steps=options.round_steps,
        rounds_ahead=options.rounds_ahead,
        offline_updates=0,
        planner_episodes=1,
        eval_episodes=20,
        eval_every=options.steps,
        log_every=options.steps,
        eval_mixed=False,
    )
    run = prepare(config)
    records = []
    filled = 0.0
    fill = run.fill

    def timed_fill() -> list:
        nonlocal filled
        started = time.perf_counter()
        found = fill()
        filled = time.perf_counter() - started
        return found

    run.fill = timed_fill  # type: ignore[method-assign]
    records += list(begin(run))
    began = time.perf_counter()
    while not run.is_over:
        run.take_step()
    online = time.perf_counter() - began
    calls = run.use.calls.sum()
    for name in run.pending:
        records += getattr(run, name)()
    records += run.finish()
    run.close()
    final = records[-1].values
    collected = next(r.values for r in reversed(records) if r.kind == "collect")
    ages = collected.get("collectors/staleness_updates", np.zeros(1))
    oldest = collected.get("collectors/staleness_updates_max", np.zeros(1))
    scores = final["final/last_score"].tolist()
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    print(
        f"{collectors} collectors: {calls / (filled + online):7.1f} planner actions a "
        f"second ({calls:,} in {filled + online:.1f} s, start {filled:.1f} s); "
        f"weights {ages[0]:.1f} updates old, at most {oldest[0]:.0f}; "
        f"last score {np.mean(scores):.3f} +- {spread:.3f} of {len(scores)} seeds: "
        + " ".join(f"{score:.2f}" for score in scores),
        flush=True,
    )


if __name__ == "__main__":
    main()
