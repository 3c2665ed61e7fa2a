"""The Atari games inside ale-py: their ROM files, actions and screens."""

import difflib
import functools
from pathlib import Path
from typing import Any


def find_rom(game: str) -> Path:
    """The ROM file of a game, in any spelling of its name; ValueError if there is
    none."""
    files = _rom_files()
    by_plain_name = {_plain(file.stem): file for file in files}
    found = by_plain_name.get(_plain(game))
    if found and _is_supported(found):
        return found
    names = [title_of(file) for file in files if _is_supported(file)]
    lower_case = [name.lower() for name in names]
    close = difflib.get_close_matches(game.lower(), lower_case, 3)
    if close:
        similar = [name for name in names if name.lower() in close]
        raise ValueError(
            f"no Atari game {game!r}; did you mean one of: {', '.join(similar)}"
        )
    raise ValueError(f"no Atari game {game!r}; there are: {', '.join(names)}")


def title_of(rom: Path) -> str:
    """A game's name as in Gymnasium: MsPacman for ms_pacman."""
    return rom.stem.title().replace("_", "")


def action_codes(rom: Path, every: bool) -> tuple[int, ...]:
    """The codes of all 18 actions, or of those that have an effect in a game; "no
    operation" comes first."""
    emulator = _loaded(rom)
    get_actions = emulator.getLegalActionSet if every else emulator.getMinimalActionSet
    actions = get_actions()
    return tuple(action.value for action in actions)


def screen_shape(rom: Path) -> tuple[int, int]:
    """Height and width of a game's screen, pixels."""
    return _loaded(rom).getScreenDims()


def make_emulator(sticky: float) -> Any:
    """An emulator without a game; in every frame it repeats its last action with
    probability `sticky`."""
    emulator = ale().ALEInterface()
    emulator.setFloat("repeat_action_probability", sticky)
    return emulator


@functools.lru_cache
def ale() -> Any:
    """The package ale_py, with its banner switched off."""
    try:
        import ale_py  # optional, and slow to import
    except ModuleNotFoundError:
        raise ValueError(
            "Atari games need ale-py: pip install 'planning-curriculum[atari]'"
        ) from None
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    return ale_py


def _rom_files() -> list[Path]:
    package = Path(ale().__file__).parent
    return sorted(package.glob("roms/*.bin"))


def _is_supported(rom: Path) -> bool:
    return ale().ALEInterface.isSupportedROM(rom)


@functools.lru_cache
def _loaded(rom: Path) -> Any:
    """An emulator for questions about a game; loading it takes 0.2 s."""
    emulator = make_emulator(sticky=0)
    emulator.loadROM(rom)
    return emulator


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
