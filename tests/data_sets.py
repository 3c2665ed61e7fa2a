"""Small data sets whose numbers are known."""

from pathlib import Path

import numpy as np

from curriculum.data.dataset import DataSet
from curriculum.data.manifest import Manifest, spec_of_arrays
from curriculum.data.writer import write
from curriculum.types import Episode


def episode(
    obs: list | np.ndarray,
    action: list | np.ndarray,
    reward: list | float = 0.0,
    terminated: bool = True,
    truncated: bool = False,
    source: int = 0,
) -> Episode:
    """An episode with one observation more than actions."""
    steps = len(action)
    rows = np.asarray(obs)
    return Episode(
        observation=rows[:-1],
        action=np.asarray(action),
        reward=np.broadcast_to(np.asarray(reward, np.float32), steps),
        next_observation=rows[1:],
        terminated=terminated,
        truncated=truncated,
        source=np.full(steps, source, np.uint8),
    )


def data_set(folder: Path, episodes: list[Episode], **more: object) -> DataSet:
    """Write episodes; the manifest has `more`, or what the first episode says."""
    spec = spec_of_arrays(episodes[0].observation, episodes[0].action)
    fields = {"spec": spec, "sources": ("a", "b")} | more
    return write(folder, episodes, Manifest(**fields))  # type: ignore[arg-type]
