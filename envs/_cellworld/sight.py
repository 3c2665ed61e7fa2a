"""Whether a body is in sight among hexagonal occluders: exact, and only asked of those
that may be in between."""

from dataclasses import dataclass

import numpy as np

RADIUS, APOTHEM = 3**0.5 / 64, 3 / 128  # of an occluder, a corner to the north
TURNS = np.radians([0, 60, 120])
SIDES = np.stack([np.cos(TURNS), np.sin(TURNS)], -1)  # [3, 2] normals of its sides
BOXES = 24  # a side of the grid by which occluders are looked up


@dataclass(frozen=True)
class Screens:
    """Which occluders may stand between an eye and a body, by the boxes of a grid on
    [0, 1)^2 that the two are in."""

    occluders: np.ndarray  # [K + 1, 2] centres; the last, far away, stands for none
    # [BOXES**4 + 1], where the occluders of a pair of boxes begin in `which`
    ptr: np.ndarray
    which: np.ndarray  # numbers of occluders, at least one for each pair of boxes

    @classmethod
    def of(cls, occluders: np.ndarray, reach: float) -> "Screens":
        """List the occluders [K, 2] for bodies of this reach around their centre."""
        axis = (np.arange(BOXES, dtype=np.float32) + 0.5) / BOXES
        # [B, 2] of boxes, rows from the south
        middle = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        limit = (RADIUS + reach + 0.5**0.5 / BOXES + 1e-4) ** 2
        places = np.append(occluders, [(9, 9)], 0)
        near = np.zeros((len(middle), len(middle), len(places)), bool)
        for box, eye in enumerate(middle):
            to_body, to_occluder = middle - eye, (places - eye).astype(np.float32)
            along, length = to_body @ to_occluder.T, (to_body**2).sum(-1, keepdims=True)
            # of the way, where it comes nearest
            share = (along / np.maximum(length, 1e-9)).clip(0, 1)
            near[box] = (to_occluder**2).sum(-1) - share * (
                2 * along - share * length
            ) < limit
        near[..., -1] |= ~near.any(-1)
        return cls(
            places,
            np.append(0, near.sum(-1).cumsum()),
            np.nonzero(near)[2].astype(np.int16),
        )

    def between(
        self, eye: np.ndarray, centre: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, an occluder for each, and where each row begins among these, for eyes
        and centres [2, N]."""
        x, y = (np.stack([eye, centre], 1) * BOXES).astype(np.int64)
        box = y * BOXES + x
        pair = box[0] * BOXES**2 + box[1]
        ptr = self.ptr.take(pair)
        count = self.ptr.take(pair + 1) - ptr
        row = np.arange(len(pair)).repeat(count)
        first = count.cumsum() - count
        return (
            row,
            self.which.take(np.arange(len(row)) + (ptr - first).take(row)),
            first,
        )


def sees_body(
    eye: np.ndarray,
    centre: np.ndarray,
    heading: np.ndarray,
    body: np.ndarray,
    occluders: np.ndarray,
    between: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Whether any corner of a body is in sight, [N]: the line to it passes through none
    of the occluders.

    `eye` and the body's `centre` are [2, N], its `heading` [N] in degrees, `body` [V,
    2] its corners ahead and to the left, `occluders` centres [K, 2]; `between` says
    which of them to look at, see `Screens.between`."""
    count = len(occluders)
    rows = np.arange(len(heading))
    row, which, first = between or (
        rows.repeat(count),
        np.tile(np.arange(count), len(rows)),
        rows * count,
    )
    if not row.size:
        return np.ones(len(heading), bool)
    angle = np.radians(heading)
    ahead, left = body.T[:, :, None]
    cos, sin = np.cos(angle), np.sin(angle)
    corner = np.stack([ahead * cos - left * sin, ahead * sin + left * cos])  # [2, V, N]
    corner += (centre - eye)[:, None]
    start = eye.take(row, 1) - occluders.T.take(which, 1)  # [2, m]
    # [V, N]
    crossed = np.logical_or.reduceat(_crosses(start, corner.take(row, 2)), first, 1)
    return ~np.logical_and.reduce(crossed)


def _crosses(start: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Whether lines from `start` [2, m] along `way` [2, V, m] pass through the inside
    of an occluder around the origin.

    Two convex shapes are apart just if they are apart along the normal of one of their
    sides, or, as each side is at right angles to a diagonal, along that of the line
    itself."""
    along = (SIDES @ way.reshape(2, -1)).reshape(3, *way.shape[1:])
    begin = SIDES @ start
    behind = np.abs(begin)
    end = along * np.sign(begin)[:, None]
    end += behind[:, None]  # [3, V, m] on the side of the start
    apart = ((end >= APOTHEM) & (behind >= APOTHEM)[:, None]).any(0)
    offset = np.abs(way[0] * start[1] - way[1] * start[0])
    return (offset < RADIUS * np.abs(along, out=along).max(0)) & ~apart


def visible_region(
    eye: np.ndarray, arena: np.ndarray, occluders: np.ndarray
) -> np.ndarray:
    """Corners [M, 2] of all that is in sight from `eye` [2] inside a convex `arena` [A,
    2] with `occluders` [K, 6, 2].

    Rays go to every corner and past it on both sides, and end at the first wall they
    meet."""
    shapes = [arena, *occluders]
    starts, ends = (
        np.concatenate(shapes),
        np.concatenate([np.roll(shape, -1, 0) for shape in shapes]),
    )
    towards = np.arctan2(*(starts - eye).T[::-1])
    angle = np.sort((towards[:, None] + (-1e-6, 0, 1e-6)).ravel())
    ray = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]  # [R, 1, 2]
    wall, offset = ends - starts, starts - eye
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = ray[..., 0] * wall[:, 1] - ray[..., 1] * wall[:, 0]  # [R, W]
        distance = (offset[:, 0] * wall[:, 1] - offset[:, 1] * wall[:, 0]) / bend
        # of the wall, where they meet
        share = (offset[:, 0] * ray[..., 1] - offset[:, 1] * ray[..., 0]) / bend
    met = (distance > 0) & (share >= 0) & (share <= 1)
    return eye + np.where(met, distance, 2).min(1)[:, None] * ray[:, 0]
