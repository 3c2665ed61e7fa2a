"""Atari emulators, one a row, with the usual preprocessing, and copies for planning.

Two engines give the same pictures, rewards and ends of games: ale-py's vector
environment, which is fast, and single emulators stepped from here, whose states can be
copied. A step holds its action for `frame_skip` frames; the maximum of the last two is
taken in grey and shrunk to 84 x 84. The first stack of an episode is black except for
its newest picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from curriculum.envs._atari import games
from curriculum.envs._base.pictures import SIDE, shrink
from curriculum.types import Imagined

UNLIMITED = 10**9  # frames; time limits are applied by the rows
NOOP = 0  # action code
FIRE = 1  # action code
MEMORY = 128  # bytes of the console


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """A game and how its frames become observations."""

    rom: Path
    frames: int  # pictures in one observation
    frame_skip: int  # frames that an action is held for
    sticky: float  # probability that a frame repeats the previous action
    noop_max: int  # upper bound of the random number of initial no-operation frames
    fire_reset: bool  # press FIRE at the beginning of a game that has this action
    full_actions: bool  # all 18 actions

    @property
    def action_codes(self) -> tuple[int, ...]:
        """The emulator's codes of the actions."""
        return games.action_codes(self.rom, self.full_actions)


class EngineStep(NamedTuple):
    """The result of one step of N games."""

    stack: np.ndarray  # [N, frames, 84, 84] uint8 in a new array, oldest picture first
    score: np.ndarray  # [N] points gained
    game_over: np.ndarray  # [N] bool
    lives: np.ndarray  # [N]


class Engine(Protocol):
    """N games of one kind, stepped together."""

    def reset(
        self, rows: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Start the games of `rows`, each with a new seed unless it is -1; returns
        stacks [N, frames, 84, 84] and lives [N] of all rows."""
        ...

    def step(self, action: np.ndarray) -> EngineStep:
        """Take one step in every game."""
        ...

    def rest(self, rows: np.ndarray) -> None:
        """Mark games, [N] bool, that need not be stepped before their next reset."""
        ...

    def picture(self, row: int) -> np.ndarray:
        """The screen of one game, [height, width] or [height, width, 3] uint8."""
        ...


class VectorEngine(Engine):
    """ale-py's vector environment, which steps and preprocesses all games in threads,
    one for each core."""

    def __init__(self, preprocessing: Preprocessing, count: int):
        self.count = count
        self.env = games.ale().AtariVectorEnv(
            preprocessing.rom.stem,
            count,
            max_num_frames_per_episode=UNLIMITED,
            repeat_action_probability=preprocessing.sticky,
            full_action_space=preprocessing.full_actions,
            img_height=SIDE,
            img_width=SIDE,
            stack_num=preprocessing.frames,
            frameskip=preprocessing.frame_skip,
            noop_max=preprocessing.noop_max,
            use_fire_reset=preprocessing.fire_reset,
            reward_clipping=False,
        )

    def reset(
        self, rows: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        mask = np.isin(np.arange(self.count), rows)
        self.stack, infos = self.env.reset(seed=seeds, options={"reset_mask": mask})
        return self.stack, infos["lives"]

    def step(self, action: np.ndarray) -> EngineStep:
        self.stack, score, game_over, _, infos = self.env.step(action)
        return EngineStep(self.stack, score, game_over, infos["lives"])

    def rest(self, rows: np.ndarray) -> None:
        """Do nothing: ale-py steps all games or none."""

    def picture(self, row: int) -> np.ndarray:
        return self.stack[row, -1]


class SingleEngine(Engine):
    """One emulator a row, stepped in turn; emulators can be copied."""

    def __init__(self, preprocessing: Preprocessing, count: int):
        self.preprocessing = preprocessing
        self.action_codes = preprocessing.action_codes
        self.emulators = [
            games.make_emulator(preprocessing.sticky) for _ in range(count)
        ]
        self.resting = np.zeros(count, bool)
        # generators of the initial wait; None: no game is loaded yet
        self.noop_generators: list[Any] = [None] * count
        self.stack = np.zeros((count, preprocessing.frames, SIDE, SIDE), np.uint8)
        # the last two frames, the newest first
        height, width = games.screen_shape(preprocessing.rom)
        self.screens = np.zeros((count, 2, height, width), np.uint8)

    def reset(
        self, rows: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        for row, seed in zip(rows.tolist(), seeds.tolist(), strict=True):
            self.resting[row] = False
            if seed >= 0 or self.noop_generators[row] is None:
                self._load_game(row, seed)
            emulator = self.emulators[row]
            emulator.reset_game()
            self._wait(emulator, self.noop_generators[row])
        self.stack[rows] = 0
        self.screens[rows] = 0
        for row in rows:
            self.emulators[row].getScreenGrayscale(self.screens[row, 0])
        lives = [emulator.lives() for emulator in self.emulators]
        return self._push_screens(rows), np.array(lives)

    def _load_game(self, row: int, seed: int) -> None:
        emulator = self.emulators[row]
        emulator.setInt("random_seed", seed)
        emulator.loadROM(self.preprocessing.rom)
        # the generator that the vector engine uses
        self.noop_generators[row] = np.random.RandomState(max(seed, 0))

    def _wait(self, emulator: Any, generator: Any) -> None:
        """Begin a game as the vector engine does: press FIRE if asked to, then do
        nothing for a random number of frames."""
        presses_fire = self.preprocessing.fire_reset and FIRE in self.action_codes
        if presses_fire:
            emulator.act(FIRE)
        if not self.preprocessing.noop_max:
            return
        number = int(generator.randint(0, 2**32, dtype=np.uint32))
        noops = number * self.preprocessing.noop_max >> 32
        for _ in range(noops - presses_fire):
            emulator.act(NOOP)
            if emulator.game_over():
                emulator.reset_game()

    def step(self, action: np.ndarray) -> EngineStep:
        count = len(self.emulators)
        score = np.zeros(count, np.int64)
        game_over = np.zeros(count, bool)
        for row, chosen in enumerate(action.tolist()):
            if not self.resting[row]:
                code = self.action_codes[chosen]
                score[row], game_over[row] = self._hold(row, code)
        lives = [emulator.lives() for emulator in self.emulators]
        stack = self._push_screens(np.arange(count))
        return EngineStep(stack, score, game_over, np.array(lives, np.int64))

    def _hold(self, row: int, code: int) -> tuple[int, bool]:
        """Hold an action for `frame_skip` frames; returns the score gained and whether
        the game is over."""
        emulator = self.emulators[row]
        score = 0
        for remaining in reversed(range(self.preprocessing.frame_skip)):
            score += emulator.act(code)
            if emulator.game_over():
                return score, True
            if remaining < 2:
                emulator.getScreenGrayscale(self.screens[row, remaining])
        return score, False

    def _push_screens(self, rows: np.ndarray) -> np.ndarray:
        """Append the current screens to the stacks of `rows`; returns a copy of all
        stacks."""
        brightest = self.screens[rows].max(1)
        self.screens[rows, 0] = brightest
        self.stack[rows, :-1] = self.stack[rows, 1:]
        self.stack[rows, -1] = shrink(brightest)
        return self.stack.copy()

    def rest(self, rows: np.ndarray) -> None:
        self.resting = rows.copy()

    def picture(self, row: int) -> np.ndarray:
        return self.emulators[row].getScreenRGB()

    def simulator(self) -> EmulatorCopies:
        return EmulatorCopies(self)


class EmulatorCopies:
    """A simulator of copied emulator states. Rewards are unclipped scores, and only the
    end of a game is an end.

    Actions are not sticky in copies: copied random numbers would let a planner foresee
    the real game. `rng` is not used."""

    def __init__(self, engine: SingleEngine):
        self.engine = engine
        self.emulator = games.make_emulator(sticky=0)
        self.emulator.setInt("frame_skip", engine.preprocessing.frame_skip)
        self.emulator.loadROM(engine.preprocessing.rom)

    def states(self, rows: np.ndarray) -> np.ndarray:
        return _object_array([self.engine.emulators[row].cloneState() for row in rows])

    def memory(self, rows: np.ndarray) -> np.ndarray:
        """What the console's memory holds now, [n, 128] uint8 in a new array: for
        planners written for one game."""
        held = [self.engine.emulators[row].getRAM() for row in rows]
        return np.array(held, np.uint8).reshape(len(rows), MEMORY)

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        plans = np.asarray(action)[:, None]
        reward, ended, state = self.rollout(state, plans, rng)
        return Imagined(state, reward[:, 0], ended)

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        reward = np.zeros(actions.shape)
        ended = np.zeros(len(state), bool)
        last_states = []
        for copy, plan in enumerate(actions.tolist()):
            self.emulator.restoreState(state[copy])
            ended[copy] = self._play(plan, reward[copy])
            last_states.append(self.emulator.cloneState())
        return reward, ended, _object_array(last_states)

    def _play(self, plan: list[int], reward: np.ndarray) -> bool:
        """Play a plan, write its rewards [H], and return whether the game ended."""
        codes = self.engine.action_codes
        for t, chosen in enumerate(plan):
            score = self.emulator.act(codes[chosen])
            if score:
                reward[t] = score
            if self.emulator.game_over():
                return True
        return False


def _object_array(items: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array
