"""Diagnose runs on the states of a data set: actions, support and values.

    python -m curriculum.diagnose RUN... --data DATA

Every run is asked about the same states. The report says how far its actions are from
the data's, whether the data support them, and whether its values are too high.
"""

import csv
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from curriculum import train
from curriculum.activity import phase
from curriculum.files import write_text
from curriculum.setting import flags
from curriculum.setting.command_line import Command, Words, plugin_words
from curriculum.setting.description import Field
from curriculum.types import Planner

if TYPE_CHECKING:
    from curriculum.data.states import States
    from curriculum.report.diagnosis_figures import Figure
    from curriculum.run.diagnosis import Diagnosis, Yardstick
    from curriculum.run.opened import OpenedRun

PROG = "python -m curriculum.diagnose"
FOLDER = "diagnose"
MOST_STATES = 100_000
FIELDS = (
    Field("data", str, "", "folder of a data set of the runs' world; held-out is best"),
    Field("states", int, 1_000, "states that are chosen from it, the same for all"),
    Field("seed", int, 0, "seed of that choice"),
    Field("neighbours", int, 10, "nearest states that may support an action"),
    Field(
        "episodes",
        int,
        50,
        "episodes that each learner plays, to compare its values with what it gets; "
        "0: none",
    ),
    Field("policy", Literal["last", "best"], "last", "which policy of the runs"),
    Field(
        "out",
        str,
        "",
        f"folder of the report; empty: {FOLDER} in that of the first run",
    ),
)


def main(argv: list[str] | None = None) -> None:
    """Measure every run, then write tables and figures."""
    words = sys.argv[1:] if argv is None else argv
    stopped = "stopped; nothing was written"
    train.carry_out(COMMAND, words, PROG, "--states", stopped)


class Question(NamedTuple):
    """What is asked of which runs."""

    runs: "dict[str, OpenedRun]"  # by name
    states: "States"
    neighbours: int
    policy: Literal["last", "best"]
    episodes: int
    planner: Planner | None
    out: Path
    command: str


def prepare(words: Words) -> Callable[[], None]:
    """Check what is to be diagnosed."""
    from curriculum.data import states
    from curriculum.data.dataset import DataSet
    from curriculum.run.diagnosis import require_fit
    from curriculum.run.mirror import readable
    from curriculum.run.opened import OpenedRun, open_all
    from curriculum.storage import data_at

    own = words.own
    if not words.positional or not own["data"]:
        raise ValueError(f"usage: {PROG} {COMMAND.usage}")
    for name, least, most in (
        ("states", 1, MOST_STATES),
        ("neighbours", 1, 1_000),
        ("episodes", 0, 100_000),
        ("seed", 0, 2**31),
    ):
        if not least <= own[name] <= most:
            raise ValueError(
                f"--{name} must be between {least:,} and {most:,}, got {own[name]:,}"
            )
    data = DataSet(data_at(own["data"]))
    if data.transitions < 2:
        raise ValueError(f"{data.folder} has one transition; give a larger data set")
    runs = open_all([readable(word) for word in words.positional], OpenedRun)
    for run in runs.values():
        require_fit(run, data)
    _require_same_spaces(runs)
    first = next(iter(runs.values()))
    question = Question(
        runs=runs,
        states=states.choose(data, own["states"], own["seed"]),
        neighbours=own["neighbours"],
        policy=own["policy"],
        episodes=own["episodes"],
        planner=_planner(words.plugins, runs),
        out=_out(own["out"], first),
        command=words.text.strip(),
    )
    return lambda: diagnose(question)


def _require_same_spaces(runs: "dict[str, OpenedRun]") -> None:
    first = next(iter(runs.values()))
    for run in runs.values():
        own = (run.spec.actions, run.spec.action_size)
        if own != (first.spec.actions, first.spec.action_size):
            raise ValueError(
                f"{first.folder} and {run.folder} have different actions; "
                "diagnose them one by one"
            )


def _planner(
    given: Sequence[flags.Flag], runs: "dict[str, OpenedRun]"
) -> Planner | None:
    """The planner that the flags choose, with what the world of a run suggests."""
    from curriculum.contract.fit import check_planner_fit
    from curriculum.run.trained import is_playable

    words = plugin_words(given, "planner")
    if not words:
        return None
    playable = [run for run in runs.values() if is_playable(run)]
    if not playable:
        raise ValueError("--planner needs a run whose world can be played")
    first = playable[0]
    path = first.folder / "config.yaml"
    chosen = flags.read(["--config", str(path), *words], PROG).config.plugged()
    for run in playable:
        check_planner_fit(chosen["planner"], run.world)
    return chosen["planner"]


def _out(given: str, run: "OpenedRun") -> Path:
    """A folder that does not exist yet."""
    if given:
        out = Path(given)
        if out.exists():
            raise ValueError(f"--out {out} exists; give another folder")
        return out
    out = run.folder / FOLDER
    number = 1
    while out.exists():
        number += 1
        out = run.folder / f"{FOLDER}-{number}"
    return out


def diagnose(question: Question) -> None:
    """Measure every run, print the table, and write the report."""
    from curriculum.run.diagnosis import measure, yardstick

    states = question.states
    states.data.verify()
    first = next(iter(question.runs.values()))
    with phase("neighbours", len(states), "states", "--states"):
        yard = yardstick(states, first.spec, question.neighbours)
    found: dict[str, Diagnosis] = {}
    with phase("diagnose", len(question.runs), "runs") as current:
        for name, run in question.runs.items():
            current.report(len(found), f"now {name}")
            found[name] = measure(
                run, yard, question.policy, question.episodes, question.planner
            )
            current.report(len(found))
    _write(question, yard, found)


def _write(
    question: Question, yard: "Yardstick", found: "dict[str, Diagnosis]"
) -> None:
    from curriculum.report import diagnosis_table, document, figures

    columns = [
        diagnosis_table.Column(name, one.seeds, one.policy, one.values)
        for name, one in found.items()
    ]
    out = question.out
    out.mkdir(parents=True)
    drawn = draw(yard, found)
    for name, figure in drawn.items():
        figures.save(figure, out / f"{name}.png")
    write_text(out / "diagnose.csv", _csv(diagnosis_table.rows(columns)))
    about = _about(question, yard)
    notes = [note for one in found.values() for note in one.notes]
    report = diagnosis_table.report(question.command, about, columns, notes, drawn)
    # before the page, which takes the titles out of the figures
    write_text(out / "diagnose.md", document.to_markdown(report))
    write_text(out / "diagnose.html", document.to_html(report))
    print(f"\n{diagnosis_table.summary(columns)}\n")
    for note in notes:
        print(note)
    print(f"report  {out}/diagnose.html")


def _about(question: Question, yard: "Yardstick") -> str:
    """What was asked."""
    states = question.states
    about = (
        f"{len(states):,} states of {states.data.folder} "
        f"({states.data.transitions:,} transitions), the {question.policy} policy, "
        f"{yard.neighbours.steps.shape[1]} neighbours"
    )
    if yard.repeats is not None:
        about += f"; {len(yard.repeats.states):,} of the states are visited repeatedly"
    if question.episodes:
        about += f"; {question.episodes:,} episodes of each seed"
    return about


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def draw(yard: "Yardstick", found: "dict[str, Diagnosis]") -> "dict[str, Figure]":
    """The figures of the report, by the names of their files."""
    from curriculum.report import diagnosis_figures
    from curriculum.run import diagnosis

    drawn = {}
    with_q = {
        name: diagnosis.values_of_actions(one)
        for name, one in found.items()
        if one.reading.q_data is not None
    }
    if with_q:
        drawn["q"] = diagnosis_figures.value_histogram(with_q)
    support = {name: one.support for name, one in found.items()}
    own = diagnosis.own_support(yard)
    if yard.spec.actions:
        most = yard.neighbours.steps.shape[1]
        drawn["support"] = diagnosis_figures.support_counts(support, own, most)
    else:
        drawn["support"] = diagnosis_figures.support_distances(support, own)
    pairs = {name: diagnosis.calibration(one) for name, one in found.items()}
    with_values = {name: pair for name, pair in pairs.items() if pair is not None}
    if with_values:
        drawn["calibration"] = diagnosis_figures.calibration(with_values)
    return drawn


COMMAND = Command(
    "RUN... --data DATA [--planner NAME]",
    "Diagnose runs on the states of a data set: actions, support and values.",
    FIELDS,
    prepare,
    positional=-1,
    families=("planner",),
)


if __name__ == "__main__":
    main()
