"""A report in parts, which is written as one HTML page and as Markdown.

The page needs nothing but itself: no network, no scripts, no fonts. Figures are SVG;
their colours are those of a light or a dark screen.
"""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from curriculum.report import svg
from curriculum.report.figures import Figure


class Paragraph(NamedTuple):
    """Text, in which `words` stand for code and **words** for emphasis."""

    text: str


class Listed(NamedTuple):
    """A list of texts."""

    texts: Sequence[str]


class Grid(NamedTuple):
    """A table; the first cell of a row names it."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1  # first columns that hold words; the others hold numbers


class Verbatim(NamedTuple):
    """Lines of fixed width, folded away under a title if there is one."""

    text: str
    folded: str = ""


class Drawn(NamedTuple):
    """A figure."""

    name: str  # unlike that of any other
    figure: Figure
    file: str  # where Markdown finds it


class Photo(NamedTuple):
    """A picture that exists as a PNG file."""

    title: str
    file: str
    folder: Path  # that `file` lies in


Block = Paragraph | Listed | Grid | Verbatim | Drawn | Photo


class Section(NamedTuple):
    """Blocks under a title."""

    title: str
    blocks: Sequence[Block]


class Document(NamedTuple):
    """A report."""

    title: str
    subtitle: str
    sections: Sequence[Section]


# --- Markdown ---


def to_markdown(document: Document) -> str:
    """The report in Markdown."""
    parts = [f"# {document.title}", document.subtitle]
    for section in document.sections:
        parts.append(f"## {section.title}")
        parts += [_markdown(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    if isinstance(block, Paragraph):
        return block.text
    if isinstance(block, Listed):
        return "\n".join(f"- {text}" for text in block.texts)
    if isinstance(block, Grid):
        numbers = len(block.header) - block.words
        rule = [":--"] * block.words + ["--:"] * numbers
        rows = [block.header, rule, *block.rows]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if isinstance(block, Verbatim):
        return f"```\n{block.text}\n```"
    if isinstance(block, Drawn):
        return f"![{svg.title_of(block.figure) or block.name}]({block.file})"
    return f"![{block.title}]({block.file})"


def blocks_of(markdown: str) -> list[Block]:
    """The blocks of simple Markdown: tables, lists and paragraphs between empty
    lines."""
    blocks: list[Block] = []
    for part in re.split(r"\n\s*\n", markdown.strip()):
        lines = part.splitlines()
        if lines[0].startswith("|"):
            header, rule, *rows = map(_cells, lines)
            words = sum(not cell.endswith(":") for cell in rule)
            blocks.append(Grid(header, rows, words))
        elif all(line.startswith("- ") for line in lines):
            blocks.append(Listed([line[2:] for line in lines]))
        else:
            blocks.append(Paragraph(" ".join(lines)))
    return blocks


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return [cell.strip().replace("\\|", "|") for cell in cells]


# --- HTML ---


def to_html(document: Document) -> str:
    """The report as one page."""
    body = []
    for section in document.sections:
        body.append(f"<section>\n<h2>{_words(section.title)}</h2>")
        body += [_html(block) for block in section.blocks]
        body.append("</section>")
    title = html.escape(document.title)
    return PAGE.format(
        title=title,
        style=STYLE,
        subtitle=_words(document.subtitle),
        body="\n".join(body),
    )


def _html(block: Block) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{_words(block.text)}</p>"
    if isinstance(block, Listed):
        items = "".join(f"<li>{_words(text)}</li>" for text in block.texts)
        return f"<ul>{items}</ul>"
    if isinstance(block, Grid):
        return _table(block)
    if isinstance(block, Verbatim):
        text = f"<pre>{html.escape(block.text)}</pre>"
        if not block.folded:
            return text
        summary = f"<summary>{_words(block.folded)}</summary>"
        return f"<details>{summary}{text}</details>"
    if isinstance(block, Drawn):
        title = svg.title_of(block.figure)
        drawing = svg.inline(block.figure, block.name)
        return _figure(drawing, title or block.name)
    content = base64.b64encode((block.folder / block.file).read_bytes()).decode()
    picture = f'<img alt="{html.escape(block.title)}" src="data:image/png;base64,'
    return _figure(f'{picture}{content}">', block.title)


def _figure(content: str, title: str) -> str:
    caption = f"<figcaption>{_words(title)}</figcaption>"
    return f"<figure>{caption}\n{content}</figure>"


def _table(block: Grid) -> str:
    header = _row("th", block.header, block.words)
    rows = []
    for name, *cells in block.rows:
        if cells and not any(cells):  # the name of a group of rows
            span = f'<th colspan="{len(block.header)}">{_words(name)}</th>'
            rows.append(f'<tr class="group">{span}</tr>')
            continue
        values = _row("td", cells, block.words - 1)
        rows.append(f"<tr><th>{_words(name)}</th>{values}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{header}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(tag: str, cells: Sequence[str], words: int) -> str:
    """Cells of a row, of which the first ones hold words."""
    texts = [f'<{tag} class="words">{_words(cell)}</{tag}>' for cell in cells[:words]]
    numbers = [f"<{tag}>{_words(cell)}</{tag}>" for cell in cells[words:]]
    return "".join([*texts, *numbers])


def _words(text: str) -> str:
    """Text in which Markdown marks code and emphasis."""
    escaped = html.escape(text, quote=False).replace("+-", "&plusmn;")
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", code)


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{subtitle}</p>
</header>
<main>
{body}
</main>
</body>
</html>
"""
STYLE = """
:root {
  --paper: #ffffff; --ink: #222222; --grey: #6b6b6b; --frame: #bbbbbb; --grid: #e3e3e3;
  --shade: #f4f5f7; --blue: #0072b2; --orange: #d55e00; --green: #009e73;
  --purple: #b5548f; --sky: #56b4e9; --brown: #8c5a2b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --ink: #e8e8e6; --grey: #a3a8ae; --frame: #565c64;
    --grid: #2d3238; --shade: #1e2227; --blue: #4797dd; --orange: #f08646;
    --green: #35bf95; --purple: #d983b8; --sky: #9ad4f7; --brown: #c79a63;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1rem; max-width: 50rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; }
header p { color: var(--grey); margin: 0.25rem 0 0; }
ul { padding-left: 1.2rem; }
li { margin: 0.25rem 0; }
code, pre { font: 0.85em/1.45 ui-monospace, monospace; }
pre { background: var(--shade); padding: 0.75rem; overflow-x: auto;
  overflow-wrap: normal; }
summary { cursor: pointer; }
.wide { overflow-x: auto; overflow-wrap: normal; margin-bottom: 1.25rem; }
td { white-space: nowrap; }
th.words, td.words { text-align: left; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: 0.9rem; }
th, td { padding: 0.3rem 0.75rem; border-bottom: 1px solid var(--grid);
  text-align: right; vertical-align: top; }
th:first-child { text-align: left; padding-left: 0; min-width: 6.5rem; }
tbody th { font-weight: 500; }
thead th { border-bottom-color: var(--frame); vertical-align: bottom; }
tr.group th { padding-top: 1rem; }
figure { margin: 1.25rem 0; }
figcaption { font-weight: 500; margin-bottom: 0.25rem; }
figure svg, figure img { display: block; width: 100%; height: auto; max-width: 42rem; }
svg text { fill: var(--ink); }
"""
