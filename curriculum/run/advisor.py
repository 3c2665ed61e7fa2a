"""The learner of a run as the advisor of its planner.

Networks are asked for all rows, copies and samples of a decision at once. What a seed
is told does not depend on the others, and no random number of the learner is drawn.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from curriculum.learning.learner import Learner
from curriculum.learning.policies import (
    ActionDistribution,
    Categorical,
    Deterministic,
)
from curriculum.replay.layout import Transition
from curriculum.run.forecasts import CHECK_EVERY, Forecasts, Judgement
from curriculum.types import Advisor, Spec, State, stream

# share of random actions among draws of a learner that has a critic and no policy
SPREAD = 0.3


class LearnerAdvisor(Advisor):
    """Advises a planner for P seeds of E rows each.

    It answers from a copy of the learner, which `freeze` makes, so a late planner that
    acts on in its own thread does not see the learner change. `trust` is fixed where it
    is given, [P]; otherwise it follows the returns of what `add` is shown. An episode
    has `limit` steps, 0: no limit."""

    def __init__(
        self,
        learner: Learner,
        spec: Spec,
        rows_per_seed: int,
        limit: int = 0,
        name: str = "advisor",
        verdict: Judgement | None = None,
    ):
        self.learner = learner
        self.frozen: Learner = replace(learner).setup(
            spec, learner.seeds, learner.device, learner.precision
        )
        self.discount = learner.discount
        self.reward_shift = learner.reward_shift
        valuing = {learner.state_value, learner.critic}
        self.has_values = bool(valuing & learner.nets.keys())
        self.generators = [stream(seed, name) for seed in learner.seeds]
        nothing = np.zeros(len(learner.seeds))
        self.verdict = Judgement(skill=nothing, correction=nothing)
        self.forecasts: Forecasts | None = None
        if verdict is not None:
            self.verdict = verdict
        elif self.has_values:
            shape = (len(learner.seeds), rows_per_seed)
            self.forecasts = Forecasts(
                spec, shape, self.discount, self.reward_shift, limit
            )
        self.steps = CHECK_EVERY  # shown since values were compared with returns
        self.seconds = 0.0  # of this decision
        self.freezing_seconds = 0.0  # of these, those before the planner was asked

    @property
    def trust(self) -> np.ndarray:  # type: ignore[override]
        return self.verdict.trust

    @property
    def is_ready(self) -> bool:  # type: ignore[override]
        return self.frozen.updates > 0

    def add(self, transition: Transition) -> None:
        """See a step of all rows."""
        self.steps += 1
        if self.forecasts:
            self.forecasts.add(
                transition.obs,
                transition.reward,
                transition.terminated,
                transition.truncated,
                transition.next_obs,
            )

    def freeze(self) -> None:
        """Copy the learner for the next decision."""
        self.seconds = 0.0
        with self._timed():
            for name, net in self.frozen.nets.items():
                net.weights.vector.copy_(self.learner.nets[name].weights.vector)
            own = self.frozen.normalizer
            given = self.learner.normalizer
            own.weights.vector.copy_(given.weights.vector)
            own.reward_factor.copy_(given.reward_factor)
            self.frozen.updates = self.learner.updates
            if self.forecasts and self.is_ready and self.steps >= CHECK_EVERY:
                self.verdict = self.forecasts.judge(self._of_all)
                self.steps = 0
        self.freezing_seconds = self.seconds

    def values(self, obs: np.ndarray, seed: np.ndarray) -> np.ndarray:
        with self._timed():
            found = self._by_seed(self._of_all, obs, seed)
            return found + self.verdict.correction[seed]

    def _of_all(self, obs: np.ndarray) -> np.ndarray:
        """Values [P, n] of observations [P, n, *O] in rewards of the world; 0 where
        they are not finite."""
        factor = self.frozen.normalizer.reward_factor.cpu().numpy()
        found = self.frozen.value(obs).astype(np.float64) / factor
        return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)

    def propose(self, obs: np.ndarray, seed: np.ndarray, count: int) -> np.ndarray:
        with self._timed():
            best = self._by_seed(self.frozen.act, obs, seed)[:, None]
            if count == 1:
                return best
            noise = self._noise(seed, count - 1)
            drawn = self._by_seed(self._draw, obs, seed, noise)
            return np.concatenate([best, drawn.astype(best.dtype)], 1)

    def _draw(self, obs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Draws of the policy [P, m, N] or [P, m, N, A] for observations [P, m, *O] by
        noise [P, m, N, ...]."""
        given = torch.as_tensor(noise, dtype=torch.float32, device=self.frozen.device)

        def draw(inputs: Tensor) -> Tensor:
            policy = _policy_of(self.frozen, inputs)
            return policy.draw(given.transpose(1, 2)).transpose(1, 2)

        return self.frozen.infer(draw, obs)

    def _noise(self, seed: np.ndarray, count: int) -> np.ndarray:
        """Noise that the policy draws by, [n, count, ...], for observations of these
        seeds, [n]."""
        head = self.frozen.head
        numbers = np.bincount(seed, minlength=len(self.generators))
        parts = []
        for generator, number in zip(self.generators, numbers, strict=True):
            if head.actions:
                parts.append(generator.gumbel(size=(number, count, head.actions)))
            else:
                size = (number, count, head.action_size)
                parts.append(generator.standard_normal(size))
        return np.concatenate(parts)

    def _by_seed(
        self,
        function: Callable[..., np.ndarray],
        obs: np.ndarray,
        seed: np.ndarray,
        *others: np.ndarray,
    ) -> np.ndarray:
        """Apply a function of arrays [P, m, ...] to observations [n, *O] and others
        [n, ...].

        Results may differ in the last bit with m, so seeds with equally many
        observations are asked for together, whatever the others ask."""
        seeds = len(self.generators)
        counts = np.bincount(seed, minlength=seeds)
        order: list[np.ndarray] = []  # places of what was found
        found: list[np.ndarray] = []
        for count in np.unique(counts[counts > 0]):
            members = counts == count
            own = np.flatnonzero(members[seed])
            every = []
            for column in (obs, *others):
                padded = np.zeros((seeds, count, *column.shape[1:]), column.dtype)
                padded[members] = column[own].reshape(-1, count, *column.shape[1:])
                every.append(padded)
            result = function(*every)[members]
            found.append(result.reshape(-1, *result.shape[2:]))
            order.append(own)
        return np.concatenate(found)[np.argsort(np.concatenate(order))]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - started

    def state(self) -> State:
        return {
            "verdict": self.verdict._asdict(),
            "steps": self.steps,
            "generators": [g.bit_generator.state for g in self.generators],
            "forecasts": self.forecasts.state() if self.forecasts else {},
        }

    def load(self, state: State) -> None:
        self.verdict = Judgement(**state["verdict"])
        self.steps = state["steps"]
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
        if self.forecasts:
            self.forecasts.load(state["forecasts"])


def _policy_of(learner: Learner, obs: Tensor) -> ActionDistribution:
    """What a learner draws actions from at normalised observations; around its best
    action where it has no actor."""
    if learner.actor in learner.nets:
        return learner.policy_at(obs)
    best = learner.choose(obs)
    actions = learner.head.actions
    if not actions:
        return Deterministic(best, learner.head.noise)
    share = functional.one_hot(best, actions) * (1 - SPREAD) + SPREAD / actions
    return Categorical(share.log())
