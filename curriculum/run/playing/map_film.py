"""The film of the maps that a run has drawn."""

from pathlib import Path

import numpy as np

from curriculum.report import atlas
from curriculum.run.playing.screens import film, require_video

FOLDER = "maps"
FILE = "maps.gif"
FPS = 4
MOST_FRAMES = 60


def write(folder: Path) -> Path:
    """Write the maps of a run's first seed as a GIF, or at most `MOST_FRAMES` of them,
    evenly spread; returns its path, or their folder where films cannot be written."""
    moments = sorted((folder / FOLDER).glob("*.npz"), key=_order)
    try:
        require_video(".gif")
    except ValueError:
        return folder / FOLDER
    count = min(len(moments), MOST_FRAMES)
    chosen = np.linspace(0, len(moments) - 1, count).astype(int)
    with film(folder / FILE, FPS) as screen:
        for index in chosen:
            screen.show(_frame(moments[index]))
    return folder / FILE


def _order(path: Path) -> tuple[bool, str]:
    """The offline phase comes first."""
    return path.stem.startswith("step"), path.stem


def _frame(path: Path) -> np.ndarray:
    """The picture of one moment."""
    with np.load(path, allow_pickle=False) as arrays:
        maps = {f"map/{name}": arrays[name][0] for name in arrays.files}
    phase, _, count = path.stem.partition("-")
    unit = "environment steps" if phase == "step" else "offline updates"
    return atlas.picture(maps, f"{int(count):,} {unit}")
