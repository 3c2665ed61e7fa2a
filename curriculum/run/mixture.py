"""Planner and learner act together, row by row, as the gate decides.

`Mixture.use` counts what the planner is asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from curriculum.replay.buffer import SOURCE
from curriculum.run.advisor import LearnerAdvisor
from curriculum.run.guard import Guard
from curriculum.run.planner_use import PlannerUse
from curriculum.types import Gate, Moment, Planner, Policy, Spec, State, stream


class Choice(NamedTuple):
    """Who acts in P seeds of E rows, and how."""

    action: np.ndarray  # [P, E] or [P, E, A]
    source: np.ndarray  # [P, E] index into SOURCES
    # the planner's own action where `has_label`; None where nobody asked it
    label: np.ndarray | None
    has_label: np.ndarray  # [P, E] bool


class Mixture:
    """Acts for P seeds of E rows each; rows are in order of seeds.

    The planner is asked where the gate says so, and in a share `label_share` of the
    other rows for a label: what it would do. A seed's planner is not asked more than
    `budget` times. If it raises an error, does not return valid actions, or takes more
    than `deadline_ms` per row, the learner acts instead in all rows of that call. A
    budget or deadline of 0 sets no limit. A planner that listens to the learner has an
    `advisor`."""

    def __init__(
        self,
        planner: Planner,
        learner: Policy,
        gate: Gate,
        spec: Spec,
        seeds: Sequence[int],
        rows_per_seed: int,
        name: str = "gate",
        budget: int = 0,
        deadline_ms: float = 0.0,
        label_share: float = 0.0,
        advisor: LearnerAdvisor | None = None,
    ):
        self.guard = Guard(planner, spec, deadline_ms)
        self.learner = learner
        self.gate = gate
        self.budget = budget or np.inf
        self.label_share = label_share
        self.shape = (len(seeds), rows_per_seed)
        self.all_rows = np.ones(self.shape, bool)
        self.no_rows = np.zeros(self.shape, bool)
        self.learner_alone = np.full(self.shape, SOURCE["learner"])
        self.coins = [stream(seed, name) for seed in seeds]
        self.label_coins = [stream(seed, f"{name} labels") for seed in seeds]
        self.use = PlannerUse(len(seeds))
        self.advisor = advisor
        if advisor:
            planner.listen(advisor)

    def act(
        self,
        obs: np.ndarray,
        age: np.ndarray,
        rate: np.ndarray,
        explore: bool,
        playing: np.ndarray | None = None,
    ) -> Choice:
        """Choose actions for observations [P, E, *O] at planning rates [P].

        `age` [P, E] counts the steps of each episode. Outside the mask `playing` [P, E]
        the planner is not asked."""
        if playing is None:
            playing = self.all_rows
        coin = _draw(self.coins, self.shape)
        moment = Moment(rate, age, coin, obs, self.learner)
        planned = self.gate.planner_acts(moment) & playing
        own = self.learner.act(obs, explore)
        asked = self._asked(planned, playing)
        answer = self.plan(obs, asked) if asked.any() else None
        if answer is None:
            return Choice(own, self.learner_alone, None, self.no_rows)
        label = np.zeros_like(own)
        label[asked] = answer
        acts = asked & planned & self.gate.accepts(moment, label, own)
        action = own
        action[acts] = label[acts]
        source = np.where(acts, SOURCE["planner"], SOURCE["learner"])
        return Choice(action, source, label, asked)

    def _asked(self, planned: np.ndarray, playing: np.ndarray) -> np.ndarray:
        """Where the planner is asked, [P, E] bool: the first of the rows in which it is
        `planned` to act, then of those with a label, that the budget still pays for."""
        labelled = self.no_rows
        if self.label_share:
            coin = _draw(self.label_coins, self.shape)
            labelled = (coin < self.label_share) & playing & ~planned
        if self.budget == np.inf:
            return planned | labelled
        remaining = (self.budget - self.use.calls)[:, None]
        planned = planned & (np.cumsum(planned, 1) <= remaining)
        remaining = remaining - planned.sum(1, keepdims=True)
        return planned | labelled & (np.cumsum(labelled, 1) <= remaining)

    @property
    def spent(self) -> np.ndarray:
        """Which seeds have spent their planner's budget, [P] bool."""
        return self.use.calls >= self.budget

    def plan(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """Ask the planner to act in the rows in mask [P, E]; None if it fails or is
        late."""
        asked = rows.sum(1)
        advisor = None if self.guard.is_busy else self.advisor
        if advisor:
            advisor.freeze()
        answer = self.guard.ask(obs[rows], np.flatnonzero(rows))
        if advisor:
            seconds = answer.seconds + advisor.freezing_seconds
            answer = answer._replace(seconds=seconds)
        self.use.add(asked, answer, advisor.seconds if advisor else 0.0)
        return answer.action

    def state(self) -> State:
        return {
            "use": self.use.state(),
            "coins": [generator.bit_generator.state for generator in self.coins],
            "label_coins": [
                generator.bit_generator.state for generator in self.label_coins
            ],
            "gate": self.gate.state(),
            "planner": self.guard.state(),
            "advisor": self.advisor.state() if self.advisor else {},
        }

    def load(self, state: State) -> None:
        self.use.load(state["use"])
        for generator, saved in zip(self.coins, state["coins"], strict=True):
            generator.bit_generator.state = saved
        # checkpoints of former versions hold no labels
        label_coins = state.get("label_coins", [])
        for generator, saved in zip(self.label_coins, label_coins, strict=False):
            generator.bit_generator.state = saved
        self.gate.load(state["gate"])
        self.guard.load(state["planner"])
        if self.advisor and state.get("advisor"):
            self.advisor.load(state["advisor"])


def _draw(
    generators: Sequence[np.random.Generator], shape: tuple[int, int]
) -> np.ndarray:
    """Uniform numbers [P, E] in [0, 1), each seed's from its own generator."""
    coin = np.empty(shape)
    for generator, own in zip(generators, coin, strict=True):
        generator.random(out=own)
    return coin
