"""What a comparison writes: figures, tables and the index of its study."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import yaml

from curriculum.comparison.plan import DESCRIPTION, TABLE
from curriculum.files import write_text
from curriculum.report import (
    comparison_page,
    economics,
    figures,
    measures,
    tables,
    verdicts,
)
from curriculum.report.curves import Curve
from curriculum.report.figures import Figure
from curriculum.report.measures import RETURN, Terms

VERDICTS = "verdicts.csv"
INDEX = "index.md"


def write(curves: Mapping[str, Curve], folder: Path, terms: Terms) -> None:
    """Draw the figures, write the tables and print them; the table in Markdown, which
    marks a finished comparison, comes last."""
    table = tables.comparison(curves, terms)
    drawn = _draw(curves, terms)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")
    judged = tables.verdicts_of(curves, terms)
    write_text(folder / "seeds.csv", tables.seeds_csv(curves, terms))
    write_text(folder / "curves.csv", tables.curves_csv(curves))
    write_text(folder / VERDICTS, tables.verdicts_csv(judged))
    description = yaml.safe_load((folder / DESCRIPTION).read_text())
    page = comparison_page.write(folder, description, table, judged, drawn)
    write_text(folder / TABLE, table + "\n")
    print(f"\n{table}\n")
    for name in drawn:
        print(f"figure  {folder}/{name}.png")
    print(f"table   {folder}/{TABLE}, and seeds.csv, curves.csv, {VERDICTS} beside it")
    print(f"report  {page}")


# --- figures ---


def _draw(curves: Mapping[str, Curve], terms: Terms) -> dict[str, Figure]:
    """Draw the learning curve of every tag, and the return against what the planner
    cost; returns the figures by the names of their files."""
    drawn = {}
    for tag in terms.tags:
        if tag == measures.FIRST_SUCCESS:
            continue
        name = "curves" if tag == RETURN else f"curves-{tag.replace('/', '-')}"
        drawn[name] = _learning_curves(curves, tag, terms)
    if any(np.nansum(curve.calls) > 0 for curve in curves.values()):
        drawn["economics"] = economics.figure(curves)
    return drawn


def _learning_curves(curves: Mapping[str, Curve], tag: str, terms: Terms) -> Figure:
    """Draw the learning curves of a tag; those of the return between the returns of
    random play and of the planner, or the data."""
    lines = {}
    for name, curve in curves.items():
        recorded = measures.series(curve, tag)
        if recorded is None:
            continue
        x = recorded.steps
        if terms.equal != "steps":
            x = measures.spent(curve, recorded, terms.equal).mean(-1)
        lines[name] = (x, recorded.values)
    axis = measures.AXES.get(terms.equal) or _axis(curves)
    if tag != RETURN:
        return figures.learning_curves(lines, measures.label(tag), xlabel=axis)
    planners = _baselines(curves, "planner")
    # one line for all arms, or one for each where their planners differ
    planner = next(iter(planners.values()), None)
    differ = len(set(planners.values())) > 1
    data = set(_baselines(curves, "data").values())
    first = next(iter(curves.values()))
    return figures.learning_curves(
        lines,
        xlabel=axis,
        random=first.baselines["random"],
        planner=planners if differ else planner,
        data=data.pop() if len(data) == 1 else None,
    )


def _axis(curves: Mapping[str, Curve]) -> str:
    are_offline = {curve.is_offline for curve in curves.values()}
    if len(are_offline) > 1:
        return f"{figures.STEPS}; of offline runs, updates"
    return figures.UPDATES if True in are_offline else figures.STEPS


def _baselines(curves: Mapping[str, Curve], name: str) -> dict[str, float]:
    """The known returns of "planner" or "data", by arm."""
    returns = {arm: curve.baselines[name] for arm, curve in curves.items()}
    return {arm: value for arm, value in returns.items() if math.isfinite(value)}


# --- studies ---


def write_index(study: Path) -> Path:
    """Write the list of all comparisons of a study."""
    lines = [f"# {study.name}", "", "| comparison | arms | verdict |", "|:--|:--|:--|"]
    for path in sorted(study.glob(f"*/*/{DESCRIPTION}")):
        folder = path.parent
        name = folder.relative_to(study)
        lines.append(
            f"| {_link(folder, str(name))} | {_arms(folder)} | {_won(folder)} |"
        )
    index = study / INDEX
    write_text(index, "\n".join(lines) + "\n")
    return index


def _link(folder: Path, name: str) -> str:
    finished = (folder / TABLE).is_file()
    return f"[{name}]({name}/{TABLE})" if finished else f"{name} (unfinished)"


def _arms(folder: Path) -> str:
    found = list(dict.fromkeys(line["arm"] for line in _read(folder / "seeds.csv")))
    return ", ".join(found) or "-"


def _won(folder: Path) -> str:
    """The winners of a comparison, in words."""
    lines = _read(folder / VERDICTS)
    won = [f"{line['winner']} ({line['measure']})" for line in lines if line["winner"]]
    if not lines:
        return "-"
    return ", ".join(won) or verdicts.NOBODY


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
