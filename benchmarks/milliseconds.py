"""Draw what planners return against the time of a decision, from a table.

    python benchmarks/milliseconds.py docs/results/milliseconds.csv out.png

A line of the table is somebody who played in a world: milliseconds a decision (empty
for a learner, which is drawn as a band), mean return, and its 95 % interval. Planners
that are advised by the learner stand out. How it was measured: docs/guide/planners.md.
"""

import argparse
import csv
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from curriculum.report import style

ADVISED = " advised"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    with given.table.open() as file:
        rows = list(csv.DictReader(file))
    worlds = list(dict.fromkeys(row["world"] for row in rows))
    figure = Figure(figsize=(4 * len(worlds), 3.8), layout="constrained")
    for axes, world in zip(figure.subplots(1, len(worlds)), worlds, strict=True):
        draw(axes, world, [row for row in rows if row["world"] == world])
    figure.savefig(given.out, dpi=110)


def draw(axes: Axes, world: str, rows: list[dict[str, str]]) -> None:
    """One world: planners as points, the learner as a band."""
    for index, row in enumerate(rows):
        mean, low, high = (float(row[key]) for key in ("return", "low", "high"))
        if not row["milliseconds"]:
            axes.axhspan(low, high, color=style.GREEN, alpha=0.12, linewidth=0)
            axes.axhline(mean, color=style.GREEN, linewidth=1)
            axes.text(
                *(0.02, mean, "the learner alone"),
                transform=axes.get_yaxis_transform(),
                color=style.GREEN,
                fontsize=8,
                verticalalignment="bottom",
            )
            continue
        is_advised = row["who"].endswith(ADVISED)
        color = style.ORANGE if is_advised else style.BLUE
        place = float(row["milliseconds"])
        spread = [[mean - low], [high - mean]]
        axes.errorbar(place, mean, spread, marker="o", color=color, capsize=3)
        axes.annotate(
            row["who"].replace(ADVISED, ",\nadvised by it"),
            (place, mean),
            xytext=(6, 3 if index % 2 else -3),
            textcoords="offset points",
            color=color,
            fontsize=8,
            verticalalignment="bottom" if index % 2 else "top",
        )
    axes.set_xscale("log")
    times = [float(row["milliseconds"]) for row in rows if row["milliseconds"]]
    axes.set_xlim(min(times) / 1.6, max(times) * 6)
    axes.margins(y=0.12)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    style.dress(axes, world, "milliseconds a decision", "return")


if __name__ == "__main__":
    main()
