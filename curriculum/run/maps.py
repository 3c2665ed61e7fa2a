"""Maps of a grid: the value of every cell, and where the learner moves from it."""

from typing import NamedTuple

import numpy as np

from curriculum.envs._base.actions import scale_actions
from curriculum.envs._base.native import Grid
from curriculum.types import Policy, stream


class Maps(NamedTuple):
    """Maps of P learners, averaged over the states of each cell."""

    value: np.ndarray  # [P, height, width], nan inside walls
    arrow: np.ndarray  # [P, height, width, 2] rows and columns moved in one step


def draw(learner: Policy, world: Grid, seeds: int) -> Maps:
    """Value and move of the learners of all seeds in every cell."""
    states = world.states()
    obs = world.observe(states)
    obs_per_seed = np.stack([obs] * seeds)
    value = learner.value(obs_per_seed)  # [P, states]
    action = learner.act(obs_per_seed)
    cell = world.cell(states)
    visits = np.bincount(cell, minlength=int(np.prod(world.cells)))
    states_per_cell = visits.reshape(world.cells)
    values = np.stack([_sum_by_cell(world, cell, seed) for seed in value])
    moves = np.stack([_moves(world, states, seed) for seed in action])
    arrows = np.stack([_sum_by_cell(world, cell, seed) for seed in moves])
    return Maps(
        value=np.where(world.walls, np.nan, values / states_per_cell),
        arrow=arrows / states_per_cell[..., None],
    )


def _moves(world: Grid, states: np.ndarray, action: np.ndarray) -> np.ndarray:
    """Rows and columns [n, 2] that one step moves from each state [n]."""
    scaled = scale_actions(action, world.action_space)
    after, _, _ = world.step(states, scaled, stream(0, "maps"))
    return _position(world, after) - _position(world, states)


def _position(world: Grid, states: np.ndarray) -> np.ndarray:
    """Row and column [n, 2] of each state [n]."""
    return np.stack(np.divmod(world.cell(states), world.cells[1]), -1)


def _sum_by_cell(world: Grid, cell: np.ndarray, quantity: np.ndarray) -> np.ndarray:
    """Sum a quantity of states, [n] or [n, 2], over the states of each cell."""
    row, column = np.divmod(cell, world.cells[1])
    total = np.zeros((*world.cells, *quantity.shape[1:]))
    np.add.at(total, (row, column), quantity)
    return total
