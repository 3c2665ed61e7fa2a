"""What a search takes from the learner of the run: values at its horizon, and plans.

With trust w a plan is worth

    (1 - w) * J + w * J',   J' = sum_{t < H} g^t r_t + g^H V(s_H)

where J is the search's own estimate, and J' counts rewards as the learner does: by its
discount g, with its shift of rewards, and with its value V of the last state (POLO:
Lowrey et al. 2018, arXiv 1811.01848; LOOP: Sikchi et al. 2020, arXiv 2008.10066). A
copy that has ended has no value. Plans that the learner's policy plays in copies stand
beside the search's own and are judged like them (TD-MPC2: Hansen et al. 2023, arXiv
2310.16828), so that a policy that is worse than the search is not followed.
"""

from typing import Literal, NamedTuple

import numpy as np

from curriculum.planners._generators import SeedGenerators
from curriculum.planners._search.clock import Clock
from curriculum.planners._search.rollouts import Copies, Outcome, returns_to_go
from curriculum.types import Advisor, ObservableSimulator, Simulator

Trust = float | Literal["auto"]


class Proposals(NamedTuple):
    """Plans of the learner's policy, and what came of them in copies."""

    actions: np.ndarray  # [n, K, H] or [n, K, H, A]
    outcome: Outcome  # [n, K, ...]


class Advice:
    """The advisor of a search, and how far it is trusted.

    `trust` is the weight of values, or "auto" for the advisor's own. Without an
    advisor, before its learner has learnt anything, and at a trust of 0 there is no
    advice, and the search is what it is without."""

    def __init__(
        self, simulator: Simulator, owners: SeedGenerators, trust: Trust, clock: Clock
    ):
        self.advisor: Advisor | None = None
        self.simulator = simulator
        self.owners = owners
        self.trust = trust
        self.clock = clock
        self.sees_copies = isinstance(simulator, ObservableSimulator)

    @property
    def source(self) -> Advisor | None:
        """The advisor, where it is asked now."""
        if self.advisor is None or self.trust == 0 or not self.advisor.is_ready:
            return None
        return self.advisor

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """How far values are trusted in these rows, [n] in [0, 1]."""
        advisor = self.source
        if advisor is None or not advisor.has_values or not self.sees_copies:
            return np.zeros(len(rows))
        if self.trust == "auto":
            return advisor.trust[self.owners.seed_of(rows)]
        return np.full(len(rows), self.trust)

    def hears(self, rows: np.ndarray) -> np.ndarray:
        """Whether the policy is listened to in these rows, [n] bool; with "auto" not
        before values are trusted. A plan is judged by the few noisy copies in which it
        was played, so that even plans that are no better are taken at times."""
        advisor = self.source
        if advisor is None:
            return np.zeros(len(rows), bool)
        if self.trust == "auto":
            return advisor.trust[self.owners.seed_of(rows)] > 0
        return np.ones(len(rows), bool)

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        """Masks [n] of the rows that listen to the policy and of those that do not, as
        far as there are any. All rows of a seed are of one part."""
        is_heard = self.hears(rows)
        return [part for part in (is_heard, ~is_heard) if part.any()]

    def blend(self, rows: np.ndarray, own: np.ndarray, outcome: Outcome) -> np.ndarray:
        """What plans are worth [n, K], where the search alone says `own` [n, K]."""
        weight = self.weights(rows)
        if not weight.any():
            return own
        learner_says = self.to_go(rows, weight, outcome)[..., 0]
        return _mixed(weight[:, None], own, learner_says)

    def blend_to_go(
        self, rows: np.ndarray, own: np.ndarray, outcome: Outcome
    ) -> np.ndarray:
        """The same for means over copies [n, H] of returns from each step on."""
        weight = self.weights(rows)
        if not weight.any():
            return own
        learner_says = self.to_go(rows, weight, outcome).mean(1)
        return _mixed(weight[:, None], own, learner_says)

    def to_go(
        self, rows: np.ndarray, weight: np.ndarray, outcome: Outcome
    ) -> np.ndarray:
        """Returns [n, K, H] from each step on as the learner counts them; the value of
        the last state is looked up in rows of positive `weight` [n]."""
        advisor = self.source
        assert advisor is not None
        assert outcome.state is not None
        wanted = ~outcome.ended & (weight > 0)[:, None]  # [n, K]
        last = np.zeros(outcome.ended.shape)
        if wanted.any():
            obs = self._observe(outcome.state[wanted])
            seed = np.broadcast_to(self.owners.seed_of(rows)[:, None], wanted.shape)
            last[wanted] = advisor.values(obs, seed[wanted])
        reward = outcome.reward
        if advisor.reward_shift:
            assert outcome.length is not None
            is_taken = np.arange(reward.shape[-1]) < outcome.length[..., None]
            reward = reward + advisor.reward_shift * is_taken
        return returns_to_go(reward, advisor.discount, last)

    def _observe(self, state: np.ndarray) -> np.ndarray:
        """Observations [n, *O] of n states."""
        assert isinstance(self.simulator, ObservableSimulator)
        with self.clock.running():
            return self.simulator.observe(state)

    def follow(self, rows: np.ndarray, count: int, horizon: int) -> Proposals | None:
        """Let the policy play in `count` copies of each row: the first by its best
        actions, the others by draws. None for a `count` of 0, where copies do not tell
        what the learner would see, and where rows do not listen."""
        advisor = self.source
        if not count or advisor is None or not self.sees_copies:
            return None
        if not self.hears(rows).all():
            return None
        copies = Copies(self.simulator, rows, self.owners, count, self.clock)

        def choose(obs: np.ndarray, copy: np.ndarray) -> np.ndarray:
            draws = min(count, 2)
            proposed = advisor.propose(obs, copies.seed_of[copy], draws)
            is_first = copy % count == 0
            which = np.where(is_first, 0, draws - 1)
            return proposed[np.arange(len(copy)), which]

        return Proposals(*copies.follow(choose, horizon))

    def actions(
        self, obs: np.ndarray, rows: np.ndarray, count: int
    ) -> np.ndarray | None:
        """Actions [n, count] or [n, count, A] that the policy proposes now; None for a
        `count` of 0 and where no row listens."""
        advisor = self.source
        if not count or advisor is None or not self.hears(rows).any():
            return None
        return advisor.propose(obs, self.owners.seed_of(rows), count)


def _mixed(weight: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(1 - weight) own + weight other, exactly `own` where the weight is 0."""
    return np.where(weight > 0, (1 - weight) * own + weight * other, own)
