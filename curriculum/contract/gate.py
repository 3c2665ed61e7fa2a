"""The promises of gates."""

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
from curriculum.types import Gate, Moment, stream

ROWS = 4
LENGTH = 20  # steps of an episode


@dataclass(frozen=True)
class GateReport:
    """How often a gate that keeps its promises lets the planner act."""

    gate: str
    share: float  # of the steps, at a planning rate of 0.5

    def __str__(self) -> str:
        return (
            f"gate {self.gate} keeps its contract; at a planning rate of 0.5 the "
            f"planner takes {self.share:.2f} of the steps"
        )


class _Indifferent:
    """A learner that acts the same everywhere."""

    def act(self, obs: np.ndarray, explore: bool = False) -> np.ndarray:
        return np.zeros(obs.shape[:2], np.int64)

    def value(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(obs.shape[:2], np.float32)

    def action_value(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        return np.sin(obs[..., 0] + action)

    def margin(self, obs: np.ndarray) -> np.ndarray:
        return obs[..., 0]

    def disagreement(self, obs: np.ndarray) -> np.ndarray:
        return obs[..., 1]


def check_gate(
    gate: Gate | str, steps: int = 60, seeds: tuple[int, ...] = (0, 1, 2)
) -> GateReport:
    """Let a gate choose for `steps` steps in a few rows of each seed.

    It must return [P, E] bool: false everywhere at rate 0, true everywhere at rate 1;
    leave the moment as it is; and choose for each seed by that seed's numbers alone.
    `state` and `load` must continue exactly."""
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    plugin = plugins.make("gate", gate)
    with checking("gate", plugin):
        first = _Course(plugin, seeds)
        first.run(steps // 2)
        with calling("state"):
            middle = stored(first.gate.state())
        first.run(steps - steps // 2)
        _check_extremes(plugin, seeds, steps)
        _check_alone(first, plugin)
        _check_resumes(first, plugin, middle, steps // 2)
    share = float(np.mean(first.masks))
    return GateReport(plugins.name_of("gate", plugin), share)


class _Course:
    """A copy of a gate in rows whose episodes end at fixed times."""

    def __init__(self, gate: Gate, seeds: tuple[int, ...], rate: float = 0.5):
        self.gate: Gate = copied("gate", gate)
        self.seeds = seeds
        self.rate = rate
        self.masks: list[np.ndarray] = []  # [P, E] each
        self.step = 0

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self._choose()
            self.step += 1

    def _choose(self) -> None:
        shape = (len(self.seeds), ROWS)
        numbers = np.stack([_numbers(seed, self.step) for seed in self.seeds])
        # the episodes of different rows begin at different steps
        age = (self.step + np.arange(ROWS)) % LENGTH
        moment = Moment(
            rate=np.full(len(self.seeds), self.rate),
            age=np.broadcast_to(np.minimum(age, self.step), shape).copy(),
            coin=numbers[..., 0],
            obs=numbers[..., 1:].astype(np.float32),
            learner=_Indifferent(),
        )
        before = [array.copy() for array in moment[:-1]]
        with calling("planner_acts"):
            mask: Any = self.gate.planner_acts(moment)
        require(
            equal(before, list(moment[:-1])), "planner_acts must not change the moment"
        )
        require_mask("planner_acts", mask, shape)
        self.masks.append(mask.copy())


def _numbers(seed: int, step: int) -> np.ndarray:
    """Coins and observations of one seed, [E, 3]."""
    return stream(seed, f"contract {step}").random((ROWS, 3))


def _check_extremes(gate: Gate, seeds: tuple[int, ...], steps: int) -> None:
    never = _Course(gate, seeds, rate=0.0)
    never.run(steps)
    require(not np.any(never.masks), "the planner must not act at a planning rate of 0")
    always = _Course(gate, seeds, rate=1.0)
    always.run(steps)
    require(bool(np.all(always.masks)), "the planner must act at a planning rate of 1")


def _check_alone(first: _Course, gate: Gate) -> None:
    alone = _Course(gate, first.seeds[-1:])
    alone.run(first.step)
    among = [mask[-1:] for mask in first.masks]
    require(
        equal(among, alone.masks),
        "a seed alone must get the same choices as among others",
    )


def _check_resumes(
    first: _Course, gate: Gate, middle: dict[str, Any], step: int
) -> None:
    other = _Course(gate, first.seeds)
    other.step = step
    with calling("load"):
        other.gate.load(middle)
    other.run(first.step - step)
    require(
        equal(first.masks[step:], other.masks),
        "a gate must continue exactly after load, a resumed run differs",
    )
