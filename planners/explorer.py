"""A second learner that explores: it is paid for novelty, and the first one is not.

    r_explorer = reward + weight * (bonus - mean bonus)

without the reward if `unsupervised`.

The mean is that of the batch. Without it every step would pay, and an explorer would
keep away from goals, which end its episode and so its income (in Burda et al. 2018,
section 2.3, returns of the bonus go on over ends of episodes instead).

It learns online from the batches that the learner of the run is updated on, in which
the bonus is computed anew. The planning rate is the schedule from exploring to
exploiting: at rate 1 the explorer collects all data, at rate 0 none. It comes farthest
in episodes of its own (`--gate episode`).

Seeds whose explorer has had no update yet act at random, by its exploration noise
alone: discrete actions are uniform, box actions have normal noise of deviation 1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from curriculum.envs._base.spec import spec_of
from curriculum.planners._generators import SeedGenerators
from curriculum.setting import inner
from curriculum.types import (
    Batch,
    Bonus,
    Computing,
    Planner,
    Rows,
    Spec,
    State,
    World,
    at_most,
    within,
)

if TYPE_CHECKING:
    from torch import Tensor

    from curriculum.learning.engine import Mode, Updates
    from curriculum.learning.learner import Learner

# settings of a learner that the run has made already, in the batches that it shares
OF_BATCHES = ("batch_size", "n_step", "discount", "reward_shift")
# settings of a learner that need what the explorer does not have, labels or a start, or
# that say how it acts, which an explorer does in its own way
WITHOUT_USE = (
    *("label_weight", "label_margin", "return_range"),
    *("selection", "exploration_floor"),
)


@dataclass(kw_only=True)
class Explorer(Planner):
    """Learns beside the learner of the run, for a bonus that this one is not paid."""

    learns: ClassVar[bool] = True

    # what it is paid for: rnd, counts (in worlds with cells), ensemble, module:Class or
    # a path to a file
    bonus: str = "rnd"
    # settings of the bonus, such as width=400 layers=2; unless they are given, its
    # schedule is constant, since the planning rate decides how long it explores, and
    # its memory 200 batches, since what is left to find must not pay ever less; rnd
    # pays the root of the error
    bonus_settings: tuple[str, ...] = ()
    # of the bonus beside the reward of the world: towards 0 it soon repeats what is
    # rewarded, if it is large it goes on looking elsewhere
    weight: float = 2.0
    # whether it is paid by how much the bonus exceeds the mean of the batch, so that
    # the end of an episode is no loss
    centered: bool = True
    # whether the bonus is its only reward: it explores everything, the goal or not
    unsupervised: bool = False
    # how it learns; empty: dqn for discrete actions, sac for those of a box
    learner: str = ""
    # settings of this learner, such as hidden=[256,256] polyak=0.005
    learner_settings: tuple[str, ...] = ()
    learning_rate: float = 1e-3  # of this learner
    # noise while it acts: share of random actions; box actions: standard deviation
    exploration: float = 0.05

    def __post_init__(self) -> None:
        within(self, 0, float("inf"), "weight", "learning_rate")
        at_most(self, 1e6, "weight")
        within(self, 0, 1, "exploration")

    def check_world(self, world: World) -> None:
        self._make_bonus().use_world(world)
        spec = spec_of(world)
        self._make_learner(spec).check_actions(spec)

    def learn_on(self, computing: Computing) -> None:
        self.computing = computing

    def setup(self, rows: Rows, spec: Spec, seeds: tuple[int, ...]) -> Self:
        computing: Computing = getattr(self, "computing", Computing())
        self.computing = computing
        self.shape = (len(seeds), rows.count // len(seeds))  # (P, E)
        self.own: Learner = self._make_learner(spec).setup(
            spec, seeds, computing.device, computing.precision
        )
        novelty = self._make_bonus()
        novelty.use_world(rows.world)
        self.novelty = novelty.setup(spec, seeds, computing.device)
        self.generators = SeedGenerators(seeds, "explorer planner", self.shape[1])
        self.learnt = np.zeros(len(seeds), np.int64)  # updates of each seed
        # how its updates run, as the checkpoint keeps it; None before the first one
        self.mode: Mode | None = None
        self.updates: Updates | None = None  # made with the first one
        return self

    def act(self, obs: np.ndarray, rows: np.ndarray) -> np.ndarray:
        # always of all rows: results may differ in the last bit with their number
        every = np.zeros((*self.shape, *obs.shape[1:]), obs.dtype)
        flat = every.reshape(-1, *obs.shape[1:])
        flat[rows] = obs
        best = self.own.act(every)
        chosen = best.reshape(-1, *best.shape[2:])[rows]
        for seed, (generator, own) in enumerate(self.generators.by_seed(rows)):
            if own.any():
                noise = self.exploration if self.learnt[seed] else 1.0
                greedy = chosen[None, own]
                chosen[own] = self.own.head.explore(greedy, noise, [generator])[0]
        return chosen

    def visit(self, obs: np.ndarray, next_obs: np.ndarray, present: np.ndarray) -> None:
        self.own.normalizer.add(obs, present)
        self.novelty.visit(next_obs, present)

    def observe(
        self, batch: Batch, step: int, has_data: np.ndarray
    ) -> dict[str, "Tensor"]:
        bonus, values = self.novelty.reward(batch, step)
        if self.centered:
            bonus = bonus - bonus.mean(-1, keepdim=True)
        reward = self.weight * bonus
        if not self.unsupervised:
            reward = reward + batch.reward
        paid = Batch(batch.obs, batch.action, reward, batch.discount, batch.next_obs)
        self._updates()(paid, has_data)
        self.learnt += has_data
        losses = self.own.last_losses.items()
        return values | {f"loss_{name}": loss for name, loss in losses}

    def maps(self, obs: np.ndarray) -> dict[str, np.ndarray]:
        return {"exploration_value": self.own.value(obs), **self.novelty.maps(obs)}

    def problems(self) -> dict[int, str]:
        return self.own.problems()

    def _updates(self) -> "Updates":
        """Its updates, by the engine of the run."""
        if self.updates is None:
            from curriculum.learning.engine import Updates

            self.updates = Updates(self.own, self.computing)
            if self.mode:
                self.updates.keep(self.mode)
        return self.updates

    def state(self) -> State:
        return {
            "learner": self.own.state(),
            "bonus": self.novelty.state(),
            "generators": self.generators.state(),
            "learnt": self.learnt.copy(),
            "mode": self.updates.mode if self.updates else self.mode,
        }

    def load(self, state: State) -> None:
        self.own.load(state["learner"])
        self.novelty.load(state["bonus"])
        self.generators.load(state["generators"])
        self.learnt[:] = state["learnt"]
        self.mode = state["mode"]
        self.updates = None

    def _make_bonus(self) -> Bonus:
        bonus: Bonus = inner.make_inner(
            "bonus",
            self.bonus,
            self.bonus_settings,
            schedule="constant",
            memory=200,
            error="norm",
        )
        return bonus

    def _make_learner(self, spec: Spec) -> "Learner":
        name = self.learner or ("dqn" if spec.actions else "sac")
        given = [setting.partition("=")[0] for setting in self.learner_settings]
        for setting in given:
            _require_own(setting)
        learner: Learner = inner.make_inner(
            "learner",
            name,
            self.learner_settings,
            learning_rate=self.learning_rate,
        )
        if learner.needs:
            raise ValueError(
                f"an explorer cannot be {name}, which learns from "
                f"{', '.join(learner.needs)}; choose --planner.learner dqn, sac or iql"
            )
        return learner


def _require_own(setting: str) -> None:
    """Raise ValueError for a setting of a learner that an explorer does not have."""
    flag = setting.replace("_", "-")
    if setting in OF_BATCHES:
        raise ValueError(
            f"an explorer learns from the batches of the run's learner, so {setting} "
            f"is the same for both: give --learner.{flag}"
        )
    if setting in WITHOUT_USE:
        raise ValueError(
            f"an explorer has no use for {setting}; leave it out of "
            "--planner.learner-settings"
        )
    if setting in ("learning_rate", "exploration"):
        raise ValueError(f"give --planner.{flag} instead of a setting {setting}")
