"""The chase of many predators as one loop, for `curriculum.compiled`.

This repeats `Chase.step` operation by operation in single precision, so that results
are equal to the last bit."""

import numpy as np

from curriculum.compiled import kernel, named
from curriculum.planners._tlppo.predators import Predators, Tables

ONE_TURN = np.float32(360)
PREDATORS = named(
    Predators,
    cell="i8[:, ::1]",
    destination="i8[:, ::1]",
    heading="f4[:, ::1]",
    progress="f4[:, ::1]",
    survival="f4[:, ::1]",
)
TABLES = named(
    Tables,
    danger="f4[:, ::1]",
    visible="b1[:, ::1]",
    bearing="f4[:, ::1]",
    ahead="i2[:, :, ::1]",
    pace="f4[::1]",
    turned="f4",
)


@kernel()
def move(predators, at, target, tables):
    """Move one predator for one step; returns the probability that it catches its
    prey."""
    before = predators.cell[at]
    if tables.visible[target, before]:
        predators.destination[at] = target
    destination = predators.destination[at]
    error = tables.bearing[destination, before] - predators.heading[at]
    error = error - ONE_TURN * np.rint(error / ONE_TURN)
    progress = predators.progress[at] + tables.pace[int(abs(error))]
    hops = int(progress)
    cell = int(tables.ahead[hops, destination, before])
    danger = max(tables.danger[target, before], tables.danger[target, cell])
    caught = predators.survival[at] * danger
    predators.cell[at] = cell
    predators.heading[at] = predators.heading[at] + tables.turned * error
    predators.progress[at] = progress - np.float32(hops)
    predators.survival[at] = predators.survival[at] - caught
    return caught


@kernel(PREDATORS, "i8[:, ::1]", "i8[::1]", "f4[:, :, ::1]", TABLES)
def chase(predators, prey, length, caught, tables):
    """Move predators [m, K] for `length` [m] steps after prey that move to the cells
    `prey` [m, S]; write the probabilities that they are caught, [m, S, K]."""
    for rollout in range(len(length)):
        for step in range(length[rollout]):
            target = prey[rollout, step]
            for scenario in range(caught.shape[2]):
                at = (rollout, scenario)
                caught[rollout, step, scenario] = move(predators, at, target, tables)
