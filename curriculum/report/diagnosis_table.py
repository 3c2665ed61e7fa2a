"""The report of `python -m curriculum.diagnose`: tables, definitions, rows for CSV."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.report.diagnosis_measures import MEASURES
from curriculum.report.document import (
    Block,
    Document,
    Drawn,
    Listed,
    Section,
    Verbatim,
    blocks_of,
)
from curriculum.report.figures import Figure

BOUND = "legacy_kl_bound"
SIGNIFICANT = 3  # digits of a number


class Column(NamedTuple):
    """One run of the report."""

    name: str
    seeds: tuple[int, ...]
    policy: str  # which distribution over actions is meant
    values: Mapping[str, np.ndarray]  # measure -> [P]


def summary(columns: Sequence[Column]) -> str:
    """One row for each measure, one column for each run: mean +- standard deviation
    over seeds."""
    names = [_escaped(column.name) for column in columns]
    lines = [_line(["", *names]), _line([":--", *["--:"] * len(columns)])]
    lines.append(_line(["probabilities are those of", *(c.policy for c in columns)]))
    group = ""
    for name, measure in MEASURES.items():
        if not any(name in column.values for column in columns):
            continue
        if measure.group != group:
            group = measure.group
            lines.append(_line([f"**{group}**", *[""] * len(columns)]))
        cells = [_spread(column.values.get(name)) for column in columns]
        lines.append(_line([_label(name, columns), *cells]))
    return "\n".join(lines)


def by_seed(column: Column) -> str:
    """One row for each measure, one column for each seed."""
    seeds = [f"seed {seed}" for seed in column.seeds]
    lines = [
        _line([_escaped(column.name), *seeds]),
        _line([":--", *["--:"] * len(seeds)]),
    ]
    for name in MEASURES:
        if name in column.values:
            cells = [number(value) for value in column.values[name]]
            lines.append(_line([_label(name, [column]), *cells]))
    return "\n".join(lines)


def rows(columns: Sequence[Column]) -> list[list[str]]:
    """Rows of a CSV file: a header, then a line for each run, seed and measure."""
    found = [["run", "seed", "measure", "value"]]
    for column in columns:
        for name in (*MEASURES, BOUND):
            if name not in column.values:
                continue
            for seed, value in zip(column.seeds, column.values[name], strict=True):
                text = repr(float(value)) if np.isfinite(value) else ""
                found.append([column.name, str(seed), name, text])
    return found


def definitions(columns: Sequence[Column]) -> list[str]:
    """What the measures of these runs mean."""
    lines = []
    for name, measure in MEASURES.items():
        if any(name in column.values for column in columns):
            lines.append(f"**{_label(name, columns)}**: {measure.meaning}.")
    return lines


def report(
    command: str,
    about: str,
    columns: Sequence[Column],
    notes: Sequence[str],
    figures: Mapping[str, Figure],
) -> Document:
    """The report of a diagnosis; figures are drawn in files of their names."""
    drawn = [Drawn(name, figure, f"{name}.png") for name, figure in figures.items()]
    measured: list[Block] = [*blocks_of(summary(columns))]
    if notes:
        measured.append(Listed(notes))
    seeds = [block for column in columns for block in blocks_of(by_seed(column))]
    sections = [
        Section("Measures", measured),
        Section("Figures", drawn),
        Section("What the rows mean", [Listed(definitions(columns))]),
        Section("Seed by seed", seeds),
        Section("Command", [Verbatim(command)]),
    ]
    subtitle = f"{about}. Mean over seeds +- standard deviation."
    return Document("Diagnosis", subtitle, sections)


def number(value: float) -> str:
    """A number with three digits that count; a dash where there is none."""
    if not np.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        size = 0 if value == 0 else int(np.floor(np.log10(abs(value))))
        decimals = int(np.clip(SIGNIFICANT - 1 - size, 0, 4))
        return f"{value:,.{decimals}f}"
    return f"{value:.1e}"


def _label(name: str, columns: Sequence[Column]) -> str:
    label = MEASURES[name].label
    bounds = [column.values[BOUND][0] for column in columns if BOUND in column.values]
    if name == "legacy_kl" and bounds:
        label += f" (never above {number(bounds[0])})"
    return label


def _spread(values: np.ndarray | None) -> str:
    """Mean and standard deviation over seeds; a dash where a run has no such number."""
    if values is None:
        return "-"
    known = values[np.isfinite(values)]
    if not len(known):
        return "-"
    text = number(known.mean())
    if len(known) > 1:
        deviation = known.std(ddof=1)
        if "e" in text:
            text += f" +- {number(deviation)}"
        else:  # as many decimals as the mean
            decimals = len(text.partition(".")[2])
            text += f" +- {deviation:,.{decimals}f}"
    if len(known) < len(values):
        text += f" ({len(known)} of {len(values)} seeds)"
    return text


def _escaped(name: str) -> str:
    return name.replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
