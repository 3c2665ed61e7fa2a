"""CRC-32C (Castagnoli), the checksum in files of records, many bytes at once."""

from functools import cache

import numpy as np

POLYNOMIAL = 0x82F63B78  # reflected
MASK = 0xA282EAD8
ONES = 0xFFFFFFFF
BLOCK = 512  # bytes of a message whose remainders are in a table
CHUNK = 512  # blocks that are looked up at once


def masked(data: bytes) -> int:
    """The checksum as it stands in files."""
    crc = crc32c(data)
    rotated = (crc >> 15) | (crc << 17)
    return (rotated + MASK) & ONES


def crc32c(data: bytes) -> int:
    """The checksum of a message."""
    blocks = -(-len(data) // BLOCK)
    # zeros in front of a message change nothing
    message = np.zeros(blocks * BLOCK, np.uint8)
    begin = message.size - len(data)
    message[begin:] = np.frombuffer(data, np.uint8)
    # to begin with a remainder of ones is to invert the first four bytes
    message[begin : begin + 4] ^= 255
    beyond = ONES >> 8 * min(len(data), 4)
    return _remainder(message.reshape(blocks, BLOCK)) ^ beyond ^ ONES


def _remainder(blocks: np.ndarray) -> int:
    """The remainder of blocks [n, BLOCK] one after another."""
    first, second, third, fourth = _first_rows()
    crc = 0
    for start in range(0, len(blocks), CHUNK):
        for remainder in _remainders(blocks[start : start + CHUNK]).tolist():
            # what came before acts as if it were added to the first bytes of a block
            crc = (
                remainder
                ^ first[crc & 255]
                ^ second[crc >> 8 & 255]
                ^ third[crc >> 16 & 255]
                ^ fourth[crc >> 24]
            )
    return crc


def _remainders(blocks: np.ndarray) -> np.ndarray:
    """The remainder of each block by itself, [n] uint32."""
    places = blocks + np.arange(0, BLOCK * 256, 256)
    return np.bitwise_xor.reduce(_table().ravel()[places], 1)


@cache
def _table() -> np.ndarray:
    """The remainder of every byte at every position of a block, [BLOCK, 256]."""
    last = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (last & 1).astype(bool)
        last = np.where(odd, (last >> 1) ^ np.uint32(POLYNOMIAL), last >> 1)
    table = np.empty((BLOCK, 256), np.uint32)
    table[-1] = last
    for position in range(BLOCK - 1, 0, -1):
        after = table[position]
        table[position - 1] = (after >> 8) ^ last[after & 255]
    return table


@cache
def _first_rows() -> list[list[int]]:
    """The first four rows of the table."""
    rows: list[list[int]] = _table()[:4].tolist()
    return rows
