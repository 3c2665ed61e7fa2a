"""A comparison is told on one page."""

import math
from pathlib import Path

import numpy as np
import pytest

from curriculum.report import comparison_page, conclusions, figures
from curriculum.report.verdicts import Verdict

TABLE = """| arm | final return |
|:--|--:|
| a | 1.00 +- 0.10 |
| b | 2.00 +- 0.10 |

A note."""


def verdict(**values: object) -> Verdict:
    fixed = {
        "arm": "b",
        "reference": "a",
        "measure": "final return",
        "mean": 1.0,
        "low": 0.8,
        "high": 1.2,
        "earlier": 0,
        "later": 0,
        "n": 5,
        "seeds": 5,
        "p": 0.004,
        "winner": "b",
        "text": "b wins",
    }
    return Verdict(**(fixed | values))  # type: ignore[arg-type]


def test_verdicts_are_told_with_their_evidence() -> None:
    rare = verdict(measure="x", text="no winner", winner="", p=math.nan, low=math.nan)
    sure = verdict(p=1e-9)
    assert conclusions.of_comparison([verdict(), sure, rare])[:-1] == [
        "**final return**, `b` minus `a`: b wins (+1.00 [+0.80, +1.20], p = 0.004).",
        "**final return**, `b` minus `a`: b wins (+1.00 [+0.80, +1.20], p <0.001).",
        "**x**, `b` minus `a`: no winner (+1.00).",
    ]
    assert "5 pairs of seeds" in conclusions.of_comparison([verdict()])[-1]
    assert conclusions.of_comparison([]) == ["There is one arm: nothing is compared."]


@pytest.fixture
def page(tmp_path: Path) -> tuple[str, str]:
    steps = np.arange(3)
    curves = figures.learning_curves({"a": (steps, np.eye(3))})
    described = {
        "command": "python -m curriculum.compare --learner a b",
        "settings": {
            "a": {"steps": 80, "learner": "dqn", "learner.alpha": 1},
            "b": {"steps": 80, "learner": "bc"},
        },
    }
    folder = tmp_path / "compare"
    folder.mkdir()
    path = comparison_page.write(
        folder, described, TABLE, [verdict()], {"curves": curves}
    )
    return path.read_text(), (folder / "report.md").read_text()


def test_a_page_holds_results_and_where_arms_differ(page) -> None:
    html, markdown = page
    assert "<h1>Comparison compare</h1>\n<p>2 arms: a, b</p>" in html
    assert "<td>1.00 &plusmn; 0.10</td>" in html
    assert "<svg" in html
    assert "![Learning curves](curves.png)" in markdown
    assert "| `learner` | dqn | bc |\n| `learner.alpha` | 1 | - |" in markdown
    assert "```\nsteps: 80\n```" in markdown
    assert "python -m curriculum.compare --learner a b" in markdown
