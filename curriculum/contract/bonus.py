"""The promises of bonuses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum.contract.batches import SIZE, copy_of, random_batch
from curriculum.contract.promises import (
    calling,
    checking,
    copied,
    equal,
    require,
    stored,
)
from curriculum.envs._base.spec import spec_of
from curriculum.setting import plugins
from curriculum.types import Bonus, World

TOLERANCE = 1e-3  # of float32 sums in another order


@dataclass(frozen=True)
class BonusReport:
    """What a bonus that keeps its promises pays."""

    bonus: str
    mean: float
    logged: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"bonus {self.bonus} keeps its contract; mean {self.mean:.3g} on random "
            f"batches; logs {', '.join(self.logged) or 'nothing'}"
        )


def check_bonus(
    bonus: Bonus | str,
    env: World | str = "gridworld",
    seeds: tuple[int, ...] = (0, 1),
    batches: int = 6,
) -> BonusReport:
    """Ask a bonus for rewards on random batches of a world.

    Rewards must be [P, B], logged values [P], both finite; batches must not be changed;
    a seed must get the same alone as among others; `state` and `load` must continue
    exactly."""
    if batches < 2:
        raise ValueError(f"batches must be at least 2, got {batches}")
    plugin = plugins.make("bonus", bonus)
    world = plugins.make("env", env)
    with checking("bonus", plugin):
        first = _Course(plugin, world, seeds)
        first.run(0, batches // 2)
        with calling("state"):
            middle = stored(first.bonus.state())
        first.run(batches // 2, batches)
        _check_alone(first, plugin)
        _check_resumes(first, plugin, middle, batches // 2)
    mean = float(torch.stack(first.rewards).mean())
    return BonusReport(plugins.name_of("bonus", plugin), mean, first.logged)


class _Course:
    """A copy of a bonus, and the rewards that it gave."""

    def __init__(self, bonus: Bonus, world: World, seeds: tuple[int, ...]):
        self.world = world
        self.spec = spec_of(world)
        self.seeds = seeds
        self.bonus: Bonus = copied("bonus", bonus)
        self.rewards: list[Tensor] = []  # [P, B] each
        self.logged: tuple[str, ...] = ()
        self.bonus.use_world(world)
        with calling("setup"):
            result = self.bonus.setup(self.spec, seeds, "cpu")
        require(result is self.bonus, "setup must return the bonus itself")

    def run(self, start: int, end: int) -> None:
        """Ask for the rewards of the batches with these numbers."""
        count = len(self.seeds)
        for number in range(start, end):
            batch = random_batch(self.spec, self.seeds, number)
            before = copy_of(batch)
            with calling("visit"):
                self.bonus.visit(batch.next_obs.numpy(), np.ones(count, bool))
            with calling("reward"):
                reward, values = self.bonus.reward(batch, number)
            require(equal(before, copy_of(batch)), "reward must not change the batch")
            require(
                reward.shape == (count, SIZE),
                f"reward must have shape ({count}, {SIZE}), got {tuple(reward.shape)}",
            )
            require(bool(reward.isfinite().all()), "rewards must be finite")
            for name, value in values.items():
                require(
                    value.shape == (count,) and bool(value.isfinite().all()),
                    f"{name} must be {count} finite numbers, got {value}",
                )
            self.rewards.append(reward.detach().clone())
            self.logged = tuple(values)


def _check_alone(first: _Course, bonus: Bonus) -> None:
    alone = _Course(bonus, first.world, first.seeds[-1:])
    alone.run(0, len(first.rewards))
    among = torch.stack([reward[-1:] for reward in first.rewards])
    same = torch.allclose(among, torch.stack(alone.rewards), TOLERANCE, TOLERANCE)
    require(same, "a seed alone must get the same rewards as among others")


def _check_resumes(
    first: _Course, bonus: Bonus, middle: dict[str, Any], number: int
) -> None:
    other = _Course(bonus, first.world, first.seeds)
    with calling("load"):
        other.bonus.load(middle)
    other.run(number, len(first.rewards))
    require(
        equal(first.rewards[number:], other.rewards),
        "a bonus must continue exactly after load, a resumed run differs",
    )
