"""Shortest paths between all pairs of cells, and the waypoints that agents follow."""

from typing import NamedTuple

import numpy as np

from curriculum.envs._cellworld.lattice import CELLS, COORD, NEIGHBOURS


class Routes(NamedTuple):
    """What following the next hops from every cell to every other one gives, each
    [331, 331]."""

    hops: np.ndarray  # int16, length of the path in cells; -1 where there is no path
    # int16, first waypoint: the last cell before the path leaves the sight of its first
    # cell; -1 where there is no path
    waypoint: np.ndarray
    direct: np.ndarray  # bool, no planning point strictly between the ends


def follow(next_hop: np.ndarray, visible: np.ndarray, points: np.ndarray) -> Routes:
    """Follow all paths at once. `points` are the planning points; for the other
    arguments see `Cellworld`."""
    source, target = np.nonzero(next_hop >= 0)
    hops = np.full((CELLS, CELLS), -1, np.int16)
    waypoint = np.full((CELLS, CELLS), -1, np.int16)
    direct = np.zeros((CELLS, CELLS), bool)
    hops[source, target] = 0
    waypoint[source, target] = target
    direct[source, target] = True
    is_point = np.isin(np.arange(CELLS), points)
    here = source
    in_sight = np.ones(len(source), bool)
    while True:
        going = here != target
        if not going.any():
            return Routes(hops, waypoint, direct)
        source = source[going]
        target = target[going]
        here = here[going]
        in_sight = in_sight[going]
        ahead = next_hop[here, target].astype(np.int64)
        lost = in_sight & ~visible[source, ahead]
        waypoint[source[lost], target[lost]] = here[lost]
        in_sight = in_sight & ~lost
        hops[source, target] += 1
        direct[source, target] &= ~is_point[ahead] | (ahead == target)
        here = ahead


def next_hops(free: np.ndarray) -> np.ndarray:
    """First cells of shortest paths over free cells, [331, 331] int16; -1 where there
    is no path.

    Of several such cells it is the one nearest to the end, then the one with the lowest
    number."""
    unreachable = np.int16(CELLS)
    hops = _path_lengths(free, unreachable)
    # [331, 331] squared distances in units of STRIDE[0], exact
    squared = ((COORD[:, None] - COORD) ** 2 @ (1, 3)).astype(np.int32)
    padded = np.append(squared, squared[:1], 0)
    rank = hops[NEIGHBOURS] * np.int32(10**6) + padded[NEIGHBOURS]  # [331, 6, 331]
    best = rank.argmin(1).astype(np.int64)
    hop = np.take_along_axis(NEIGHBOURS, best, 1)
    hop[np.arange(CELLS), np.arange(CELLS)] = np.arange(CELLS)
    return np.where(hops[:CELLS] < unreachable, hop, -1).astype(np.int16)


def _path_lengths(free: np.ndarray, unreachable: np.int16) -> np.ndarray:
    """Lengths of shortest paths in cells, [332, 331] int16: the last row belongs to
    missing neighbours and is unreachable."""
    hops = np.full((CELLS + 1, CELLS), unreachable)
    hops[np.arange(CELLS), np.arange(CELLS)] = 0
    closed = np.append(~free, True)
    hops[closed] = unreachable
    while True:
        shorter = np.minimum(hops[:CELLS], 1 + hops[NEIGHBOURS].min(1))
        if not (shorter < hops[:CELLS])[free].any():
            return hops
        hops[:CELLS][free] = shorter[free]
