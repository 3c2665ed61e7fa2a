"""In which quantities the arms of a comparison are compared, and over what."""

import difflib
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from curriculum.report import statistics
from curriculum.report.curves import Curve, Series
from curriculum.report.verdicts import SMALLEST, Measure

RETURN = "eval/mean_reward"
FIRST_SUCCESS = "rollout/first_success_step"
# what a learning curve is drawn against, unless that is steps
AXES = {
    "calls": "planner calls of one seed",
    "seconds": "seconds of the whole arm",
}
# parts of tags of which more is better, and of which less is
MORE = ("reward", "success", "score")
LESS = (
    *("capture", "length", "fault", "late", "loss", "error", "gap", "lag", "calls"),
    *("seconds", "dip", "regret", "recovery", "rollbacks", "_us"),
)
# scales between random play, 0, and the planner or a perfect learner, 1
SHARES = ("score", "success_rate")


class Terms(NamedTuple):
    """How arms are compared."""

    equal: str = "steps"  # what all arms may spend; or one of AXES
    tags: tuple[str, ...] = (RETURN, FIRST_SUCCESS)
    smallest: float = SMALLEST  # difference that matters, as a share of a scale
    reach: float = 0.9  # score for which planner calls are counted


def measures(
    curves: Mapping[str, Curve], terms: Terms
) -> dict[str, dict[str, Measure]]:
    """The measures of every arm, by arm and name.

    Raises ValueError for a tag that an arm has not recorded."""
    limit = common_limit(curves, terms.equal)
    reference = next(iter(curves.values()))
    return {
        arm: _measures(arm, curve, reference, terms, limit)
        for arm, curve in curves.items()
    }


def _measures(
    arm: str, curve: Curve, reference: Curve, terms: Terms, limit: float
) -> dict[str, Measure]:
    found: dict[str, Measure] = {}
    for tag in terms.tags:
        if tag == FIRST_SUCCESS:
            last = float(curve.steps[-1])
            found["first success at step"] = Measure(
                curve.first_success, -1, unit=last, last=last
            )
            continue
        require_tag(arm, curve, tag)
        final, over = _names(tag, terms.equal, limit)
        better = direction(tag)
        unit = _unit(tag, reference)
        found[final] = Measure(_final(curve, tag, terms.equal, limit), better, unit)
        found[over] = Measure(_over(curve, tag, terms.equal, limit), better, unit)
    return found


def label(tag: str) -> str:
    """A tag as it is written in tables and figures."""
    if tag == RETURN:
        return "return"
    group, _, name = tag.partition("/")
    return (name if group == "eval" else tag).replace("_", " ")


def _names(tag: str, equal: str, limit: float) -> tuple[str, str]:
    """What the last value of a tag and the mean height of its curve are called."""
    name = label(tag)
    if equal == "steps":
        return f"final {name}", f"{name} over training"
    amount = amount_of(equal, limit)
    return f"{name} after {amount}", f"{name} over {amount}"


def amount_of(equal: str, limit: float) -> str:
    """What all arms may spend, in words."""
    if equal == "calls":
        return f"{limit:,.0f} planner calls"
    return f"{limit:,.1f} s"


def direction(tag: str) -> int:
    """1 where more of a tag is better, -1 where less is, 0 where neither is."""
    name = tag.partition("/")[2]
    if any(part in name for part in LESS):
        return -1
    return int(any(part in name for part in MORE))


def _unit(tag: str, reference: Curve) -> float:
    """The size of a large difference of a tag."""
    if tag.endswith(SHARES):
        return 1.0
    if tag != RETURN:
        return math.nan
    low = reference.final.get("final/random_reward")
    high = reference.final.get("final/planner_reward")
    if high is None:
        high = reference.final.get("final/data_reward")
    if low is None or high is None:
        return math.nan
    unit = abs(float(high[0] - low[0]))
    return unit or math.nan


# --- tags ---


def tags(curve: Curve) -> list[str]:
    """What `--measure` can name."""
    return sorted({_online(curve, tag) for tag in curve.series} | {FIRST_SUCCESS})


def _online(curve: Curve, tag: str) -> str:
    """The name of a tag that an offline run records under another one."""
    if curve.is_offline and tag.startswith("offline/") and tag.count("/") == 1:
        return tag.replace("offline/", "eval/")
    return tag


def series(curve: Curve, tag: str) -> Series | None:
    """What a run recorded under a tag."""
    own = tag.replace("eval/", "offline/") if curve.is_offline else tag
    return curve.series.get(own) or curve.series.get(tag)


def require_tag(arm: str, curve: Curve, tag: str) -> None:
    """Raise ValueError if an arm has not recorded a tag."""
    if tag == FIRST_SUCCESS or series(curve, tag):
        return
    known = tags(curve)
    near = difflib.get_close_matches(tag, known, n=1)
    hint = f"; did you mean {near[0]}" if near else ""
    groups: dict[str, list[str]] = {}
    for name in known:
        groups.setdefault(name.partition("/")[0], []).append(name)
    own = known  # an offline run has few, under names of its own
    if not curve.is_offline:
        own = groups.get(tag.partition("/")[0], known)
    raise ValueError(
        f"--measure {tag}: the arm {arm} has recorded no such tag{hint}; "
        f"there are: {', '.join(own)}"
    )


# --- values ---


def common_limit(curves: Mapping[str, Curve], equal: str) -> float:
    """What every arm that spends anything has spent on each seed, at least; nan for
    steps, which arms have to themselves."""
    if equal == "steps":
        return math.nan
    totals = [axis(curve, equal)[-1].min() for curve in curves.values()]
    known = [each for each in totals if each > 0]
    if not known:
        raise ValueError(
            f"--equal {equal}: no arm has spent any; compare with --equal steps"
        )
    return float(min(known))


def axis(curve: Curve, equal: str) -> np.ndarray:
    """What was spent by the time of each evaluation, [U, P]."""
    shape = curve.reward.shape
    if equal == "calls":
        return curve.calls
    shared = curve.steps if equal == "steps" else curve.wall_seconds
    return np.broadcast_to(np.asarray(shared, float)[:, None], shape)


def spent(curve: Curve, recorded: Series, equal: str) -> np.ndarray:
    """What was spent by the time of each record, [U, P]."""
    place = np.searchsorted(curve.steps, recorded.steps, side="right") - 1
    return axis(curve, equal)[np.maximum(place, 0)]


def _final(curve: Curve, tag: str, equal: str, limit: float) -> np.ndarray:
    """The last value of a tag, [P]: of the final evaluation if it has one, or of the
    last evaluation for which no more than `limit` was spent."""
    recorded = series(curve, tag)
    assert recorded
    if equal == "steps":
        final = f"final/last_{tag.partition('/')[2]}"
        is_evaluated = tag.startswith("eval/") and final in curve.final
        return curve.final[final] if is_evaluated else recorded.values[-1]
    columns = zip(recorded.values.T, spent(curve, recorded, equal).T, strict=True)
    found = []
    for values, own in columns:
        found.append(_value_at(values, own, limit, _before(curve, tag, values)))
    return np.array(found)


def _value_at(
    values: np.ndarray, amounts: np.ndarray, limit: float, before: float
) -> float:
    """The last value for which no more than `limit` was spent; nan for an arm that
    never spends anything."""
    if not amounts[-1] > 0:
        return math.nan
    place = np.searchsorted(amounts, limit, side="right") - 1
    return float(values[place]) if place >= 0 else before


def _over(curve: Curve, tag: str, equal: str, limit: float) -> np.ndarray:
    """The mean height of a curve, [P]: by the trapezoid rule over all steps, or of the
    best use of every amount up to `limit`."""
    recorded = series(curve, tag)
    assert recorded
    if equal == "steps":
        return statistics.area_under_curve(recorded.steps, recorded.values.T)
    columns = zip(recorded.values.T, spent(curve, recorded, equal).T, strict=True)
    found = []
    for values, own in columns:
        found.append(_mean_height(values, own, limit, _before(curve, tag, values)))
    return np.array(found)


def _mean_height(
    values: np.ndarray, amounts: np.ndarray, limit: float, before: float
) -> float:
    """The mean from 0 to `limit` of what an amount buys: the last value for which no
    more was spent, `before` where there is none."""
    if not amounts[-1] > 0:
        return math.nan
    edges = np.concatenate([[0.0], np.minimum(amounts, limit), [limit]])
    heights = np.concatenate([[before], values])
    return float(np.diff(edges) @ heights / limit)


def _before(curve: Curve, tag: str, values: np.ndarray) -> float:
    """The value of a tag before anything is learned: that of random play, or else its
    first one."""
    if tag == RETURN:
        return curve.baselines["random"]
    return 0.0 if tag.endswith(SHARES) else float(values[0])


def calls_to_reach(curve: Curve, score: float) -> np.ndarray:
    """The planner calls [P] by the first evaluation with at least this score, nan where
    there was none."""
    recorded = series(curve, "eval/score")
    if recorded is None or not curve.calls.size:
        return np.full(len(curve.seeds), np.nan)
    own = spent(curve, recorded, "calls")
    reached = recorded.values >= score  # false for nan
    first = reached.argmax(0)
    columns = np.arange(len(curve.seeds))
    return np.where(reached.any(0), own[first, columns], np.nan)
