"""Model-predictive path integral control (Williams et al. 2017) for box actions."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.planners._search.plans import Plans
from curriculum.planners._search.rollouts import Copies, Outcome, discounted_return
from curriculum.planners._search.searching import Searching
from curriculum.types import Decision, Rows, Spec, State, ThreadedSimulator, within

MOST_THREADS = 256


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
    count in the mean.

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
    # steps for which a copy that reaches the horizon alive is assumed to go on earning
    # its mean reward
    beyond: int = 100
    play: int = 1  # steps of a plan that are taken before the next one is made
    # copies in which the learner's policy plays beside them, unless trust is 0
    proposals: int = 4
    # processor threads that step copies of Hopper and the like: results stay the same
    threads: int = 1

    gives: ClassVar[tuple[str, ...]] = ("value", "stake")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "samples", "horizon", "iterations")
        within(self, 0, float("inf"), "proposals")
        within(self, 1e-6, float("inf"), "temperature")
        within(self, 0, float("inf"), "noise", "beyond")
        within(self, 0, 0.999, "smoothing")
        within(self, 1, self.horizon, "play")
        within(self, 1, MOST_THREADS, "threads")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if spec.actions:
            raise ValueError(
                f"mppi needs box actions, {name_of(rows.world)} has discrete ones; "
                "choose --planner mcts"
            )
        self.begin(rows, seeds, "mppi planner")
        if self.threads > 1:
            self._use_threads(rows)
        shape = (rows.count, self.horizon, spec.action_size)
        self.plans = Plans(rows, np.zeros(shape))
        # of the last plan of each row, [N]
        self.value = np.zeros(rows.count)
        self.stake = np.zeros(rows.count)
        return self

    def _use_threads(self, rows: Rows) -> None:
        if not isinstance(self.simulator, ThreadedSimulator):
            raise ValueError(
                f"copies of {name_of(rows.world)} are stepped by one thread; leave out "
                "--planner.threads"
            )
        self.simulator.use_threads(self.threads)

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        self.clock.seconds = 0.0
        fresh = ~self.plans.goes_on(rows, self.play)
        action = self.plans.left(rows)[:, 0]  # [n, A]
        for part in self.advice.parts(rows):
            now = fresh & part
            if now.any():
                action[now] = self._plan(rows[now])
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
        proposed = self._proposed(rows)
        if proposed:
            plan = self._better(rows, plan, proposed)
        copies = self.copies(rows, self.samples)
        for _ in range(self.iterations):
            tried = self._tried(rows, copies, self._variants(plan, rows))
            if proposed:
                tried = tried.beside(proposed)
            weight = self._weights(tried.values)
            plan = np.einsum("nk,nkha->nha", weight, tried.actions)
        self.plans.keep(rows, plan)
        value = (weight * tried.returns).sum(-1)
        self.value[rows] = np.where(tried.tells.all(-1), value, -np.inf)
        gain = (weight * tried.values).sum(-1) - tried.values.mean(-1)
        self.stake[rows] = np.maximum(gain, 0)
        return plan[:, 0]

    def _tried(self, rows: np.ndarray, copies: Copies, actions: np.ndarray) -> "_Tried":
        """Play plans [n, K, H, A] in copies."""
        return self._judged(rows, actions, copies.play(actions))

    def _judged(
        self, rows: np.ndarray, actions: np.ndarray, outcome: Outcome
    ) -> "_Tried":
        """What plans [n, K, H, A] are worth by what came of them."""
        returns = discounted_return(outcome.reward, self.discount)
        beyond = self.beyond * outcome.reward.mean(-1) * ~outcome.ended
        values = self.advice.blend(rows, returns + beyond, outcome)
        return _Tried(actions, returns, values, self.tells(outcome))

    def _proposed(self, rows: np.ndarray) -> "_Tried | None":
        """Plans of the learner's policy, if there is advice."""
        found = self.advice.follow(rows, self.proposals, self.horizon)
        return self._judged(rows, *found) if found else None

    def _better(
        self, rows: np.ndarray, plan: np.ndarray, proposed: "_Tried"
    ) -> np.ndarray:
        """The best proposal in place of plans [n, H, A] that are worth less."""
        last = self._tried(rows, self.copies(rows, 1), plan[:, None])
        best = proposed.values.argmax(-1)
        row = np.arange(len(rows))
        is_better = proposed.values[row, best] > last.values[:, 0]
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
            **super().state(),
        }

    def load(self, state: State) -> None:
        self.plans.load(state)
        # checkpoints of former versions hold no values
        self.value = state.get("value", self.value).copy()
        self.stake = state.get("stake", self.stake).copy()
        super().load(state)


class _Tried(NamedTuple):
    """Plans that were played in copies."""

    actions: np.ndarray  # [n, K, H, A]
    returns: np.ndarray  # [n, K] up to the horizon
    values: np.ndarray  # [n, K] estimated returns
    tells: np.ndarray  # [n, K] bool: whether `returns` are values

    def beside(self, others: "_Tried") -> "_Tried":
        """These plans and then the others."""
        pairs = zip(self, others, strict=True)
        return _Tried(*(np.concatenate(pair, 1) for pair in pairs))
