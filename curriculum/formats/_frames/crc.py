"""CRC-32C (Castagnoli), as record files use it, many bytes at once."""

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # reflected
MASK = 0xA282EAD8
LANES = 1024  # parts of a message that are worked on at once
ONES = 0xFFFFFFFF


def masked(data: bytes) -> int:
    """The checksum as it stands in files."""
    crc = crc32c(data)
    rotated = (crc >> 15) | (crc << 17)
    return (rotated + MASK) & ONES


def crc32c(data: bytes) -> int:
    """The checksum of a message."""
    head = len(data) % LANES
    crc = _plain(data[:head], ONES)
    steps = len(data) // LANES
    if steps:
        rows = np.frombuffer(data, np.uint8, offset=head).reshape(LANES, steps)
        crc = _joined(_lanes(rows), steps, crc)
    return crc ^ ONES


def _plain(data: bytes, crc: int) -> int:
    table = _table().tolist()
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 255]
    return crc


def _lanes(rows: np.ndarray) -> np.ndarray:
    """The remainder of each row by itself, [LANES] uint32."""
    table = _table()
    crc = np.zeros(len(rows), np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crc = (crc >> np.uint32(8)) ^ table[(crc ^ column) & 255]
    return crc


def _joined(lanes: np.ndarray, steps: int, crc: int) -> int:
    """The remainder of rows one after another, begun with `crc`."""
    shift = _shift(steps)
    for lane in lanes.tolist():
        crc = _applied(shift, crc) ^ lane
    return crc


@cache
def _table() -> np.ndarray:
    """The remainder of every byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (table & 1).astype(bool)
        table = np.where(odd, (table >> 1) ^ np.uint32(POLYNOMIAL), table >> 1)
    return table


@cache
def _shift(steps: int) -> tuple[int, ...]:
    """What appending so many zero bytes makes of each of the 32 bits."""
    table = _table().tolist()
    power = tuple((bit >> 8) ^ table[bit & 255] for bit in (1 << n for n in range(32)))
    result = tuple(1 << n for n in range(32))
    while steps:
        if steps & 1:
            result = tuple(_applied(power, bit) for bit in result)
        power = tuple(_applied(power, bit) for bit in power)
        steps >>= 1
    return result


def _applied(images: tuple[int, ...], value: int) -> int:
    result = 0
    for bit, image in enumerate(images):
        if value >> bit & 1:
            result ^= image
    return result
