"""The wire format of protobuf, as far as a walk over a file needs it: nothing is kept."""

import mmap
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field = tuple[int, int, int, int]  # number, wire type, first byte and end; a varint's value as end
Bytes = bytes | mmap.mmap


class MalformedError(Exception):
    """The bytes are no protobuf message, or not one that a model has."""


def fields(data: Bytes, start: int, end: int) -> Iterator[Field]:
    """The fields of the message in data[start:end]."""
    position = start
    while position < end:
        key, position = data[position], position + 1
        if key >= 0x80:  # few are longer than a byte
            key, position = varint(data, position - 1, end)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, position = varint(data, position, end)
            yield number, wire, position, value
            continue
        if wire == BYTES:
            length, position = varint(data, position, end)
        elif wire in (FIXED64, FIXED32):
            length = 8 if wire == FIXED64 else 4
        else:
            raise MalformedError("it has a field of a wire type that ONNX does not use")
        if number == 0 or length > end - position:
            raise MalformedError("a field reaches past its end")
        yield number, wire, position, position + length
        position += length


def numbers(data: Bytes, field: Field) -> Iterator[int]:
    """The whole numbers of a repeated field: one, or many packed into one field."""
    _, wire, first, last = field
    if wire == VARINT:
        yield last
        return
    while wire == BYTES and first < last:
        value, first = varint(data, first, last)
        yield value


def varint(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """The base-128 number at `position` (at most 10 bytes), and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise MalformedError("a number reaches past its end")
