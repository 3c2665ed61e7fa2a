"""Watch a policy act, and take over: in a window, or as a film in a file.

    python -m curriculum.play RUN|FILE.cur [--gif FILE | --mp4 FILE] [--keys]

A finished or interrupted run, or a policy file in the world that it names, plays one
episode: the learner alone or a planner in its place. With --keys a person takes over by
the arrow keys, and what was played becomes a data set: --out DATASET.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from curriculum import train
from curriculum.activity import Interrupted, is_stopping, phase
from curriculum.files import write_text
from curriculum.setting import flags
from curriculum.setting.command_line import Command, Words, plugin_words
from curriculum.setting.description import Field
from curriculum.types import Planner

if TYPE_CHECKING:
    from curriculum.data.manifest import Manifest
    from curriculum.run.playing.actors import Actor
    from curriculum.run.playing.session import Session
    from curriculum.run.trained import Trained

PROG = "python -m curriculum.play"
FIELDS = (
    Field("gif", str, "", "write a GIF to this file instead of opening a window"),
    Field("mp4", str, "", "write a video to this file instead of opening a window"),
    Field("fps", float, 10.0, "frames, and so steps, per second"),
    Field(
        "max_latency_ms",
        float,
        150.0,
        "stop as soon as the learner or the planner takes longer to choose an action; "
        "0: no limit",
    ),
    Field(
        "max_steps",
        int,
        0,
        "steps after which to stop; 0: with the episode, or with --keys when you quit",
    ),
    Field("episode", int, 0, "number of the episode, the same as in evaluations"),
    Field("csv", str, "", "write a line for every step to this file"),
    Field("keys", bool, False, "let a person take over by the arrow keys"),
    Field("out", str, "", "folder of a data set of what was played"),
    Field("seed", int | None, None, "which seed of the run; default: its first one"),
    Field(
        "policy",
        Literal["last", "best"] | None,
        None,
        "which policy of the run; default: the last one",
    ),
)


def main(argv: list[str] | None = None) -> None:
    """Play, then write what was asked for."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    words = sys.argv[1:] if argv is None else argv
    train.carry_out(COMMAND, words, PROG, "--max-steps")


class Scene(NamedTuple):
    """Who plays what, and what is written about it."""

    run: "Trained"
    seed: int
    learner: "Actor"
    planner: Planner | None
    film: Path | None
    csv: Path | None
    out: Path | None
    own: dict[str, Any]  # values of the command's flags
    command: str


def prepare(words: Words) -> Callable[[], None]:
    """Check what is to be played."""
    from curriculum.run.mirror import readable
    from curriculum.run.playing import screens
    from curriculum.run.trained import chosen, open_trained

    own = words.own
    film = _film(own)
    csv = Path(own["csv"]) if own["csv"] else None
    out = Path(own["out"]) if own["out"] else None
    _check_numbers(own)
    if own["keys"] and film:
        raise ValueError("--keys needs a window; leave out --gif and --mp4")
    if csv and csv.exists():
        raise ValueError(f"{csv} exists; give another name or remove it")
    if out:
        from curriculum.data.writer import require_free

        require_free(out)
    run = open_trained(readable(words.positional[0]))
    _require_playable(run, own["keys"])
    seed = run.seeds[0] if own["seed"] is None else own["seed"]
    learner = run.policy(seed, chosen(run, own["policy"], "last"))
    if film is None:
        screens.require_display()
    scene = Scene(
        run=run,
        seed=seed,
        learner=learner,
        planner=_planner(words.plugins, run),
        film=film,
        csv=csv,
        out=out,
        own=own,
        command=words.text,
    )
    return lambda: play(scene)


def _film(own: dict[str, Any]) -> Path | None:
    """The file of the film; None: a window."""
    from curriculum.run.playing import screens

    if own["gif"] and own["mp4"]:
        raise ValueError("give --gif or --mp4, not both")
    for suffix in (".gif", ".mp4"):
        name = own[suffix.removeprefix(".")]
        if name:
            path = Path(name)
            screens.require_film(path, suffix, own["fps"])
            return path
    return None


def _check_numbers(own: dict[str, Any]) -> None:
    for name, least, most in (
        ("fps", 0.1, 240),
        ("max_latency_ms", 0, 1e6),
        ("max_steps", 0, 10**9),
        ("episode", 0, 2**31),
    ):
        if not least <= own[name] <= most:
            flag = name.replace("_", "-")
            raise ValueError(
                f"--{flag} must be between {least:g} and {most:,}, got {own[name]:g}"
            )


def _require_playable(run: "Trained", by_keys: bool) -> None:
    """Raise ValueError where the world cannot be played, or not by keys."""
    from curriculum.envs._base.native import Steerable
    from curriculum.run.trained import is_playable

    if not is_playable(run):
        raise ValueError(
            f"the world of {run.path} is known from data alone and cannot be played"
        )
    if by_keys and not isinstance(run.world, Steerable):
        raise ValueError(
            "--keys is for gridworld, pointmass and botevade; leave it out to watch "
            f"{run.path}"
        )


def _planner(given: Sequence[flags.Flag], run: "Trained") -> Planner | None:
    """The planner that the flags choose, with what the world suggests."""
    from curriculum.contract.fit import check_planner_fit
    from curriculum.run.trained import require_run

    words = plugin_words(given, "planner")
    if not words:
        return None
    if "--planner" not in words:  # settings of the run's own one
        require_run(run, f"{words[0]} without --planner")
    planner: Planner = run.config_with(words).plugged()["planner"]
    check_planner_fit(planner, run.world)
    return planner


def play(scene: Scene) -> None:
    """Play; write the film, the table and the data set; ValueError at the end where
    somebody was too slow."""
    with ExitStack() as stack:
        if scene.film:
            session = _filmed(scene, scene.film, stack)
        else:
            session = _shown(scene, stack)
        stack.callback(_write, scene, session)
        session.play()
    if scene.film:
        print(f"film      {scene.film}")
    if session.problem:
        raise ValueError(session.problem)
    if is_stopping():  # what was played is written all the same
        raise Interrupted


def _filmed(scene: Scene, path: Path, stack: ExitStack) -> "Session":
    """A session that becomes a film."""
    from curriculum.run.playing import screens
    from curriculum.run.playing.session import longest

    most = longest(scene.run.world)
    most = min(scene.own["max_steps"] or most, most)
    current = stack.enter_context(phase("play", most, "steps", "--max-steps"))
    return _session(
        scene,
        screen=stack.enter_context(screens.film(path, scene.own["fps"])),
        report=current.report,
    )


def _shown(scene: Scene, stack: ExitStack) -> "Session":
    """A session in a window."""
    from curriculum.run.playing import screens
    from curriculum.run.playing.keyboard import Keyboard
    from curriculum.run.playing.pace import Pace

    fps = scene.own["fps"]
    print(_help(scene), file=sys.stderr)
    return _session(
        scene,
        screen=stack.enter_context(screens.Window(str(scene.run.path))),
        keyboard=Keyboard(steers=scene.own["keys"]),
        pace=Pace(fps),
        hold=round(screens.HOLD * fps),
    )


def _session(scene: Scene, **settings: Any) -> "Session":
    from curriculum.run.playing.session import Session

    run = scene.run
    return Session(
        world=run.world,
        spec=run.spec,
        learner=scene.learner,
        planner=scene.planner,
        seed=scene.seed,
        episode=scene.own["episode"],
        max_steps=scene.own["max_steps"],
        max_latency_ms=scene.own["max_latency_ms"],
        **settings,
    )


def _help(scene: Scene) -> str:
    """What the keys do."""
    from curriculum.run.playing import keyboard

    parts = [keyboard.HELP]
    if scene.planner:
        parts.insert(0, keyboard.HELP_TOGGLE)
    if scene.own["keys"]:
        parts.insert(0, keyboard.HELP_STEER)
    return f"keys: {'; '.join(parts)}"


def _write(scene: Scene, session: "Session") -> None:
    """Write the table and the data set of what was played, whatever ended it."""
    if not session.steps:
        return
    if scene.csv:
        scene.csv.parent.mkdir(parents=True, exist_ok=True)
        write_text(scene.csv, session.log.text.getvalue())
        print(f"table     {scene.csv}")
    if scene.out:
        from curriculum.run.drafts import writing

        with writing(scene.out, _manifest(scene)) as writer:
            for episode in session.episodes:
                writer.add(episode)
        print(f"data set  {scene.out}")


def _manifest(scene: Scene) -> "Manifest":
    """The manifest of a data set of what was played."""
    from curriculum.data.manifest import Manifest
    from curriculum.run.making import settings_of
    from curriculum.run.playing.session import SOURCES
    from curriculum.setting import plugins

    run = scene.run
    played = run.world.evaluated()
    settings = settings_of(run.config, "env")
    return Manifest(
        spec=run.spec,
        env=plugins.name_of("env", run.config.env),
        env_settings={name: getattr(played, name) for name in settings},
        sources=tuple(SOURCES),
        seeds=(scene.seed,),
        reward="as the world gives it",
        command=scene.command,
    )


COMMAND = Command(
    "RUN|FILE.cur [--gif FILE | --mp4 FILE] [--keys] [--planner NAME]",
    "Watch a policy act in a window or as a film, and take over.",
    FIELDS,
    prepare,
    positional=1,
    families=("planner",),
)


if __name__ == "__main__":
    main()
