"""Recording: whoever acts plays whole episodes, which become a data set.

Episodes are played in parts: a few rows at a time, made anew for each part and drawing
from generators of its own. So a recording that was interrupted goes on with the next
part, and the result is the same.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from curriculum.activity import Phase
from curriculum.envs._base.door import Door
from curriculum.run.guard import ask_strictly, set_up
from curriculum.types import Episode, Planner, Spec, Step, World, stream

MOST_ROWS = 32  # that play at once
FEW_ROWS = 8  # where observations are large
LARGE = 1_000  # bytes of an observation
# steps after which a row of a part begins no other episode
STEPS = 500
SEEDS = 2**31  # rows get seeds below this number
# steps after which an episode of a world without a time limit is cut
LONGEST = 100_000


class Actor(NamedTuple):
    """Whoever plays."""

    name: str  # of the source of its actions
    planner: Planner
    # share of random actions, drawn for each episode between these two numbers
    noise: tuple[float, float] = (0.0, 0.0)


class Scene(NamedTuple):
    """Where and how episodes are played."""

    world: World
    spec: Spec
    sources: tuple[str, ...]  # names of all who act; "random" if there is noise
    longest: int = LONGEST  # steps after which an episode is cut
    # random steps before an episode is recorded: uniformly from 0 to this number
    warm_up: int = 0


class Quota(NamedTuple):
    """How much is to be played: episodes, or transitions."""

    episodes: int = 0
    transitions: int = 0

    def is_met(self, episodes: int, transitions: int) -> bool:
        """Whether this many are enough."""
        if self.episodes:
            return episodes >= self.episodes
        return transitions >= self.transitions


def record(
    scene: Scene,
    actor: Actor,
    quota: Quota,
    seed: int,
    part: int,
    current: Phase,
) -> list[Episode]:
    """Play one part of a recording, in which the quota is met at most once: as soon as
    it is, later episodes are left out.

    `quota` is what is still to be played, `part` the number of parts played before;
    `current` is told how many episodes or transitions there are."""
    rows = FEW_ROWS if _bytes(scene.spec) > LARGE else MOST_ROWS
    if quota.episodes:
        rows = min(rows, quota.episodes)
    seeds = stream(seed, f"recording {actor.name} {part}").integers(SEEDS, size=rows)
    generators = [stream(int(own), "recording") for own in seeds]
    door = Door(scene.world.rows(generators))
    with door:
        stage = _Stage(scene, actor, door, tuple(seeds.tolist()))
        numbered = []
        for number, episode in stage.play(quota, current):
            numbered.append((number, episode))
    numbered.sort(key=lambda pair: pair[0])
    return _within(quota, [episode for _, episode in numbered])


def _bytes(spec: Spec) -> int:
    """Bytes that one step adds to the recording of a row."""
    shape = spec.obs_shape[1:] if spec.frames else spec.obs_shape
    return int(np.prod(shape)) * np.dtype(spec.obs_dtype).itemsize


def _within(quota: Quota, episodes: list[Episode]) -> list[Episode]:
    """The first episodes, up to that with which the quota is met."""
    transitions = 0
    for count, episode in enumerate(episodes, 1):
        transitions += len(episode.reward)
        if quota.is_met(count, transitions):
            return episodes[:count]
    return episodes


class _Stage:
    """The rows of one part, and what they have played."""

    def __init__(
        self, scene: Scene, actor: Actor, door: Door, seeds: tuple[int, ...]
    ) -> None:
        self.scene = scene
        self.door = door
        self.spec = scene.spec
        self.actor = actor
        planner = copy.deepcopy(actor.planner)
        self.planner = set_up(planner, door.rows, scene.spec, seeds)
        self.own_source = scene.sources.index(actor.name)
        self.chance = [stream(seed, "recording by chance") for seed in seeds]
        count = len(seeds)
        self.noise = np.zeros(count)  # [N] share of random actions in this episode
        self.warm_up = np.zeros(count, np.int64)  # [N] random steps still to take
        self.tapes = [Tape(scene.spec) for _ in range(count)]
        self.steps = np.zeros(count, np.int64)  # [N] recorded
        self.played = np.zeros(count, np.int64)  # [N] episodes recorded

    def play(self, quota: Quota, current: Phase) -> Iterator[tuple[int, Episode]]:
        """Play until every row has had its part of the quota; yields each episode with
        its number."""
        before = current.done
        count = len(self.tapes)
        # a row begins no other episode after so many steps
        enough = STEPS
        if quota.transitions:
            enough = min(STEPS, -(-quota.transitions // count))
        obs = self.door.reset()
        playing = np.ones(count, bool)
        self._begin(playing)
        while playing.any():
            now = np.flatnonzero(playing)
            action, source, recorded = self._act(obs, now)
            step = self.door.step(action)
            for row in now[recorded].tolist():
                self.tapes[row].add(obs, action, source, step, row)
                self.steps[row] += 1
            done = self.steps.sum() if quota.transitions else self.played.sum()
            is_met = before + done >= current.total
            detail = f"finishing {len(now)} episodes" if is_met else ""
            current.update(min(before + int(done), current.total), detail)
            obs = step.obs
            over = step.terminated | step.truncated
            cut = self._too_long(playing & ~over)
            for row in np.flatnonzero(playing & (over | cut)).tolist():
                tape = self.tapes[row]
                if tape.length:
                    number = int(self.played[row]) * count + row
                    yield number, tape.take(step, row)
                    self.played[row] += 1
            self._begin(playing & over)
            met = self.steps >= enough
            if quota.episodes:
                met |= self.played * count + np.arange(count) >= quota.episodes
            # a row whose episode was cut cannot begin another one: rows reset together
            ended = (over & met) | cut
            if (playing & ended).any():
                playing &= ~ended
                self.door.rest(~playing)

    def _too_long(self, rows: np.ndarray) -> np.ndarray:
        """Which of these rows have recorded as many steps as an episode may have."""
        lengths = np.array([tape.length for tape in self.tapes])
        return rows & (lengths >= self.scene.longest)

    def _begin(self, rows: np.ndarray) -> None:
        """Draw what differs from episode to episode."""
        low, high = self.actor.noise
        for row in np.flatnonzero(rows).tolist():
            chance = self.chance[row]
            self.noise[row] = chance.uniform(low, high) if high > low else low
            if self.scene.warm_up:
                self.warm_up[row] = chance.integers(self.scene.warm_up + 1)

    def _act(
        self, obs: np.ndarray, now: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions [N] or [N, A] and sources [N] of all rows, where those in `now` [n]
        play, and which of these are recorded, [n]."""
        spec = self.spec
        shape = () if spec.actions else (spec.action_size,)
        dtype = np.int64 if spec.actions else np.float32
        action = np.zeros((len(obs), *shape), dtype)
        action[now] = ask_strictly(self.planner, self.spec, obs[now], now)
        source = np.full(len(obs), self.own_source, np.uint8)
        warming = self.warm_up[now] > 0
        replaced = []
        for row in now[(self.noise[now] > 0) | warming].tolist():
            coin = self.chance[row].random()
            if self.warm_up[row] or coin < self.noise[row]:
                action[row] = self._random_action(row)
                source[row] = self._random_source()
                replaced.append(row)
        if replaced:
            self.planner.interrupt(np.array(replaced))
        self.warm_up[now] -= warming
        return action, source, ~warming

    def _random_action(self, row: int) -> np.ndarray | int:
        chance = self.chance[row]
        if self.spec.actions:
            return int(chance.integers(self.spec.actions))
        return chance.uniform(-1, 1, self.spec.action_size).astype(np.float32)

    def _random_source(self) -> int:
        """The index of random actions; those before an episode are not recorded."""
        if "random" in self.scene.sources:
            return self.scene.sources.index("random")
        return self.own_source


class Tape:
    """The present episode of one row, step by step."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._clear()

    def _clear(self) -> None:
        self.obs: list[np.ndarray] = []
        self.action: list[np.ndarray] = []
        self.reward: list[np.float32] = []
        self.source: list[np.uint8] = []

    @property
    def length(self) -> int:
        return len(self.reward)

    def add(
        self,
        obs: np.ndarray,
        action: np.ndarray,
        source: np.ndarray,
        step: Step,
        row: int,
    ) -> None:
        """Record one step of `row`; of stacked frames, every image once."""
        if self.spec.frames:
            images = obs[row] if not self.length else obs[row, -1:]
            self.obs.extend(images.copy())
        else:
            self.obs.append(obs[row].copy())
        self.action.append(action[row])
        self.reward.append(step.reward[row])
        self.source.append(source[row])

    def take(self, step: Step, row: int) -> Episode:
        """The episode, which ended with `step`, or is cut after it; the tape is empty
        again."""
        last = step.next_obs[row, -1] if self.spec.frames else step.next_obs[row]
        obs = np.array([*self.obs, last], self.spec.obs_dtype)
        if self.spec.frames:
            windows = np.lib.stride_tricks.sliding_window_view(
                obs, self.spec.frames, axis=0
            )
            obs = np.moveaxis(windows, -1, 1)
        terminated = bool(step.terminated[row])
        episode = Episode(
            observation=obs[:-1],
            action=np.array(self.action),
            reward=np.array(self.reward, np.float32),
            next_observation=obs[1:],
            terminated=terminated,
            truncated=bool(step.truncated[row]) or not terminated,
            source=np.array(self.source, np.uint8),
        )
        self._clear()
        return episode
