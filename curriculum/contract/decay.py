"""The promises of decays."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from curriculum.contract.promises import (
    calling,
    checking,
    copied,
    equal,
    require,
    require_mask,
    stored,
)
from curriculum.setting import plugins
from curriculum.types import Decay, stream

EVALUATIONS = 10
EPISODES = 4


@dataclass(frozen=True)
class DecayReport:
    """Planning rates of a decay that keeps its promises."""

    decay: str
    rates: dict[int, float]  # step -> mean rate

    def __str__(self) -> str:
        rates = [f"{rate:.2g} at step {step:,}" for step, rate in self.rates.items()]
        return f"decay {self.decay} keeps its contract; rate {', '.join(rates)}"


def check_decay(
    decay: Decay | str, steps: int = 20_000, seeds: tuple[int, ...] = (0, 1, 2)
) -> DecayReport:
    """Ask a decay for its rates during `steps` environment steps, with evaluations in
    between whose scores rise and fall.

    Rates must be in [0, 1], a number or [P], and depend on the step and the seed's own
    scores alone; `observe` must return [P] bool and leave the scores as they are;
    `state` and `load` must continue exactly."""
    plugin = plugins.make("decay", decay)
    with checking("decay", plugin):
        overrides = type(plugin).observe is not Decay.observe
        require(
            plugin.listens or not overrides,
            "a decay with observe must declare listens = True",
        )
        first = _Course(plugin, steps, seeds)
        first.run(0, EVALUATIONS // 2)
        with calling("state"):
            middle = stored(first.decay.state())
        first.run(EVALUATIONS // 2, EVALUATIONS)
        _check_repeats(first)
        _check_alone(first, plugin)
        _check_resumes(first, plugin, middle)
    means = [float(rate.mean()) for rate in first.rates]
    shown = (0, len(first.at) // 2, len(first.at) - 1)
    rates = {first.at[index]: means[index] for index in shown}
    return DecayReport(plugins.name_of("decay", plugin), rates)


class _Course:
    """A copy of a decay over the steps of a run."""

    def __init__(self, decay: Decay, steps: int, seeds: tuple[int, ...]):
        self.decay: Decay = copied("decay", decay)
        self.steps = steps
        self.seeds = seeds
        self.at: list[int] = []  # steps at which the rate was asked for
        self.rates: list[np.ndarray] = []  # [P] each
        self.restored: list[np.ndarray] = []  # results of observe, [P] each

    def run(self, start: int, end: int) -> None:
        """Go through the evaluations with these numbers."""
        for number in range(start, end):
            step = self.steps * number // (EVALUATIONS - 1)
            self._ask(step)
            self._observe(number)
            self._ask(step)

    def _ask(self, step: int) -> None:
        with calling("rate"):
            rate = np.asarray(self.decay.rate(step))
        count = len(self.seeds)
        require(
            rate.shape in ((), (count,)),
            f"rate must return a number or one for each of {count} seeds, "
            f"got shape {rate.shape} at step {step}",
        )
        is_share = np.isfinite(rate) & (rate >= 0) & (rate <= 1)
        require(
            bool(is_share.all()),
            f"rate must lie between 0 and 1, got {rate} at step {step}",
        )
        self.at.append(step)
        self.rates.append(np.broadcast_to(rate, count).copy())

    def _observe(self, number: int) -> None:
        scores = np.stack([_scores(seed, number) for seed in self.seeds])
        before = scores.copy()
        with calling("observe"):
            restored = self.decay.observe(scores)
        require(equal(before, scores), "observe must not change the scores")
        require_mask("observe", restored, (len(self.seeds),))
        self.restored.append(restored.copy())


def _scores(seed: int, number: int) -> np.ndarray:
    """Scores of one seed, that rise to about 1, fall, and rise again."""
    noise = stream(seed, f"contract {number}").normal(0, 0.1, EPISODES)
    return np.sin(0.4 * number) + noise


def _check_repeats(first: _Course) -> None:
    """Without an evaluation in between, the rate of a step stays the same."""
    with calling("rate"):
        rates = [np.asarray(first.decay.rate(first.steps)) for _ in range(2)]
    require(equal(rates[0], rates[1]), "rate must not change unless observe is called")


def _check_alone(first: _Course, decay: Decay) -> None:
    alone = _Course(decay, first.steps, first.seeds[-1:])
    alone.run(0, EVALUATIONS)
    among = [rate[-1:] for rate in first.rates]
    restored = [mask[-1:] for mask in first.restored]
    same = equal(among, alone.rates) and equal(restored, alone.restored)
    require(same, "a seed alone must have the same rates as among others")


def _check_resumes(first: _Course, decay: Decay, middle: dict[str, Any]) -> None:
    other = _Course(decay, first.steps, first.seeds)
    with calling("load"):
        other.decay.load(middle)
    other.run(EVALUATIONS // 2, EVALUATIONS)
    expected = first.rates[-len(other.rates) :]
    restored = first.restored[-len(other.restored) :]
    same = equal(expected, other.rates) and equal(restored, other.restored)
    require(same, "a decay must continue exactly after load, a resumed run differs")
