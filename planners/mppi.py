"""Model-predictive path integral control (Williams et al. 2017) for box actions."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from curriculum.planners._search.plans import Plans
from curriculum.planners._search.rollouts import Copies, Outcome, discounted_return
from curriculum.planners._search.searching import Searching
from curriculum.types import Rows, Spec, State, within


@dataclass(kw_only=True)
class MPPI(Searching):
    """Each row has a plan. Noisy variants of it are played in copies; their mean,
    weighted by return, is the new plan.

    Weights are exp((return - best) / (temperature x standard deviation of the
    returns)), so that `temperature` suits rewards of any size. Differences from the
    paper: noise can be correlated over steps; its size grows from 0 for the first copy
    to `noise` for the last; actions are clipped; deviating from the plan has no cost. A
    copy whose episode has terminated collects no more rewards. The next decision starts
    from the last plan, shifted by the steps taken since.

    With `trust` the learner's policy plays in copies as well. Where the best of its
    plans is worth more than the last one, the noise is added to it, and all of them
    count in the mean."""

    samples: int = 32  # copies in which each decision tries variants of the plan
    horizon: int = 32  # steps that a plan looks ahead
    iterations: int = 1  # improvements of the plan per decision
    # near 0: the best variant becomes the plan; large: the mean of all
    temperature: float = 0.1
    noise: float = 0.5  # standard deviation, where actions lie in [-1, 1]
    smoothing: float = 0.8  # correlation of noise from step to step, below 1; 0: none
    # steps for which a copy that reaches the horizon alive is assumed to go on earning
    # its mean reward
    beyond: int = 100
    # copies in which the learner's policy plays beside them, unless trust is 0
    proposals: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "samples", "horizon", "iterations")
        within(self, 0, float("inf"), "proposals")
        within(self, 1e-6, float("inf"), "temperature")
        within(self, 0, float("inf"), "noise", "beyond")
        within(self, 0, 0.999, "smoothing")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if spec.actions:
            raise ValueError(
                f"mppi needs box actions, {rows.world} has discrete ones; "
                "choose --planner mcts"
            )
        self.begin(rows, seeds, "mppi planner")
        shape = (rows.count, self.horizon, spec.action_size)
        self.plans = Plans(rows, np.zeros(shape))
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        self.clock.seconds = 0.0
        plan = self.plans.left(rows)  # [n, H, A]
        if len(rows):
            proposed = self._proposed(rows)
            if proposed:
                plan = self._better(rows, plan, proposed)
            copies = self.copies(rows, self.samples)
            for _ in range(self.iterations):
                variants = self._variants(plan, rows)
                values = self._values(rows, copies, copies.play(variants))
                if proposed:
                    variants = np.concatenate([variants, proposed.actions], 1)
                    values = np.concatenate([values, proposed.values], 1)
                plan = self._weighted_mean(variants, values)
        self.plans.keep(rows, plan)
        return plan[:, 0].astype(np.float32)

    def _proposed(self, rows: np.ndarray) -> "_Proposed | None":
        """Plans of the learner's policy, if there is advice."""
        if not self.proposals:
            return None
        found = self.advice.follow(rows, self.proposals, self.horizon)
        if found is None:
            return None
        copies = self.copies(rows, self.proposals)
        return _Proposed(found.actions, self._values(rows, copies, found.outcome))

    def _better(
        self, rows: np.ndarray, plan: np.ndarray, proposed: "_Proposed"
    ) -> np.ndarray:
        """The best proposal in place of plans [n, H, A] that are worth less."""
        copies = self.copies(rows, 1)
        value = self._values(rows, copies, copies.play(plan[:, None]))[:, 0]  # [n]
        best = proposed.values.argmax(-1)
        row = np.arange(len(rows))
        is_better = proposed.values[row, best] > value
        return np.where(is_better[:, None, None], proposed.actions[row, best], plan)

    def _variants(self, plan: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The plans with noise added [n, K, H, A]; the first variant is the plan
        itself."""
        noise = self.generators.standard_normal(rows, (self.samples, *plan.shape[1:]))
        fresh = self.noise * (1 - self.smoothing**2) ** 0.5
        noise[:, :, 0] *= self.noise
        for t in range(1, self.horizon):
            previous = self.smoothing * noise[:, :, t - 1]
            noise[:, :, t] = previous + fresh * noise[:, :, t]
        noise *= np.linspace(0, 1, self.samples)[:, None, None]
        return np.clip(plan[:, None] + noise, -1, 1)

    def _values(self, rows: np.ndarray, copies: Copies, outcome: Outcome) -> np.ndarray:
        """Estimated returns [n, K] of plans."""
        value = discounted_return(outcome.reward, self.discount)
        value_beyond = self.beyond * outcome.reward.mean(-1) * ~outcome.ended
        return self.advice.blend(rows, value + value_beyond, copies, outcome)

    def _weighted_mean(self, variants: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Mean [n, H, A] of the variants, weighted by their values [n, K]."""
        deviation = np.maximum(values.std(-1, keepdims=True), 1e-9)
        advantage = values - values.max(-1, keepdims=True)
        weight = np.exp(advantage / (self.temperature * deviation))
        weight = weight / weight.sum(-1, keepdims=True)
        return np.einsum("nk,nkha->nha", weight, variants)

    def state(self) -> State:
        return {**self.plans.state(), **super().state()}

    def load(self, state: State) -> None:
        self.plans.load(state)
        super().load(state)


class _Proposed(NamedTuple):
    """Plans of the learner's policy."""

    actions: np.ndarray  # [n, K, H, A]
    values: np.ndarray  # [n, K] estimated returns
