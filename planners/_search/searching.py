"""What planners that search in copies of the true state have in common."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from curriculum.planners._generators import SeedGenerators
from curriculum.planners._search.advice import Advice
from curriculum.planners._search.clock import Clock
from curriculum.planners._search.rollouts import Copies, Outcome
from curriculum.types import Advisor, Planner, Rows, State, within


@dataclass(kw_only=True)
class Searching(Planner):
    """Copies, generators, advice and clock of a search."""

    discount: float = 0.99  # of rewards per step
    # weight of the learner's values at the horizon, in [0, 1]; auto: as well as they
    # predict recent returns. At 0 the learner is not asked for plans either
    trust: float | Literal["auto"] = 0.0

    needs: ClassVar[str] = "state"

    def __post_init__(self) -> None:
        within(self, 0, 1, "discount")
        if self.trust != "auto":
            within(self, 0, 1, "trust")

    @property
    def advised(self) -> bool:  # type: ignore[override]
        return self.trust != 0

    @property
    def value_discount(self) -> float:
        return self.discount

    def begin(self, rows: Rows, seeds: tuple[int, ...], purpose: str) -> None:
        """Prepare for rows; `purpose` names the generators of the search."""
        self.simulator = rows.simulator()
        rows_per_seed = rows.count // len(seeds)
        self.generators = SeedGenerators(seeds, purpose, rows_per_seed)
        self.clock = Clock()
        self.advice = Advice(self.simulator, self.generators, self.trust, self.clock)

    def copies(self, rows: np.ndarray, count: int) -> Copies:
        """`count` copies of each of these rows."""
        return Copies(self.simulator, rows, self.generators, count, self.clock)

    def tells(self, outcome: Outcome) -> np.ndarray:
        """Whether the rewards up to the horizon are a value of the plans that brought
        them [...] bool: their episodes end within it, none of the rewards is negative,
        so that later ones are taken to be none either, or the learner is asked."""
        if self.advised:
            return np.ones(outcome.ended.shape, bool)
        return outcome.ended | (outcome.reward >= 0).all(-1)

    def listen(self, advisor: Advisor) -> None:
        if self.trust == "auto" and not advisor.has_values:
            raise ValueError(
                "--planner.trust auto goes by how well the learner's values have "
                "predicted returns, and this learner has none; give a number up to 1"
            )
        self.advice.advisor = advisor

    def simulator_seconds(self) -> float:
        return self.clock.seconds

    def state(self) -> State:
        return {"generators": self.generators.state()}

    def load(self, state: State) -> None:
        self.generators.load(state["generators"])
