"""The tables of compressed policies: what each of them does, what it costs, and how
long it takes to act.

Letters: P seeds, N episodes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from curriculum.report.evaluation_table import (
    RETURN,
    SUCCESS,
    Row,
    aligned,
    confidence,
    samples,
    text,
)
from curriculum.report.hypotheses import paired_difference
from curriculum.report.statistics import Confidence

RUNNERS = {"numpy": "numpy", "onnx": "onnxruntime", "torch": "torch eager"}
BATCHES = (1, 64)
PERCENTILES = ("p50", "p95", "p99")
COSTS = "what it does and costs"
LATENCIES = "us to act, p50 / p95 / p99"
SHARE_NOTE = (
    "Share: of the return of {reference} on the same episodes, with a paired "
    "interval{base}."
)
FROM_RANDOM = ", counted from random play, as that return is not positive"
NOTE = (
    "Agreement is the share of held-out observations on which a policy acts as "
    "{reference} does: the same action, or a box action of which no number "
    "differs by more than 0.05. kB are 1,000 bytes: of the file, of the weights, "
    "biases and scales in it, and of all arrays in memory at once while it acts on one "
    "observation."
)
LATENCY_NOTE = (
    "Latency: from observations to actions in the world's units, for 1 and for 64 "
    "observations, measured in turns. numpy is the loader of policy files{threads}; "
    "torch and onnxruntime have one thread."
)


class Variant(NamedTuple):
    """What was measured of a policy."""

    row: Row  # its returns and successes
    figures: Mapping[str, np.ndarray]  # [P] by name, as `compression.measure` has them
    has_episodes: bool = True  # whether returns are of episodes, not their means

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def unit(self) -> str:
        """What its means are over."""
        seeds = len(self.row.seeds)
        if self.has_episodes or seeds > 1:
            return self.row.unit
        return "all episodes of 1 seed"

    def confidence(self, measure: str) -> Confidence:
        """The mean of a measure and its 95 % interval, nan where it is unknown."""
        found = confidence(self.row, measure)
        if self.has_episodes or len(self.row.seeds) > 1:
            return found
        unknown = np.array(math.nan)
        return Confidence(found.mean, unknown, unknown)

    def mean(self, figure: str) -> float:
        """The mean of a figure over seeds; nan where it was not measured."""
        return float(np.mean(self.figures.get(figure, math.nan)))


def variants_of(
    values: Mapping[str, np.ndarray], seeds: tuple[int, ...]
) -> list[Variant]:
    """Variants from the values [P] of a record of compression."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for tag, value in values.items():
        _, variant, figure = tag.split("/")
        found.setdefault(variant, {})[figure] = np.asarray(value, float)
    return [
        Variant(Row(name, seeds, _played(figures)), figures, has_episodes=False)
        for name, figures in found.items()
    ]


def _played(figures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns and successes [P, 1]: means over episodes that are not known any more."""
    return {name: figures[name][:, None] for name in (RETURN, SUCCESS)}


def share(own: Row, reference: Row, floor: float) -> Confidence:
    """The share of the reference's return that a policy has on the same episodes.

    Where that return is not positive, both are counted from `floor`, the return of
    random play; nan where the reference is not better. The interval is that of the
    ratio of two paired means."""
    theirs = reference.values[RETURN] - zero_of(reference, floor)
    ours = own.values[RETURN] - zero_of(reference, floor)
    whole = theirs.mean()
    if not whole > 0:
        unknown = np.array(math.nan)
        return Confidence(unknown, unknown, unknown)
    ratio = ours.mean() / whole
    residuals = samples(ours - ratio * theirs)
    found = paired_difference(residuals, np.zeros(len(residuals)))
    half_width = (found.high - found.low) / 2 / whole
    return Confidence(
        np.array(ratio), np.array(ratio - half_width), np.array(ratio + half_width)
    )


def share_of(variant: Variant, reference: Variant, floor: float) -> float:
    """The share without its interval; that of the reference is 1, whatever it
    returns."""
    if variant is reference:
        return 1.0
    return float(share(variant.row, reference.row, floor).mean)


def zero_of(reference: Row, floor: float) -> float:
    """The return from which shares are counted."""
    return 0.0 if reference.values[RETURN].mean() > 0 else floor


def tables(
    variants: Sequence[Variant],
    floor: float = math.nan,
    refused: Mapping[str, str] | None = None,
    threads: str = "",
) -> str:
    """Both tables, in Markdown, and what their numbers are; the first variant is the
    reference.

    `floor` is the return of random play, `refused` says why techniques are left out,
    `threads` with how many threads numpy ran."""
    reference = variants[0]
    parts = [_costs(variants, floor), _latencies(variants)]
    base = FROM_RANDOM if zero_of(reference.row, floor) else ""
    notes = [
        f"Means over {reference.unit}, with 95 % intervals.",
        SHARE_NOTE.format(reference=reference.name, base=base),
        NOTE.format(reference=reference.name),
    ]
    parts.append(" ".join(notes))
    in_numpy = f" ({threads})" if threads else ""
    parts.append(LATENCY_NOTE.format(threads=in_numpy))
    if not _is_measured(variants, "onnx"):
        parts.append(
            "onnxruntime is not installed, so its columns are left out: pip install "
            "'planning-curriculum[onnx]'."
        )
    for name, reason in (refused or {}).items():
        parts.append(f"{name} is left out: {reason}.")
    return "\n\n".join(parts)


def _costs(variants: Sequence[Variant], floor: float) -> str:
    reference = variants[0].row
    titles = ["policy", "return", "share", "success", "agreement"]
    titles += ["file kB", "weights kB", "parameters", "peak kB"]
    lines = [titles]
    for variant in variants:
        row = variant.row
        lines.append(
            [
                row.name,
                text(variant.confidence(RETURN)),
                "" if row is reference else _share_text(row, reference, floor),
                text(variant.confidence(SUCCESS)),
                f"{variant.mean('agreement'):.3f}",
                f"{variant.mean('bytes') / 1_000:,.1f}",
                f"{variant.mean('parameter_bytes') / 1_000:,.1f}",
                f"{variant.mean('params'):,.0f}",
                f"{variant.mean('peak_bytes') / 1_000:,.1f}",
            ]
        )
    return aligned(lines)


def _share_text(row: Row, reference: Row, floor: float) -> str:
    mean, low, high = map(float, share(row, reference, floor))
    if math.isnan(mean):
        return "-"
    found = f"{mean:.3f}"
    return found if math.isnan(low) else f"{found} [{low:.3f}, {high:.3f}]"


def _latencies(variants: Sequence[Variant]) -> str:
    known = [
        (runner, batch)
        for runner in RUNNERS
        for batch in BATCHES
        if _is_measured(variants, runner)
    ]
    titles = [f"{RUNNERS[runner]}, {batch}" for runner, batch in known]
    lines = [[LATENCIES, *titles]]
    for variant in variants:
        cells = [_latency(variant, f"{runner}_{batch}") for runner, batch in known]
        lines.append([variant.name, *cells])
    return aligned(lines)


def _is_measured(variants: Sequence[Variant], runner: str) -> bool:
    return f"{runner}_1_p50_us" in variants[0].figures


def _latency(variant: Variant, what: str) -> str:
    values = [variant.mean(f"{what}_{percent}_us") for percent in PERCENTILES]
    digits = 1 if values[0] < 100 else 0
    return " / ".join(f"{value:,.{digits}f}" for value in values)
