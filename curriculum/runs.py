"""List runs: settings, scores and state.

    python -m curriculum.runs --env gridworld --where learner=iql 'decay.half-life<4000'
    python -m curriculum.runs runs/my-study --sort eval/score --limit 10 --csv best.csv

Shown are the settings in which the listed runs differ. A run is running, interrupted,
finished or damaged; a damaged one is named with what is wrong, and stops nothing. Of
each run only its settings, its result and the end of its records are read.
"""

import csv
import io
import math
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from curriculum import train
from curriculum.files import write_text
from curriculum.report import columns
from curriculum.report.columns import Column
from curriculum.run import catalogue, mirror, query
from curriculum.run.catalogue import Entry
from curriculum.run.query import Value
from curriculum.setting.command_line import Command, Words
from curriculum.setting.description import Field

PROG = "python -m curriculum.runs"
# columns before those of settings that differ; the second one where the first is empty
SCORES = (("eval/score", "eval/mean_reward"), ("offline/score", "offline/mean_reward"))
# columns after them
OTHERS = ("eval/mean_reward", "final/last_score", "final/last_mean_reward", "time")
FIRST_OF_CSV = ("name", "state", "step", "updates", "time", "problem")
UNLIMITED = 100_000  # letters: the width where the output is no terminal
FIELDS = (
    Field("runs_dir", str, "runs", "search here where no FOLDER is given"),
    Field("env", str, "", "only runs in this world, such as gridworld or Hopper-v5"),
    Field(
        "where",
        tuple[str, ...],
        (),
        "only runs for which all of this holds: a flag of curriculum.train, a tag of "
        "metrics.jsonl, name, state, step, updates or time; then one of = != < <= > >= "
        "~ (contains), and a value",
    ),
    Field(
        "sort",
        tuple[str, ...],
        ("name",),
        "order by these names: results such as eval/score and time from the largest "
        "on, everything else ascending",
    ),
    Field("reverse", bool, False, "the other way round"),
    Field("limit", int, 0, "list so many runs at most, the first ones; 0: all"),
    Field("csv", str, "", "also write all settings and figures to this file"),
)


def main(argv: list[str] | None = None) -> None:
    """Print the table of runs."""
    words = sys.argv[1:] if argv is None else argv
    train.carry_out(COMMAND, words, PROG)


def prepare(words: Words) -> Callable[[], None]:
    """Find the runs, and check what is asked of them."""
    own = words.own
    if own["limit"] < 0:
        raise ValueError(f"--limit must be at least 0, got {own['limit']}")
    file = _csv_file(own["csv"])
    places = words.positional or [own["runs_dir"]]
    found = catalogue.read_all([mirror.listed(place) for place in places])
    known = query.names(found)
    wanted = query.conditions(own["where"], known)
    if own["env"]:
        wanted = query.in_world(own["env"], found) + wanted
    keys = query.sort_keys(own["sort"], known)
    chosen = query.ordered(query.choose(found, wanted), keys, own["reverse"])
    listed = chosen[: own["limit"] or None]
    asked = [each.key for each in wanted if each.relation != "="] + keys
    listing = Listing(listed, len(chosen), len(found), asked)
    return lambda: show(listing, file)


def _csv_file(given: str) -> Path | None:
    """The file to write to; ValueError where there is something else in its place."""
    if not given:
        return None
    file = Path(given)
    if not file.parent.is_dir():
        raise ValueError(f"--csv {given}: there is no folder {file.parent}")
    if not file.exists():
        return file
    is_own = False
    if file.is_file():
        head = ",".join(FIRST_OF_CSV)
        with file.open(errors="replace") as before:
            is_own = before.read(len(head)) == head
    if not is_own:
        raise ValueError(f"--csv {given} exists and is no list of runs; give another")
    return file


class Listing(NamedTuple):
    """What is to be shown."""

    entries: Sequence[Entry]
    chosen: int  # runs for which the conditions hold
    found: int  # runs in the folders
    asked: Sequence[str]  # names in conditions and in the order


def show(listing: Listing, file: Path | None) -> None:
    """Print the table, and write the file if there is one."""
    if file is not None:
        write_text(file, csv_text(listing.entries))
    if not listing.entries:
        print(f"none of {_runs(listing.found)} is like that")
        return
    width = shutil.get_terminal_size((UNLIMITED, 24)).columns
    table = columns.fit(_columns(listing), width)
    print(table.text)
    print(f"\n{_count(listing)}")
    if table.left_out:
        names = ", ".join(table.left_out)
        text = f"no room for: {names} (--csv FILE has all)"
        print(textwrap.fill(text, width, break_on_hyphens=False))
    for entry in listing.entries:
        if entry.problem:
            print(columns.printable(f"damaged: {entry.name}: {entry.problem}"))
    if file is not None:
        print(f"table   {file}")


def _count(listing: Listing) -> str:
    states: dict[str, int] = {}
    for entry in listing.entries:
        states[entry.state] = states.get(entry.state, 0) + 1
    counted = ", ".join(f"{count:,} {state}" for state, count in states.items())
    shown = _runs(len(listing.entries))
    if len(listing.entries) < listing.found:
        shown = f"{len(listing.entries):,} of {_runs(listing.found)}"
    return f"{shown}: {counted}"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count:,} runs"


# --- columns ---


def _columns(listing: Listing) -> list[Column]:
    """The table: what all runs have, what was asked for, scores, settings that differ,
    further results."""
    entries = listing.entries
    titles = ["name", "state", "step"]
    if any(entry.updates for entry in entries):
        titles.append("updates")
    titles += listing.asked
    for tags in SCORES:
        titles += [tag for tag in tags if _is_known(tag, entries)][:1]
    titles += differing(entries)
    titles += [tag for tag in OTHERS if _is_known(tag, entries)]
    return [
        _column(title, [query.value_of(entry, title) for entry in entries])
        for title in dict.fromkeys(titles)
    ]


def _is_known(key: str, entries: Sequence[Entry]) -> bool:
    """Whether some run has a value of this name."""
    return any(query.text_of(query.value_of(entry, key)) for entry in entries)


def differing(entries: Sequence[Entry]) -> list[str]:
    """The settings in which runs that have them differ, in the order of config.yaml."""
    values: dict[str, set[str]] = {}
    for entry in entries:
        for name, value in entry.settings.items():
            values.setdefault(name, set()).add(value)
    return [name for name, different in values.items() if len(different) > 1]


def _column(title: str, values: Sequence[Value]) -> Column:
    cells = [_cell(title, value) for value in values]
    return Column(title, cells, is_number=all(map(_is_number, values)))


def _is_number(value: Value) -> bool:
    try:
        float(value or 0)
    except ValueError:
        return False
    return True


def _cell(title: str, value: Value) -> str:
    """A value for the table: results are rounded, settings are as they are written."""
    if not isinstance(value, int | float) or math.isnan(value):
        return query.text_of(value) or "-"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}"


def csv_text(entries: Sequence[Entry]) -> str:
    """One line for each run, with every setting and every figure of any of them."""
    rest = [name for name in query.names(entries) if name not in FIRST_OF_CSV]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*FIRST_OF_CSV, *rest])
    for entry in entries:
        first = [getattr(entry, name) for name in FIRST_OF_CSV]
        writer.writerow([*first, *(query.value_of(entry, name) for name in rest)])
    return text.getvalue()


COMMAND = Command(
    "[FOLDER...] [--env WORLD] [--where CONDITION...] [--sort NAME...] [--csv FILE]",
    "List runs: settings, scores and state.",
    FIELDS,
    prepare,
    positional=-1,
)


if __name__ == "__main__":
    main()
