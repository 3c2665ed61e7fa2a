"""The protocol-buffer message `Example`: named lists of bytes, floats or integers."""

from collections.abc import Iterator

import numpy as np

Value = list[bytes] | np.ndarray
BYTES, FLOATS, INTEGERS = 1, 2, 3  # fields of a feature


def parsed(message: bytes) -> dict[str, Value]:
    """The lists of a message by name; ValueError where it is damaged."""
    found: dict[str, Value] = {}
    for field, features in _fields(message):
        if field != 1:
            continue
        for _, entry in _fields(_piece(features)):
            pair = dict(_fields(_piece(entry)))
            name = _piece(pair.get(1, b"")).decode()
            found[name] = _feature(_piece(pair.get(2, b"")))
    return found


def _piece(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a record is no Example")
    return value


def _feature(feature: bytes) -> Value:
    for field, content in _fields(feature):
        items = [item for number, item in _fields(_piece(content)) if number == 1]
        if field == BYTES:
            return [_piece(item) for item in items]
        if field == FLOATS:  # packed, or one by one in 4 bytes each
            return np.frombuffer(b"".join(map(_piece, items)), "<f4")
        if field == INTEGERS:
            return _integers(items)
    return []


def _integers(items: list[int | bytes]) -> np.ndarray:
    numbers: list[int] = []
    for item in items:
        if isinstance(item, int):
            numbers.append(item)
            continue
        place = 0
        while place < len(item):
            number, place = _varint(item, place)
            numbers.append(number)
    return np.array(numbers, np.uint64).astype(np.int64)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers of fields and their values."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            number, place = _varint(message, place)
            yield tag >> 3, number
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("a record is no Example")
        if place + size > len(message):
            raise ValueError("a record is no Example: a field is too long")
        yield tag >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (2**64 - 1), place
    raise ValueError("a record is no Example: a number does not end")


def message(values: dict[str, Value]) -> bytes:
    """The message of lists; arrays of floats are float32."""
    entries = []
    for name, value in values.items():
        entry = _field(1, name.encode()) + _field(2, _encoded(value))
        entries.append(_field(1, entry))
    return _field(1, b"".join(entries))


def _encoded(value: Value) -> bytes:
    if isinstance(value, list):
        return _field(BYTES, b"".join(_field(1, item) for item in value))
    if value.dtype.kind == "f":
        return _field(FLOATS, _field(1, value.astype("<f4").tobytes()))
    numbers = b"".join(_as_varint(number % 2**64) for number in value.tolist())
    return _field(INTEGERS, _field(1, numbers))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _as_varint(len(content)) + content


def _as_varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
