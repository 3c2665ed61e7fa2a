"""Make a data set: planners play, and what they did is written part by part."""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from curriculum.activity import phase
from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest
from curriculum.data.writer import Writer
from curriculum.envs._base.spec import spec_of
from curriculum.run.recorder import Actor, Quota, Scene, record
from curriculum.setting import plugins
from curriculum.setting.config import Config, flat
from curriculum.types import within


@dataclass(kw_only=True)
class Making:
    """What is to be made."""

    out: Path
    config: Config  # its world and its planner
    episodes: int = 0
    transitions: int = 0  # if there is no number of episodes
    noise: float = 0.0
    longest: int = 100_000
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        within(self, 0, 1, "noise")
        within(self, 1, 2**31, "longest")
        within(self, 0, 2**31, "seed")
        within(self, 0, 2**40, "episodes", "transitions")
        if bool(self.episodes) == bool(self.transitions):
            raise ValueError("give either --episodes or --transitions")


def make_data(making: Making) -> DataSet:
    """Let the planner play and write a data set."""
    config = making.config
    world = plugins.make("env", config.env)
    planner = plugins.make("planner", config.planner)
    name = plugins.name_of("planner", config.planner)
    spec = spec_of(world)
    names = (name, "random") if making.noise else (name,)
    scene = Scene(world, spec, tuple(dict.fromkeys(names)), making.longest)
    actor = Actor(name, planner, (making.noise, making.noise))
    manifest = Manifest(
        spec=spec,
        env=plugins.name_of("env", config.env),
        env_settings=_settings(config, "env"),
        sources=scene.sources,
        seeds=(making.seed,),
        reward="as the world gives it",
        command=making.command,
        version=metadata.version("planning-curriculum"),
    )
    with Writer(making.out, manifest) as writer:
        _play(making, scene, actor, writer)
    return DataSet(making.out)


def _play(making: Making, scene: Scene, actor: Actor, writer: Writer) -> None:
    """Play part after part until there is enough."""
    unit = "episodes" if making.episodes else "transitions"
    total = making.episodes or making.transitions
    part = 0
    with phase("collect", total, unit, f"--{unit}") as current:
        while current.done < total:
            left = total - int(current.done)
            before = current.done
            episodes = record(
                scene, actor, Quota(**{unit: left}), making.seed, part, current
            )
            for episode in episodes:
                writer.add(episode)
            if making.episodes:
                played = len(episodes)
            else:
                played = sum(len(episode.reward) for episode in episodes)
            current.report(before + played)
            part += 1


def _settings(config: Config, family: str) -> dict[str, Any]:
    """The settings of a plug-in, by their names."""
    prefix = f"{family}."
    return {
        name.removeprefix(prefix): value
        for name, value in flat(config).items()
        if name.startswith(prefix)
    }
