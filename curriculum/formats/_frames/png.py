"""Grey pictures as PNG."""

import io

import numpy as np
from PIL import Image

LARGEST = 512  # pixels of a side


def decoded(data: bytes) -> np.ndarray:
    """A picture [height, width] uint8; ValueError for any other file."""
    image = Image.open(io.BytesIO(data), formats=["PNG"])
    if max(image.size) > LARGEST or image.mode != "L":
        raise ValueError(
            f"a picture is {image.size[0]} x {image.size[1]} {image.mode}, not grey "
            f"of at most {LARGEST} x {LARGEST}"
        )
    return np.asarray(image)


def encoded(picture: np.ndarray) -> bytes:
    """The file of a picture [height, width] uint8."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()
