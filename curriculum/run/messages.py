"""Nested states between two processes: JSON and raw arrays through pipes, no pickle."""

import json
import os
import select
import struct
from collections.abc import Callable
from typing import BinaryIO

from safetensors import numpy as safetensors

from curriculum.nested import join, split
from curriculum.types import State

HEADER = struct.Struct("<QQ")  # bytes of JSON, bytes of arrays
CHUNK = 1 << 20  # bytes that are read at once
LOOK = 0.1  # seconds between looks at whether to go on waiting


class Ended(Exception):
    """The other process has closed its end."""


def encode(message: State) -> bytes:
    """A message as bytes."""
    arrays, rest = split(message, "message")
    text = json.dumps(rest).encode()
    block = safetensors.save(arrays)
    return b"".join([HEADER.pack(len(text), len(block)), text, block])


def decode(text: bytes, block: bytes) -> State:
    """Undo `encode`, given the two parts that follow the header."""
    arrays = safetensors.load(block)
    # what is read from a buffer cannot be written to
    return join(lambda name: arrays[name].copy(), json.loads(text))


def read(file: BinaryIO) -> State | None:
    """The next message of a file; None where it ends."""
    header = file.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    text_size, block_size = HEADER.unpack(header)
    text = file.read(text_size)
    block = file.read(block_size)
    if len(block) < block_size:
        return None
    return decode(text, block)


def write(descriptor: int, message: State) -> None:
    """Write a message whole; Ended if nobody reads any more."""
    left = memoryview(encode(message))
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except BrokenPipeError:
        raise Ended from None


class Inbox:
    """The messages that arrive at a descriptor."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self._arrived = bytearray()

    def receive(self, look: Callable[[], None]) -> State:
        """The next message; `look` is called while it has not arrived, and may raise:
        the next call goes on where this one ended.

        Ended if there will be none."""
        self._await(HEADER.size, look)
        text_size, block_size = HEADER.unpack(self._arrived[: HEADER.size])
        middle = HEADER.size + text_size
        end = middle + block_size
        self._await(end, look)
        text = bytes(self._arrived[HEADER.size : middle])
        block = bytes(self._arrived[middle:end])
        del self._arrived[:end]
        return decode(text, block)

    def _await(self, size: int, look: Callable[[], None]) -> None:
        """Wait until so many bytes have arrived."""
        while len(self._arrived) < size:
            look()
            if not select.select([self.descriptor], [], [], LOOK)[0]:
                continue
            more = os.read(self.descriptor, CHUNK)
            if not more:
                raise Ended
            self._arrived += more
