"""Random shooting with a plan that is kept until a better one is found."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.planners._search.plans import Plans
from curriculum.planners._search.rollouts import Outcome, discounted_return
from curriculum.planners._search.searching import Searching
from curriculum.types import Decision, Rows, Spec, State, among, within

NOOP = 0  # the action of games that does nothing
ROUNDING = 1e-9  # relative: returns that differ by less are equal


@dataclass(kw_only=True)
class Shooting(Searching):
    """For discrete actions. Each row has a plan; it and a few random plans are played
    in copies, and the best becomes the plan.

    A random plan is a handful of actions, each held for several steps, which suits
    games that are played by moving around. A good plan is followed until a better one
    is found (rolling horizon, Perez et al. 2013), so a few random plans per decision
    are enough. Time limits are not simulated.

    With `trust` plans of the learner's policy are tried as well. Where copies do not
    tell what it would see, a plan of its is the kept one with another first action.

    The value of a decision is the return of its plan up to the horizon, in one outcome
    of what is left to chance; what is at stake is by how much that exceeds the mean of
    all plans it was compared with.

    Where rewards are rare most actions decide nothing, and those of a random plan are
    noise to whoever imitates it. With `undecided keep` an action changes only if that
    pays: of equally good plans the one with the fewest changes is followed, counted
    from the last action on, and of these the one that is done with them first; where
    all plans earn the same, nothing is at stake and action 0 is taken."""

    plans: int = 3  # random plans tried beside the kept one
    horizon: int = 40  # steps that a plan looks ahead
    moves: int = 3  # maximum number of actions in a random plan
    play: int = 1  # steps of a plan that are taken before the next one is made
    # what is done where it makes no difference: random: whatever the best plan does;
    # keep: as before, or action 0, which has to be the one that does nothing
    undecided: Literal["random", "keep"] = "random"
    # undecided keep: share of the best return by which a plan may be worse and still
    # counts as equally good
    tolerance: float = 0.0
    # plans of the learner's policy tried beside them, unless trust is 0
    proposals: int = 2

    gives: ClassVar[tuple[str, ...]] = ("value", "stake")

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, 1, float("inf"), "plans", "horizon", "moves")
        within(self, 1, self.horizon, "play")
        within(self, 0, float("inf"), "proposals")
        within(self, 0, 1, "tolerance")
        among(self, "undecided")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if not spec.actions:
            raise ValueError(
                f"shooting needs discrete actions, {name_of(rows.world)} has box ones; "
                "choose --planner mppi"
            )
        self.begin(rows, seeds, "shooting planner")
        self.actions = spec.actions
        self.kept = Plans(rows, np.zeros((rows.count, self.horizon), np.int64))
        self.taken = Plans(rows, np.zeros((rows.count, 1), np.int64))  # last actions
        # of the last plan of each row, [N]
        self.value = np.zeros(rows.count)
        self.stake = np.zeros(rows.count)
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        self.clock.seconds = 0.0
        fresh = ~self.kept.goes_on(rows, self.play)
        action = self.kept.left(rows, hold_last=True)[:, 0]
        for part in self.advice.parts(rows):
            now = fresh & part
            if now.any():
                action[now] = self._plan(obs[now], rows[now])
        self.kept.follow(rows)
        self.taken.keep(rows, action[:, None])
        value = np.where(fresh, self.value[rows], -np.inf)
        return Decision(action, value=value, stake=self.stake[rows], fresh=fresh)

    def interrupt(self, rows: np.ndarray) -> None:
        self.kept.drop(rows)

    def _plan(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Plan for these rows; returns the first actions, [n]."""
        kept = self.kept.left(rows, hold_last=True)  # [n, H]
        # [n, K, H], the kept plan first: it wins ties
        candidates = np.concatenate([kept[:, None], self._random(rows)], axis=1)
        followed = self.advice.follow(rows, self.proposals, self.horizon)
        if followed is None:
            candidates = self._with_first_actions(obs, rows, candidates)
        copies = self.copies(rows, candidates.shape[1])
        outcome = copies.play(candidates)
        returns = self._returns(rows, outcome)  # [n, K]
        tells = self.tells(outcome)  # [n, K]
        if followed:
            candidates = np.concatenate([candidates, followed.actions], 1)
            followed_returns = self._returns(rows, followed.outcome)
            returns = np.concatenate([returns, followed_returns], 1)
            tells = np.concatenate([tells, self.tells(followed.outcome)], 1)
        chosen = returns.argmax(-1)  # [n]
        if self.undecided == "keep":
            chosen = self._steadiest(rows, candidates, returns)
        row = np.arange(len(rows))
        plan = candidates[row, chosen]  # [n, H]
        value = returns[row, chosen]
        stake = value - returns.mean(-1)
        if self.undecided == "keep":
            is_idle = self._is_best(returns).all(-1)
            plan[is_idle] = NOOP
            stake[is_idle] = 0
        self.kept.keep(rows, plan)
        self.value[rows] = np.where(tells[row, chosen], value, -np.inf)
        self.stake[rows] = np.where(stake > ROUNDING * np.abs(value), stake, 0)
        return plan[:, 0]

    def _is_best(self, returns: np.ndarray) -> np.ndarray:
        """Plans as good as the best, by their returns [n, K]."""
        best = returns.max(-1, keepdims=True)
        slack = (self.tolerance + ROUNDING) * np.abs(best)
        return returns >= best - slack

    def _returns(self, rows: np.ndarray, outcome: Outcome) -> np.ndarray:
        """Estimated returns [n, K] of plans."""
        own = discounted_return(outcome.reward, self.discount)
        return self.advice.blend(rows, own, outcome)

    def _with_first_actions(
        self, obs: np.ndarray, rows: np.ndarray, candidates: np.ndarray
    ) -> np.ndarray:
        """Candidates [n, K, H], and with advice the first of them with the action that
        the learner's policy proposes now."""
        first = self.advice.actions(obs, rows, self.proposals)  # [n, proposals]
        if first is None:
            return candidates
        proposed = candidates[:, :1].repeat(self.proposals, 1)
        proposed[..., 0] = first
        return np.concatenate([candidates, proposed], 1)

    def _steadiest(
        self, rows: np.ndarray, candidates: np.ndarray, returns: np.ndarray
    ) -> np.ndarray:
        """Index [n] of the plan with the fewest changes among the best ones, of equals
        of the first to be done with them."""
        is_best = self._is_best(returns)
        last = self.taken.left(rows, hold_last=True)  # [n, 1]
        first = np.broadcast_to(last[:, None], (*returns.shape, 1))
        before = np.concatenate([first, candidates[..., :-1]], axis=-1)
        changes = candidates != before  # [n, K, H]
        last_change = (changes * np.arange(self.horizon)).max(-1)  # [n, K]
        unrest = changes.sum(-1) * self.horizon + last_change
        return np.where(is_best, unrest, np.inf).argmin(-1)

    def _random(self, rows: np.ndarray) -> np.ndarray:
        """Draw plans [n, K, H] of 1 to `moves` actions that change at random steps; the
        last one is action 0 where undecided actions are kept."""
        size = (len(rows), self.plans, 2 * self.moves)
        drawn = self.generators.streams(rows).random(size)
        actions, changes, move_count = np.split(drawn, [self.moves, -1], axis=-1)
        actions = (actions * self.actions).astype(np.int64)  # [n, K, moves]
        # the step at which each action but the first begins, inf for unused ones
        changes = changes * self.horizon  # [n, K, moves - 1]
        last = (move_count * self.moves).astype(np.int64)  # [n, K, 1]
        used = np.arange(self.moves - 1) < last
        changes = np.where(used, changes, np.inf)
        steps = np.arange(self.horizon)[:, None]
        move = (changes[..., None, :] <= steps).sum(-1)  # [n, K, H]
        if self.undecided == "keep":
            np.put_along_axis(actions, last, NOOP, axis=-1)
        return np.take_along_axis(actions, move, axis=-1)

    def state(self) -> State:
        return {
            **self.kept.state(),
            "taken": self.taken.state(),
            "value": self.value.copy(),
            "stake": self.stake.copy(),
            **super().state(),
        }

    def load(self, state: State) -> None:
        self.kept.load(state)
        self.taken.load(state["taken"])
        # checkpoints of former versions hold no values
        self.value = state.get("value", self.value).copy()
        self.stake = state.get("stake", self.stake).copy()
        super().load(state)
