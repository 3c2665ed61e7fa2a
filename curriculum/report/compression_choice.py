"""Which compressed policy to deploy: the smallest one within the limits."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from curriculum.report.compression_table import Variant, share_of

LATENCY = "numpy_1_p50_us"  # that a limit is about


class Limits(NamedTuple):
    """What a policy must keep to."""

    max_bytes: float = math.inf  # of its file
    max_latency_us: float = math.inf  # to act on one observation, in numpy, median
    min_return_share: float = 0.95  # of the reference's return


class Choice(NamedTuple):
    """The policy to deploy, and why."""

    name: str  # empty where no policy keeps to the limits
    reason: str  # in a sentence


class _Candidate(NamedTuple):
    """A policy as the limits see it."""

    name: str
    share: float
    size: float  # bytes
    latency_us: float

    def excess(self, limits: Limits) -> dict[str, float]:
        """How far it is beyond each limit, as a share of that limit; by what the limit
        is about."""
        least = limits.min_return_share
        missing = (least - self.share) / least if least else 0.0
        return {
            f"keeps {least:g} of the return": missing,
            f"fits {limits.max_bytes:,.0f} bytes": self.size / limits.max_bytes - 1,
            f"acts within {limits.max_latency_us:,g} us": (
                self.latency_us / limits.max_latency_us - 1
            ),
        }

    def text(self) -> str:
        return (
            f"{self.share:.3f} of the return, {self.size:,.0f} bytes, "
            f"{self.latency_us:.1f} us"
        )


def choose(variants: Sequence[Variant], limits: Limits, floor: float) -> Choice:
    """The smallest file within the limits; the first variant is the reference."""
    candidates = [_candidate(variant, variants[0], floor) for variant in variants]
    within = [
        candidate
        for candidate in candidates
        if max(candidate.excess(limits).values()) <= 0
    ]
    if not within:
        return Choice("", _refusal(candidates, limits))
    best = min(within, key=lambda each: (each.size, each.latency_us))
    ratio = best.size / candidates[0].size
    reason = (
        f"{best.name} is the smallest of {len(within)} within the limits: "
        f"{best.text()}; its file has {ratio:.3f} of the bytes of {candidates[0].name}"
    )
    return Choice(best.name, reason)


def _candidate(variant: Variant, reference: Variant, floor: float) -> _Candidate:
    kept = share_of(variant, reference, floor)
    return _Candidate(
        name=variant.name,
        # a share that is unknown meets no limit
        share=-math.inf if math.isnan(kept) else kept,
        size=variant.mean("bytes"),
        latency_us=variant.mean(LATENCY),
    )


def _refusal(candidates: Sequence[_Candidate], limits: Limits) -> str:
    """Which limit nothing meets, and what comes nearest."""
    excesses = [candidate.excess(limits) for candidate in candidates]
    unmet = [
        name for name in excesses[0] if all(excess[name] > 0 for excess in excesses)
    ]
    what = " and none ".join(unmet) or "keeps to all limits at once"
    nearest = min(candidates, key=lambda each: max(each.excess(limits).values()))
    return f"no policy {what}; {nearest.name} comes nearest: {nearest.text()}"
