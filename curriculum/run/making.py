"""Make a data set: planners play, and what they do is written part by part.

A tier is a quality of data between random play and a planner. Where a planner with
noise is medium is found by bisection: it scores a third of the planner, as the medium
policies of D4RL do (Fu et al. 2020, arXiv:2004.07219).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from curriculum.activity import Interrupted, Phase, phase
from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest
from curriculum.data.writer import Writer, require_free
from curriculum.envs._base.spec import spec_of
from curriculum.run.drafts import writing
from curriculum.run.evaluation import CLEARLY
from curriculum.run.recorder import LONGEST, Actor, Quota, Scene, record
from curriculum.setting import plugins
from curriculum.setting.config import Config, settings_of
from curriculum.types import Planner, among, within

Tier = Literal["", "random", "medium", "medium-replay", "medium-expert", "expert"]
TURNS = 16  # in which each of several actors plays, so that any part has all of them
SAVE_EVERY = 2.0  # seconds, after whole parts
MEDIUM = 1 / 3  # score of a medium planner
TRIALS = 8  # noises that are tried to find it
TRIAL_EPISODES = 32  # that each of them plays


class Cast(NamedTuple):
    """One of those who play."""

    name: str
    planner: Planner
    share: float  # of episodes, or of transitions


@dataclass(kw_only=True)
class Making:
    """What is to be made."""

    out: Path
    config: Config  # its world
    cast: tuple[Cast, ...]
    episodes: int = 0
    transitions: int = 0  # if there is no number of episodes
    tier: Tier = ""
    noise: float | None = None
    longest: int = LONGEST
    start_distribution: Literal["world", "random-play"] = "world"
    start_steps: int = 20
    seed: int = 0
    command: str = ""
    origin: dict[str, Any] = field(init=False)  # what the data follow from

    def __post_init__(self) -> None:
        among(self, "tier", "start_distribution")
        if self.noise is not None:
            within(self, 0, 1, "noise")
        within(self, 1, 2**31, "longest", "start_steps")
        within(self, 0, 2**31, "seed")
        within(self, 0, 2**40, "episodes", "transitions")
        if bool(self.episodes) == bool(self.transitions):
            raise ValueError("give either --episodes or --transitions")
        if self.tier and len(self.cast) > 1:
            raise ValueError("--tier takes one planner")
        if self.tier in ("random", "expert") and self.noise is not None:
            raise ValueError(f"--tier {self.tier} has no noise; leave out --noise")
        self.origin = self._origin()

    def require_new(self) -> None:
        """Raise ValueError where there is something else in its place."""
        require_free(self.out, self.origin)

    def _origin(self) -> dict[str, Any]:
        left_out = ("out", "config", "cast", "command")
        names = [name for name in self.__dataclass_fields__ if name not in left_out]
        found = {name: getattr(self, name) for name in names if name != "origin"}
        found["env"] = plugins.name_of("env", self.config.env)
        found |= settings_of(self.config, "env", "env.")
        for number, member in enumerate(self.cast):
            key = f"planner {number + 1}"
            found[key] = f"{member.name} {member.planner} {member.share:g}"
        return found


def make_data(making: Making) -> DataSet:
    """Let planners play and write a data set, or go on where that was interrupted."""
    making.require_new()
    world = plugins.make("env", making.config.env)
    spec = spec_of(world)
    warm_up = making.start_steps if making.start_distribution != "world" else 0
    names = [actor.name for actor in _actors(making, noise=1.0)]
    sources = tuple(dict.fromkeys([*names, "random"]))
    scene = Scene(world, spec, sources, making.longest, warm_up)
    manifest = Manifest(
        spec=spec,
        env=plugins.name_of("env", making.config.env),
        env_settings=settings_of(making.config, "env"),
        sources=scene.sources,
        seeds=(making.seed,),
        reward="as the world gives it",
        command=making.command,
    )
    with writing(making.out, manifest, making.origin) as writer:
        _Maker(making, scene, writer).make()
    return DataSet(making.out)


def _actors(making: Making, noise: float) -> list[Actor]:
    """Who plays, where `noise` is that of a medium planner."""
    tier = making.tier
    if not tier:
        constant = making.noise or 0.0
        return [Actor(c.name, c.planner, (constant, constant)) for c in making.cast]
    [member] = making.cast
    if tier == "random":
        return [Actor("random", plugins.make("planner", "random"))]
    expert = Actor(f"{member.name}-expert", member.planner)
    medium = Actor(f"{member.name}-medium", member.planner, (noise, noise))
    replay = Actor(f"{member.name}-replay", member.planner, (noise, 1.0))
    return {
        "medium": [medium],
        "medium-replay": [replay],
        "medium-expert": [medium, expert],
        "expert": [expert],
    }[tier]


def split_evenly(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to `shares`, which add up to `total`."""
    ends = np.cumsum(shares) / np.sum(shares) * total
    whole = np.round(ends).astype(int)
    return np.diff(whole, prepend=0).tolist()


class _Maker:
    """Makes a data set, and knows how far it is."""

    def __init__(self, making: Making, scene: Scene, writer: Writer) -> None:
        self.making = making
        self.scene = scene
        self.writer = writer
        self.unit = "episodes" if making.episodes else "transitions"
        # medium noise; parts of every actor, and their episodes or transitions
        begin: dict[str, Any] = {"noise": None, "parts": [], "played": []}
        self.state = writer.saved or begin
        self.saved_at = time.monotonic()

    def make(self) -> None:
        """Play until there is enough."""
        try:
            self._calibrate()
            self._play()
        except Interrupted:
            if self.writer.columns or self.state["noise"] is not None:
                self.writer.save(self.state)
            raise

    def _calibrate(self) -> None:
        making = self.making
        if not making.tier.startswith("medium") or self.state["noise"] is not None:
            return
        if making.noise is not None:
            self.state["noise"] = making.noise
            return
        self.state["noise"] = find_noise(self.scene, making.cast[0], making.seed)
        self.writer.save(self.state)

    def _play(self) -> None:
        making = self.making
        state = self.state
        noise = making.noise if state["noise"] is None else state["noise"]
        if noise is not None:
            self.writer.manifest.made = {"noise": noise}
        if making.tier:
            self.writer.manifest.made["tier"] = making.tier
        actors = _actors(making, noise or 0.0)
        shares = [1.0] * len(actors)
        if not making.tier:
            shares = [member.share for member in making.cast]
        total = making.episodes or making.transitions
        wanted = split_evenly(total, shares)
        if not state["parts"]:
            state["parts"] = [0] * len(actors)
            state["played"] = [0] * len(actors)
        hint = f"--{self.unit}"
        done = min(sum(state["played"]), total)
        with phase("collect", total, self.unit, hint, done=done) as current:
            while True:
                left = np.subtract(wanted, state["played"])
                if (left <= 0).all():
                    return
                number = int((left / np.maximum(wanted, 1)).argmax())
                most = wanted[number]
                if len(actors) > 1:  # they take turns
                    most = -(-most // TURNS)
                self._play_part(actors, number, min(most, left[number]), current)

    def _play_part(
        self, actors: Sequence[Actor], number: int, most: int, current: Phase
    ) -> None:
        """Let an actor play up to `most` episodes or transitions."""
        state = self.state
        quota = Quota(**{self.unit: int(most)})
        part = state["parts"][number]
        episodes = record(
            self.scene, actors[number], quota, self.making.seed, part, current
        )
        for episode in episodes:
            self.writer.add(episode)
        played = len(episodes)
        if self.unit == "transitions":
            played = sum(len(episode.reward) for episode in episodes)
        state["parts"][number] += 1
        state["played"][number] += played
        current.report(min(sum(state["played"]), current.total))
        if time.monotonic() - self.saved_at >= SAVE_EVERY:
            self.writer.save(state)
            self.saved_at = time.monotonic()


def find_noise(scene: Scene, member: Cast, seed: int) -> float:
    """The share of random actions with which a planner is medium.

    All noises are tried with the same random numbers. ValueError if the planner is no
    better than random play."""
    with phase("medium", TRIALS + 2, "noises", "--noise") as current:
        planned = _returns(scene, member.planner, 0.0, seed)
        current.advance()
        random = _returns(scene, member.planner, 1.0, seed)
        current.advance()
        ceiling = planned.mean()
        floor = random.mean()
        error = np.hypot(planned.std(), random.std()) / np.sqrt(TRIAL_EPISODES)
        if not ceiling - floor > CLEARLY * error:
            raise ValueError(
                f"planner {member.name} returns {ceiling:.2f}, random play "
                f"{floor:.2f}: nothing is medium between them; choose another planner, "
                "or give --noise"
            )
        low = 0.0
        high = 1.0
        for _ in range(TRIALS):
            middle = (low + high) / 2
            found = _returns(scene, member.planner, middle, seed).mean()
            score = (found - floor) / (ceiling - floor)
            if score > MEDIUM:
                low = middle
            else:
                high = middle
            current.advance(detail=f"noise {middle:.3f}, score {score:.2f}")
    return (low + high) / 2


def _returns(scene: Scene, planner: Planner, noise: float, seed: int) -> np.ndarray:
    """Returns of a planner with noise, [TRIAL_EPISODES]."""
    actor = Actor("trial", planner, (noise, noise))
    returns: list[float] = []
    part = 0
    trial = scene._replace(sources=("trial",))
    with phase("trial", TRIAL_EPISODES, "episodes") as current:
        while len(returns) < TRIAL_EPISODES:
            current.report(len(returns))
            quota = Quota(episodes=TRIAL_EPISODES - len(returns))
            episodes = record(trial, actor, quota, seed, part, current)
            returns += [float(episode.reward.sum()) for episode in episodes]
            part += 1
    return np.array(returns)
