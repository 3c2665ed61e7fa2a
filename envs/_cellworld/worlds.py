"""Arrangements of occluders: the published worlds, random ones and lists of cells."""

import re
from collections import deque

import numpy as np

from curriculum.envs._cellworld.lattice import CELLS, GOAL, NEIGHBOURS, START

RANDOM_OCCLUDERS = 36  # in a world "random:SEED", as many as in the published ones

# fmt: off
WORLDS: dict[str, tuple[int, ...]] = {  # published worlds: name -> occluded cells
    "21_05": (
        3, 18, 24, 34, 36, 48, 58, 68, 78, 82, 93, 116, 121, 123, 131, 141, 157, 163,
        164, 171, 176, 204, 211, 230, 232, 237, 238, 245, 248, 260, 266, 276, 292, 313,
        317, 325,
    ),
    "20_05": (
        17, 23, 33, 35, 41, 42, 47, 50, 57, 70, 76, 77, 94, 105, 111, 113, 120, 126,
        130, 136, 149, 154, 158, 165, 173, 191, 193, 203, 221, 229, 242, 263, 281, 288,
        290, 329,
    ),
    "00_00": (),
}
# Published start cells of the predator by occluded cells. Those of 21_05 are a part of
# the cells that `Cellworld.spawn` computes for other worlds.
SPAWN: dict[tuple[int, ...], tuple[int, ...]] = {
    WORLDS["21_05"]: (
        124, 135, 140, 145, 156, 172, 177, 188, 198, 199, 202, 203, 208, 213, 218, 223,
        229, 244, 252, 261, 262, 273, 280, 284, 289, 290, 291, 293, 298, 302, 309, 314,
        315, 320, 324, 326, 327, 329, 330,
    ),
}
# fmt: on


def occluded_cells(world: str) -> tuple[int, ...]:
    """The occluded cells of a published world, of "random:SEED" or of a list such as
    "3,18,24"; ValueError for anything else."""
    if world in WORLDS:
        return WORLDS[world]
    if re.fullmatch(r"random:\d+", world):
        seed = int(world.removeprefix("random:"))
        return random_occluders(seed, RANDOM_OCCLUDERS)
    if not re.fullmatch(r"\d+(,\d+)*", world):
        raise ValueError(
            f"no world {world!r}; there are: {', '.join(WORLDS)}, "
            'or give "random:SEED" or a list of occluded cells such as "3,18,24"'
        )
    cells = tuple(int(cell) for cell in world.split(","))
    if not all(START < cell < GOAL for cell in cells):
        raise ValueError(
            f"occluded cells must lie between the first cell, {START}, and the last, "
            f"{GOAL}; got {world}"
        )
    return cells


def random_occluders(seed: int, count: int) -> tuple[int, ...]:
    """Draw `count` cells to occlude such that the open cells stay connected and the
    first and the last cell stay open; ValueError where there are not that many."""
    chosen: list[int] = []
    free = np.ones(CELLS, bool)
    for cell in START + 1 + np.random.default_rng(seed).permutation(CELLS - 2):
        if len(chosen) == count:
            break
        free[cell] = False
        if _connected(free):
            chosen.append(int(cell))
        else:
            free[cell] = True
    if len(chosen) != count:
        raise ValueError(
            f"cannot occlude {count} cells with seed {seed}: "
            f"at most {len(chosen)} leave the others connected"
        )
    return tuple(sorted(chosen))


def _connected(free: np.ndarray) -> bool:
    """Whether every free cell, [331] bool, can be reached from the first one."""
    unreached = free.copy()
    unreached[START] = False
    queue = deque([START])
    while queue:
        for cell in NEIGHBOURS[queue.popleft()]:
            if cell >= 0 and unreached[cell]:
                unreached[cell] = False
                queue.append(cell)
    return not unreached.any()
