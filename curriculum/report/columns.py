"""A plain table that fits the width of a terminal."""

from collections.abc import Sequence
from typing import NamedTuple

GAP = "  "
ELLIPSIS = "..."
WIDEST = 24  # letters of a cell; those of the first column may be more
FIRST_SHARE = 0.5  # of the width that the first column may take


class Column(NamedTuple):
    """A title and a cell for each row."""

    title: str
    cells: Sequence[str]
    is_number: bool = False


class Fitted(NamedTuple):
    """A table, and the titles of the columns that it has no room for."""

    text: str
    left_out: list[str]


def fit(columns: Sequence[Column], width: int) -> Fitted:
    """Draw as many of the columns, in this order, as a width in letters has room for;
    cells that are too long lose their beginning."""
    first, *others = columns
    most = max(WIDEST, int(FIRST_SHARE * width))
    drawn = [_aligned(first, most)]
    used = len(drawn[0][0])
    left_out: list[str] = []
    for column in others:
        cells = _aligned(column, WIDEST)
        needed = len(GAP) + len(cells[0])
        if left_out or used + needed > width:
            left_out.append(column.title)
            continue
        drawn.append(cells)
        used += needed
    lines = [GAP.join(cells).rstrip() for cells in zip(*drawn, strict=True)]
    return Fitted("\n".join(lines), left_out)


def _aligned(column: Column, most: int) -> list[str]:
    """The title and the cells of a column, all of the same length."""
    texts = [column.title, *(cut(printable(cell), most) for cell in column.cells)]
    width = max(map(len, texts))
    if column.is_number:
        return [text.rjust(width) for text in texts]
    return [text.ljust(width) for text in texts]


def cut(text: str, most: int) -> str:
    """A text of at most so many letters: of a longer one, the end."""
    if len(text) <= most:
        return text
    return ELLIPSIS + text[len(text) - most + len(ELLIPSIS) :]


def printable(text: str) -> str:
    """A text whose control characters, which could move the cursor, are replaced."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)
