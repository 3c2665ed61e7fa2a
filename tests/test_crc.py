"""Checksums of records: those of the standard, whatever the length."""

import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from curriculum import crc


def test_checksums_are_those_of_the_standard():
    assert crc.crc32c(b"123456789") == 0xE3069283
    # rotated right by 15 bits it is 0x2507C60D; plus 0xA282EAD8
    assert crc.masked(b"123456789") == 0xC78AB0E5
    assert crc.crc32c(b"") == 0


@pytest.mark.parametrize("length", [0, 1, 3, 4, 8, 511, 512, 513, 300_001])
def test_checksums_are_those_of_another_program(length: int):
    data = bytes(range(251)) * (length // 251 + 1)
    assert crc.masked(data[:length]) == masked_crc32c(data[:length])
