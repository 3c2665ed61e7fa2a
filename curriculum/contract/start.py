"""The promises of starts."""

from dataclasses import dataclass

import numpy as np

from curriculum.contract.promises import calling, checking, copied, require
from curriculum.setting import plugins
from curriculum.types import Start


@dataclass(frozen=True)
class StartReport:
    """The transitions per seed that a start which keeps its promises adds."""

    start: str
    planner: int  # taken by the planner
    random: int

    def __str__(self) -> str:
        return (
            f"start {self.start} keeps its contract; it adds {self.planner:,} "
            f"transitions of the planner and {self.random:,} random ones per seed"
        )


class _Ledger:
    """A collector and a buffer that only count transitions of one seed."""

    def __init__(self) -> None:
        self.planner = 0
        self.random = 0

    @property
    def size(self) -> np.ndarray:
        return np.array([self.planner + self.random])

    def play_planner(self, transitions: int, noise: float = 0.0) -> None:
        _require_count("play_planner", transitions)
        self.planner += transitions

    def play_random(self, transitions: int) -> None:
        _require_count("play_random", transitions)
        self.random += transitions


def check_start(start: Start | str) -> StartReport:
    """Let a start fill a buffer that only counts.

    It must not play more transitions than its `size`, which must be a whole number of
    at least 0; and it must declare `asks_planner` exactly if the planner takes all of
    them."""
    plugin = plugins.make("start", start)
    with checking("start", plugin):
        size = plugin.size
        is_count = isinstance(size, int | np.integer) and size >= 0
        require(is_count, f"size must be a whole number of at least 0, got {size!r}")
        ledger = _Ledger()
        with calling("fill"):
            copied("start", plugin).fill(ledger, ledger)
        total = ledger.planner + ledger.random
        require(
            total <= size,
            f"fill must play at most {size} transitions, it played {total}",
        )
        asks = ledger.planner > 0 and ledger.planner == size
        require(
            asks == (plugin.asks_planner and size > 0),
            "asks_planner must be True exactly if the planner takes every transition",
        )
    return StartReport(plugins.name_of("start", plugin), ledger.planner, ledger.random)


def _require_count(method: str, transitions: int) -> None:
    is_count = isinstance(transitions, int | np.integer) and transitions >= 0
    require(
        is_count, f"{method} takes a whole number of transitions, got {transitions!r}"
    )
