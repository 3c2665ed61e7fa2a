"""Rows of Atari games."""

import zlib
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from curriculum.envs._atari.emulator import Engine, SingleEngine
from curriculum.envs._base.streams import Streams
from curriculum.types import Rows, Simulator, State, Step, World

# steps after which the next episode of a row gets a new seed; loading the game again
# takes 0.2 s
RESEED = 5_000
SEEDS = 2**31 - 2  # emulators are seeded with 1 to this number
ENLARGEMENT = 3  # screen pixels to picture pixels
HISTORY = 1_000  # steps by which the memory of actions grows


class AtariRows(Rows):
    """Rows of one Atari game.

    A row draws a seed for its emulator when its first episode begins, and again when
    the first episode after every 5,000 steps begins. The seed and the actions since
    then determine everything: `save` returns them, `load` replays them."""

    def __init__(
        self,
        world: World,
        make_engine: Callable[[bool], Engine],
        generators: Sequence[np.random.Generator],
        rows_per_seed: int,
        *,
        clip_rewards: bool,
        episodic_life: bool,
    ):
        """`make_engine(copyable)` makes the engine; it is told whether its games are to
        be copied."""
        self.world = world
        self.make_engine = make_engine
        self.streams = Streams(generators, rows_per_seed)
        self.count = len(generators) * rows_per_seed
        self.clip_rewards = clip_rewards
        self.episodic_life = episodic_life
        self.single_observation_space = world.observation_space
        self.single_action_space = world.action_space

    @cached_property
    def engine(self) -> Engine:
        """The games, made when they are first needed."""
        return self.make_engine(False)

    def reset(self) -> np.ndarray:
        self._clear()
        self.actions = np.zeros((self.count, 0), np.uint8)
        rows = np.arange(self.count)
        return self._start(rows, self._draw_seeds(rows))

    def _clear(self) -> None:
        self.seeds = np.zeros(self.count, np.int64)
        self.age = np.zeros(self.count, np.int64)  # steps since the last seed
        self.time = np.zeros(self.count, np.int64)
        self.lives = np.zeros(self.count, np.int64)

    def _draw_seeds(self, rows: np.ndarray) -> np.ndarray:
        uniform = self.streams.of(rows).random((rows.size,))
        return 1 + (uniform * SEEDS).astype(np.int64)

    def _start(self, rows: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        """Start games in `rows`, with a new seed unless it is -1; returns the
        observations of all rows."""
        self.obs, lives = self.engine.reset(rows, seeds)
        self.lives[rows] = lives[rows]
        self.time[rows] = 0
        is_new = seeds >= 0
        self.seeds[rows[is_new]] = seeds[is_new]
        self.age[rows[is_new]] = 0
        return self.obs

    def step(self, action: np.ndarray) -> Step:
        if self.age.max() == self.actions.shape[1]:
            self.actions = np.pad(self.actions, ((0, 0), (0, HISTORY)))
        self.actions[np.arange(self.count), self.age] = action
        return self._advance(np.asarray(action, np.int64))

    def _advance(self, action: np.ndarray) -> Step:
        next_obs, score, game_over, lives = self.engine.step(action)
        self.time += 1
        self.age += 1
        terminated = game_over
        if self.episodic_life:
            terminated = game_over | (lives < self.lives)
        truncated = self._truncated(terminated)
        self.obs = next_obs
        self.lives = lives.astype(np.int64)
        self.time[terminated] = 0
        finished = np.flatnonzero(game_over | truncated)
        if finished.size:
            self._restart(finished)
        reward = np.clip(score, -1, 1) if self.clip_rewards else score
        return Step(
            obs=self.obs,
            reward=reward.astype(np.float32),
            terminated=terminated,
            truncated=truncated,
            next_obs=next_obs,
            success=np.zeros(self.count, bool),
        )

    def _truncated(self, terminated: np.ndarray) -> np.ndarray:
        limit = self.world.max_steps
        if not limit:
            return np.zeros(self.count, bool)
        return (self.time >= limit) & ~terminated

    def _restart(self, finished: np.ndarray) -> None:
        """Start games in the rows with these indices."""
        self.last_screens = {
            row: self.engine.picture(row).copy() for row in finished.tolist()
        }
        seeds = np.full(finished.size, -1)
        is_due = self.age[finished] >= RESEED
        if is_due.any():
            seeds[is_due] = self._draw_seeds(finished[is_due])
        self._start(finished, seeds)

    def save(self) -> State:
        generators = [g.bit_generator.state for g in self.streams.generators]
        return {
            "seeds": self.seeds.copy(),
            "age": self.age.copy(),
            "actions": self.actions[:, : self.age.max()].copy(),
            "checksum": zlib.crc32(self.obs.tobytes()),
            "generators": generators,
        }

    def load(self, saved: State) -> np.ndarray:
        """Replay what `save` returned, about 2,000 steps a second.

        ValueError if the games take another course than when they were saved."""
        self._clear()
        self._replay(saved["seeds"], saved["age"], saved["actions"])
        pairs = zip(self.streams.generators, saved["generators"], strict=True)
        for generator, state in pairs:
            generator.bit_generator.state = state
        if zlib.crc32(self.obs.tobytes()) != saved["checksum"]:
            raise ValueError(
                "the saved games take another course here; "
                "use the world and the ale-py that they were saved with"
            )
        return self.obs

    def _replay(self, seeds: np.ndarray, age: np.ndarray, actions: np.ndarray) -> None:
        """Play every row again from its seed. Rows with fewer steps start later, so
        that all finish together."""
        self.actions = actions.copy()
        rows = np.arange(self.count)
        longest = int(age.max())
        # emulators must be started together: the later rows are started again
        self._start(rows, np.where(age == longest, seeds, -1))
        for remaining in range(longest, 0, -1):
            step = age - remaining
            chosen = np.where(step >= 0, actions[rows, step], 0)
            self._advance(chosen.astype(np.int64))
            starting = np.flatnonzero(age == remaining - 1)
            if starting.size:
                self._start(starting, seeds[starting])

    def rest(self, rows: np.ndarray) -> None:
        self.engine.rest(rows)

    def simulator(self) -> Simulator:
        """Copies of the games; ValueError if the engine cannot make any, or if the
        games were started by one that cannot."""
        if "engine" not in vars(self):
            self.engine = self.make_engine(True)
        if not isinstance(self.engine, SingleEngine):
            raise ValueError(
                "games of the vector engine cannot be copied: "
                "add --env.engine single for this planner"
            )
        return self.engine.simulator()

    def picture(self, row: int) -> np.ndarray:
        """The screen in colour (single engine) or the newest picture in grey (vector
        engine), enlarged."""
        return _enlarged(self.engine.picture(row))

    def last_picture(self, row: int) -> np.ndarray:
        return _enlarged(self.last_screens[row])


def _enlarged(screen: np.ndarray) -> np.ndarray:
    """A screen in colour or grey as a picture [height, width, 3]."""
    if screen.ndim == 2:
        screen = np.repeat(screen[..., None], 3, -1)
    return screen.repeat(ENLARGEMENT, 0).repeat(ENLARGEMENT, 1)
