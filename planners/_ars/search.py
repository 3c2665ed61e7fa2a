"""Augmented random search (Mania et al. 2018), version V2-t.

Every iteration plays one episode with the policy moved along each of several random
directions and one with it moved the opposite way, from the same first state. The policy
takes a step along the directions whose episodes had the highest returns, in proportion
to the difference between the two.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curriculum.activity import Aborted, Interrupted, Phase, announce, phase
from curriculum.envs._base.door import Door
from curriculum.envs._base.spec import spec_of
from curriculum.planners._ars.linear import Linear, Statistics, policy_of
from curriculum.planners._ars.settings import ARSSettings
from curriculum.planners._expert import storage
from curriculum.planners._expert.goals import Trained
from curriculum.planners._expert.levels import FREE_RUN, Level, NotReached, measure
from curriculum.planners._expert.lock import LOCK
from curriculum.types import State, World, stream

SAVE_EVERY = 30  # seconds between saves of the progress


class Episodes(NamedTuple):
    """One episode of each of n policies."""

    reward: np.ndarray  # [n] sum of rewards
    length: np.ndarray  # [n] steps
    obs: np.ndarray  # [steps of all, O] that were acted on


def train(settings: ARSSettings, world: World, folder: Path) -> Trained:
    """Search until an evaluation reaches the goals; without goals for `max_steps`, and
    choose the policy of the best evaluation.

    The progress is kept in `folder`: an interrupted search continues exactly. Raises
    NotReached where the goals are not reached."""
    announce(
        f"training {settings.name} in {world} {settings.described()}, "
        f"at most {settings.max_steps:,} steps"
    )
    steps = phase("expert", settings.max_steps, "steps", "--planner.max-steps")
    with steps as current, _open_rows(settings, world) as door:
        search = Search(settings, world, door, Progress(folder), current)
        search.run()
        return search.result()


@contextmanager
def _open_rows(settings: ARSSettings, world: World) -> Iterator[Door]:
    """Two rows for every direction; both begin their episodes alike."""
    names = [f"ars episodes {index}" for index in range(settings.directions)]
    generators = [stream(settings.seed, name) for name in names * 2]
    with Door(world.rows(generators), ("expert training",)) as door:
        yield door


class Progress:
    """Saves and restores one search in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.saves = 0

    @property
    def exists(self) -> bool:
        """Whether anything was saved."""
        return (self.folder / storage.MANIFEST).exists()

    def save(self, state: State) -> None:
        """Replace what was saved before."""
        self.saves += 1
        path = self.folder / f"state-{self.saves}.safetensors"
        entry = storage.write_state(path, state)
        manifest = {"saves": self.saves, "state": entry}
        storage.write_json(self.folder / storage.MANIFEST, manifest)
        kept = {path.name, storage.MANIFEST, LOCK}
        for other in self.folder.iterdir():
            if other.is_file() and other.name not in kept:
                other.unlink()

    def load(self) -> State:
        """What was saved last; ValueError where it is damaged."""
        try:
            manifest = storage.read_json(self.folder / storage.MANIFEST)
            self.saves = manifest["saves"]
            return storage.read_state(self.folder, manifest["state"])
        except (storage.Damaged, KeyError) as error:
            raise self.damaged(error) from None

    def damaged(self, error: Exception) -> ValueError:
        """The sentence about files that cannot be used."""
        return ValueError(
            f"the interrupted training in {self.folder} is damaged ({error}); "
            "remove the folder to train from the beginning"
        )


class Search:
    """One search. It is saved as it is between iterations; an iteration that is
    interrupted is played again."""

    def __init__(
        self,
        settings: ARSSettings,
        world: World,
        door: Door,
        progress: Progress,
        current: Phase,
    ):
        self.settings = settings
        self.world = world
        self.door = door
        self.progress = progress
        self.phase = current
        spec = spec_of(world)
        self.discrete = bool(spec.actions)
        outputs = spec.actions or spec.action_size
        inputs = int(np.prod(spec.obs_shape))
        self.matrix = np.zeros((outputs, inputs))
        self.statistics = Statistics.empty(inputs)
        self.directions = stream(settings.seed, "ars directions")
        self.steps = 0
        self.level = Level(0, -np.inf, None)  # in the newest evaluation
        self.best = self.level
        self.best_policy = self._weights()
        self.seconds = 0.0  # until `began`
        self.began = time.perf_counter()
        self.saved = self.began

    def run(self) -> None:
        """Search until the goals are reached or the steps are used up."""
        before: State = {}
        if self.progress.exists:
            self._load()
            before = self.state()
        try:
            while not self._is_finished():
                self._iterate()
                if self._evaluation_is_due():
                    self._evaluate()
                before = self.state()
                if time.perf_counter() - self.saved > SAVE_EVERY:
                    self._save(before)
        except Aborted:
            raise
        except Interrupted:
            if before:
                self._save(before)
            raise

    def result(self) -> Trained:
        """The policy that the search gives; NotReached where it is not good enough."""
        settings = self.settings
        if not settings.are_reached(self.level):
            raise NotReached(settings.missed(self.world, self.level))
        reached = self.level
        weights = self._weights()
        if not settings.has_goals:
            reached = self.best
            weights = self.best_policy
        count = settings.eval_episodes
        others = self._measure(weights, range(count, 2 * count))
        others = others._replace(steps=reached.steps)
        seconds = self.seconds + time.perf_counter() - self.began
        return Trained(weights, reached, others, seconds)

    # --- one iteration ---

    def _iterate(self) -> None:
        """Play an episode with every neighbour and take a step towards the best."""
        settings = self.settings
        shape = (settings.directions, *self.matrix.shape)
        directions = self.directions.standard_normal(shape)
        neighbours = [
            self.matrix + settings.noise * directions,
            self.matrix - settings.noise * directions,
        ]
        played = self._play(np.concatenate(neighbours))
        score = played.reward - settings.reward_offset * played.length
        both_ways = score.reshape(2, settings.directions)
        self.matrix = self.matrix + self._step(directions, both_ways)
        if not np.isfinite(self.matrix).all():
            raise NotReached(
                f"{settings.name} diverged after {self.steps:,} steps in {self.world}: "
                "its weights are not finite; lower --planner.step-size"
            )
        self.statistics = self.statistics.including(played.obs)

    def _step(self, directions: np.ndarray, score: np.ndarray) -> np.ndarray:
        """The change of the matrix, given the scores [2, directions] of both ways."""
        count = min(self.settings.best, self.settings.directions)
        order = np.argsort(-score.max(0), kind="stable")
        best = order[:count]
        deviation = score[:, best].std()
        if not deviation:
            return np.zeros_like(self.matrix)
        difference = score[0, best] - score[1, best]
        weighted = difference[:, None, None] * directions[best]
        return self.settings.step_size / (count * deviation) * weighted.sum(0)

    def _play(self, matrices: np.ndarray) -> Episodes:
        """Play one episode with each of these matrices [n, A, O]."""
        policy = self._policy(matrices)
        rows = len(matrices)
        obs = self.door.reset()
        reward = np.zeros(rows)
        length = np.zeros(rows, np.int64)
        playing = np.ones(rows, bool)
        seen = []
        for _ in range(self.world.max_steps or FREE_RUN):
            seen.append(obs[playing])
            step = self.door.step(policy.act(obs))
            reward += np.where(playing, step.reward, 0)
            length += playing
            playing &= ~(step.terminated | step.truncated)
            obs = step.obs
            self._report(int(length.sum()))
            if not playing.any():
                break
            self.door.rest(~playing)
        self.steps += int(length.sum())
        return Episodes(reward, length, np.concatenate(seen))

    # --- evaluation ---

    def _evaluate(self) -> None:
        """Measure the policy as it would be kept."""
        weights = self._weights()
        self.level = self._measure(weights, range(self.settings.eval_episodes))
        if self.level.mean_return >= self.best.mean_return:
            self.best = self.level
            self.best_policy = weights

    def _measure(self, weights: dict[str, np.ndarray], episodes: range) -> Level:
        act = policy_of(weights, self.discrete).act
        return measure(act, self.world, episodes, self.steps, self._report)

    def _evaluation_is_due(self) -> bool:
        """Whether the search is over, or crossed a multiple of the interval, since the
        last evaluation."""
        every = self.settings.evaluated_every
        if self._steps_are_used_up():
            return True
        return self.steps // every > self.level.steps // every

    def _is_finished(self) -> bool:
        if not self.level.steps:
            return False
        if self._steps_are_used_up():
            return True
        return self.settings.has_goals and self.settings.are_reached(self.level)

    def _steps_are_used_up(self) -> bool:
        return self.steps >= self.settings.max_steps

    def _report(self, more: int = 0) -> None:
        """Report how far the search is; raises Interrupted once it is asked to stop."""
        detail = f"{self.level}" if self.level.steps else ""
        self.phase.update(min(self.steps + more, self.settings.max_steps), detail)

    # --- the policy and the progress ---

    def _policy(self, matrix: np.ndarray) -> Linear:
        statistics = self.statistics
        return Linear(matrix, statistics.mean, statistics.deviation, self.discrete)

    def _weights(self) -> dict[str, np.ndarray]:
        """The policy as it is kept."""
        return self._policy(self.matrix).weights

    def state(self) -> State:
        """Everything that an interrupted search needs to continue exactly."""
        seconds = self.seconds + time.perf_counter() - self.began
        return {
            "matrix": self.matrix,
            "statistics": list(self.statistics),
            "directions": self.directions.bit_generator.state,
            "rows": self.door.rows.save(),
            "steps": self.steps,
            "level": list(self.level),
            "best": list(self.best),
            "best_policy": self.best_policy,
            "seconds": seconds,
        }

    def _save(self, state: State) -> None:
        self.saved = time.perf_counter()
        self.progress.save(state)

    def _load(self) -> None:
        state = self.progress.load()
        try:
            self.matrix = state["matrix"]
            self.statistics = Statistics(*state["statistics"])
            self.directions.bit_generator.state = state["directions"]
            self.door.reset()
            self.door.load(state["rows"])
            self.steps = state["steps"]
            self.level = Level(*state["level"])
            self.best = Level(*state["best"])
            self.best_policy = state["best_policy"]
            self.seconds = state["seconds"]
        except (KeyError, TypeError) as error:
            raise self.progress.damaged(error) from None
        announce(
            f"{self.settings.name} was trained for {self.steps:,} steps before; "
            f"continuing from {self.progress.folder}"
        )
