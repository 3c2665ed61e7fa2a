"""The tables of a comparison, in Markdown and as CSV."""

import csv
import io
import math
from collections.abc import Mapping, Sequence

import numpy as np

from curriculum.report import measures, statistics, verdicts
from curriculum.report.curves import Curve
from curriculum.report.measures import Terms
from curriculum.report.verdicts import Verdict

DEFAULT = Terms()
COLUMNS = (
    "arm",
    "final return",
    "success",
    "score",
    "return over training",
    "first success at step",
    "calls to score {reach:g}",
    "the planner's own return",
    "planner calls",
    "ms a call",
    "s",
)
ROBUST_COLUMNS = (
    "arm",
    "IQM of the score [95 %]",
    "optimality gap",
    "probability of improvement [95 %]",
)
VERDICT_COLUMNS = ("minus {reference}", "in", "difference [95 %]", "p", "verdict")
NOTE = (
    "Learner alone, mean over seeds {seeds} +- standard deviation. Final: the last "
    "policy and the planner on the same episodes, which chose neither. Over training: "
    "mean height of the learning curve. First success and calls to a score: medians in "
    "which seeds that never came there count as the last."
)
VERDICT_NOTE = (
    "Differences are paired by seed. Means: 95 % interval and p by Student's t, or by "
    "signs alone where all seeds agree. Times: ranks, tested by signs; never is last. "
    "p is corrected for all comparisons of this table that are tested, {count} (Holm): "
    "equal arms have any winner in at most 5 % of tables. A winner needs p of at most "
    "0.05, no missing seed, and a difference of at least {smallest:g} of the way from "
    "random play to the planner, or of the values where there is no such scale. Seeds "
    "needed: for 80 % of comparisons to find this difference, if it is the true one."
)
EQUAL_NOTE = {
    "calls": (
        "After so many planner calls: the last evaluation that had needed no more, "
        "those of the start included. Over them: the mean of that for every number of "
        "calls up to this one; before the first evaluation, random play counts. An arm "
        "that asks no planner has no such value."
    ),
    "seconds": (
        "After so many seconds: the last evaluation within this wall time of the whole "
        "arm, all seeds and evaluations included. Over them: the mean of that for "
        "every time up to this one; before the first evaluation, random play counts."
    ),
}


def comparison(curves: Mapping[str, Curve], terms: Terms = DEFAULT) -> str:
    """Write the results and costs of every arm, then its paired differences to the
    first arm, and figures that outliers hardly move."""
    reference, *others = curves
    blocks = [_results(curves, terms)]
    notes = [NOTE.format(seeds=", ".join(map(str, curves[reference].seeds)))]
    if others:
        judged = verdicts_of(curves, terms)
        blocks.append(_differences(reference, judged))
        count = sum(math.isfinite(each.p) for each in judged)
        notes.append(VERDICT_NOTE.format(count=count, smallest=terms.smallest))
        if terms.equal in EQUAL_NOTE:
            notes.append(EQUAL_NOTE[terms.equal])
    if all(np.isfinite(_scores(curve)).all() for curve in curves.values()):
        blocks.append(_robust(curves))
    return "\n\n".join([*blocks, *notes])


def verdicts_of(curves: Mapping[str, Curve], terms: Terms = DEFAULT) -> list[Verdict]:
    """The verdict on every arm but the first, in every measure."""
    return verdicts.judge(measures.measures(curves, terms), terms.smallest)


# --- Markdown ---


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """A table whose first `text` columns are words, the others numbers."""
    rule = [":--"] * text + ["--:"] * (len(titles) - text)
    lines = [_line(titles), f"|{'|'.join(rule)}|", *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _results(curves: Mapping[str, Curve], terms: Terms) -> str:
    """What every arm has learned, and what it cost."""
    titles = [title.format(reach=terms.reach) for title in COLUMNS]
    rows = [[name, *_cells(curve, terms)] for name, curve in curves.items()]
    return _table(titles, rows)


def _cells(curve: Curve, terms: Terms) -> list[str]:
    """The cells of one arm."""
    area = statistics.area_under_curve(curve.steps, curve.reward.T)
    return [
        _mean(curve.final["final/last_mean_reward"]),
        _number(curve.final["final/last_success_rate"].mean()),
        _number(_scores(curve).mean()),
        _mean(area),
        _median(curve.first_success),
        _median(measures.calls_to_reach(curve, terms.reach)),
        _planner_return(curve),
        f"{curve.final['final/planner_calls'].mean():,.0f}",
        _number(curve.planner_ms),
        f"{curve.seconds:.0f}",
    ]


def _scores(curve: Curve) -> np.ndarray:
    return curve.final["final/last_score"]


def _planner_return(curve: Curve) -> str:
    """The planner's return on the episodes of the final policies."""
    if "final/trained_planner_reward" in curve.final:
        return f"{curve.final['final/trained_planner_reward'].mean():.2f} (learnt)"
    if "final/planner_reward" not in curve.final:
        return "-"
    text = f"{curve.final['final/planner_reward'][0]:.2f}"
    episodes = curve.final["final/planner_episodes"][0]
    if episodes < curve.episodes:
        text += f" ({episodes:.0f} episodes)"
    if "final/advised_planner_reward" in curve.final:
        advised = curve.final["final/advised_planner_reward"]
        text += f", advised {_mean(advised)}"
    return text


def _number(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "-"


def _mean(values: np.ndarray) -> str:
    """Mean and standard deviation of the values that are finite."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "-"
    digits = _digits(abs(known).max())
    text = f"{known.mean():,.{digits}f}"
    if len(known) > 1:
        text += f" +- {known.std(ddof=1):,.{digits}f}"
    if len(known) < len(values):
        text += f" ({len(known)} of {len(values)} seeds)"
    return text


def _median(times: np.ndarray) -> str:
    """The median of times that are nan where something never happened: by it, it had
    happened in half of the seeds."""
    happened = np.isfinite(times)
    if not happened.any():
        return "never"
    ordered = np.sort(np.where(happened, times, np.inf))
    median = ordered[(len(times) - 1) // 2]
    text = f"{median:,.0f}" if np.isfinite(median) else "never"
    if not happened.all():
        text += f" ({happened.sum()} of {len(times)} seeds)"
    return text


def _digits(value: float) -> int:
    """Decimals with which a value is printed."""
    return 2 if abs(value) < 100 else 0


def _differences(reference: str, judged: Sequence[Verdict]) -> str:
    """A row for each verdict."""
    titles = [title.format(reference=reference) for title in VERDICT_COLUMNS]
    rows = []
    for each in judged:
        rows.append(
            [each.arm, each.measure, difference_text(each), p_text(each.p), each.text]
        )
    return _table(titles, rows, text=len(titles))


def difference_text(verdict: Verdict) -> str:
    """A difference and its interval, or on how many seeds a time is earlier."""
    if not verdict.n:
        return "-"
    digits = _digits(verdict.mean)
    mean = f"{verdict.mean:+,.{digits}f}"
    if verdict.earlier or verdict.later:
        return (
            f"{mean}, earlier on {verdict.earlier}, later on {verdict.later} "
            f"of {verdict.n} seeds"
        )
    if not math.isfinite(verdict.low):
        return mean
    return f"{mean} [{verdict.low:+,.{digits}f}, {verdict.high:+,.{digits}f}]"


def p_text(p: float) -> str:
    """A probability; a dash where nothing was tested."""
    if not math.isfinite(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _robust(curves: Mapping[str, Curve]) -> str:
    """Figures of the score that outliers hardly move (Agarwal et al. 2021)."""
    base = _scores(next(iter(curves.values())))
    rows = []
    for number, (name, curve) in enumerate(curves.items()):
        score = _scores(curve)
        rng = np.random.default_rng(0)
        low, high = statistics.stratified_bootstrap(score[None], statistics.iqm, rng)
        improvement = "-"
        if number:
            improvement = _improvement(score, base)
        cells = [
            f"{statistics.iqm(score):.2f} [{low:.2f}, {high:.2f}]",
            f"{statistics.optimality_gap(score):.2f}",
            improvement,
        ]
        rows.append([name, *cells])
    return _table(ROBUST_COLUMNS, rows)


def _improvement(score: np.ndarray, base: np.ndarray) -> str:
    rng = np.random.default_rng(0)
    share = statistics.probability_of_improvement(score, base)
    low, high = statistics.improvement_interval(score, base, rng)
    return f"{share:.2f} [{low:.2f}, {high:.2f}]"


# --- CSV ---


def seeds_csv(curves: Mapping[str, Curve], terms: Terms = DEFAULT) -> str:
    """One line for each seed of each arm: all that is compared, then costs."""
    compared = measures.measures(curves, terms)
    lines = []
    for name, curve in curves.items():
        columns = {each: measure.values for each, measure in compared[name].items()}
        for tag, values in curve.final.items():
            columns.setdefault(tag.removeprefix("final/"), values)
        columns["first_success_step"] = curve.first_success
        reach = f"calls_to_score_{terms.reach:g}"
        columns[reach] = measures.calls_to_reach(curve, terms.reach)
        columns["planner_seconds"] = _last(curve.planner_seconds, len(curve.seeds))
        columns["seconds"] = np.full(len(curve.seeds), curve.seconds)
        for index, seed in enumerate(curve.seeds):
            own = {title: float(values[index]) for title, values in columns.items()}
            lines.append({"arm": name, "seed": seed, **own})
    return _csv(lines)


def _last(values: np.ndarray, seeds: int) -> np.ndarray:
    return values[-1] if len(values) else np.full(seeds, np.nan)


def curves_csv(curves: Mapping[str, Curve]) -> str:
    """One line for each evaluation of each seed: the learner's return and score, and
    what was spent by then."""
    lines = []
    for name, curve in curves.items():
        recorded = measures.series(curve, "eval/score")
        for number, step in enumerate(curve.steps.tolist()):
            for index, seed in enumerate(curve.seeds):
                line = {"arm": name, "seed": seed, "step": step}
                line["return"] = curve.reward[number, index]
                if recorded is not None:
                    line["score"] = recorded.values[number, index]
                if curve.calls.size:
                    seconds = curve.planner_seconds[number, index]
                    line["planner_calls"] = curve.calls[number, index]
                    line["planner_ms"] = 1000 * seconds
                    line["seconds"] = curve.wall_seconds[number]
                lines.append(line)
    return _csv(lines)


def verdicts_csv(judged: Sequence[Verdict]) -> str:
    """One line for each verdict."""
    return _csv([each._asdict() for each in judged])


def _csv(lines: Sequence[Mapping[str, object]]) -> str:
    """Lines of equal or missing columns; values that are not finite are empty."""
    titles = list(dict.fromkeys(title for line in lines for title in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, titles, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({title: _plain(value) for title, value in line.items()})
    return text.getvalue()


def _plain(value: object) -> object:
    if isinstance(value, float):
        return "" if not math.isfinite(value) else float(value)
    return value
