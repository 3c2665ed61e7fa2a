"""Rows that a flat file holds for an episode."""

from collections.abc import Iterable, Iterator

import numpy as np

from curriculum.formats._episodes.check import checked
from curriculum.types import Episode

# columns that are always there; "episode" is there too, "source" where it is known
COLUMNS = (
    *("observation", "action", "reward", "next_observation"),
    *("terminated", "truncated"),
)


def rows_of(episodes: Iterable[Episode]) -> Iterator[dict[str, np.ndarray]]:
    """Check episodes and yield their columns."""
    has_source: bool | None = None
    for number, episode in enumerate(checked(episodes)):
        steps = len(episode.reward)
        columns = {name: getattr(episode, name) for name in COLUMNS[:4]}
        for name in ("terminated", "truncated"):
            flag = np.zeros(steps, bool)
            flag[-1] = getattr(episode, name)
            columns[name] = flag
        columns["episode"] = np.full(steps, number, np.int64)
        if has_source is None:
            has_source = episode.source is not None
        if has_source:
            unknown = np.zeros(steps, np.uint8)
            columns["source"] = unknown if episode.source is None else episode.source
        yield columns
