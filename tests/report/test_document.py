"""A report is one page that needs nothing else, and the same in Markdown."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from curriculum.report import figures, style, svg
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
    blocks_of,
    to_html,
    to_markdown,
)

EMPTY = {"meta", "img"}  # elements without an end


class Checked(HTMLParser):
    """Reads a page, and fails where elements do not close or names repeat."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.names += [value or "" for name, value in attrs if name == "id"]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.names += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def curves() -> figures.Figure:
    steps = np.arange(4)
    arms = {f"arm {i} <&> of a long name": (steps, np.eye(4)[:, :3]) for i in range(3)}
    return figures.learning_curves(arms, random=0.0, planner=1.0)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page and the Markdown of a report with everything."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "map.png").write_bytes(b"\x89PNG")
    blocks: list[Block] = [
        Paragraph("Less < more & `code` of 1 +- 2, **bold**."),
        Listed(["one", "two"]),
        Grid(["", "x"], [["**group**", ""], ["a", "1.5"]]),
        Verbatim("a  <b>", folded="Settings"),
        Drawn("first", curves(), "first.png"),
        Drawn("second", curves(), "second.png"),
        Photo("a map", "map.png", folder),
    ]
    document = Document("A <title>", "sub", [Section("Part", blocks)])
    markdown = to_markdown(document)
    return to_html(document), markdown


def test_a_page_is_well_formed_and_names_nothing_twice(report) -> None:
    page = Checked(report[0])
    assert len(page.names) > 50
    assert len(set(page.names)) == len(page.names)
    links = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', report[0])
    assert links
    assert {one or other for one, other in links} <= set(page.names)


def test_a_page_loads_nothing(report) -> None:
    page, _ = report
    assert "://" not in page
    assert "<script" not in page
    assert "@import" not in page
    attributes = dict(Checked(page).attributes)
    assert str(attributes["src"]).startswith("data:image/png;base64,")
    assert all(
        str(value).startswith("#")
        for name, value in Checked(page).attributes
        if name == "href"
    )


def test_a_page_suits_phones_and_dark_screens(report) -> None:
    page, _ = report
    assert '<meta name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page
    drawn = page[page.index("<svg") : page.rindex("</svg>")]
    assert not re.search(r"<svg[^>]*\swidth=", drawn)
    for color in (style.INK, style.GREY, style.BLUE, "#000000", "#ffffff"):
        assert color.lower() not in drawn.lower()
    used = set(re.findall(r"var\(--(\w+)\)", page))
    defined = re.findall(r"--(\w+): #", page)
    assert all(defined.count(name) == 2 for name in used)  # light and dark


def test_text_is_escaped_and_marked(report) -> None:
    page, _ = report
    assert "Less &lt; more &amp; <code>code</code> of 1 &plusmn; 2" in page
    assert "<strong>bold</strong>" in page
    assert "a  &lt;b&gt;" in page
    assert "<title>A &lt;title&gt;</title>" in page
    assert "arm 0 &lt;&amp;&gt; of a long name" in page


def test_figures_are_the_same_every_time() -> None:
    assert svg.inline(curves(), "x") == svg.inline(curves(), "x")


def test_the_title_of_a_figure_stands_above_it(report) -> None:
    page, _ = report
    assert page.count("<figcaption>Learning curves</figcaption>") == 2
    assert page.count("Learning curves") == 4  # and as labels for screen readers


def test_markdown_holds_the_same(report) -> None:
    _, markdown = report
    assert markdown.startswith("# A <title>\n\nsub\n\n## Part\n\nLess < more")
    assert "- one\n- two" in markdown
    assert "|  | x |\n| :-- | --: |\n| **group** |  |\n| a | 1.5 |" in markdown
    assert "![Learning curves](first.png)" in markdown


def test_blocks_of_markdown_are_read() -> None:
    text = "| a | b |\n|:--|--:|\n| x \\| y | 1 |\n\nTwo\nlines.\n\n- one\n- two\n"
    assert blocks_of(text) == [
        Grid(["a", "b"], [["x | y", "1"]], words=1),
        Paragraph("Two lines."),
        Listed(["one", "two"]),
    ]


def test_columns_of_words_and_numbers_are_aligned() -> None:
    [grid] = blocks_of("| a | b | c |\n|:--|:--|--:|\n| x | y | 1 |")
    document = Document("t", "", [Section("s", [grid])])
    assert '<th>x</th><td class="words">y</td><td>1</td>' in to_html(document)
    assert "| :-- | :-- | --: |" in to_markdown(document)


def test_pages_of_folders_with_pictures_hold_them(tmp_path: Path) -> None:
    (tmp_path / "map.png").write_bytes(b"abc")
    photo = Photo("map", "map.png", tmp_path)
    page = to_html(Document("t", "", [Section("s", [photo])]))
    assert "data:image/png;base64,YWJj" in page
