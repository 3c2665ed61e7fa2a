"""Save what a run has collected as a data set: the buffer of its newest checkpoint."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curriculum.activity import phase
from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest
from curriculum.data.writer import require_free
from curriculum.replay.buffer import Buffer
from curriculum.replay.collected import episodes
from curriculum.run import assembly, checkpoint, fitting
from curriculum.run.drafts import writing
from curriculum.run.opened import OpenedRun
from curriculum.setting import plugins
from curriculum.setting.config import settings_of
from curriculum.types import SOURCES


@dataclass(kw_only=True)
class Harvest:
    """What is to be saved."""

    out: Path
    run: OpenedRun
    seeds: Sequence[int] = ()  # whose buffers; empty: all
    command: str = ""

    def __post_init__(self) -> None:
        require_free(self.out)
        unknown = [seed for seed in self.seeds if seed not in self.run.seeds]
        if unknown:
            have = ", ".join(map(str, self.run.seeds))
            raise ValueError(f"the run has no seed {unknown[0]}; there are: {have}")
        config = self.run.config
        if not fitting.collects(config, plugins.make("start", config.start)):
            raise ValueError(
                f"{self.run.folder} trained from data alone and collected nothing; "
                "use its data set (start.path in config.yaml)"
            )


def save(harvest: Harvest) -> DataSet:
    """Write the data set: the episodes of one seed after the other.

    An episode of which a part is no longer held, or was not stored, is cut there."""
    run = harvest.run
    buffer = _buffer_of(run)
    seeds = harvest.seeds or run.seeds
    held = sum(int(buffer.ring.size[run.seeds.index(seed)]) for seed in seeds)
    if not held:
        raise ValueError(f"{run.checkpoint} holds no transitions of these seeds")
    manifest = Manifest(
        spec=run.spec,
        env=plugins.name_of("env", run.config.env),
        env_settings=settings_of(run.config, "env"),
        sources=SOURCES,
        seeds=tuple(seeds),
        reward="as the world gives it",
        command=harvest.command,
        made={"run": run.folder.name, "step": run.step},
    )
    with (
        phase("save", held, "transitions") as current,
        writing(harvest.out, manifest) as writer,
    ):
        for seed in seeds:
            for episode in episodes(buffer, run.seeds.index(seed)):
                writer.add(episode)
                current.advance(len(episode.reward))
    return DataSet(harvest.out)


def _buffer_of(run: OpenedRun) -> Buffer:
    """The buffer as the newest checkpoint holds it."""
    config = copy.copy(run.config)
    config.device = "cpu"
    start = plugins.make("start", config.start)
    buffer = assembly.allocate_buffer(config, run.learner, run.spec, start)
    buffer.load(checkpoint.read(run.checkpoint, only=("buffer",))["buffer"])
    return buffer
