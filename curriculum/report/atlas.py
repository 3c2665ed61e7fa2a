"""Pictures of the maps of one moment, side by side.

They are made of pixels, without a figure: a run draws many of them, and must not wait.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, to_rgb
from matplotlib.ft2font import FT2Font

from curriculum.report import style

SIDE = 216  # pixels of the longer side of a map
GAP = 12
LINE = 18  # height of a line of text
TEXT_SIZE = 10  # points
TEXT_DPI = 80
HIGHEST = {"map/density": 0.98}  # quantile from which on colours are the same
TITLES = {
    "map/density": "share of steps in each cell",
    "map/bonus": "bonus",
    "map/exploration_value": "value to the explorer",
    "map/exploitation_value": "value to the learner",
    "map/trail": "newest steps",
}
PAPER = (255, 255, 255)
# colours of trails: of actions of the planner or an expert, and of all others
PLANNED = to_rgb(style.GREEN)
OWN = to_rgb(style.ORANGE)
PLANNERS = (0, 1)  # sources


def picture(maps: Mapping[str, np.ndarray], moment: str) -> np.ndarray:
    """A picture [height, width, 3] uint8 of the maps [rows, cols] of one seed, by tag;
    "map/trail" is [steps, 5], and walls are nan in the others.

    `moment` is written above."""
    shown = [tag for tag in TITLES if tag in maps]
    first = next(maps[tag] for tag in shown if tag != "map/trail")
    rows, cols = first.shape
    scale = SIDE / max(rows, cols)
    height = round(rows * scale)
    width = round(cols * scale)
    whole = (GAP + 3 * LINE + height + GAP, GAP + len(shown) * (width + GAP), 3)
    canvas = np.full(whole, PAPER, np.uint8)
    _write(canvas, moment, GAP, GAP // 2)
    walls = np.logical_and.reduce(
        [np.isnan(maps[tag]) for tag in shown if tag != "map/trail"]
    )
    for index, tag in enumerate(shown):
        left = GAP + index * (width + GAP)
        top = GAP + 3 * LINE
        tile = canvas[top : top + height, left : left + width]
        values = np.where(walls, np.nan, 0.0) if tag == "map/trail" else maps[tag]
        tile[:] = _enlarged(_colored(values, walls, tag), height, width)
        _write(canvas, TITLES[tag], left, GAP + LINE)
        if tag == "map/trail":
            _draw_trail(tile, maps[tag], scale)
            _write(canvas, "orange: learner, green: planner", left, GAP + 2 * LINE)
        else:
            _write(canvas, _range(values), left, GAP + 2 * LINE)
    return canvas


def _range(values: np.ndarray) -> str:
    """From where to where values go."""
    known = values[np.isfinite(values)]
    if not known.size:
        return "nothing known"
    return f"{known.min():.3g} to {known.max():.3g}"


def _colored(values: np.ndarray, walls: np.ndarray, tag: str) -> np.ndarray:
    """Values [rows, cols] as colours, uint8 [rows, cols, 3]; white where nothing is
    known, and for a density of 0."""
    colors: Colormap = style.DEEP
    known = np.isfinite(values)
    if tag == "map/density":
        known &= values > 0
    shade = np.zeros_like(values)
    if tag != "map/trail" and known.any():
        low = values[known].min()
        high = np.quantile(values[known], HIGHEST.get(tag, 1.0))
        shade[known] = ((values[known] - low) / max(high - low, 1e-12)).clip(0, 1)
    found = (255 * colors(shade)[..., :3]).astype(np.uint8)
    found[~known | (tag == "map/trail")] = PAPER
    found[walls] = (255 * np.array(to_rgb(style.WALL))).astype(np.uint8)
    return found


def _enlarged(colors: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, cols = colors.shape[:2]
    row = np.arange(height) * rows // height
    col = np.arange(width) * cols // width
    return colors[row[:, None], col]


def _draw_trail(tile: np.ndarray, trail: np.ndarray, scale: float) -> None:
    """Draw a line for every step, [steps, 5], the newest ones on top."""
    known = trail[np.isfinite(trail).all(-1)]
    longest = np.abs(known[:, 2:4] - known[:, :2]).max(initial=0) * scale
    dots = int(longest) + 2  # so that no line has gaps
    along = np.linspace(0, 1, dots)[:, None]  # of a step
    places = known[:, None, :2] * (1 - along) + known[:, None, 2:4] * along
    color = np.where(np.isin(known[:, 4:], PLANNERS), PLANNED, OWN)  # [steps, 3]
    color = (255 * color).astype(np.uint8)[:, None].repeat(dots, 1).reshape(-1, 3)
    pixel = (places.reshape(-1, 2) * scale).astype(int)
    for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
        row, col = (pixel + shift).clip(0, np.array(tile.shape[:2]) - 1).T
        tile[row, col] = color


# --- text ---


@cache
def _font() -> FT2Font:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    font = FT2Font(str(path))
    font.set_size(TEXT_SIZE, TEXT_DPI)
    return font


@cache
def _ink(text: str) -> np.ndarray:
    """How dark the pixels of a line are, [height, width] in [0, 1]."""
    font = _font()
    font.set_text(text, 0)
    font.draw_glyphs_to_bitmap(antialiased=True)
    return np.asarray(font.get_image()) / 255


def _write(canvas: np.ndarray, text: str, left: int, top: int) -> None:
    """Write a line; what does not fit is cut off."""
    ink = _ink(text)[: canvas.shape[0] - top, : canvas.shape[1] - left]
    height, width = ink.shape
    place = canvas[top : top + height, left : left + width]
    dark = np.array(to_rgb(style.INK)) * 255
    mixed = place * (1 - ink[..., None]) + dark * ink[..., None]
    place[:] = mixed.round()
