"""Time the plans that `mppi` tries in Hopper by `--planner.threads`.

    python benchmarks/threads.py

The plans are those of the first decisions of an episode. One thread steps MuJoCo copy
by copy until it falls; several are those of `mujoco.rollout`, which steps every copy
for the whole horizon. Rewards and ends must be equal to the last bit. Wall time,
medians over rounds, in which the numbers of threads take turns.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np

from curriculum.envs._base.spec import spec_of
from curriculum.envs._gym.physics import LocomotionCopies
from curriculum.planners.mppi import MPPI
from curriculum.setting import plugins
from curriculum.types import stream

EVERY = 4  # of the decisions, one in so many is timed
Played = tuple[np.ndarray, np.ndarray]  # rewards [n, H], true ends [n]


class Plans(NamedTuple):
    """What one decision tries."""

    state: np.ndarray  # [n, *S]
    actions: np.ndarray  # [n, H, A]


class Times(NamedTuple):
    """Seconds."""

    wall: float
    processor: float  # of all threads

    @classmethod
    def now(cls) -> "Times":
        return cls(time.perf_counter(), time.process_time())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--horizon", type=int, default=32)
    parser.add_argument("--decisions", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    world = plugins.make("env", "gym", id="Hopper-v5")
    rows = world.rows([stream(0, "environment")], 1)
    rows.reset()
    planner = MPPI(samples=options.samples, horizon=options.horizon)
    planner.setup(rows, spec_of(world), (0,))
    simulator = planner.simulator
    assert isinstance(simulator, LocomotionCopies)
    tried = decisions(planner, simulator, options.decisions)[::EVERY]
    expected = [play(simulator, plans) for plans in tried]
    times: dict[int, list[Times]] = {threads: [] for threads in options.threads}
    for _ in range(options.rounds):
        for threads, own in times.items():
            simulator.use_threads(threads)
            began = Times.now()
            found = [play(simulator, plans) for plans in tried]
            now = Times.now()
            own.append(Times(now.wall - began.wall, now.processor - began.processor))
            require_equal(found, expected)
    rows.close()
    show(times, len(tried))
    before_end = np.mean([reward != 0 for reward, _ in expected])
    print(f"\nOf all steps {before_end:.0%} were before a fall.")


def decisions(planner: MPPI, simulator: LocomotionCopies, count: int) -> list[Plans]:
    """The plans of the first decisions of an episode."""
    tried: list[Plans] = []
    rollout = simulator.rollout

    def record(
        state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tried.append(Plans(state.copy(), actions.copy()))
        return rollout(state, actions, rng)

    simulator.rollout = record  # type: ignore[method-assign]
    rows = planner.plans.rows
    for _ in range(count):
        rows.step(planner.act(rows.obs, np.arange(1)).action)
    simulator.rollout = rollout  # type: ignore[method-assign]
    return tried


def play(simulator: LocomotionCopies, plans: Plans) -> Played:
    """Play the plans of a decision."""
    unused = np.random.default_rng(0)  # nothing is left to chance in Hopper
    reward, ended, _ = simulator.rollout(plans.state, plans.actions, unused)
    return reward, ended


def require_equal(found: list[Played], expected: list[Played]) -> None:
    """Raise ValueError where results differ in any bit."""
    for (reward, ended), (own_reward, own_ended) in zip(found, expected, strict=True):
        same = np.array_equal(reward, own_reward) and np.array_equal(ended, own_ended)
        if not same:
            raise ValueError("results depend on the number of threads")


def show(times: dict[int, list[Times]], decisions: int) -> None:
    """Print a table: medians, and quartiles of the ratios of single rounds."""
    print("| threads | ms a decision | times as fast | processor time |")
    print("|--:|--:|--:|--:|")
    first = np.array(next(iter(times.values())))  # [rounds, 2]
    for threads, own in times.items():
        wall, processor = (first / np.array(own)).T
        milliseconds = 1e3 * np.median([one.wall for one in own]) / decisions
        share = 1 / np.median(processor)
        print(f"| {threads} | {milliseconds:.1f} | {_spread(wall)} | {share:.2f} |")


def _spread(ratios: np.ndarray) -> str:
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    return f"{median:.2f} ({low:.2f}..{high:.2f})"


if __name__ == "__main__":
    main()
