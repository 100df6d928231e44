"""Is a file an ONNX model, whole in itself? Answered before onnxruntime opens it.

A tensor in an ONNX file may say that its numbers lie in another file. A submission is
one file, so such a model cannot work here, and its author deserves to hear exactly
that; onnxruntime would open whatever the name leads to, hard links included.
The walk needs the standard library only, follows no more than the fields named in
`INSIDE`, keeps its own stack and counts its steps, so no file makes it recurse or hang.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

# Of each message, the fields whose messages can lead to a tensor (onnx.proto, IR version 13).
INSIDE = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
IR_VERSION, GRAPH = 1, 7  # of a ModelProto
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of a TensorProto
MAX_FIELDS = 2_000_000  # seconds of Python; a large real model has a tenth of that

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field = tuple[int, int, int, int]  # number, wire type, first byte and end; a varint's value as end


class NotOnnxError(Exception):
    """The bytes are not an ONNX model."""


class ExternalDataError(Exception):
    """A tensor of the model lies in another file."""


def check_self_contained(path: Path) -> None:
    """Raise NotOnnxError or ExternalDataError; a file that passes may still not load."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise NotOnnxError("the file is empty") from error
        with data:
            walk(data)


def walk(data: bytes | mmap.mmap) -> None:
    """Visit every message of a ModelProto that can lead to a tensor; raise as above."""
    waiting = [("ModelProto", 0, len(data))]
    top: set[int] = set()
    seen = 0
    while waiting:
        message, start, end = waiting.pop()
        for number, wire, first, last in fields(data, start, end):
            seen += 1
            if seen > MAX_FIELDS:
                raise NotOnnxError(f"it has more than {MAX_FIELDS} fields")
            if message == "ModelProto":
                top.add(number)
            if message == "TensorProto":
                refuse_external(number, last)
            elif wire == BYTES and number in INSIDE[message]:
                waiting.append((INSIDE[message][number], first, last))
    if not {IR_VERSION, GRAPH} <= top:
        raise NotOnnxError("it has no IR version or no graph")


def refuse_external(number: int, value: int) -> None:
    """Raise ExternalDataError if this field of a TensorProto names another file."""
    if number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0):
        raise ExternalDataError


def fields(data: bytes | mmap.mmap, start: int, end: int) -> Iterator[Field]:
    """The fields of the protobuf message in data[start:end]."""
    position = start
    while position < end:
        key, position = varint(data, position, end)
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
            raise NotOnnxError("it has a field of a wire type that ONNX does not use")
        if number == 0 or length > end - position:
            raise NotOnnxError("a field reaches past its end")
        yield number, wire, position, position + length
        position += length


def varint(data: bytes | mmap.mmap, position: int, end: int) -> tuple[int, int]:
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
    raise NotOnnxError("a number reaches past its end")
