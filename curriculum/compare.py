"""Compare settings on shared seeds: `python -m curriculum.compare --start expert random
--seeds 0 1 2 3 4`.

Any flag of `curriculum.train` may take several values, and every combination is an arm;
`--arm "NAME: FLAGS"` is one by hand; `--with RUN` adds a finished run. All arms share
seeds and evaluation episodes, so differences are paired.
"""

import itertools
import re
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curriculum import train
from curriculum.setting import flags, plugins
from curriculum.setting.config import flat

PROG = "python -m curriculum.compare"
# flags whose several values belong to one arm
LISTS = ("seeds", "techniques", "shares", "arm", "with")


class Curve(NamedTuple):
    """What a finished run tells of its learner alone."""

    seeds: list[int]
    steps: np.ndarray  # [U] of the evaluations
    reward: np.ndarray  # [U, P] mean return of each
    final: dict[str, np.ndarray]  # tag -> [P]
    # [P] environment step of the first success while collecting, nan where none came
    first_success: np.ndarray
    seconds: float
    ends: dict[str, float]  # returns of "random" play and of the "planner"
    planner_ms: float  # a call of the planner took, nan where it was never asked


def main(argv: list[str] | None = None) -> None:
    """Train every arm, then draw one figure and write one table."""
    argv = sys.argv[1:] if argv is None else argv
    if "--help" in argv or "-h" in argv:
        print(
            f"usage: {PROG} [FLAGS OF curriculum.train] [--arm 'NAME: FLAGS'] [--with RUN]\n\n{__doc__}"
        )
        return
    try:
        compare(argv)
    except (ValueError, OSError) as error:
        flags.fail(PROG, error, status=1)
    except KeyboardInterrupt:
        flags.fail(
            PROG,
            "stopped; the arms that were finished stand in their folders, to be used --with",
            130,
        )


def compare(argv: list[str]) -> Path:
    """Train the arms that a command line describes; returns the folder that holds runs,
    figure and table."""
    from curriculum.report import figures
    from curriculum.run import folders

    wanted, finished = arms(argv)
    configs = {name: flags.parse(words, PROG)[0] for name, words in wanted.items()}
    first = next(iter(configs.values()))
    if len({config.seeds for config in configs.values()}) > 1:
        raise ValueError("all arms must share their seeds; give --seeds once")
    beside = {path.name: read(path) for path in finished}
    if any(curve.seeds != list(first.seeds) for curve in beside.values()):
        raise ValueError(
            f"every arm must have the seeds {list(first.seeds)}; a run given by --with has others"
        )
    folder = folders.create(
        train.parent_of(first),
        first.name or "compare",
        {"command": shlex.join([PROG, *argv])},
        file="compare.yaml",
    )
    curves: dict[str, Curve] = {}
    for name, config in configs.items():
        print(f"\narm {name}", file=sys.stderr)
        run = folders.create(folder, re.sub(r"[^\w.-]+", "-", name), flat(config))
        train.run(config, run, None, train.Stop())
        curves[name] = read(run)
    curves |= beside
    ends: Any = curves[next(iter(configs))].ends
    own = {name: curve.ends["planner"] for name, curve in curves.items()}
    ends = ends | ({"planner": own} if len(set(own.values())) > 1 else {})
    drawn = figures.learning_curves(
        {n: (c.steps, c.reward) for n, c in curves.items()}, **ends
    )
    figures.save(drawn, folder / "curves.png")
    text = table(curves)
    (folder / "table.md").write_text(text + "\n")
    print(f"\n{text}\n\nfigure  {folder}/curves.png\ntable   {folder}/table.md")
    return folder


def arms(argv: list[str]) -> tuple[dict[str, list[str]], list[Path]]:
    """Every arm's name and flags, and the finished runs to set beside them."""
    groups = _groups(argv)
    by_hand = [text for flag, values in groups if flag == "arm" for text in values]
    finished = [
        Path(path) for flag, values in groups if flag == "with" for path in values
    ]
    groups = [(flag, values) for flag, values in groups if flag not in ("arm", "with")]
    several = [
        (f, v) for f, v in groups if len(v) > 1 and f not in LISTS and not _is_list(f)
    ]
    common = [pair for pair in groups if pair not in several]
    named: dict[str, list[tuple[str, list[str]]]] = {}
    for values in itertools.product(*(v for _, v in several)):
        chosen = [
            (flag, [value]) for (flag, _), value in zip(several, values, strict=True)
        ]
        named[
            ", ".join(f"{flag} {value}" for flag, [value] in chosen) or "as given"
        ] = chosen
    if by_hand:
        written = {}
        for text in by_hand:
            name, colon, words = text.partition(":")
            if not colon or not name.strip():
                raise ValueError(
                    f"--arm looks like --arm 'NAME: --start none --decay linear', got {text!r}"
                )
            written[name.strip()] = _groups(shlex.split(words))
        base = [] if named.keys() == {"as given"} else list(named.items())
        named = (
            written
            if not base
            else {f"{w}, {n}": [*g, *h] for (n, g) in base for w, h in written.items()}
        )
    lines = {name: _flags(common, own) for name, own in named.items()}
    for flag, _ in common:
        if not any(f"--{flag}" in words for words in lines.values()):
            raise ValueError(f"--{flag}: no arm has a plug-in with such a setting")
    return lines, finished


def _flags(
    common: list[tuple[str, list[str]]], own: list[tuple[str, list[str]]]
) -> list[str]:
    """One arm's command line; a common setting of a plug-in that this arm does not use
    is left out."""
    merged = dict(common) | dict(own)
    chosen, _ = flags.choices(
        [word for flag, values in merged.items() for word in (f"--{flag}", *values)]
    )
    words = []
    for flag, values in merged.items():
        family, dot, field = flag.partition(".")
        if (
            dot
            and family in chosen
            and (flag, values) in common
            and not _has(family, chosen[family], field)
        ):
            continue
        words += [f"--{flag}", *values]
    return words


def _has(family: str, name: str, field: str) -> bool:
    return name != "none" and field.replace("-", "_") in [
        f.name for f in plugins.flags(family, name)
    ]


def _is_list(flag: str) -> bool:
    family, _, field = flag.partition(".")
    if family not in plugins.CHOSEN or not field:
        return False
    fields = [
        f
        for name in plugins.names(family)
        for f in plugins.describe(family, name).fields
    ]
    return any(
        f.name == field.replace("-", "_") and "tuple" in str(f.type) for f in fields
    )


def _groups(argv: list[str]) -> list[tuple[str, list[str]]]:
    """Flags with what stands behind each."""
    groups: list[tuple[str, list[str]]] = []
    for word in argv:
        if word.startswith("--"):
            flag, equals, value = word[2:].partition("=")
            groups.append((flag, [value] if equals else []))
        elif not groups:
            raise ValueError(f"expected a flag such as --start, got {word!r}")
        else:
            groups[-1][1].append(word)
    return groups


def read(run: Path) -> Curve:
    """The curve of a finished run."""
    import json

    if not (run / "metrics.jsonl").is_file():
        raise ValueError(f"{run} is no run: it has no metrics.jsonl")
    lines = [
        json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    last = {
        line["kind"]: {t: np.array(v, float) for t, v in line["values"].items()}
        for line in lines
    }
    if "final" not in last:
        raise ValueError(
            f"{run} is not finished; go on with: {train.PROG} --resume {run}"
        )
    evaluations = [line for line in lines if line["kind"] == "evaluate"]
    reward = np.array(
        [line["values"]["eval/mean_reward"] for line in evaluations], float
    )
    ends = {
        name: float(last["baseline"][f"eval/{name}_reward"][0])
        for name in ("random", "planner")
    }
    seeds = json.loads((run / "result.json").read_text())["seeds"]
    steps = np.array([line["step"] for line in evaluations])
    first_success = last.get("collect", {}).get(
        "rollout/first_success_step", np.full(len(seeds), np.nan)
    )
    calls = last["final"]["final/planner_calls"].sum()
    planner_ms = (
        1000 * last["time"]["planner/seconds_total"].sum() / calls if calls else np.nan
    )
    seconds = float(last["time"]["time/time_elapsed"].max())
    return Curve(
        seeds, steps, reward, last["final"], first_success, seconds, ends, planner_ms
    )


def table(curves: dict[str, Curve]) -> str:
    """Markdown: what every arm reached and cost, then its paired differences to the
    first arm."""
    from curriculum.report import statistics

    (base, reference), *others = curves.items()
    measures = {name: _measures(curve) for name, curve in curves.items()}
    lines = [
        "| arm | final return | success | score | return over training | first success at step "
        "| the planner's own return | planner calls | ms a call | s |",
        "|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, curve in curves.items():
        final, area, first = (_spread(values) for values in measures[name].values())
        success, score, calls = (
            curve.final[f"final/{tag}"].mean()
            for tag in ("last_success_rate", "last_score", "planner_calls")
        )
        planned = f"{curve.ends['planner']:.2f} | {calls:,.0f} | {_known(curve.planner_ms)} | {curve.seconds:.0f}"
        lines.append(
            f"| {name} | {final} | {_known(success)} | {_known(score)} | {area} | {first} | {planned} |"
        )
    if others:
        lines += [
            "",
            f"| minus {base} | {' | '.join(measures[base])} |",
            "|:--|:--|:--|:--|",
        ]
    for name, _ in others:
        differences = [
            statistics.paired_difference(measures[name][m], measures[base][m])
            for m in measures[base]
        ]
        signs = (1, 1, -1)  # a late first success is no win
        verdicts = [
            _verdict(d, name if d.winner == sign else base)
            for d, sign in zip(differences, signs, strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(verdicts)} |")
    seeds = ", ".join(map(str, reference.seeds))
    note = (
        f"Learner alone, mean over seeds {seeds} +- standard deviation. Final: the last policy on episodes of its own. "
        "Over training: mean height of the learning curve. Differences: mean and 95 % interval of paired per-seed "
        "differences (Student's t); a winner is named only where the interval excludes zero."
    )
    return "\n".join([*lines, "", note])


def _measures(curve: Curve) -> dict[str, np.ndarray]:
    from curriculum.report import statistics

    return {
        "final return": curve.final["final/last_mean_reward"],
        "return over training": statistics.area_under_curve(
            curve.steps, curve.reward.T
        ),
        "first success at step": curve.first_success,
    }


def _known(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def _spread(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "-"
    digits = 2 if abs(known).max() < 100 else 0
    spread = f" +- {known.std(ddof=1):,.{digits}f}" if len(known) > 1 else ""
    missing = (
        f" ({len(known)} of {len(values)} seeds)" if len(known) < len(values) else ""
    )
    return f"{known.mean():,.{digits}f}{spread}{missing}"


def _verdict(difference: Any, winner: str) -> str:
    if not difference.n:
        return "-"
    digits = 2 if abs(difference.mean) < 100 else 0
    interval = ", ".join(
        f"{bound:+,.{digits}f}" for bound in (difference.low, difference.high)
    )
    verdict = f"{winner} wins" if difference.winner else "no winner"
    return f"{difference.mean:+,.{digits}f} [{interval}], {verdict}"


if __name__ == "__main__":
    main()
