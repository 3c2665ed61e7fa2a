"""Whether a body is in sight among hexagonal occluders: exact, and mostly decided by two distances."""

import numpy as np

RADIUS, APOTHEM = 3**0.5 / 64, 3 / 128  # of an occluder, a corner to the north
TURNS = np.radians([0, 60, 120])
SIDES = np.stack([np.cos(TURNS), np.sin(TURNS)], -1)  # [3, 2] normals of its sides


def sees_body(
    eye: np.ndarray, centre: np.ndarray, heading: np.ndarray, body: np.ndarray, occluders: np.ndarray
) -> np.ndarray:
    """Whether any corner of a body is in sight, [N]: the line to it passes through none of the occluders.

    `eye` and the body's `centre` are [2, N], its `heading` [N] in degrees, `body` [V, 2] its corners ahead and to the
    left, `occluders` centres [K, 2].

    Lines to the corners stray from the line to the centre by a small angle. So an occluder deep across that line hides
    all of the body and one far from it hides nothing; the other lines are only drawn where neither is so."""
    line = centre - eye
    length = np.maximum(np.hypot(*line), 1e-12)
    reach = np.hypot(*body.T).max()
    stray = reach / np.sqrt(np.maximum(length**2 - reach**2, 1e-12))  # tangent of the largest angle
    east, north = line / length
    before = np.stack([east, north, RADIUS - eye[0] * east - eye[1] * north])
    beside = np.stack([north, -east, eye[1] * east - eye[0] * north])
    places = np.column_stack([occluders, np.ones(len(occluders))])
    along = places @ before  # [K, N] from a radius behind the eye
    across = np.abs(places @ beside)
    slack = along * stray
    touching = (across - slack < RADIUS) & (along > 0) & (along < length + (reach + 2 * RADIUS))
    row, which = np.nonzero(touching.T)
    along, across, slack = along[which, row], across[which, row], slack[which, row]
    hides = (across + slack < APOTHEM + RADIUS * stray[row]) & (along > RADIUS) & (along < length[row] + RADIUS - reach)
    seen = np.ones(len(length), bool)
    seen[row[hides]] = False
    open_yet = seen[row]
    row, which = row[open_yet], which[open_yet]
    if row.size:
        start = eye[:, row] - occluders[which].T  # [2, m]
        crossed = _crosses(start, _corners(line[:, row] + start, heading[row], body))  # [V, m]
        first = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
        seen[row[first]] = ~np.logical_or.reduceat(crossed, first, 1).all(0)
    return seen


def _corners(centre: np.ndarray, heading: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Corners [2, V, N] of bodies at `centre` [2, N]."""
    angle = np.radians(heading)
    turned = np.stack([np.cos(angle), np.sin(angle)])  # [2, N]
    rotate = np.stack([body * (1, -1), body[:, ::-1]])  # [2, V, 2]
    return centre[:, None] + rotate @ turned


def _crosses(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Whether lines from `start` [2, m] to `end` [2, V, m] pass through the inside of an occluder around the origin.

    Two convex shapes are apart just if they are apart along the normal of one of their sides."""
    dx, dy = end - start[:, None]
    offset = np.abs(dx * start[1] - dy * start[0])
    dx, dy = np.abs(dx), np.abs(dy)
    crosses = offset < RADIUS * np.maximum(dx, 0.5 * dx + 3**0.5 / 2 * dy)
    s, e = (SIDES @ start)[:, None], (SIDES @ end.reshape(2, -1)).reshape(3, *end.shape[1:])  # [3, 1, m], [3, V, m]
    apart = (np.minimum(s, e) >= APOTHEM) | (np.maximum(s, e) <= -APOTHEM)
    return crosses & ~apart.any(0)


def visible_region(eye: np.ndarray, arena: np.ndarray, occluders: np.ndarray) -> np.ndarray:
    """Corners [M, 2] of all that is in sight from `eye` [2] inside a convex `arena` [A, 2] with `occluders` [K, 6, 2].

    Rays go to every corner and past it on both sides, and end at the first wall they meet."""
    shapes = [arena, *occluders]
    starts, ends = np.concatenate(shapes), np.concatenate([np.roll(shape, -1, 0) for shape in shapes])
    towards = np.arctan2(*(starts - eye).T[::-1])
    angle = np.sort((towards[:, None] + (-1e-6, 0, 1e-6)).ravel())
    ray = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None]  # [R, 1, 2]
    wall, offset = ends - starts, starts - eye
    with np.errstate(divide="ignore", invalid="ignore"):
        bend = ray[..., 0] * wall[:, 1] - ray[..., 1] * wall[:, 0]  # [R, W]
        distance = (offset[:, 0] * wall[:, 1] - offset[:, 1] * wall[:, 0]) / bend
        share = (offset[:, 0] * ray[..., 1] - offset[:, 1] * ray[..., 0]) / bend  # of the wall, where they meet
    met = (distance > 0) & (share >= 0) & (share <= 1)
    return eye + np.where(met, distance, 2).min(1)[:, None] * ray[:, 0]
