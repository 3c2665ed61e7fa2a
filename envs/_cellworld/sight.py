"""Line of sight to a body among hexagonal occluders: exact, and tested only against the
occluders that may be in between."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from curriculum.envs._cellworld.lattice import OCCLUDER_APOTHEM, OCCLUDER_RADIUS

HALF_ROOT_3 = 3**0.5 / 2
BOXES = 24  # along a side of the grid by which occluders are looked up
FAR_AWAY = (9, 9)  # centre of an occluder that blocks nothing


class Candidates(NamedTuple):
    """Occluders that may block the lines of sight of N rows, row after row."""

    row: np.ndarray  # [m]
    occluder: np.ndarray  # [m] index
    first: np.ndarray  # [N] where each row begins; every row has at least one


@dataclass(frozen=True)
class OccluderIndex:
    """Which occluders may be between an eye and a body, looked up by the pair of boxes
    of a grid on [0, 1)^2 that the two lie in."""

    centres: np.ndarray  # [K + 1, 2] of the occluders and of one that is far away
    start: np.ndarray  # [BOXES**4 + 1] where the list of each pair of boxes begins
    listed: np.ndarray  # indices of occluders, at least one for each pair of boxes

    @classmethod
    def of(cls, occluders: np.ndarray, reach: float) -> Self:
        """List the occluders with centres [K, 2] for bodies whose corners are at most
        `reach` from their centre."""
        axis = (np.arange(BOXES, dtype=np.float32) + 0.5) / BOXES
        # [B, 2] centres of the boxes, rows of boxes from the south
        boxes = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        limit = OCCLUDER_RADIUS + reach + 0.5**0.5 / BOXES + 1e-4
        centres = np.append(occluders, [FAR_AWAY], 0)
        near = np.zeros((len(boxes), len(boxes), len(centres)), bool)
        for box, eye in enumerate(boxes):
            to_occluder = (centres - eye).astype(np.float32)
            near[box] = _squared_distance(boxes - eye, to_occluder) < limit**2
        near[..., -1] |= ~near.any(-1)
        start = np.append(0, near.sum(-1).cumsum())
        _, _, occluder = np.nonzero(near)
        return cls(centres, start, occluder.astype(np.int16))

    def between(self, eye: np.ndarray, centre: np.ndarray) -> Candidates:
        """The occluders that may be between eyes and centres of bodies, [2, N] both in
        [0, 1)."""
        x, y = (np.stack([eye, centre], 1) * BOXES).astype(np.int64)
        eye_box, body_box = y * BOXES + x
        pair = eye_box * BOXES**2 + body_box
        start = self.start.take(pair)
        count = self.start.take(pair + 1) - start
        row = np.arange(len(pair)).repeat(count)
        first = count.cumsum() - count
        place = np.arange(len(row)) + (start - first).take(row)
        return Candidates(row, self.listed.take(place), first)


def _squared_distance(segment: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Squared distances [B, K] of points [K, 2] from the segments that lead from the
    origin to `segment` [B, 2]."""
    along = segment @ point.T
    length = (segment**2).sum(-1, keepdims=True)  # squared
    share = (along / np.maximum(length, 1e-9)).clip(0, 1)  # of the segment
    return (point**2).sum(-1) - share * (2 * along - share * length)


def all_occluders(rows: int, count: int) -> Candidates:
    """All of `count` occluders as candidates for every row."""
    row = np.arange(rows)
    return Candidates(
        row=row.repeat(count),
        occluder=np.tile(np.arange(count), rows),
        first=row * count,
    )


def sees_body(
    eye: np.ndarray,
    centre: np.ndarray,
    heading: np.ndarray,
    body: np.ndarray,
    occluders: np.ndarray,
    candidates: Candidates | None = None,
) -> np.ndarray:
    """Whether any corner of a body is in sight, [N]: the line to it passes through none
    of the occluders.

    `eye` and the body's `centre` are [2, N], its `heading` [N] in degrees; `body`
    [V, 2] are its corners ahead and to the left; `occluders` [K, 2] are centres.
    Without `candidates`, all occluders are tested."""
    rows = len(heading)
    row, occluder, first = candidates or all_occluders(rows, len(occluders))
    if not row.size:
        return np.ones(rows, bool)
    angle = np.radians(heading)
    cos = np.cos(angle)
    sin = np.sin(angle)
    ahead, left = body.T[:, :, None]
    # [2, V, N] from the centre, then from the eye
    corner = np.stack([ahead * cos - left * sin, ahead * sin + left * cos])
    corner += (centre - eye)[:, None]
    start = eye.take(row, 1) - occluders.T.take(occluder, 1)  # [2, m]
    crossing = _crosses(start, corner.take(row, 2))  # [V, m]
    blocked = np.logical_or.reduceat(crossing, first, 1)  # [V, N]
    return ~np.logical_and.reduce(blocked)


def _crosses(start: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Whether lines from `start` [2, m] along `line` [2, V, m] pass through the inside
    of an occluder around the origin, [V, m].

    Two convex shapes are apart exactly if they are apart along the normal of one of
    their sides (separating axis theorem). For the line itself, the extent of the
    occluder follows from its diagonals, which are at right angles to its sides."""
    along = _along_normals(line)  # [3, V, m]
    begin = _along_normals(start)  # [3, m]
    begin_depth = np.abs(begin)
    # measured on the side of each axis on which the line starts
    end_depth = along * np.sign(begin)[:, None]
    end_depth += begin_depth[:, None]
    begins_apart = (begin_depth >= OCCLUDER_APOTHEM)[:, None]
    apart = ((end_depth >= OCCLUDER_APOTHEM) & begins_apart).any(0)
    line_x, line_y = line
    start_x, start_y = start
    offset = np.abs(line_x * start_y - line_y * start_x)
    extent = OCCLUDER_RADIUS * np.abs(along, out=along).max(0)
    return (offset < extent) & ~apart


def _along_normals(offset: np.ndarray) -> np.ndarray:
    """Components of `offset` [2, ...] along the normals of an occluder's sides, which
    point 0, 60 and 120 degrees from east: [3, ...]."""
    # not by @, whose last bits depend on the number of columns
    x, y = offset
    half = 0.5 * x
    high = HALF_ROOT_3 * y
    components = np.empty((3, *x.shape))
    components[0] = x
    np.add(half, high, out=components[1])
    np.subtract(high, half, out=components[2])
    return components
