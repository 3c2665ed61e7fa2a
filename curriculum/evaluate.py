"""Evaluate policies of runs and files, beside planners, on the same episodes.

    python -m curriculum.evaluate RUN|FILE.cur... --episodes 100 --against constant

The learner of every seed plays alone, or the policy of a file in the world that it
names. Without `--episodes` and `--first-episode` these are the episodes of the run's
final evaluation, with the same results.
"""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from curriculum import train
from curriculum.activity import Phase, overhearing, phase
from curriculum.files import folder_for, write_text
from curriculum.setting import plugins
from curriculum.setting.command_line import Command, Words
from curriculum.setting.config import flat
from curriculum.setting.description import Field

if TYPE_CHECKING:
    from curriculum.report.evaluation_table import Row
    from curriculum.run.opened import Which
    from curriculum.run.players import Played, Player
    from curriculum.run.trained import Trained
    from curriculum.types import Planner

PROG = "python -m curriculum.evaluate"
RESULT = "evaluation.json"
FIELDS = (
    Field(
        "episodes",
        int | None,
        None,
        "episodes of each seed; without it as many as in the run's evaluations, for a "
        "file as many as are usual in its world",
    ),
    Field(
        "first_episode",
        int | None,
        None,
        "seed of the first episode, the others follow; without it that of final "
        "evaluations, 1,000,000; those from 0 on chose the best policy",
    ),
    Field(
        "policy",
        Literal["last", "best", "all"] | None,
        None,
        "which policy of the runs, without it the last; all: every one that "
        "--keep-policies all kept",
    ),
    Field(
        "epsilon",
        float,
        0.0,
        "share of random actions of the policies, as evaluations of Atari games have "
        "it, 0.001; planners have none",
    ),
    Field(
        "planning_rate",
        float | None,
        None,
        "also let learner and planner of the run act together, the planner at this "
        "rate, in [0, 1]",
    ),
    Field(
        "against",
        tuple[str, ...],
        (),
        "who plays the same episodes: planners such as constant or 'mcts "
        "simulations=50', other runs and policy files",
    ),
    Field("out", str, "", "folder for table.md, a figure and all numbers; empty: none"),
)


def main(argv: list[str] | None = None) -> None:
    """Let everybody play, then print the table."""
    words = sys.argv[1:] if argv is None else argv
    stopped = "stopped; nothing was written"
    train.carry_out(COMMAND, words, PROG, "--episodes", stopped)


class Contest(NamedTuple):
    """Who plays which episodes."""

    runs: "dict[str, Trained]"  # and files, by name; they share their world
    players: "list[Player]"
    reference: int  # whom of them the others are compared with
    episodes: range
    out: Path | None
    command: str


# --- before anybody plays ---


def prepare(words: Words) -> Callable[[], None]:
    """Check who is to play what."""
    from curriculum.run.mirror import readable
    from curriculum.run.opened import open_all
    from curriculum.run.trained import episodes_of, is_trained, open_trained

    own = words.own
    if not words.positional:
        raise ValueError(f"usage: {PROG} {COMMAND.usage}")
    for flag in words.plugins:
        if flag.name != "trust":
            raise ValueError(f"there is no flag --{flag.name}")
    out = folder_for(own["out"], RESULT, "evaluation")
    against = list(dict.fromkeys(own["against"]))
    planners = plugins.names("planner")
    others = [word for word in against if word not in planners and is_trained(word)]
    paths = [readable(word) for word in (*words.positional, *others)]
    runs = open_all(paths, open_trained)
    _require_same_world(runs)
    first = next(iter(runs.values()))
    episodes = episodes_of(first, own["episodes"], own["first_episode"])
    players: list[Player] = []
    reference = 0
    for name, run in runs.items():
        players += _policies(name if len(runs) > 1 else "", run, own, episodes)
        if run is first:
            reference = len(players) - 1
    players += _mixtures(runs, own, episodes)
    players += _planners(
        [word for word in against if word not in others], first, episodes
    )
    contest = Contest(runs, players, reference, episodes, out, words.text.strip())
    return lambda: evaluate(contest)


def _require_same_world(runs: "dict[str, Trained]") -> None:
    """Raise ValueError where runs were trained in different worlds, or in one that
    cannot be played."""
    from curriculum.run.trained import is_playable

    first = next(iter(runs.values()))
    if not is_playable(first):
        raise ValueError(
            f"the world of {first.path} is known from its data alone and cannot be "
            "played; python -m curriculum.diagnose compares it with data"
        )
    world = _world(first)
    for run in runs.values():
        differing = [
            f"{name} is {world.get(name)} and {value}"
            for name, value in _world(run).items()
            if value != world.get(name)
        ]
        if differing:
            raise ValueError(
                f"{first.path} and {run.path} have different worlds: "
                f"{'; '.join(differing)}; evaluate them one by one"
            )


def _world(run: "Trained") -> dict[str, Any]:
    """The settings of a run's world."""
    settings = flat(run.config)
    return {name: settings[name] for name in settings if name.startswith("env")}


def _policies(
    name: str, run: "Trained", own: dict[str, Any], episodes: range
) -> "list[Player]":
    """The learner alone, as the last or best policy, or as all that a run kept.

    `name` is empty for a run that needs none."""
    from curriculum.run import players
    from curriculum.run.trained import require_run

    scale = run.scale_of(episodes)
    epsilon = own["epsilon"]
    if not 0 <= epsilon <= 1:
        raise ValueError(f"--epsilon must be in [0, 1], got {epsilon:g}")
    if own["policy"] == "all":
        return players.kept(name, require_run(run, "--policy all"), scale, epsilon)
    which = _which(run, own)
    label = name or f"{which} policy"
    return [players.alone(label, run, which, scale, epsilon)]


def _which(run: "Trained", own: dict[str, Any]) -> "Which":
    from curriculum.run.trained import chosen

    return chosen(run, own["policy"], "last")


def _mixtures(
    runs: "dict[str, Trained]", own: dict[str, Any], episodes: range
) -> "list[Player]":
    """Learner and planner of each run at a planning rate, if one is given."""
    from curriculum.contract.fit import check_planner_fit
    from curriculum.run import players
    from curriculum.run.trained import require_run

    rate = own["planning_rate"]
    if rate is None:
        return []
    if not 0 <= rate <= 1:
        raise ValueError(f"--planning-rate must be in [0, 1], got {rate:g}")
    if own["policy"] == "all":
        raise ValueError("--planning-rate needs --policy last or best")
    found = []
    for name, trained in runs.items():
        run = require_run(trained, "--planning-rate")
        check_planner_fit(run.config.plugged()["planner"], run.world)
        label = f"{name}, rate {rate:g}" if len(runs) > 1 else f"planning rate {rate:g}"
        scale = run.scale_of(episodes)
        found.append(players.mixed(label, run, _which(run, own), rate, scale))
    return found


def _planners(words: Sequence[str], run: "Trained", episodes: range) -> "list[Player]":
    """The planners that --against names, alone in the world of a run."""
    from curriculum.run import players

    scale = run.scale_of(episodes)
    return [
        players.planner(word, _planner(word, run), run.spec, scale) for word in words
    ]


def _planner(word: str, run: "Trained") -> "Planner":
    """A planner such as `mcts simulations=50`, with what the world suggests."""
    from curriculum.contract.fit import check_planner_fit

    name, *settings = shlex.split(word) or [""]
    chosen = ["--planner", name]
    for setting in settings:
        key, _, value = setting.partition("=")
        chosen += [f"--planner.{key}", *value.split(",")]
    try:
        planner: Planner = run.config_with(chosen).plugged()["planner"]
        check_planner_fit(planner, run.world)
    except ValueError as error:
        raise ValueError(f"--against {shlex.quote(word)}: {error}") from None
    return planner


# --- playing ---


def evaluate(contest: Contest) -> None:
    """Let everybody play, print the table, and write it if there is a folder."""
    from curriculum.report import evaluation_table

    world = next(iter(contest.runs.values())).world
    results: list[Played] = []

    def hear(inner: Phase) -> None:
        inner.hint = "--episodes"

    with (
        phase("evaluate", len(contest.players), "policies") as current,
        overhearing(hear),
    ):
        for player in contest.players:
            current.report(len(results), f"now {player.name}")
            results.append(player.play(world, contest.episodes))
            current.report(len(results))
    rows = [
        _row(player, played)
        for player, played in zip(contest.players, results, strict=True)
    ]
    reference = rows[contest.reference]
    table = evaluation_table.table(rows, reference)
    notes = evaluation_table.notes(rows, reference, contest.episodes)
    notes += _remarks(contest, results)
    text = "\n\n".join([table, *notes])
    if contest.out is not None:
        _write(contest.out, contest, results, rows, text)
    print(f"\n{text}\n")
    if contest.out is not None:
        print(f"report  {contest.out}/table.md")


def _row(player: "Player", played: "Played") -> "Row":
    from curriculum.report.evaluation_table import Row
    from curriculum.run.evaluation import score

    episodes = played.episodes
    scored = episodes.reward[:, : player.scale.episodes]
    return Row(
        name=player.name,
        seeds=player.seeds,
        values={
            "return": episodes.reward,
            "success": episodes.success,
            "length": episodes.length.astype(float),
            **episodes.counts,
            "score": score(scored, player.scale),
        },
        calls=None if played.use is None else played.use.calls,
        seconds=None if played.use is None else played.use.seconds,
        run=player.run,
        clock=player.clock,
        position=player.position,
    )


def _remarks(contest: Contest, results: "Sequence[Played]") -> list[str]:
    """What the reader must know about runs and planners."""
    found = []
    for name, run in contest.runs.items():
        if not run.finished:
            found.append(f"{name} is not finished: it is at step {run.step:,}.")
    privileged = [player.name for player in contest.players if player.is_privileged]
    if privileged:
        names = ", ".join(privileged)
        found.append(f"The simulator's true state, a privilege, is seen by: {names}.")
    for player, played in zip(contest.players, results, strict=True):
        use = played.use
        if use is not None and (use.faults.any() or use.late.any()):
            found.append(
                f"{player.name}: {use.faults.sum():,} faults and {use.late.sum():,} "
                f"late answers in {use.calls.sum():,} calls; in a mixture the learner "
                "took its place, otherwise random actions."
            )
    return found


# --- writing ---


def _write(
    out: Path,
    contest: Contest,
    results: "Sequence[Played]",
    rows: "Sequence[Row]",
    text: str,
) -> None:
    from curriculum.report import evaluation_figure, figures

    out.mkdir(parents=True, exist_ok=True)
    title = "# Evaluation"
    command = f"```\n{contest.command}\n```"
    picture = "![Returns with 95 % intervals](returns.png)"
    parts = [title, command, text, picture]
    write_text(out / RESULT, json.dumps(_content(contest, results, rows), indent=1))
    figures.save(evaluation_figure.draw(rows), out / "returns.png")
    write_text(out / "table.md", "\n\n".join(parts) + "\n")


def _content(
    contest: Contest, results: "Sequence[Played]", rows: "Sequence[Row]"
) -> dict[str, Any]:
    """Everything, as JSON can hold it."""
    libraries = ("planning-curriculum", "numpy", "torch")
    reference = rows[contest.reference]
    entries = zip(contest.players, results, rows, strict=True)
    return {
        "command": contest.command,
        "versions": {name: metadata.version(name) for name in libraries},
        "runs": {name: run.about() for name, run in contest.runs.items()},
        "episodes": list(contest.episodes),
        "reference": reference.name,
        "players": [_entry(*entry, reference) for entry in entries],
    }


def _entry(
    player: "Player", played: "Played", row: "Row", reference: "Row"
) -> dict[str, Any]:
    """All numbers of one of those who played: means of each seed by the names of
    `final/last_...`, intervals, and every episode."""
    from curriculum.report import evaluation_table
    from curriculum.run.evaluation import summary

    entry: dict[str, Any] = {"name": player.name, "seeds": list(player.seeds)}
    if player.clock:
        entry[player.clock] = player.position
    figures = summary(played.episodes, player.scale)
    entry["values"] = {name: _plain(value) for name, value in figures.items()}
    intervals = {}
    for measure in row.values:
        found = evaluation_table.confidence(row, measure)
        intervals[measure] = _plain(np.array(found))
    entry["intervals"] = {"over": row.unit, "mean_low_high": intervals}
    if row is not reference:
        minus = evaluation_table.difference(row, reference)
        entry["minus_reference"] = _plain(np.array(minus[:3]))
    if played.use is not None:
        for name, count in played.use.values().items():
            entry[name] = _plain(count)
    entry["episodes"] = {name: _plain(each) for name, each in row.values.items()}
    return entry


def _plain(values: np.ndarray) -> list[Any]:
    """Numbers as nested lists, with null where one is not finite."""
    if values.ndim > 1:
        return [_plain(each) for each in values]
    return [each if np.isfinite(each) else None for each in values.tolist()]


COMMAND = Command(
    "RUN|FILE.cur... [--episodes N] [--against NAME...] [--out DIR]",
    "Evaluate policies of runs and files, beside planners, on the same episodes.",
    FIELDS,
    prepare,
    positional=-1,
    families=("trust",),
)


if __name__ == "__main__":
    main()
