"""How far a comparison's verdicts can be believed, by simulation.

    python tests/campaigns/verdicts.py --tables 4000 --pool runs/gridworld/NAME

Prints how often the interval of a paired difference contains the truth, and how many
tables of equal arms name a winner, for returns of several shapes; with `--pool`, also
for arms whose seeds are drawn from those of a finished run.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from curriculum.report import statistics
from curriculum.report.curves import read_curve
from curriculum.report.hypotheses import seeds_needed, student_p
from curriculum.report.verdicts import Measure, judge

SEEDS = (3, 5, 10)  # of intervals
WINNING = (4, 5, 10)  # of tables: fewer have no winner
LAST = 1500.0  # step after which no success counts

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
# name -> returns and their mean
CONSTANT = "constant"
SHAPES: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0.0),
    "skewed (lognormal)": (lambda rng, shape: rng.lognormal(size=shape), np.exp(0.5)),
    "skewed (exponential)": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "3 of 10 seeds fail": (
        lambda rng, shape: (
            np.where(rng.random(shape) < 0.3, -10.0, 9.0) + rng.normal(size=shape)
        ),
        0.7 * 9 - 0.3 * 10,
    ),
    "5 of 10 seeds fail": (
        lambda rng, shape: (
            np.where(rng.random(shape) < 0.5, -10.0, 9.0) + rng.normal(size=shape)
        ),
        -0.5,
    ),
    "success .90 of 50": (lambda rng, shape: rng.binomial(50, 0.9, shape) / 50, 0.9),
    "success .99 of 50": (lambda rng, shape: rng.binomial(50, 0.99, shape) / 50, 0.99),
}


def line(cells: list[str]) -> None:
    print(f"| {' | '.join(cells)} |")


def coverage(repeats: int) -> None:
    """Print the coverage of the 95 % interval of a paired difference."""
    line(["Returns of the arm", "of the reference", *[f"{n} seeds" for n in SEEDS]])
    line([":--", ":--", *["--:" for _ in SEEDS]])
    pairs = [(name, name) for name in SHAPES]
    pairs += [(name, CONSTANT) for name in SHAPES]
    for own, base in pairs:
        cells = [own, base]
        for n in SEEDS:
            rng = np.random.default_rng(n)
            draw, mean = SHAPES[own]
            difference = draw(rng, (repeats, n)) - mean
            if base != CONSTANT:
                difference -= draw(rng, (repeats, n)) - mean
            # the interval contains 0 exactly if p is at least 0.05
            alike = difference.std(-1) < 1e-9
            p = student_p(difference)
            covered = np.where(alike, np.abs(difference.mean(-1)) < 1e-9, p >= 0.05)
            cells.append(f"{covered.mean():.3f}")
        line(cells)


def named(tables: int, arms: int, n: int, arm: Callable[[], dict[str, Measure]]) -> str:
    """The share of tables of equal arms that name a winner."""
    count = 0
    for _ in range(tables):
        found = judge({str(number): arm() for number in range(arms)}, smallest=0.0)
        count += any(verdict.winner for verdict in found)
    return f"{count / tables:.3f}"


def false_winners(tables: int) -> None:
    """Print the shares of tables in which some of several equal arms wins."""
    line(["Returns", "arms", *[f"{n} seeds" for n in WINNING]])
    line([":--", "--:", *["--:" for _ in SEEDS]])
    for name, (draw, _) in SHAPES.items():
        for arms in (2, 4):
            cells = [name, str(arms)]
            for n in WINNING:
                rng = np.random.default_rng(n)

                def arm(
                    draw: Draw = draw, rng: np.random.Generator = rng, n: int = n
                ) -> dict[str, Measure]:
                    final, area = draw(rng, (2, n))
                    first = rng.exponential(1000, n).round(-1)
                    return {
                        "final return": Measure(final),
                        # measures of one arm go together
                        "return over training": Measure(0.7 * final + 0.3 * area),
                        "first success": Measure(first, -1, last=LAST),
                    }

                cells.append(named(tables, arms, n, arm))
            line(cells)


def false_winners_of_runs(tables: int, run: Path) -> None:
    """The same for arms whose seeds are drawn from those of a finished run."""
    curve = read_curve(run)
    area = statistics.area_under_curve(curve.steps, curve.reward.T)
    final = curve.final["final/last_mean_reward"]
    last = float(curve.steps[-1])
    print(f"{len(final)} seeds: final return {final.mean():.2f} +- {final.std():.2f}")
    for arms in (2, 4):
        cells = [run.name, str(arms)]
        for n in WINNING:
            rng = np.random.default_rng(n)
            drawn: list[np.ndarray] = []

            def arm(
                drawn: list[np.ndarray] = drawn,
                rng: np.random.Generator = rng,
                size: int = arms * n,
                n: int = n,
            ) -> dict[str, Measure]:
                # arms of one table share no seed
                if not drawn:
                    some = rng.permutation(len(final))[:size]
                    drawn.extend(np.split(some, size // n))
                own = drawn.pop()
                return {
                    "final return": Measure(final[own]),
                    "return over training": Measure(area[own]),
                    "first success": Measure(curve.first_success[own], -1, last=last),
                }

            cells.append(named(tables, arms, n, arm))
        line(cells)


def power(repeats: int) -> None:
    """Print how often so many seeds as were said to be needed find the difference."""
    line(["Difference in standard deviations", "seeds needed", "found"])
    line(["--:", "--:", "--:"])
    for effect in (2.0, 1.0, 0.5):
        n = int(seeds_needed(effect))
        rng = np.random.default_rng(n)
        p = student_p(rng.normal(effect, 1, (repeats, n)))
        line([f"{effect}", f"{n}", f"{(p <= 0.05).mean():.3f}"])


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100_000, help="of an interval")
    parser.add_argument("--tables", type=int, default=4_000, help="of equal arms")
    parser.add_argument(
        "--pool", type=Path, nargs="*", default=[], help="finished runs"
    )
    options = parser.parse_args()
    coverage(options.repeats)
    print()
    false_winners(options.tables)
    for run in options.pool:
        false_winners_of_runs(options.tables, run)
    print()
    power(options.repeats)


if __name__ == "__main__":
    main()
