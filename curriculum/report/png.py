"""Pictures as PNG files, five times as fast as with the usual choice of filters."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE = struct.Struct(">I")
HEADER = struct.Struct(">IIBBBBB")
DENSITY = struct.Struct(">IIB")
BITS = 8
RGB = 2
METRES = 1  # unit of the density
INCHES = 1 / 0.0254  # in a metre
LEVEL = 3  # of compression; 4 takes twice the time for a tenth of the bytes


def encoded(picture: np.ndarray, dpi: int) -> bytes:
    """The file of a picture [height, width, 3] uint8 that is shown at `dpi`."""
    height, width, _ = picture.shape
    # every row begins with the number of its filter: 0, none
    rows = np.zeros((height, 1 + 3 * width), np.uint8)
    rows[:, 1:] = picture.reshape(height, -1)
    density = round(dpi * INCHES)
    header = HEADER.pack(width, height, BITS, RGB, 0, 0, 0)
    return (
        SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"pHYs", DENSITY.pack(density, density, METRES))
        + _chunk(b"IDAT", zlib.compress(rows.data, LEVEL))
        + _chunk(b"IEND", b"")
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    content = name + data
    return SIZE.pack(len(data)) + content + SIZE.pack(zlib.crc32(content))
