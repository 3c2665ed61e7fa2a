"""The flags of a search that are not those of its runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from curriculum.report import measures
from curriculum.search import samplers
from curriculum.search.schedule import Budget
from curriculum.setting import flags, values

MOST_TRIALS = 100_000
MOST_CONCURRENT = 10_000
LONGEST_FACTOR = 1_000
FRESH = 1_000  # from the largest seed of the search to the first fresh one
KINDS: dict[str, Any] = {
    "search": tuple[str, ...],
    "sampler": Literal["tpe", "random", "grid"],
    "sampler-seed": int,
    "trials": int,
    "halving": int,
    "first-rung": int,
    "concurrent": int,
    "budget-steps": float,
    "budget-calls": float,
    "budget-seconds": float,
    "measure": str,
    "fresh-seeds": tuple[int, ...],
    "trust": bool,
}
HELP = {
    'search "FLAG=VALUES"...': "flags to search over, with uniform(LOW,HIGH), "
    "loguniform(LOW,HIGH), int(LOW,HIGH), logint(LOW,HIGH) or choice(A,B,...)",
    "sampler tpe|random|grid": "how settings are chosen: from the results so far (the "
    "extra [search]), at random, or all combinations of choices (tpe)",
    "sampler-seed N": "seed of the choice (0)",
    "trials N": "settings that are tried (32; of a grid, all)",
    "halving N": "of the trials that came to a rung, one of N goes on to N times as "
    "many steps; 1: every trial is trained to its end (3)",
    "first-rung STEPS": "the lowest rung; without it, --steps divided twice by N of "
    "--halving",
    "concurrent N": "trials under way at a time: the result depends on it, and not on "
    "--jobs or --on (4)",
    "budget-steps N": "environment steps that the search may spend, of all trials and "
    "seeds; updates of offline runs (no limit)",
    "budget-calls N": "planner calls after which nothing is begun (no limit)",
    "budget-seconds N": "seconds of training, of all trials added up, after which "
    "nothing is begun (no limit)",
    "measure TAG": "what is searched for, the mean over seeds of this tag of "
    "metrics.jsonl (eval/mean_reward)",
    "fresh-seeds N...": "seeds on which the setting that was found is trained again "
    f"(as many as --seeds, from {FRESH:,} above the largest)",
}


class Options(NamedTuple):
    """How a search goes on."""

    search: tuple[str, ...] = ()
    sampler: str = "tpe"
    sampler_seed: int = 0
    trials: int = 0  # 0: 32, or the whole grid
    halving: int = 3
    first_rung: int = 0  # 0: two rungs below the end
    concurrent: int = 4
    budget: Budget = Budget()
    measure: str = measures.RETURN
    fresh_seeds: tuple[int, ...] = ()

    @property
    def most_trials(self) -> int:
        """Settings that may be tried."""
        return self.trials or (MOST_TRIALS if self.sampler == "grid" else 32)

    @property
    def maximize(self) -> bool:
        """Whether more of the measure is better."""
        return measures.direction(self.measure) > 0

    def identity(self) -> dict[str, Any]:
        """The options, as a search is known by."""
        listed = self._asdict() | {"search": [*self.search]}
        listed["fresh_seeds"] = [*self.fresh_seeds]
        listed["budget"] = {
            name: amount if math.isfinite(amount) else None
            for name, amount in self.budget._asdict().items()
        }
        return listed


def split(
    argv: Sequence[str], kinds: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Split a command line into values of flags of these kinds, and the other words;
    ValueError names a flag with a wrong value."""
    words: list[str] = []
    given: dict[str, Any] = {}
    for flag in flags.scan(argv):
        if flag.name not in kinds:
            words += [f"--{flag.name}", *flag.values]
        elif flag.name == "trust" and not flag.values:
            given["trust"] = True
        else:
            try:
                given[flag.name] = values.read(kinds[flag.name], flag.values)
            except values.Mismatch as problem:
                raise ValueError(f"--{flag.name} {problem}") from None
    return given, words


def read(given: Mapping[str, Any]) -> Options:
    """The options that flags give; ValueError says what is wrong with one."""
    if "search" not in given:
        raise ValueError(
            'give --search "FLAG=VALUES", such as --search '
            '"learner.alpha=loguniform(0.01,10)"; curriculum.compare trains arms that '
            "are written by hand"
        )
    limits = {
        name: given[f"budget-{name}"]
        for name in Budget._fields
        if f"budget-{name}" in given
    }
    own = {
        name: given[name.replace("_", "-")]
        for name in Options._fields
        if name.replace("_", "-") in given
    }
    options = Options(**own, budget=Budget(**limits))
    _within(options.trials, 1 if "trials" in given else 0, MOST_TRIALS, "trials")
    _within(options.halving, 1, LONGEST_FACTOR, "halving")
    _within(options.first_rung, 0, values.LARGEST, "first-rung")
    _within(options.concurrent, 1, MOST_CONCURRENT, "concurrent")
    _within(options.sampler_seed, 0, 2**32 - 1, "sampler-seed")
    for name, amount in limits.items():
        if not amount > 0:
            raise ValueError(f"--budget-{name} must be above 0, got {amount:g}")
    fresh = options.fresh_seeds
    if len(set(fresh)) < len(fresh) or min(fresh, default=0) < 0:
        raise ValueError(
            "--fresh-seeds must be different whole numbers of at least 0, got "
            f"{' '.join(map(str, fresh))}"
        )
    if not measures.direction(options.measure):
        raise ValueError(
            f"--measure {options.measure}: it is not known whether more or less of it "
            "is better; choose a return, success, score, length, loss or count, such "
            "as eval/success_rate"
        )
    assert options.sampler in samplers.NAMES
    return options


def _within(value: int, low: int, high: int, name: str) -> None:
    if not low <= value <= high:
        raise ValueError(
            f"--{name} must be between {low:,} and {high:,}, got {value:,}"
        )
