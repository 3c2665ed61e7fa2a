"""Atari emulators, one a row, stepped with the usual preprocessing, and copies of them
for planners.

Two engines show the same pictures, rewards and ends: ale-py's native one, which is
fast, and one emulator a row driven from here, whose states can be copied.
Preprocessing: a step holds its action for `frame_skip` frames, the last two are
maximised, greyed and shrunk to 84 x 84 by area; an episode's first stack is black but
for its newest picture.
"""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from curriculum.types import Imagined

if TYPE_CHECKING:
    from curriculum.envs.atari import Atari

SIDE = 84  # of a picture, pixels
FOREVER = 10**9  # frames: time limits are kept elsewhere
NOOP, FIRE = 0, 1  # codes of actions


class Engine(Protocol):
    """N games side by side. Stacks are [N, frames, 84, 84] uint8, freshly allocated,
    oldest picture first."""

    def reset(
        self, rows: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Start the games of `rows`, seeded anew where `seeds` is not -1; returns
        stacks and lives [N] of all rows."""
        ...

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Take one step in every game; returns stacks, scores gained [N], games over
        [N] bool and lives [N]."""
        ...

    def rest(self, rows: np.ndarray) -> None:
        """Games [N] bool that need not be stepped any more, where that saves time."""
        ...

    def picture(self, row: int) -> np.ndarray:
        """The screen of one game, [height, width] or [height, width, 3] uint8."""
        ...


class VectorEngine:
    """ale-py's vector environment: all games are stepped, preprocessed and stacked by
    its threads, one per core."""

    def __init__(self, world: Atari, count: int):
        self.env = _ale().AtariVectorEnv(
            rom_of(world.game).stem,
            count,
            max_num_frames_per_episode=FOREVER,
            repeat_action_probability=world.sticky,
            full_action_space=world.full_actions,
            img_height=SIDE,
            img_width=SIDE,
            stack_num=world.frames,
            frameskip=world.frame_skip,
            noop_max=world.noop_max,
            use_fire_reset=world.fire_reset,
            reward_clipping=False,
        )
        self.count = count

    def reset(
        self, rows: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        self.stack, told = self.env.reset(
            seed=seeds, options={"reset_mask": np.isin(np.arange(self.count), rows)}
        )
        return self.stack, told["lives"]

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        self.stack, score, over, _, told = self.env.step(action)
        return self.stack, score, over, told["lives"]

    def rest(self, rows: np.ndarray) -> None:
        """Step them all the same: ale-py steps all or none."""

    def picture(self, row: int) -> np.ndarray:
        return self.stack[row, -1]


class SingleEngine:
    """One emulator a row, stepped in turn; it does what the vector engine does, and its
    emulators can be copied."""

    def __init__(self, world: Atari, count: int):
        self.world, self.path = world, rom_of(world.game)
        self.actions = actions_of(self.path, world.full_actions)
        self.emulators = [emulator(world.sticky) for _ in range(count)]
        self.resting = np.zeros(count, bool)
        self.noops: list[Any] = [None] * count  # generators; None: no game loaded yet
        self.stack = np.zeros((count, world.frames, SIDE, SIDE), np.uint8)
        # the last two frames, the newest first
        self.screens = np.zeros((count, 2, *screen_of(self.path)), np.uint8)

    def reset(
        self, rows: np.ndarray, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        for row, seed in zip(rows.tolist(), seeds.tolist(), strict=True):
            one = self.emulators[row]
            self.resting[row] = False
            if seed >= 0 or not self.noops[row]:
                one.setInt("random_seed", seed)
                one.loadROM(self.path)
                # the generator that the vector engine uses
                self.noops[row] = np.random.RandomState(max(seed, 0))
            one.reset_game()
            self._wait(one, self.noops[row])
        self.screens[rows] = self.stack[rows] = 0
        for row in rows:
            self.emulators[row].getScreenGrayscale(self.screens[row, 0])
        return self._push(rows), np.array([one.lives() for one in self.emulators])

    def _wait(self, one: Any, generator: Any) -> None:
        """Press FIRE if asked to and the game has it, then do nothing for a random
        number of frames."""
        fires = self.world.fire_reset and FIRE in self.actions
        if fires:
            one.act(FIRE)
        if self.world.noop_max:
            drawn = generator.randint(0, 2**32, dtype=np.uint32)
            for _ in range((int(drawn) * self.world.noop_max >> 32) - fires):
                one.act(NOOP)
                if one.game_over():
                    one.reset_game()

    def step(
        self, action: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        count = len(self.emulators)
        score, over, lives = (
            np.zeros(count, np.int64),
            np.zeros(count, bool),
            np.zeros(count, np.int64),
        )
        for row, (one, chosen) in enumerate(
            zip(self.emulators, action.tolist(), strict=True)
        ):
            for left in reversed(
                range(0 if self.resting[row] else self.world.frame_skip)
            ):
                score[row] += one.act(self.actions[chosen])
                over[row] = one.game_over()
                if over[row]:
                    break
                if left < 2:
                    one.getScreenGrayscale(self.screens[row, left])
            lives[row] = one.lives()
        return self._push(np.arange(count)), score, over, lives

    def _push(self, rows: np.ndarray) -> np.ndarray:
        """Move the pictures of `rows` on by what their screens show now; a copy of all
        stacks."""
        self.screens[rows, 0] = self.screens[rows].max(1)
        self.stack[rows, :-1] = self.stack[rows, 1:]
        self.stack[rows, -1] = shrink(self.screens[rows, 0])
        return self.stack.copy()

    def rest(self, rows: np.ndarray) -> None:
        self.resting = rows.copy()

    def picture(self, row: int) -> np.ndarray:
        return self.emulators[row].getScreenRGB()


class Copies:
    """Emulators' states to think ahead in: scores as the game gives them, and only the
    game's own end is one.

    No action sticks in a copy, or the real emulator's chance would be foreseen; `rng`
    is not used."""

    def __init__(self, world: Atari, engine: SingleEngine):
        self.engine, self.actions = engine, engine.actions
        self.scratch = emulator(sticky=0)
        self.scratch.setInt("frame_skip", world.frame_skip)
        self.scratch.loadROM(engine.path)

    def states(self, rows: np.ndarray) -> np.ndarray:
        return _objects([self.engine.emulators[row].cloneState() for row in rows])

    def step(
        self, state: np.ndarray, action: np.ndarray, rng: np.random.Generator
    ) -> Imagined:
        reward, ended, state = self.rollout(state, np.asarray(action)[:, None], rng)
        return Imagined(state, reward[:, 0], ended)

    def rollout(
        self, state: np.ndarray, actions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scratch, reward, ended, last = (
            self.scratch,
            np.zeros(actions.shape),
            np.zeros(len(state), bool),
            [],
        )
        for copy, (start, plan) in enumerate(zip(state, actions.tolist(), strict=True)):
            scratch.restoreState(start)
            for t, chosen in enumerate(plan):
                if score := scratch.act(self.actions[chosen]):
                    reward[copy, t] = score
                if scratch.game_over():
                    ended[copy] = True
                    break
            last.append(scratch.cloneState())
        return reward, ended, _objects(last)


def rom_of(game: str) -> Path:
    """The file of a game inside ale-py, its name however written; ValueError where
    there is none."""
    native = _ale().ALEInterface
    files = sorted(Path(_ale().__file__).parent.glob("roms/*.bin"))
    found = {_plain(file.stem): file for file in files}.get(_plain(game))
    if found and native.isSupportedROM(found):
        return found
    names = [name_of(file) for file in files if native.isSupportedROM(file)]
    close = difflib.get_close_matches(game.lower(), [name.lower() for name in names], 3)
    likely = [name for name in names if name.lower() in close] or names
    raise ValueError(
        f"no Atari game {game!r}; {'perhaps' if close else 'there are'}: {', '.join(likely)}"
    )


def name_of(rom: Path) -> str:
    """A game's name as in Gymnasium: ms_pacman is MsPacman."""
    return rom.stem.title().replace("_", "")


def actions_of(rom: Path, every: bool) -> tuple[int, ...]:
    """The codes of the actions that do something in a game, or of all 18, no action
    first."""
    one = _loaded(rom)
    return tuple(
        action.value
        for action in (one.getLegalActionSet() if every else one.getMinimalActionSet())
    )


def screen_of(rom: Path) -> tuple[int, int]:
    """Height and width of a game's screen, pixels."""
    return _loaded(rom).getScreenDims()


@functools.lru_cache
def _loaded(rom: Path) -> Any:
    """An emulator that is only asked what a game is like: to load one takes 0.2 s."""
    one = emulator(sticky=0)
    one.loadROM(rom)
    return one


def emulator(sticky: float) -> Any:
    """An emulator without a game, which repeats its last action with this probability
    in every frame."""
    one = _ale().ALEInterface()
    one.setFloat("repeat_action_probability", sticky)
    return one


def shrink(screen: np.ndarray) -> np.ndarray:
    """Pictures [..., 84, 84] of grey screens [..., height, width], uint8: means over
    areas, as OpenCV takes them.

    Products are summed in OpenCV's order and in float32, so that even ties are rounded
    alike."""
    across, down = _areas(screen.shape[-1]), _areas(screen.shape[-2])
    narrow = sum(
        screen[..., source] * share for source, share in zip(*across, strict=True)
    )
    return np.rint(
        sum(narrow[..., s, :] * share[:, None] for s, share in zip(*down, strict=True))
    ).astype(np.uint8)


@functools.lru_cache
def _areas(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The k-th pixels of `size` that each of 84 covers, and what share of it they make
    up, [k, 84] both."""
    scale = size / SIDE
    start = np.arange(SIDE) * scale
    source = np.floor(start) + np.arange(np.ceil(scale) + 1)[:, None]
    overlap = np.minimum(start + scale, source + 1) - np.maximum(start, source)
    share = np.where(overlap > 1e-3, overlap / scale, 0).astype(np.float32)
    return np.minimum(source, size - 1).astype(np.int64), share


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


@functools.lru_cache
def _ale() -> Any:
    """The package ale_py, without its banner."""
    try:
        import ale_py  # here, not above: most runs never need it
    except ModuleNotFoundError:
        raise ValueError(
            "Atari games need ale-py: pip install 'planning-curriculum[atari]'"
        ) from None
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py
