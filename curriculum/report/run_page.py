"""The report of a finished run: one page, the same in Markdown, and its last values as
CSV."""

import csv
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from curriculum.files import write_text
from curriculum.report import conclusions
from curriculum.report.document import (
    Block,
    Document,
    Drawn,
    Grid,
    Listed,
    Paragraph,
    Photo,
    Section,
    Verbatim,
    to_html,
    to_markdown,
)
from curriculum.report.records import read_records, record_of
from curriculum.report.run_figures import Drawing
from curriculum.report.run_table import run_table

PAGE = "report.html"
# what is shown of every seed, if it was measured
BY_SEED = {
    "last return": "final/last_mean_reward",
    "success": "final/last_success_rate",
    "score": "final/last_score",
    "best return": "final/best_mean_reward",
    "lowest score": "handover/lowest_score",
    "deepest dip": "handover/dip_depth",
    "planner calls": "final/planner_calls",
    "first success at step": "rollout/first_success_step",
}
MAPS = {
    "policy": "The policy of seed {seed}",
    "visits": "The transitions of seed {seed}",
}


class Finished(NamedTuple):
    """A finished run."""

    folder: Path
    place: str  # its path, or its URL where the folder is a copy
    settings: dict[str, Any]
    needs: str  # what its planner sees
    lines: list[dict[str, Any]]  # of metrics.jsonl
    result: dict[str, Any]  # of result.json


def write(
    folder: Path, place: str, settings: dict[str, Any], needs: str, version: str
) -> Path:
    """Write report.html, report.md and report.csv into the folder of a finished run.

    `place` is its path, or its URL where the folder is a copy; `needs` says what its
    planner sees, `version` is that of this package."""
    result = json.loads((folder / "result.json").read_text())
    lines = read_records(folder / "metrics.jsonl")
    run = Finished(folder, place, settings, needs, lines, result)
    values = last_values(lines)
    document = compose(run, values, version)
    write_text(folder / "report.csv", _csv(settings["seeds"], values))
    # before the page, which takes the titles out of the figures
    write_text(folder / "report.md", to_markdown(document))
    write_text(folder / PAGE, to_html(document))
    return folder / PAGE


def last_values(lines: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """The last values of every tag, [P] each."""
    found = {}
    for line in lines:
        for tag, column in line["values"].items():
            found[tag] = np.array(column, float)
    return found


def compose(run: Finished, values: Mapping[str, np.ndarray], version: str) -> Document:
    """The report of a run."""
    settings = run.settings
    when = datetime.fromtimestamp(run.result["finished"], UTC)
    subtitle = (
        f"`{settings['learner']}` in `{settings['env']}`, "
        f"{_counted(len(settings['seeds']), 'seed')}; finished on {when:%d %B %Y} by "
        f"planning-curriculum {version}"
    )
    records = [record_of(line) for line in run.lines]
    drawn = Drawing(settings, records, maps=None).curves()
    figures: list[Block] = [
        Drawn(name.replace("_", "-"), figure, f"figures/{name}.png")
        for name, figure in drawn.items()
    ]
    said = conclusions.of_run(settings, run.lines, values)
    ending = run_table(run.place, settings, values, run.needs).strip("\n")
    sections = [
        Section("Conclusion", [Listed(said)]),
        Section("Curves", [*figures, *_maps(run)]),
        Section("Seed by seed", [_by_seed(settings["seeds"], values)]),
        Section("Result and costs", [Verbatim(ending)]),
        Section("Settings", _settings(run)),
    ]
    return Document(f"Run {run.folder.name}", subtitle, sections)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _maps(run: Finished) -> list[Photo]:
    """The maps of the first seed, if they were drawn."""
    seed = run.settings["seeds"][0]
    found = []
    for name, title in MAPS.items():
        file = f"figures/{name}-seed{seed}.png"
        if (run.folder / file).is_file():
            found.append(Photo(title.format(seed=seed), file, run.folder))
    return found


def _by_seed(seeds: Sequence[int], values: Mapping[str, np.ndarray]) -> Block:
    columns = {
        label: values[tag]
        for label, tag in BY_SEED.items()
        if tag in values and np.isfinite(values[tag]).any()
    }
    if not columns:
        return Paragraph("The run was not evaluated in its world.")
    rows = []
    for index, seed in enumerate(seeds):
        cells = [_number(label, column[index]) for label, column in columns.items()]
        rows.append([f"seed {seed}", *cells])
    return Grid(["", *columns], rows)


def _number(label: str, value: float) -> str:
    if not np.isfinite(value):
        return "-"
    whole = label in ("planner calls", "first success at step")
    return f"{value:,.0f}" if whole else f"{value:,.2f}"


def _settings(run: Finished) -> list[Block]:
    path = shlex.quote(f"{run.place}/config.yaml")
    text = yaml.safe_dump(run.settings, sort_keys=False).rstrip()
    return [
        Paragraph("Repeat the run:"),
        Verbatim(f"python -m curriculum.train --config {path}"),
        Verbatim(text, folded="All settings (`config.yaml`)"),
    ]


def _csv(seeds: Sequence[int], values: Mapping[str, np.ndarray]) -> str:
    """A line for each tag and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["tag", "seed", "value"])
    for tag, column in sorted(values.items()):
        for seed, value in zip(seeds, column, strict=True):
            writer.writerow(
                [tag, seed, repr(float(value)) if np.isfinite(value) else ""]
            )
    return text.getvalue()
