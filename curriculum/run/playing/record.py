"""The film of a run that has just been trained."""

from pathlib import Path
from typing import NamedTuple

from curriculum.run.opened import OpenedRun
from curriculum.run.playing.game import Game
from curriculum.run.playing.screens import film, require_video
from curriculum.run.playing.session import Session
from curriculum.types import World

FILE = "episode.gif"
MOST_STEPS = 200
MOST_FPS = 25


class Recording(NamedTuple):
    """A film of one evaluation episode."""

    path: Path
    seed: int  # whose learner acts
    step: int  # environment steps of the run


def require_pictures(world: World) -> None:
    """Raise ValueError unless films of this world can be made here."""
    require_video(".gif")
    with Game(world, episode=0) as game:
        game.begin()
        game.picture()


def record(folder: Path) -> Recording:
    """Write a film of the first seed's last policy in the first episode of evaluations,
    or in its first `MOST_STEPS` steps, to the folder of a run."""
    run = OpenedRun(folder)
    path = folder / FILE
    with film(path, min(run.world.fps, MOST_FPS)) as screen:
        session = Session(
            world=run.world,
            spec=run.spec,
            learner=run.policy(run.seeds[0]),
            screen=screen,
            max_steps=MOST_STEPS,
        )
        session.play()
    return Recording(path, run.seeds[0], run.step)
