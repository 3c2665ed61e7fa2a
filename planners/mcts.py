"""Monte-Carlo tree search (UCT, Kocsis and Szepesvari 2006) for discrete actions."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np

from curriculum.envs._base.door import name_of
from curriculum.planners._search.plans import Plans
from curriculum.planners._search.searching import Searching
from curriculum.planners._search.tree import Path, Trees, most_visited, search, ucb1
from curriculum.types import Decision, Rows, Spec, State, among, within

NOOP = 0  # the action of games that does nothing
FIRST = 10.0  # weight of proposed actions among those that nothing else decides
ROUNDING = 1e-9  # relative: mean returns that differ by less are equal


@dataclass(kw_only=True)
class MCTS(Searching):
    """Each simulation follows the tree to a leaf, then plays random actions up to the
    horizon; the planner takes the action tried most often.

    The search is open-loop: a node is a sequence of actions and every simulation starts
    from the root state, so that random outcomes are averaged and the simulations of all
    rows are one batched rollout. Mean returns are scaled by their range in the tree
    (MuZero, Schrittwieser et al. 2020), so that `exploration` suits rewards of any
    size. Time limits are not simulated.

    With `trust` the learner's value of the last state ends every simulation, and at the
    root the actions that its policy proposes are tried first and explored more
    (AlphaZero: Silver et al. 2018, Science 362).

    A decision tells how often each action was tried, the mean return of its own up to
    the horizon, and, as what is at stake, by how much that exceeds the mean over all
    actions: a value below that of the best policy, as later actions are partly
    random. There is none where a simulation met a negative reward and went on beyond
    the horizon."""

    simulations: int = 64  # nodes that the tree of each decision grows by
    # copies that play each simulation: more of them average out noise
    rollouts: int = 8
    horizon: int = 50  # steps that a simulation looks ahead
    # 0: try only the best action so far; large: try all actions equally often
    exploration: float = 1.0
    # which of equally good actions is taken; random: any; keep: the last one, or action
    # 0 where all are equally good, which has to be the one that does nothing
    undecided: Literal["random", "keep"] = "random"
    # undecided keep: share of the best mean return by which an action may be worse and
    # still counts as equally good
    tolerance: float = 0.0
    # draws of the learner's policy that say what is explored at the root, unless trust
    # is 0
    proposals: int = 16

    gives: ClassVar[tuple[str, ...]] = ("weights", "value", "stake")

    def __post_init__(self) -> None:
        within(self, 0.01, 1, "discount")
        super().__post_init__()
        within(self, 1, float("inf"), "simulations", "rollouts", "horizon")
        within(self, 0, float("inf"), "exploration")
        within(self, 0, float("inf"), "proposals")
        within(self, 0, 1, "tolerance")
        among(self, "undecided")

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        if not spec.actions:
            raise ValueError(
                f"mcts needs discrete actions, {name_of(rows.world)} has box actions; "
                "choose --planner mppi"
            )
        self.begin(rows, seeds, "mcts planner")
        self.actions = spec.actions
        self.taken = Plans(rows, np.zeros((rows.count, 1), np.int64))  # last actions
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> Decision:
        self.clock.seconds = 0.0
        if not len(rows):
            nothing = np.zeros(0)
            weights = np.zeros((0, self.actions))
            return Decision(np.zeros(0, np.int64), weights, nothing, nothing)
        draw = self.generators.streams(rows)
        copies = self.copies(rows, self.rollouts)
        noise = draw.random((len(rows), self.simulations + 1, self.actions))
        trees = Trees(noise)
        discounts = self.discount ** np.arange(self.horizon)
        tells = np.ones((len(rows), self.actions), bool)  # whether means are values
        row = np.arange(len(rows))

        def evaluate(path: Path) -> np.ndarray:
            """Mean returns [n, H] of rollouts that follow the path, then play at
            random."""
            drawn = draw.random((len(rows), self.rollouts, self.horizon))
            random = (drawn * self.actions).astype(np.int64)  # [n, K, H]
            followed = path.nodes[:, None] >= 0  # [n, 1, H]
            actions = np.where(followed, path.actions[:, None], random)
            outcome = copies.play(actions)
            tells[row, path.actions[:, 0]] &= self.tells(outcome).all(-1)
            reward = outcome.reward.mean(1)  # [n, H]
            to_go = (reward * discounts)[:, ::-1].cumsum(1)[:, ::-1]
            return self.advice.blend_to_go(rows, to_go / discounts, outcome)

        share = self._shares(obs, rows)
        prior = None
        if share is not None:
            weight = self.advice.weights(rows)[:, None]
            is_heard = self.advice.hears(rows)[:, None]
            trees.noise[:, Trees.ROOT] += FIRST * is_heard * share
            prior = (1 - weight) + weight * self.actions * share
        select = partial(ucb1, exploration=self.exploration, prior=prior)
        search(trees, self.simulations, self.horizon, select, evaluate)
        action = most_visited(trees)
        if self.undecided == "keep":
            action = self._kept(rows, trees, action)
        self.taken.keep(rows, action[:, None])
        return self._decision(trees, action, tells)

    def _decision(
        self, trees: Trees, action: np.ndarray, tells: np.ndarray
    ) -> Decision:
        """What the trees know of the actions [n] that are taken; kept ones have all the
        weight. `tells` [n, A] says of which actions the mean return is a value."""
        row = np.arange(len(action))
        visits = trees.children_visits[:, Trees.ROOT]  # [n, A]
        weights = visits / visits.sum(-1, keepdims=True)
        is_kept = visits[row, action] < visits.max(-1)
        weights[is_kept] = np.eye(self.actions)[action[is_kept]]
        mean = root_means(trees)
        value = mean[row, action]
        tried = visits > 0
        average = np.where(tried, mean, 0).sum(-1) / tried.sum(-1)
        stake = value - average
        stake = np.where(stake > ROUNDING * np.abs(value), stake, 0)
        value = np.where(tells[row, action], value, -np.inf)
        return Decision(action, weights, value, stake)

    def _shares(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """How often the learner's policy proposes each action, as shares [n, A]; None
        without advice."""
        proposed = self.advice.actions(obs, rows, self.proposals)  # [n, proposals]
        if proposed is None:
            return None
        counts = (proposed[..., None] == np.arange(self.actions)).sum(1)  # [n, A]
        # one more of each: no action is ruled out
        return (counts + 1) / (self.proposals + self.actions)

    def _kept(self, rows: np.ndarray, trees: Trees, action: np.ndarray) -> np.ndarray:
        """The last actions [n] where they are as good as `action` [n]; action 0 where
        all are."""
        last = self.taken.left(rows, hold_last=True)[:, 0]  # [n]
        mean = root_means(trees)
        row = np.arange(len(rows))
        best = mean[row, action]
        slack = (self.tolerance + ROUNDING) * np.abs(best)
        is_as_good = mean >= (best - slack)[:, None]  # [n, A]
        action = np.where(is_as_good[row, last], last, action)
        return np.where(is_as_good.all(-1), NOOP, action)

    def state(self) -> State:
        return {"taken": self.taken.state(), **super().state()}

    def load(self, state: State) -> None:
        self.taken.load(state["taken"])
        super().load(state)


def root_means(trees: Trees) -> np.ndarray:
    """Mean returns [n, A] of the actions at the roots, -inf where untried."""
    visits = trees.children_visits[:, Trees.ROOT]
    total = trees.children_returns[:, Trees.ROOT]
    return np.where(visits, total / np.maximum(visits, 1), -np.inf)
