"""Where frames go: a window, or a file."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from curriculum.files import replacing
from curriculum.run.playing.keyboard import Keyboard

if TYPE_CHECKING:
    import pygame

HOLD = 1.5  # seconds that the last frame of an episode is shown
COLOUR_BITS = 8  # of a GIF's palettes
# levels of red, green and blue are rounded to multiples of this number, which nobody
# sees and which makes a GIF three times smaller
LEVELS = 4
LIBRARIES = {  # end of a file's name -> the modules that write it, both of [video]
    ".gif": ("imageio",),
    ".mp4": ("imageio", "imageio_ffmpeg"),
}
MOST_FPS = {".gif": 50, ".mp4": 240}  # that players show


class Screen(Protocol):
    """Shows frames [height, width, 3] uint8, all of one size."""

    def show(self, frame: np.ndarray) -> None:
        """Show the next frame."""
        ...

    def read(self, keyboard: Keyboard) -> None:
        """Tell a keyboard what has been pressed."""
        return


# --- files ---


def require_film(path: Path, suffix: str, fps: float) -> None:
    """Raise ValueError unless a film with this name can be written."""
    if path.suffix.lower() != suffix:
        flag = suffix.removeprefix(".")
        raise ValueError(
            f"--{flag} {path}: the name of the file must end with {suffix}"
        )
    if path.exists():
        raise ValueError(f"{path} exists; give another name or remove it")
    if fps > MOST_FPS[suffix]:
        raise ValueError(
            f"--fps must be at most {MOST_FPS[suffix]} in a file that ends with "
            f"{suffix}, got {fps:g}"
        )
    require_video(suffix)


def require_video(suffix: str) -> None:
    """Raise ValueError where the libraries for a kind of film are missing."""
    if not all(map(find_spec, LIBRARIES[suffix])):
        raise ValueError(
            f"a film in a {suffix} file needs the extra [video]: "
            "pip install 'planning-curriculum[video]'"
        )


@contextmanager
def film(path: Path, fps: float) -> Iterator[Screen]:
    """A screen whose frames become a GIF that loops, or an MP4; its last frame is shown
    a little longer."""
    import imageio.v2 as legacy  # writes videos frame by frame
    import imageio.v3 as imageio

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        if path.suffix.lower() == ".gif":
            with imageio.imopen(draft, "w", extension=".gif", plugin="pillow") as file:
                gif = _Gif(file, fps)
                yield gif
                gif.finish()
            return
        with legacy.get_writer(
            draft, format="FFMPEG", fps=fps, macro_block_size=2
        ) as file:
            video = _Video(file, fps)
            yield video
            video.finish()


class _Gif(Screen):
    def __init__(self, file: Any, fps: float) -> None:
        self.file = file
        self.period = 1_000 / fps  # milliseconds
        self.times: list[float] = []
        self.last: np.ndarray | None = None

    def show(self, frame: np.ndarray) -> None:
        if self.last is not None:
            self._write(self.period)
        levels = (frame.astype(np.uint16) + LEVELS // 2) // LEVELS * LEVELS
        self.last = levels.clip(0, 255).astype(np.uint8)

    def _write(self, milliseconds: float) -> None:
        """Write the newest frame, which is shown for so long."""
        self.times.append(milliseconds)
        self.file.write(self.last, bits=COLOUR_BITS, duration=self.times, loop=0)

    def finish(self) -> None:
        """Write the last frame."""
        self._write(self.period + 1_000 * HOLD)


class _Video(Screen):
    def __init__(self, file: Any, fps: float) -> None:
        self.file = file
        self.held = round(HOLD * fps)  # times that the last frame is repeated

    def show(self, frame: np.ndarray) -> None:
        self.file.append_data(frame)
        self.last = frame

    def finish(self) -> None:
        """Repeat the last frame."""
        for _ in range(self.held):
            self.file.append_data(self.last)


# --- the window ---


def require_display() -> None:
    """Raise ValueError where no window can be opened."""
    if os.environ.get("SDL_VIDEODRIVER") or not sys.platform.startswith("linux"):
        return
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ValueError(
            "there is no display to open a window on; write a film instead: "
            "--gif episode.gif or --mp4 episode.mp4"
        )


class Window(Screen):
    """A window on the screen; close it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.surface: pygame.Surface | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        import pygame

        pygame.display.quit()

    def show(self, frame: np.ndarray) -> None:
        import pygame

        if self.surface is None:
            self.surface = self._open((frame.shape[1], frame.shape[0]))
        pygame.surfarray.blit_array(self.surface, frame.swapaxes(0, 1))
        pygame.display.flip()

    def _open(self, size: tuple[int, int]) -> "pygame.Surface":
        import pygame

        # an empty name is no driver
        if not os.environ.get("SDL_VIDEODRIVER"):
            os.environ.pop("SDL_VIDEODRIVER", None)
        try:
            pygame.display.init()
            pygame.display.set_caption(self.title)
            return pygame.display.set_mode(size)
        except pygame.error as error:
            raise ValueError(
                f"no window can be opened ({error}); write a film instead: "
                "--gif episode.gif or --mp4 episode.mp4"
            ) from None

    def read(self, keyboard: Keyboard) -> None:
        import pygame

        if self.surface is not None:
            keyboard.read(pygame.event.get())
