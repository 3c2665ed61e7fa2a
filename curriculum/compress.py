"""Compress policies of a run or a file, measure every variant, and pick one.

    python -m curriculum.compress RUN --techniques quantize distil+quantize --out DIR
    python -m curriculum.compress FILE.cur --out DIR

Without `--techniques` these are the run's own, or one of each kind. The file picked is
the smallest within `--max-bytes`, `--max-latency-us` and `--min-return-share`.
`--config DIR/config.yaml` repeats a table; flags win over it.
"""

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import yaml

from curriculum import train
from curriculum.files import folder_for, write_bytes, write_text
from curriculum.setting import flags, settings_file, techniques
from curriculum.setting.command_line import Command, Words, value_of
from curriculum.setting.description import Field
from curriculum.setting.values import shown
from curriculum.trust import require_trust

if TYPE_CHECKING:
    from curriculum.report.compression_choice import Choice, Limits
    from curriculum.report.compression_table import Variant
    from curriculum.run.compressing import Outcome, Task
    from curriculum.run.trained import Trained

PROG = "python -m curriculum.compress"
RESULT = "compression.json"
SETTINGS = "config.yaml"
POLICY = "policy.cur"
# where neither the command line nor the run names techniques
COMPARED = ("half", "quantize", "sparsify", "prune+quantize", "distil+quantize")
FIELDS = (
    Field(
        "episodes",
        int | None,
        None,
        "episodes of each seed; without it as many as in the run's evaluations",
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
        Literal["last", "best"] | None,
        None,
        "which policy of the run; default: the last one",
    ),
    Field(
        "shares",
        tuple[str, ...],
        (),
        "weights of the sources of the observations that techniques see, such as "
        "planner=0.5 learner=0.5; without it all that differ",
    ),
    Field("max_bytes", int | None, None, "of the file that is picked"),
    Field(
        "max_latency_us",
        float | None,
        None,
        "median time of the policy that is picked to act on one observation, in numpy",
    ),
    Field(
        "min_return_share",
        float,
        0.95,
        "share of the original's return that the policy that is picked must keep",
    ),
    Field(
        "out",
        str,
        "",
        "folder for policy.cur, the variants, the table and a figure; empty: none",
    ),
)


def main(argv: list[str] | None = None) -> None:
    """Compress, measure and print; write it all if there is a folder."""
    words = sys.argv[1:] if argv is None else argv
    stopped = "stopped; the table was not written"
    train.carry_out(COMMAND, words, PROG, "--episodes", stopped)


class Order(NamedTuple):
    """What is to be compressed, and where the results go."""

    task: "Task"
    limits: "Limits"
    settings: dict[str, Any]  # that repeat it
    out: Path | None
    command: str


# --- before the work ---


def prepare(words: Words) -> Callable[[], None]:
    """Check what is to be compressed."""
    from curriculum.report.compression_choice import Limits
    from curriculum.run.compressing import Task
    from curriculum.run.mirror import readable
    from curriculum.run.trained import (
        chosen,
        episodes_of,
        is_playable,
        open_trained,
        require_run,
    )

    [path] = map(readable, words.positional)
    trained = open_trained(path)
    own, asked = _settings(words, trained)
    if not is_playable(trained):
        raise ValueError(
            f"the world of {path} is known from its data alone and cannot be played, "
            "so there is no return to compare"
        )
    if own["shares"]:
        require_run(trained, "--shares")
    own["policy"] = chosen(trained, own["policy"], "last")
    task = Task(
        trained=trained,
        which=own["policy"],
        techniques=[techniques.make(choice) for choice in asked],
        shares=_shares(own["shares"]),
        episodes=episodes_of(trained, own["episodes"], own["first_episode"]),
    )
    limits = Limits(
        max_bytes=_limit(own, "max_bytes"),
        max_latency_us=_limit(own, "max_latency_us"),
        min_return_share=own["min_return_share"],
    )
    if not 0 <= limits.min_return_share <= 2:
        raise ValueError(
            "--min-return-share must be between 0 and 2, got "
            f"{limits.min_return_share:g}"
        )
    settings = {name: own[name] for name in own if name != "out"}
    settings["techniques"] = [techniques.name_of(choice) for choice in asked]
    settings |= techniques.flat(asked)
    out = folder_for(own["out"], RESULT, "compression")
    order = Order(task, limits, settings, out, words.text.strip())
    return lambda: compress(order)


def _settings(words: Words, trained: "Trained") -> tuple[dict[str, Any], Sequence[Any]]:
    """The command's own settings and the techniques: by flags, by the file that
    --config names, by the run."""
    given = {flag.name: flag.values for flag in words.plugins if flag.name != "trust"}
    path = " ".join(given.pop("config", []))
    own = dict(words.own)
    chosen = given.pop("techniques", [])
    settings: dict[str, list[str]] = {}
    if path:
        written = settings_file.read(Path(path))
        own |= _own_of_file(written, path, words.given)
        chosen = chosen or _techniques_of_file(written, path)
        groups = techniques.groups(chosen)
        for name, texts in written.items():
            if name.partition(".")[0] in groups and texts is not None:
                settings[name.replace("_", "-")] = texts
    if not chosen and not trained.config.techniques:
        chosen = list(COMPARED)
    line = []
    if chosen:
        line += ["--techniques", *chosen]
    for name, texts in (settings | given).items():
        line += [f"--{name}", *texts]
    return own, trained.config_with(line).techniques


def _own_of_file(
    written: settings_file.Written, path: str, given: frozenset[str]
) -> dict[str, Any]:
    """The command's own settings in a file, without those that flags give."""
    if "env" in written:  # the settings of a run
        return {}
    fields = {field.name: field for field in FIELDS if field.name != "out"}
    found: dict[str, Any] = {}
    for name, texts in written.items():
        if name in fields and name not in given:
            flag = flags.Flag(name.replace("_", "-"), texts or [])
            found[name] = None if texts is None else value_of(fields[name], flag)
        elif name not in fields and name != "techniques" and "." not in name:
            raise ValueError(f"--config {path}: there is no setting {shown(name)}")
    return found


def _techniques_of_file(written: settings_file.Written, path: str) -> list[str]:
    """The techniques that a file names; those that are code need trust."""
    chosen = written.get("techniques") or []
    for word in chosen:
        if ":" in word or any(p.endswith(".py") for p in techniques.links(word)):
            require_trust(f"techniques: {shown(word)} in {path}", word)
    return chosen


def _shares(given: Sequence[str]) -> dict[str, float]:
    """Weights of sources, as --shares of training reads them."""
    if not given:
        return {}
    words = ["--sampling", "fixed", "--shares", *given]
    return flags.read(words, PROG).config.source_shares()


def _limit(own: Mapping[str, Any], name: str) -> float:
    limit = own[name]
    if limit is None:
        return math.inf
    if not limit > 0:
        flag = name.replace("_", "-")
        raise ValueError(f"--{flag} must be positive, got {limit:g}")
    return float(limit)


# --- the work ---


def compress(order: Order) -> None:
    """Measure all variants, print the tables, and pick one; ValueError, after all is
    written, where none is within the limits."""
    from curriculum.report import compression_table
    from curriculum.report.compression_choice import choose
    from curriculum.run import compressing

    with TemporaryDirectory() as drafts:
        outcome = compressing.compress(order.task, Path(drafts))
        choice = choose(outcome.variants, order.limits, outcome.floor)
        text = compression_table.tables(
            outcome.variants,
            outcome.floor,
            outcome.refused,
            compressing.numpy_threads(),
        )
        text += f"\n\n{outcome.remark}"
        print(f"\n{text}\n")
        if order.out is not None:
            _write(order.out, order, outcome, choice, text)
            print(f"report  {order.out}/table.md")
    if not choice.name:
        raise ValueError(choice.reason)
    print(f"picked  {choice.reason}")


def _write(
    out: Path, order: Order, outcome: "Outcome", choice: "Choice", text: str
) -> None:
    """Write everything to the folder, the result last."""
    from curriculum.report import compression_figure, figures

    for seed, files in outcome.files.items():
        folder = out / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            write_bytes(folder / f"{name}.cur", file.read_bytes())
    (out / POLICY).unlink(missing_ok=True)
    if choice.name:
        first = next(iter(outcome.files.values()))
        write_bytes(out / POLICY, first[choice.name].read_bytes())
    points = compression_figure.points(outcome.variants, outcome.floor)
    least = order.limits.min_return_share
    figures.save(compression_figure.draw(points, least), out / "pareto.png")
    settings = {name: _plain(value) for name, value in order.settings.items()}
    write_text(out / SETTINGS, yaml.safe_dump(settings, sort_keys=False))
    write_text(out / "table.csv", _csv(outcome))
    parts = [
        "# Compressed policies",
        f"```\n{order.command}\n```",
        text,
        f"Picked: {choice.reason}.",
        "![Return against size and latency](pareto.png)",
    ]
    write_text(out / "table.md", "\n\n".join(parts) + "\n")
    write_text(out / RESULT, json.dumps(_content(order, outcome, choice), indent=1))


def _csv(outcome: "Outcome") -> str:
    """Means over seeds of all figures, a line for each variant."""
    names = list(outcome.variants[0].figures)
    lines = [",".join(["policy", *names])]
    for variant in outcome.variants:
        numbers = [f"{variant.mean(name):.6g}" for name in names]
        lines.append(",".join([variant.name, *numbers]))
    return "\n".join(lines) + "\n"


def _content(order: Order, outcome: "Outcome", choice: "Choice") -> dict[str, Any]:
    """Everything, as JSON can hold it."""
    trained = order.task.trained
    libraries = ("planning-curriculum", "numpy", "torch")
    return {
        "command": order.command,
        "versions": {name: metadata.version(name) for name in libraries},
        "original": trained.about(),
        "policy": order.task.which,
        "seeds": list(trained.seeds),
        "episodes": list(order.task.episodes),
        "settings": {name: _plain(value) for name, value in order.settings.items()},
        "random_return": _number(outcome.floor),
        "refused": outcome.refused,
        "picked": choice.name,
        "reason": choice.reason,
        "variants": [_entry(variant, outcome) for variant in outcome.variants],
    }


def _entry(variant: "Variant", outcome: "Outcome") -> dict[str, Any]:
    """All numbers of a variant: figures of each seed, and every episode."""
    from curriculum.report.compression_table import share

    kept = share(variant.row, outcome.variants[0].row, outcome.floor)
    return {
        "name": variant.name,
        "share_low_high": [_number(float(bound)) for bound in kept],
        "figures": {
            name: [_number(value) for value in own.tolist()]
            for name, own in variant.figures.items()
        },
        "episodes": {
            name: [[_number(value) for value in seed] for seed in own.tolist()]
            for name, own in variant.row.values.items()
        },
    }


def _number(value: float) -> float | None:
    """A number of JSON, null where it is not finite."""
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


COMMAND = Command(
    "RUN|FILE.cur [--techniques NAME...] [--max-bytes N] [--max-latency-us N] "
    "[--out DIR]",
    "Compress policies of a run or a file, measure every variant, and pick one.",
    FIELDS,
    prepare,
    positional=1,
    families=("technique",),
)


if __name__ == "__main__":
    main()
