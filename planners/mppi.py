"""Model-predictive path integral control (Williams et al. 2017) for box actions."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from curriculum.planners._generators import SeedGenerators
from curriculum.planners._search.plans import Plans
from curriculum.planners._search.rollouts import Copies, Outcome, discounted_return
from curriculum.types import Decision, Planner, Rows, Spec, State, within


@dataclass(kw_only=True)
class MPPI(Planner):
    """Each row has a plan. Noisy variants of it are played in copies; their mean,
    weighted by return, is the new plan.

    Weights are exp((return - best) / (temperature x standard deviation of the
    returns)), so that `temperature` suits rewards of any size. Differences from the
    paper: noise can be correlated over steps; its size grows from 0 for the first copy
    to `noise` for the last; actions are clipped; deviating from the plan has no cost. A
    copy whose episode has terminated collects no more rewards. The next decision starts
    from the last plan, shifted by the steps taken since.

    The value of a decision is the weighted mean of the variants' returns up to the
    horizon; what is at stake is by how much it exceeds the plain mean, with what is
    assumed beyond the horizon."""

    samples: int = 32  # copies in which each decision tries variants of the plan
    horizon: int = 32  # steps that a plan looks ahead
    iterations: int = 1  # improvements of the plan per decision
    # near 0: the best variant becomes the plan; large: the mean of all
    temperature: float = 0.1
    noise: float = 0.5  # standard deviation, where actions lie in [-1, 1]
    smoothing: float = 0.8  # correlation of noise from step to step, below 1; 0: none
    discount: float = 0.99  # of rewards per step
    # steps for which a copy that reaches the horizon alive is assumed to go on earning
    # its mean reward
    beyond: int = 100
    play: int = 1  # steps of a plan that are taken before the next one is made

    needs: ClassVar[str] = "state"
    gives: ClassVar[tuple[str, ...]] = ("value", "stake")

    @property
    def value_discount(self) -> float:
        return self.discount

    def __post_init__(self):
        within(self, 1, float("inf"), "samples", "horizon", "iterations")
        within(self, 1e-6, float("inf"), "temperature")
        within(self, 0, float("inf"), "noise", "beyond")
        within(self, 0, 0.999, "smoothing")
        within(self, 0, 1, "discount")
        within(self, 1, self.horizon, "play")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if spec.actions:
            raise ValueError(
                f"mppi needs box actions, {rows.world} has discrete ones; "
                "choose --planner mcts"
            )
        self.simulator = rows.simulator()
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, "mppi planner", rows_per_seed)
        shape = (rows.count, self.horizon, spec.action_size)
        self.plans = Plans(rows, np.zeros(shape))
        # of the last plan of each row, [N]
        self.value = np.zeros(rows.count)
        self.stake = np.zeros(rows.count)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        fresh = ~self.plans.goes_on(rows, self.play)
        action = self.plans.left(rows)[:, 0]  # [n, A]
        if fresh.any():
            action[fresh] = self._plan(rows[fresh])
        self.plans.follow(rows)
        value = np.where(fresh, self.value[rows], -np.inf)
        return Decision(
            action.astype(np.float32),
            value=value,
            stake=self.stake[rows],
            fresh=fresh,
        )

    def interrupt(self, rows: np.ndarray) -> None:
        self.plans.drop(rows)

    def _plan(self, rows: np.ndarray) -> np.ndarray:
        """Plan for these rows; returns the first actions, [n, A]."""
        plan = self.plans.left(rows)  # [n, H, A]
        copies = Copies(self.simulator, rows, self.generators, self.samples)
        for _ in range(self.iterations):
            variants = self._variants(plan, rows)
            outcome = copies.play(variants)
            values = self._values(outcome)  # [n, K]
            weight = self._weights(values)
            plan = np.einsum("nk,nkha->nha", weight, variants)
        self.plans.keep(rows, plan)
        returns = discounted_return(outcome.reward, self.discount)
        self.value[rows] = (weight * returns).sum(-1)
        gain = (weight * values).sum(-1) - values.mean(-1)
        self.stake[rows] = np.maximum(gain, 0)
        return plan[:, 0]

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

    def _values(self, outcome: Outcome) -> np.ndarray:
        """Estimated returns [n, K] of the variants."""
        value = discounted_return(outcome.reward, self.discount)
        value_beyond = self.beyond * outcome.reward.mean(-1) * ~outcome.ended
        return value + value_beyond

    def _weights(self, values: np.ndarray) -> np.ndarray:
        """Weights [n, K] of the variants by their values [n, K]."""
        deviation = np.maximum(values.std(-1, keepdims=True), 1e-9)
        advantage = values - values.max(-1, keepdims=True)
        weight = np.exp(advantage / (self.temperature * deviation))
        return weight / weight.sum(-1, keepdims=True)

    def state(self) -> State:
        return {
            **self.plans.state(),
            "value": self.value.copy(),
            "stake": self.stake.copy(),
            "generators": self.generators.state(),
        }

    def load(self, state: State) -> None:
        self.plans.load(state)
        # checkpoints of former versions hold no values
        self.value = state.get("value", self.value).copy()
        self.stake = state.get("stake", self.stake).copy()
        self.generators.load(state["generators"])
