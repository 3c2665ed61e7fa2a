"""What a person asks for by keys."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pygame

HELP = "P pause, N next episode, Q quit"
HELP_TOGGLE = "Tab learner or planner"
HELP_STEER = "arrow keys or WASD take over, space gives back"
ARROWS = {  # name of a key -> (right, down)
    **{"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)},
    **{"a": (-1, 0), "d": (1, 0), "w": (0, -1), "s": (0, 1)},
}


class Keyboard:
    """The state of the keys, from the events of a window.

    A key that is pressed and released between two frames counts for one frame."""

    def __init__(self, steers: bool = False):
        self.steers = steers  # whether a person may take over
        self.has_quit = False
        self.is_paused = False
        self.wants_next = False
        self.wants_other = False  # the planner instead of the learner, or the reverse
        self.is_person = False  # who acts
        self.held: set[str] = set()
        self.tapped: set[str] = set()

    def read(self, events: "Iterable[pygame.event.Event]") -> None:
        """Take in what has happened since the last frame."""
        import pygame  # training never draws

        self.tapped = set()
        for event in events:
            if event.type == pygame.QUIT:
                self.has_quit = True
            elif event.type == pygame.KEYDOWN:
                self._press(pygame.key.name(event.key))
            elif event.type == pygame.KEYUP:
                self.held.discard(pygame.key.name(event.key))
            elif event.type == pygame.WINDOWFOCUSLOST:  # nobody tells of releases
                self.held.clear()

    def _press(self, name: str) -> None:
        if name in ("q", "escape"):
            self.has_quit = True
        elif name in ("p", "pause"):
            self.is_paused = not self.is_paused
        elif name in ("n", "return"):
            self.wants_next = True
        elif name == "tab":
            self.wants_other = True
            self.is_person = False
        elif name == "space":
            self.is_person = False
        elif name in ARROWS and self.steers:
            self.is_person = True
            self.held.add(name)
            self.tapped.add(name)

    def take(self, wish: str) -> bool:
        """Whether there is a wish, `wants_next` or `wants_other`, which is then
        forgotten."""
        found = bool(getattr(self, wish))
        setattr(self, wish, False)
        return found

    @property
    def direction(self) -> tuple[int, int]:
        """Where the arrow keys point, right and down, -1, 0 or 1 each."""
        pressed = [ARROWS[name] for name in self.held | self.tapped]
        right = sum(x for x, _ in pressed)
        down = sum(y for _, y in pressed)
        return max(-1, min(right, 1)), max(-1, min(down, 1))
