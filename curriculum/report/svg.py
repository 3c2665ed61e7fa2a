"""Figures as SVG inside a page: the same figure gives the same text."""

import html
import io
import re
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from curriculum.report import style
from curriculum.report.margins import LEGEND_ROW, Margins

WIDTH = 5.6  # inches: text of 10 points is readable on a phone, too
WIDTH_OF_PANELS = 7.0  # inches, of plots beside one another
TITLE = 20  # points, of the place that a title takes
# what a page calls the colours, which are others on a dark screen
COLORS = {
    style.INK: "ink",
    style.GREY: "grey",
    style.FRAME: "frame",
    style.GRID: "grid",
    style.BLUE: "blue",
    style.ORANGE: "orange",
    style.GREEN: "green",
    style.PURPLE: "purple",
    style.SKY: "sky",
    style.BROWN: "brown",
    "#FFFFFF": "paper",
    "#000000": "ink",
}
SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "curriculum"}
METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def title_of(figure: Figure) -> str:
    """The title of a figure, which stands above its first axes."""
    titles = [axes.get_title("left") for axes in figure.axes]
    return next((title for title in titles if title), "")


def inline(figure: Figure, name: str) -> str:
    """Draw a figure as an SVG element for a page in which no other has this name.

    The figure becomes narrower, and loses its title: the page shows it."""
    title = title_of(figure)
    _fit(figure)
    drawn = io.BytesIO()
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_visible(False)
    with matplotlib.rc_context(SETTINGS):
        # `savefig` would draw it twice
        FigureCanvasSVG(figure).print_svg(drawn, metadata=METADATA)
    text = drawn.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, count=1, flags=re.S)
    # inside a page, names need no address
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = _cut(text) if title else text
    text = _with_own_names(text, name)
    text = _with_colors_of_page(text)
    label = html.escape(title or name, quote=True)
    first, rest = text.split(">", 1)
    first = re.sub(r'\s(width|height)="[^"]*"', "", first)
    return f'{first} role="img" aria-label="{label}">{rest}'


def _fit(figure: Figure) -> None:
    """Make a figure narrow, without its title, and higher if its legend needs more rows
    than before."""
    before, height = figure.get_size_inches()
    margins = figure.get_layout_engine()
    assert isinstance(margins, Margins)
    width = WIDTH if margins.columns == 1 else WIDTH_OF_PANELS
    for axes in figure.axes:
        axes.set_title("", loc="left")
    figure.set_size_inches(width, height)
    rows = margins.legend_rows
    for legend in figure.legends:
        title = legend.get_title().get_text()
        legend.remove()
        style.legend(figure, title)  # in fewer columns
    shrunk = height * (1 + width / before) / 2
    more = (margins.legend_rows - rows) * LEGEND_ROW
    figure.set_size_inches(width, shrunk + more)


def _cut(text: str) -> str:
    """Take the empty place of the title out of what is shown."""

    def cut(box: re.Match[str]) -> str:
        x, _, width, height = box[1].split()
        return f'viewBox="{x} {TITLE:g} {width} {float(height) - TITLE:g}"'

    return re.sub(r'viewBox="([^"]*)"', cut, text, count=1)


def _with_own_names(text: str, name: str) -> str:
    """Names of elements that no other figure of the page has."""
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    return text.replace('href="#', f'href="#{name}-')


def _with_colors_of_page(text: str) -> str:
    for color, variable in COLORS.items():
        text = re.sub(f"{color}\\b", f"var(--{variable})", text, flags=re.I)
    return text
