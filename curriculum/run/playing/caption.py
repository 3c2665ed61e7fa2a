"""Frames: the picture of a world above a line that says what happens."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pygame

LARGEST = 600  # height and width of a picture, pixels
SMALLEST = 480  # so that the line fits
BAR = 44  # height of the line, pixels
MARGIN = 14
TEXT_SIZE = 16
PAPER = (248, 248, 244)
INK = (40, 44, 52)
FAINT = (120, 126, 136)
PILLS = {  # colour of who acts
    "learner": (52, 108, 200),
    "planner": (46, 140, 67),
    "person": (204, 102, 20),
}


class Caption(NamedTuple):
    """What the line says."""

    who: str  # acts: learner, planner or person
    episode: int
    step: int
    total: float  # return so far
    note: str = ""  # how the episode ended, or that it is paused


def frame(picture: np.ndarray, caption: Caption) -> np.ndarray:
    """A picture [height, width, 3] uint8, scaled to a size that can be read, above its
    caption; both sides of the result are even."""
    import pygame  # training never draws

    pygame.font.init()
    font = pygame.font.Font(None, round(1.45 * TEXT_SIZE))
    shown = _scaled(picture)
    width, height = shown.get_size()
    whole_width = max(width, SMALLEST)
    whole_width += whole_width % 2
    whole_height = height + BAR
    surface = pygame.Surface((whole_width, whole_height + whole_height % 2))
    surface.fill(PAPER)
    surface.blit(shown, ((whole_width - width) // 2, 0))
    middle = height + BAR // 2

    label = font.render(caption.who, True, PAPER)
    pill = pygame.Rect(MARGIN, 0, label.get_width() + 20, 26)
    pill.centery = middle
    pygame.draw.rect(surface, PILLS[caption.who], pill, border_radius=13)
    surface.blit(label, label.get_rect(center=pill.center))

    left = pill.right + MARGIN
    for words, widest in (
        (f"episode {caption.episode}", ""),
        (f"step {caption.step}", "step 888"),  # what follows does not move
        (f"return {caption.total:,.2f}", ""),
    ):
        text = font.render(words, True, INK)
        surface.blit(text, text.get_rect(left=left, centery=middle))
        left += max(text.get_width(), font.size(widest)[0]) + MARGIN
    note = font.render(caption.note, True, FAINT)
    edge = whole_width - MARGIN
    surface.blit(note, note.get_rect(right=edge, centery=middle))
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


def _scaled(picture: np.ndarray) -> "pygame.Surface":
    """The picture as a surface, shrunk to `LARGEST` or enlarged by a whole factor."""
    import pygame

    surface = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
    longer = max(surface.get_size())
    if longer > LARGEST:
        return pygame.transform.smoothscale_by(surface, LARGEST / longer)
    return pygame.transform.scale_by(surface, max(1, LARGEST // longer))
