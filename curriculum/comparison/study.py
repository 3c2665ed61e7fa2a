"""What a study writes once its comparisons are finished."""

import csv
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curriculum.comparison.plan import TABLE
from curriculum.comparison.report import VERDICTS
from curriculum.files import write_text
from curriculum.report import figures, study_page
from curriculum.report.study_page import Result
from curriculum.setting.flags import Flag
from curriculum.setting.studies import Study

SEEDS = "seeds.csv"
FIRST = ("final ", "first success at step")  # begins the measures that are shown


def write(study: Study, command: Sequence[str], folders: Sequence[Path]) -> Path:
    """Write the page and the figure of a study beside the folders of its comparisons,
    and return the page."""
    parent = folders[0].parents[1]
    pairs = zip(folders, study.differences, strict=True)
    results = [_result(folder, parent, different) for folder, different in pairs]
    picture = parent / f"{study.name}.png"
    figures.save(study_page.figure(results), picture)
    page = parent / f"{study.name}.md"
    words = shlex.join(command)
    text = study_page.markdown(study.name, study.question, words, results, picture.name)
    write_text(page, text)
    return page


def _result(folder: Path, parent: Path, different: Sequence[Flag]) -> Result:
    """Read a finished comparison, which differs from the others in these flags."""
    values: dict[str, dict[str, list[float]]] = {}
    for line in _lines(folder / SEEDS):
        own = values.setdefault(line["arm"], {})
        for name, value in line.items():
            if name.startswith(FIRST):
                own.setdefault(name, []).append(float(value or "nan"))
    won = [
        f"{line['measure']}, against {line['reference']}: {line['text']}"
        for line in _lines(folder / VERDICTS)
        if line["winner"]
    ]
    arrays = {
        arm: {name: np.array(column) for name, column in own.items()}
        for arm, own in values.items()
    }
    table = (folder / TABLE).relative_to(parent)
    # the name of the world, and what it does not tell
    others = [flag for flag in different if flag.name.partition(".")[0] != "env"]
    words = [f"{flag.name} {' '.join(flag.values)}" for flag in others]
    title = ", ".join([folder.parent.name, *words])
    return Result(title, str(table), arrays, won)


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
