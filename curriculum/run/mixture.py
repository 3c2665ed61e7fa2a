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
from curriculum.types import (
    Decision,
    Gate,
    Moment,
    Planner,
    Policy,
    Spec,
    State,
    stream,
)


class Choice(NamedTuple):
    """Who acts in P seeds of E rows, and how."""

    action: np.ndarray  # [P, E] or [P, E, A]
    source: np.ndarray  # [P, E] index into SOURCES
    # the planner's decision where `has_label`; None where nobody asked it
    decision: Decision | None
    has_label: np.ndarray  # [P, E] bool

    @property
    def label(self) -> np.ndarray | None:
        """The planner's own action, [P, E] or [P, E, A], where `has_label`."""
        return None if self.decision is None else self.decision.action


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
        # calls that each seed may make in all, [P]
        self.limit = np.full(len(seeds), budget or np.inf)
        self.label_share = label_share
        self.shape = (len(seeds), rows_per_seed)
        self.all_rows = np.ones(self.shape, bool)
        self.no_rows = np.zeros(self.shape, bool)
        self.learner_alone = np.full(self.shape, SOURCE["learner"])
        self.coins = [stream(seed, name) for seed in seeds]
        self.label_coins = [stream(seed, f"{name} labels") for seed in seeds]
        self.use = PlannerUse(len(seeds))
        # whether the planner wants to know where somebody else acts
        self.heeds_others = type(planner).interrupt is not Planner.interrupt
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
        decision = self.plan(obs, asked) if asked.any() else None
        if decision is None:
            self.interrupt(self.all_rows)
            return Choice(own, self.learner_alone, None, self.no_rows)
        label = decision.action
        acts = asked & planned & self.gate.accepts(moment, label, own)
        action = own
        action[acts] = label[acts]
        source = np.where(acts, SOURCE["planner"], SOURCE["learner"])
        self.interrupt(~acts)
        return Choice(action, source, decision, asked)

    def _asked(self, planned: np.ndarray, playing: np.ndarray) -> np.ndarray:
        """Where the planner is asked, [P, E] bool: the first of the rows in which it is
        `planned` to act, then of those with a label, that the budget still pays for."""
        labelled = self.no_rows
        if self.label_share:
            coin = _draw(self.label_coins, self.shape)
            labelled = (coin < self.label_share) & playing & ~planned
        if np.isinf(self.limit).all():
            return planned | labelled
        remaining = (self.limit - self.use.calls)[:, None]
        planned = planned & (np.cumsum(planned, 1) <= remaining)
        remaining = remaining - planned.sum(1, keepdims=True)
        return planned | labelled & (np.cumsum(labelled, 1) <= remaining)

    @property
    def spent(self) -> np.ndarray:
        """Which seeds have spent their planner's budget, [P] bool."""
        return self.use.calls >= self.limit

    def plan(self, obs: np.ndarray, rows: np.ndarray) -> Decision | None:
        """Ask the planner to act in the rows in mask [P, E]; its decision is of all
        rows, [P, E, ...], 0 where it was not asked. None if it fails or is late."""
        advisor = None if self.guard.is_busy else self.advisor
        if advisor:
            advisor.freeze()
        answer = self.guard.ask(obs[rows], np.flatnonzero(rows))
        if advisor:
            seconds = answer.seconds + advisor.freezing_seconds
            answer = answer._replace(seconds=seconds)
        planned = rows
        if answer.fresh is not None:
            planned = _spread(answer.fresh, rows)
        advice_seconds = advisor.seconds if advisor else 0.0
        self.use.add(rows.sum(1), answer, planned.sum(1), advice_seconds)
        if answer.decision is None:
            return None
        parts = answer.decision._asdict()
        of_all = {
            name: _spread(part, rows)
            for name, part in parts.items()
            if part is not None
        }
        return Decision(**of_all)

    def interrupt(self, rows: np.ndarray) -> None:
        """Tell the planner that somebody else acts in the rows in mask [P, E]."""
        if self.heeds_others and rows.any():
            self.guard.interrupt(np.flatnonzero(rows))

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


def _spread(part: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What belongs to the rows in mask [P, E], [n, ...], as [P, E, ...], 0
    elsewhere."""
    of_all = np.zeros((*rows.shape, *part.shape[1:]), part.dtype)
    of_all[rows] = part
    return of_all


def _draw(
    generators: Sequence[np.random.Generator], shape: tuple[int, int]
) -> np.ndarray:
    """Uniform numbers [P, E] in [0, 1), each seed's from its own generator."""
    coin = np.empty(shape)
    for generator, own in zip(generators, coin, strict=True):
        generator.random(out=own)
    return coin
