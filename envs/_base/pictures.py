"""Pictures in grey, 84 x 84; shrinking equals OpenCV's to the last bit."""

import functools

import numpy as np

SIDE = 84  # of a picture, pixels
BRIGHTNESS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue


def grey(colours: np.ndarray) -> np.ndarray:
    """The brightness [...] uint8 of colours [..., 3] uint8 (ITU-R BT.601)."""
    return np.rint(colours @ BRIGHTNESS).astype(np.uint8)


def shrink(screen: np.ndarray) -> np.ndarray:
    """Pictures [..., 84, 84] uint8 of grey screens [..., height, width]: means over
    areas, as OpenCV's INTER_AREA.

    Products are summed in OpenCV's order and in float32, so that ties are rounded
    alike."""
    columns = zip(*_areas(screen.shape[-1]), strict=True)
    narrow = sum(screen[..., source] * weight for source, weight in columns)
    rows = zip(*_areas(screen.shape[-2]), strict=True)
    small = sum(narrow[..., source, :] * weight[:, None] for source, weight in rows)
    return np.rint(small).astype(np.uint8)


@functools.lru_cache
def _areas(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `size` pixels each of the 84 covers, and their weights; both [k, 84] for
    at most k pixels."""
    scale = size / SIDE
    start = np.arange(SIDE) * scale
    source = np.floor(start) + np.arange(np.ceil(scale) + 1)[:, None]
    overlap = np.minimum(start + scale, source + 1) - np.maximum(start, source)
    weight = np.where(overlap > 1e-3, overlap / scale, 0).astype(np.float32)
    return np.minimum(source, size - 1).astype(np.int64), weight
