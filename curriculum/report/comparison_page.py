"""The report of a comparison: one page, and the same in Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    Section,
    Verbatim,
    blocks_of,
    to_html,
    to_markdown,
)
from curriculum.report.figures import Figure
from curriculum.report.verdicts import Verdict

PAGE = "report.html"


def write(
    folder: Path,
    described: Mapping[str, Any],
    table: str,
    judged: Sequence[Verdict],
    figures: Mapping[str, Figure],
) -> Path:
    """Write report.html and report.md into the folder of a comparison.

    `described` is the content of its compare.yaml, `table` its tables in Markdown,
    `figures` are drawn in files of their names and change."""
    drawn: list[Block] = [
        Drawn(name, figure, f"{name}.png") for name, figure in figures.items()
    ]
    tables = blocks_of(table)
    sections = [
        Section("Conclusion", [Listed(conclusions.of_comparison(judged))]),
        Section("Curves", drawn),
        Section("Results", tables),
        Section("Settings", _settings(described)),
    ]
    grids = [block for block in tables if isinstance(block, Grid)]
    arms = [row[0] for row in grids[0].rows]
    subtitle = f"{len(arms)} arms: {', '.join(arms)}"
    document = Document(f"Comparison {folder.name}", subtitle, sections)
    # before the page, which takes the titles out of the figures
    write_text(folder / "report.md", to_markdown(document))
    write_text(folder / PAGE, to_html(document))
    return folder / PAGE


def _settings(described: Mapping[str, Any]) -> list[Block]:
    """The command, the settings that differ between arms, and those of all."""
    blocks: list[Block] = []
    if "command" in described:
        blocks += [Paragraph("The command:"), Verbatim(str(described["command"]))]
    arms = described.get("settings")
    if not isinstance(arms, dict) or not arms:
        return blocks
    names = list(dict.fromkeys(name for own in arms.values() for name in own))
    shared = {}
    rows = []
    for name in names:
        values = [_shown(own, name) for own in arms.values()]
        if len(set(values)) == 1:
            shared[name] = next(iter(arms.values()))[name]
        else:
            rows.append([f"`{name}`", *values])
    if rows:
        blocks += [Paragraph("Where arms differ:"), Grid(["", *arms], rows)]
    text = yaml.safe_dump(shared, sort_keys=False).rstrip()
    return [*blocks, Verbatim(text, folded="Settings of all arms")]


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return str(settings[name]) if name in settings else "-"
