"""Model-predictive path integral control (Williams et al. 2017) in copies of any world
of box actions."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from curriculum.planners._search.tree import rollout
from curriculum.types import Spec, State, stream, within


@dataclass(kw_only=True)
class MPPI:
    """Each row has a plan; noisy copies of it are played, and their mean weighted by
    return is the new plan.

    Weights are exp((return - best) / (temperature x standard deviation of the
    returns)): `temperature` fits any reward. Unlike the paper's, noise may be smooth
    and grows from copy to copy, from none to `noise`; actions are clipped, and
    departing from the plan costs nothing. A copy that has ended earns nothing more. The
    next plan starts from the last one, shifted by the steps taken since."""

    samples: int = 32  # copies that each plan is tried in
    horizon: int = 32  # steps that a plan looks ahead
    iterations: int = 1  # times that each decision's plan is improved
    # near 0: the best copy is the plan; large: the mean of all
    temperature: float = 0.1
    noise: float = 0.5  # standard deviation, where actions reach from -1 to 1
    smoothing: float = 0.8  # correlation of noise from step to step, below 1; 0: none
    discount: float = 0.99  # of rewards per step
    # steps for which a copy that has not ended at the horizon is taken to earn its mean
    # reward
    beyond: int = 100

    needs: ClassVar[str] = "state"

    def __post_init__(self):
        within(self, 1, float("inf"), "samples", "horizon", "iterations")
        within(self, 1e-6, float("inf"), "temperature")
        within(self, 0, float("inf"), "noise", "beyond")
        within(self, 0, 0.999, "smoothing")
        within(self, 0, 1, "discount")

    def setup(self, env: Any, spec: Spec, seeds: tuple[int, ...]) -> Self:
        """Take copies of the rows to plan in, and give every seed its generator; every
        row's plan is to do nothing."""
        if spec.actions:
            raise ValueError(
                f"mppi needs box actions, {env.world} has discrete ones; choose --planner mcts"
            )
        self.env, self.simulator, self.rows_each = (
            env,
            env.simulator(),
            env.count // len(seeds),
        )
        self.generators = [stream(seed, "mppi planner") for seed in seeds]
        self.plan = np.zeros((env.count, self.horizon, spec.action_size))
        # of the episode, when the plan was made
        self.time = np.zeros(env.count, np.int64)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The first actions [n, A] of the plans for these rows, in ascending order."""
        plan = self._shifted(rows)
        if len(rows):
            owner, state = rows // self.rows_each, self.simulator.states(rows)
            for _ in range(self.iterations):
                plan = self._improved(plan, state, owner)
        self.plan[rows], self.time[rows] = plan, self.env.time[rows]
        return plan[:, 0].astype(np.float32)

    def _shifted(self, rows: np.ndarray) -> np.ndarray:
        """What is left of the last plans [n, H, A], and nothing in an episode that
        began since."""
        time = self.env.time[rows]
        at = np.arange(self.horizon) + (time - self.time[rows])[:, None]  # [n, H]
        kept = (
            (at < self.horizon)
            & (time >= self.time[rows])[:, None]
            & (time > 0)[:, None]
        )
        return np.where(
            kept[..., None], self.plan[rows[:, None], np.where(kept, at, 0)], 0
        )

    def _improved(
        self, plan: np.ndarray, state: np.ndarray, owner: np.ndarray
    ) -> np.ndarray:
        """Better plans [n, H, A] from `state` [n, ...]; the last one is among those
        tried."""
        size = (self.samples, *plan.shape[1:])
        count = np.bincount(owner, minlength=len(self.generators))
        noise = np.concatenate(
            [
                g.standard_normal((n, *size))
                for g, n in zip(self.generators, count, strict=True)
                if n
            ]
        )  # [n, K, H, A]
        fresh = self.noise * (1 - self.smoothing**2) ** 0.5
        noise[:, :, 0] *= self.noise
        for t in range(1, self.horizon):
            noise[:, :, t] = (
                self.smoothing * noise[:, :, t - 1] + fresh * noise[:, :, t]
            )
        # the first is the plan itself
        noise *= np.linspace(0, 1, self.samples)[:, None, None]
        tried = np.clip(plan[:, None] + noise, -1, 1)
        copies, owners = (
            np.repeat(state, self.samples, 0),
            np.repeat(owner, self.samples),
        )
        reward, ended = rollout(
            self.simulator,
            copies,
            tried.reshape(-1, *plan.shape[1:]),
            owners,
            self.generators,
        )
        value = (
            reward @ self.discount ** np.arange(self.horizon)
            + self.beyond * reward.mean(-1) * ~ended
        )
        value = value.reshape(-1, self.samples)  # [n, K]
        width = self.temperature * np.maximum(value.std(-1, keepdims=True), 1e-9)
        weight = np.exp((value - value.max(-1, keepdims=True)) / width)
        return np.einsum("nk,nkha->nha", weight / weight.sum(-1, keepdims=True), tried)

    def state(self) -> State:
        """Plans and generators: all that is needed to go on exactly from here."""
        generators = [generator.bit_generator.state for generator in self.generators]
        return {
            "plan": self.plan.copy(),
            "time": self.time.copy(),
            "generators": generators,
        }

    def load(self, state: State) -> None:
        self.plan, self.time = state["plan"].copy(), state["time"].copy()
        for generator, saved in zip(self.generators, state["generators"], strict=True):
            generator.bit_generator.state = saved
