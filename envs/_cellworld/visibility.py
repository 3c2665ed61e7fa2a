"""The visibility polygon: everything that an eye sees among polygons."""

import numpy as np

# radians past a corner, on both sides of it, at which rays are cast
PAST_CORNER = (-1e-6, 0, 1e-6)
FARTHEST = 2  # length of a ray that meets nothing


def visibility_polygon(
    eye: np.ndarray, arena: np.ndarray, occluders: np.ndarray
) -> np.ndarray:
    """Corners [M, 2] of the region in sight from `eye` [2] inside a convex `arena`
    [A, 2] with `occluders` [K, 6, 2].

    Rays lead to every corner and past it on both sides, and end at the first wall they
    meet."""
    shapes = [arena, *occluders]
    starts = np.concatenate(shapes)
    ends = np.concatenate([np.roll(shape, -1, 0) for shape in shapes])
    offset = starts - eye  # [W, 2]
    x, y = offset.T
    corner_angle = np.arctan2(y, x)[:, None]
    angle = np.sort((corner_angle + PAST_CORNER).ravel())
    ray = np.stack([np.cos(angle), np.sin(angle)], -1)  # [R, 2]
    distance = _distances(ray, offset, ends - starts).min(1)
    return eye + distance[:, None] * ray


def _distances(ray: np.ndarray, offset: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Distances [R, W] along unit rays [R, 2] to walls that begin at `offset` [W, 2]
    from the eye and extend by `wall` [W, 2]; FARTHEST where they do not meet."""
    ray_x, ray_y = ray.T[:, :, None]
    wall_x, wall_y = wall.T
    offset_x, offset_y = offset.T
    with np.errstate(divide="ignore", invalid="ignore"):
        cross = ray_x * wall_y - ray_y * wall_x
        distance = (offset_x * wall_y - offset_y * wall_x) / cross
        # where on the wall they meet, from 0 at its beginning to 1 at its end
        share = (offset_x * ray_y - offset_y * ray_x) / cross
    meets = (distance > 0) & (share >= 0) & (share <= 1)
    return np.where(meets, distance, FARTHEST)
