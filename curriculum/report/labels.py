"""Labels of points that cover neither one another nor what is drawn."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from curriculum.report.style import INK

SIZE = 9  # points
# offsets from a point, in points, in order of preference
SIDES = (
    (0, 8),
    (0, -8),
    (9, 0),
    (-9, 0),
    (7, 6),
    (-7, 6),
    (7, -6),
    (-7, -6),
    (0, 36),
    (0, -36),
    (0, 64),
)
# alignment of a text that lies at, right or left of, above or below its point
HORIZONTAL = ("center", "left", "right")
VERTICAL = ("center", "bottom", "top")
CLEARANCE = 3  # pixels between a text and points or lines
LINE_POINTS = 50  # points that stand for a line between two points of the front


def label_points(
    figure: Figure,
    axes: Axes,
    points: np.ndarray,
    texts: Sequence[str],
    front: np.ndarray,
) -> None:
    """Label `points` [n, 2], each on the first side where its text covers no point, no
    other text and not the line through the points of the mask `front` [n]."""
    figure.draw_without_rendering()  # fixes the layout, so that texts have a size
    pixels = axes.transData.transform(points)
    line = pixels[front]
    segments = np.linspace(line[:-1], line[1:], LINE_POINTS)
    obstacles = np.concatenate([pixels, *segments])
    taken: list[Any] = []  # boxes of the texts so far
    for point, text in zip(points, texts, strict=True):
        for side in SIDES:
            note = _note(axes, point, text, side)
            box = note.get_window_extent()
            covers_text = box.count_overlaps(taken)
            covers_line = box.padded(CLEARANCE).count_contains(obstacles)
            if side == SIDES[-1] or not (covers_text or covers_line):
                break
            note.remove()
        taken.append(box)


def _note(
    axes: Axes, point: np.ndarray, text: str, side: tuple[int, int]
) -> Annotation:
    x, y = side
    align: dict[str, Any] = {
        "ha": HORIZONTAL[np.sign(x)],
        "va": VERTICAL[np.sign(y)],
    }
    return axes.annotate(
        text,
        tuple(point),
        side,
        textcoords="offset points",
        fontsize=SIZE,
        color=INK,
        **align,
    )
