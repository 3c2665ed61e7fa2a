"""The promises of learners."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curriculum.calls import is_fault
from curriculum.contract.batches import copy_of, random_batch, random_obs
from curriculum.contract.promises import (
    BrokenPromise,
    calling,
    checking,
    copied,
    equal,
    require,
    require_array,
    stored,
)
from curriculum.envs._base.spec import spec_of
from curriculum.learning.learner import Learner
from curriculum.setting import plugins
from curriculum.types import Batch, Spec, World

# of float32 sums in another order
TOLERANCE = 1e-3
WORLDS = {"discrete": "gridworld", "box": "pendulum"}


@dataclass(frozen=True)
class LearnerReport:
    """What a learner that keeps its promises consists of."""

    learner: str
    networks: tuple[str, ...]
    parameters: int  # of the policy of one seed
    diagnostics: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"learner {self.learner} keeps its contract; "
            f"networks {', '.join(self.networks)}; "
            f"policy of {self.parameters:,} parameters; "
            f"diagnostics {', '.join(self.diagnostics) or 'none'}"
        )


def check_learner(
    learner: Any,
    env: World | str = "",
    seeds: tuple[int, ...] = (0, 1),
    updates: int = 6,
) -> LearnerReport:
    """Update a learner on random batches of a world; an empty `env` is one whose
    actions it takes.

    Losses must be [P], finite, and named like networks; actions and values must have
    the right shapes and ranges; batches and observations must not be changed; a seed
    must learn the same alone as among others; `state` and `load` must continue exactly;
    `export` must act like `act`."""
    if updates < 2:
        raise ValueError(f"updates must be at least 2, got {updates}")
    plugin = plugins.make("learner", learner)
    with checking("learner", plugin):
        require(
            set(plugin.kinds) <= WORLDS.keys() and bool(plugin.kinds),
            f'kinds must be of "discrete" and "box", got {plugin.kinds}',
        )
        world = plugins.make("env", env or WORLDS[plugin.kinds[0]])
        first = _Course(plugin, spec_of(world), seeds)
        first.update(updates // 2)
        with calling("state"):
            middle = stored(first.learner.state())
        first.update(updates - updates // 2)
        diagnostics = _check_diagnostics(first)
        _check_actions(first)
        _check_export(first)
        _check_alone(first, plugin)
        _check_resumes(first, plugin, middle, updates // 2)
    networks = first.learner.nets
    parameters = first.learner.export(0).parameters()
    return LearnerReport(
        plugins.name_of("learner", plugin),
        tuple(networks),
        sum(parameter.numel() for parameter in parameters),
        tuple(diagnostics),
    )


class _Course:
    """A copy of a learner, and the batches that it is given."""

    def __init__(self, learner: Learner, spec: Spec, seeds: tuple[int, ...]):
        self.spec = spec
        self.seeds = seeds
        self.learner: Learner = copied("learner", learner)
        with calling("setup"):
            result = self.learner.setup(spec, seeds)
        require(result is self.learner, "setup must return the learner itself")
        obs = random_obs(spec, seeds, "contract normalizer")
        self.learner.normalizer.fit(list(obs))
        self.updates = 0
        self.losses: list[dict[str, Tensor]] = []

    def update(self, updates: int) -> None:
        for _ in range(updates):
            batch = self.batch(self.updates)
            before = copy_of(batch)
            self._check_losses(batch)
            with calling("update"):
                self.learner.update(batch)
            require(equal(before, copy_of(batch)), "losses must not change the batch")
            losses = self.learner.last_losses
            self.losses.append({name: loss.clone() for name, loss in losses.items()})
            self.updates += 1

    def batch(self, number: int) -> Batch:
        needs = self.learner.columns
        discount = self.learner.discount
        n_step = self.learner.n_step
        return random_batch(self.spec, self.seeds, number, needs, discount, n_step)

    def _check_losses(self, batch: Batch) -> None:
        """Compute the losses of a batch without learning from it."""
        noise = self.learner.head.noise.state()
        with calling("losses"):
            losses = self.learner.losses(self.learner.normalizer.prepare(batch))
        self.learner.head.noise.load(noise)
        count = len(self.seeds)
        for name, loss in losses.items():
            require(
                name in self.learner.nets,
                f"a loss must be named like its network, got {name!r}; "
                f"networks are: {', '.join(self.learner.nets)}",
            )
            require(
                loss.shape == (count,),
                f"the loss of {name} must have shape ({count},), one for each seed, "
                f"got {tuple(loss.shape)}",
            )
            require(bool(loss.isfinite().all()), f"the loss of {name} must be finite")


def _check_diagnostics(course: _Course) -> list[str]:
    with calling("diagnose"):
        values = course.learner.diagnostics(course.batch(0))
    count = len(course.seeds)
    for name, value in values.items():
        require(
            value.shape == (count,) and bool(value.isfinite().all()),
            f"diagnose must return {count} finite numbers for {name}, got {value}",
        )
    return list(values)


def _check_actions(course: _Course) -> None:
    obs = random_obs(course.spec, course.seeds, "contract act")
    before = obs.copy()
    for explore in (False, True):
        with calling("act"):
            action = course.learner.act(obs, explore)
        _require_actions(action, obs.shape[:2], course.spec)
    with calling("value"):
        value = course.learner.value(obs)
    require_array("value", value, obs.shape[:2], np.floating)
    with calling("act"):
        repeated = [course.learner.act(obs) for _ in range(2)]
    require(
        equal(repeated[0], repeated[1]), "act must not be random unless it explores"
    )
    require(equal(before, obs), "act and value must not change the observations")


def _require_actions(action: Any, shape: tuple[int, ...], spec: Spec) -> None:
    if spec.actions:
        require_array("act", action, shape, np.integer)
        low, high = 0, spec.actions - 1
    else:
        require_array("act", action, (*shape, spec.action_size), np.floating)
        low, high = -1, 1
    inside = (action >= low) & (action <= high)
    require(bool(inside.all()), f"actions must lie between {low} and {high}")


def _check_export(course: _Course) -> None:
    obs = random_obs(course.spec, course.seeds, "contract export")
    actions = course.learner.act(obs)
    for index in range(len(course.seeds)):
        with calling("export"), torch.inference_mode():
            policy = course.learner.export(index)
            output = policy(torch.as_tensor(obs[index])).numpy()
        if course.spec.actions:
            require_array(
                "the exported policy",
                output,
                (len(output), course.spec.actions),
                np.floating,
            )
            best = output.max(-1)
            chosen = np.take_along_axis(output, actions[index][:, None], -1)[:, 0]
            agrees = np.allclose(best, chosen, TOLERANCE, TOLERANCE)
        else:
            expected = actions[index]
            require_array("the exported policy", output, expected.shape, np.floating)
            agrees = np.allclose(expected, output, TOLERANCE, TOLERANCE)
        require(agrees, "the exported policy must act like act")


def _check_alone(first: _Course, learner: Learner) -> None:
    alone = _Course(learner, first.spec, first.seeds[-1:])
    alone.update(first.updates)
    for among, own in zip(first.losses, alone.losses, strict=True):
        for name, loss in own.items():
            same = torch.allclose(
                among[name][-1:], loss, TOLERANCE, TOLERANCE, equal_nan=True
            )
            require(
                same,
                f"a seed alone must learn as among others, the loss of {name} differs",
            )


def _check_resumes(
    first: _Course, learner: Learner, middle: dict[str, Any], updates: int
) -> None:
    other = _Course(learner, first.spec, first.seeds)
    try:
        other.learner.load(middle)
    except BaseException as error:
        if not is_fault(error):
            raise
        raise BrokenPromise(
            f"load must take what state returned, it raised {error!r}"
        ) from error
    other.updates = updates
    other.update(first.updates - updates)
    require(
        equal(first.losses[updates:], other.losses)
        and equal(first.learner.snapshot(), other.learner.snapshot()),
        "a learner must continue exactly after load, a resumed run differs",
    )
