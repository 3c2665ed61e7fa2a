"""Pictures of a data set, written as PNG files."""

from pathlib import Path

import numpy as np

from curriculum.activity import phase
from curriculum.data.dataset import DataSet
from curriculum.data.describe import (
    episode_of,
    observations,
    source_of_episodes,
    spread_evenly,
)
from curriculum.envs._base.native import Grid
from curriculum.report import data_figures, figures
from curriculum.report.projection import project
from curriculum.setting import plugins

POINTS = 2_000  # observations that are projected
ACTIONS = 200_000  # box actions that are drawn
VISITS = 100_000  # transitions whose cells are counted
CHUNK = 1_024


def draw_all(data: DataSet, folder: Path) -> list[Path]:
    """Draw every picture that suits the data; returns their files."""
    returns = data.returns()
    source = source_of_episodes(data)
    names = enumerate(data.manifest.sources)
    groups = [(name, returns[source == index]) for index, name in names]
    drawn = {
        "reward_histogram": data_figures.return_histogram(
            [group for group in groups if group[1].size]
        ),
        "length_histogram": data_figures.length_histogram(data.columns.length),
        "action_distribution": _actions(data),
    }
    steps = spread_evenly(data, POINTS)
    with phase("projection", len(steps), "observations") as current:
        projection = project(observations(data, steps))
        current.advance(len(steps))
    name = "pca_obs" if projection.method == "PCA" else "tsne_obs"
    colours = returns[episode_of(data)[steps]]
    drawn[name] = data_figures.observations(projection, colours)
    grid = grid_of(data)
    visits = count_visits(data, grid) if grid is not None else None
    if grid is not None and visits is not None:
        drawn["visits"] = figures.visits(visits, grid.walls)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawn]


def _actions(data: DataSet) -> data_figures.Figure:
    actions = data.manifest.spec.actions
    if actions:
        counts = np.bincount(data.columns.action, minlength=actions)
        return data_figures.discrete_actions(counts)
    steps = spread_evenly(data, ACTIONS)
    return data_figures.box_actions(data.columns.action[steps])


def grid_of(data: DataSet) -> Grid | None:
    """The world of the data, if it is installed and has cells."""
    manifest = data.manifest
    if not manifest.env:
        return None
    try:
        world = plugins.make("env", manifest.env, **manifest.env_settings)
    except (ValueError, TypeError, ImportError):
        return None
    return world if isinstance(world, Grid) else None


def count_visits(data: DataSet, grid: Grid) -> np.ndarray | None:
    """How often each cell was visited, [height, width]; None where observations do not
    tell the cell.

    The cell is that of the state with the nearest observation. Of large data sets,
    evenly spread transitions are counted in proportion."""
    states = grid.states()
    seen = grid.observe(states).reshape(len(states), -1).astype(np.float32)
    cell = grid.cell(states)
    if seen.shape[1] != int(np.prod(data.manifest.spec.obs_shape)):
        return None
    first, same = np.unique(seen, axis=0, return_index=True, return_inverse=True)[1:]
    if (cell != cell[first][same.reshape(-1)]).any():
        return None  # one observation is that of several cells
    seen = seen[first]
    steps = spread_evenly(data, VISITS)
    obs, repeats = np.unique(observations(data, steps), axis=0, return_counts=True)
    counts = np.zeros(int(np.prod(grid.cells)))
    square = np.square(seen).sum(1)
    for start in range(0, len(obs), CHUNK):
        chunk = obs[start : start + CHUNK]
        nearest = (square - 2 * chunk @ seen.T).argmin(1)
        part = repeats[start : start + CHUNK]
        np.add.at(counts, cell[first[nearest]], part)
    return counts.reshape(grid.cells) * (data.transitions / len(steps))
