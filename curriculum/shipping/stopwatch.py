"""Latencies of several functions, measured in turns, so that load hits all alike."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

PERCENTILES = (50, 95, 99)
SECONDS = 0.06  # that the calls of one function may take in a round


class Timed(NamedTuple):
    """A function and the arguments that it is called with, in turn."""

    call: Callable[[Any], Any]
    arguments: Sequence[Any]


def latencies_us(
    functions: Sequence[Timed],
    rounds: int,
    calls: int,
    report: Callable[[int], None] = lambda done: None,
    most_seconds: float = SECONDS,
) -> list[np.ndarray]:
    """The duration of every call in microseconds, [n] for each function.

    A round calls every function `calls` times, fewer where that would take more than
    `most_seconds`; a round that is not counted comes first. `report` is told how many
    rounds are done."""
    counts = [_affordable(each, calls, most_seconds) for each in functions]
    found: list[list[int]] = [[] for _ in functions]
    for done in range(rounds):
        for each, count, durations in zip(functions, counts, found, strict=True):
            durations += _durations(each, count, len(durations))
        report(done + 1)
    return [np.array(durations) / 1_000 for durations in found]


def percentiles(durations: np.ndarray) -> dict[str, float]:
    """The percentiles of durations, by name: "p50" and so on."""
    values = np.percentile(durations, PERCENTILES)
    return {
        f"p{percent}": float(value)
        for percent, value in zip(PERCENTILES, values, strict=True)
    }


def _affordable(each: Timed, calls: int, most_seconds: float) -> int:
    """Warm a function up; returns how many calls a round can have."""
    total = 0
    for count in range(1, calls + 1):
        total += sum(_durations(each, 1, count))
        if total > most_seconds * 1e9:
            return count
    return calls


def _durations(each: Timed, count: int, start: int) -> list[int]:
    """Durations of calls in nanoseconds, with the arguments from `start` on."""
    call = each.call
    arguments = each.arguments
    found = []
    for number in range(start, start + count):
        given = arguments[number % len(arguments)]
        begin = time.perf_counter_ns()
        call(given)
        found.append(time.perf_counter_ns() - begin)
    return found
