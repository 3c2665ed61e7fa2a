"""Several comparisons in one picture, a panel for each.

    python benchmarks/panels.py PICTURE.png "Pointmass hard: runs/pointmass/hard" ...

A panel shows the arms of a folder of `curriculum.compare`, and runs whose folders are
named behind it. Arms with the same name have the same colour in all panels; `--arms`
leaves out the others.
"""

import argparse
from pathlib import Path

from curriculum.report import figures, style
from curriculum.report.curves import Curve, read_curve

STEPS = "environment steps"


def main() -> None:
    """Read the comparisons and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("panels", nargs="+", metavar="TITLE: FOLDERS")
    parser.add_argument("--arms", nargs="+", help="names of the arms to draw")
    parser.add_argument("--title", default="Return of the learner alone")
    options = parser.parse_args()
    found = {}
    for panel in options.panels:
        title, _, folders = panel.partition(":")
        found[title] = read([Path(f) for f in folders.split()], options.arms)
    figures.save(draw(found, options.title), options.picture)


def read(folders: list[Path], wanted: list[str] | None) -> dict[str, Curve]:
    """The curves of runs, or of the arms of comparisons, by name."""
    runs: dict[str, Path] = {}
    for folder in folders:
        arms = sorted(path.parent for path in folder.glob("*/metrics.jsonl"))
        runs |= {arm.name: arm for arm in arms or [folder]}
    chosen = [name for name in wanted or runs if name in runs]
    if not chosen:
        raise SystemExit(f"no arm of {wanted} in {', '.join(map(str, folders))}")
    return {name: read_curve(runs[name]) for name in chosen}


def draw(found: dict[str, dict[str, Curve]], title: str) -> figures.Figure:
    """A panel of each comparison, with the level of its planner and of random play."""
    names = [name for curves in found.values() for name in curves]
    looks = {name: style.look(i) for i, name in enumerate(dict.fromkeys(names))}
    figure, grid = style.panels(title, list(found), STEPS, share_x=False)
    seeds = []
    labelled: set[str] = set()
    for axes, curves in zip(grid, found.values(), strict=True):
        for name, curve in curves.items():
            color, stroke = looks[name]
            label = "" if name in labelled else name.replace("-", " ")
            labelled.add(name)
            figures.bootstrapped(axes, curve.steps, curve.reward, color, label, stroke)
            seeds.append(curve.reward)
        baselines = next(iter(curves.values())).baselines
        is_first = axes is grid[0]
        style.level(axes, baselines["planner"], style.INK, "planner" * is_first)
        style.level(axes, baselines["random"], style.GREY, "random play" * is_first)
    count = style.seed_count(*seeds)
    return style.legend(figure, f"mean and 95 % bootstrap band over {count}")


if __name__ == "__main__":
    main()
