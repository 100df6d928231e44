"""Is a file an ONNX model, whole in itself and within its limits? Answered before onnxruntime.

A tensor in an ONNX file may say that its numbers lie in another file, or that it is larger than
the file; an operator may open files; functions may call each other until they fill the memory.
onnxruntime would find some of this out by doing it. The walk needs the standard library only,
follows no more than the fields named in `INSIDE`, keeps its own stack and counts its steps, so no
file makes it recurse or hang. It says where by the number of a byte: names may be anything.
"""

import mmap
from collections import deque
from collections.abc import Iterator
from math import prod
from pathlib import Path

from calls import MAIN, Calls, normal
from findings import Code, Limits, UnsuitableError
from protobuf import BYTES, VARINT, Bytes, Field, MalformedError, fields, numbers

# Of each message, the fields whose messages are visited (onnx.proto, IR version 13).
INSIDE = {
    "ModelProto": {
        7: "GraphProto",
        8: "OperatorSetIdProto",
        20: "TrainingInfoProto",
        25: "FunctionProto",
    },
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 9: "OperatorSetIdProto", 11: "AttributeProto"},
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
    "OperatorSetIdProto": {},
}
MAX_FIELDS = 2_000_000  # seconds of Python; a large real model has a tenth of that
MAX_DEPTH = 100  # messages within messages; onnxruntime's own parser goes no deeper
MAX_RANK = 64
MAX_NAME = 1024  # bytes; an operator's or a domain's
# Bits of one element, by TensorProto.DataType; 8 for text, at least; 2 is the least there is.
BITS = {1: 32, 4: 16, 5: 16, 6: 32, 7: 64, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16}
BITS |= dict.fromkeys((2, 3, 8, 9, 17, 18, 19, 20, 24), 8) | dict.fromkeys((21, 22, 23), 4)
RAW_DATA, TYPED_DATA = 9, (4, 5, 6, 7, 10, 11)  # of a TensorProto


def check_file(path: Path, limits: Limits) -> None:
    """Raise UnsuitableError with one of its codes; a file that passes may still not load."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise UnsuitableError(Code.NOT_ONNX, "the file is empty") from error
        with data:
            walk(data, limits)


def walk(data: Bytes, limits: Limits) -> None:
    """Visit every message of a ModelProto that INSIDE leads to; raise as above."""
    if data[4:8] == b"ORTM":
        raise UnsuitableError(Code.ORT_FORMAT, "it is in onnxruntime's own format", at=4)
    try:
        Walk(data, limits).all()
    except MalformedError as error:
        raise UnsuitableError(Code.NOT_ONNX, str(error)) from error


class Walk:
    """One pass over a model, and what it has counted so far."""

    def __init__(self, data: Bytes, limits: Limits) -> None:
        self.data = data
        self.limits = limits
        self.refused = {name.encode() for name in limits.refused_operators}
        # Messages to visit: name, first byte, end, depth, and the function they are part of.
        self.waiting = deque([("ModelProto", 0, len(data), 0, MAIN)])
        self.seen = self.nodes = self.initializers = 0
        self.calls = Calls(limits)

    def all(self) -> None:
        """Raise UnsuitableError, or MalformedError for bytes that are no protobuf."""
        readers = {
            "ModelProto": self.model,
            "OperatorSetIdProto": self.operator_set,
            "FunctionProto": self.function,
            "GraphProto": self.graph,
            "NodeProto": self.node,
            "TensorProto": self.tensor,
            "SparseTensorProto": self.sparse_tensor,
        }
        while self.waiting:
            message, start, end, depth, function = self.waiting.pop()
            if depth > MAX_DEPTH:
                words = f"messages lie more than {MAX_DEPTH} deep"
                raise UnsuitableError(Code.DEPTH, words, depth, start)
            function = start if message == "FunctionProto" else function
            visited = self.visit(message, start, end, depth, function)
            readers.get(message, exhaust)(visited, start, function)
        self.calls.check()

    def visit(
        self, message: str, start: int, end: int, depth: int, function: int
    ) -> Iterator[Field]:
        """The fields of a message; the messages inside wait for their turn."""
        inside = INSIDE[message]
        for field in fields(self.data, start, end):
            self.count_field(start)
            number, wire, first, last = field
            if wire == BYTES and number in inside:
                self.waiting.append((inside[number], first, last, depth + 1, function))
            yield field

    def count_field(self, at: int) -> None:
        """One step more."""
        self.seen += 1
        if self.seen > MAX_FIELDS:
            raise UnsuitableError(Code.FIELDS, f"it has more than {MAX_FIELDS} fields", at=at)

    def model(self, visited: Iterator[Field], _start: int, _function: int) -> None:
        """What has neither a version nor a graph is another protobuf."""
        if not {1, 7} <= {number for number, *_ in visited}:
            raise MalformedError("it has no IR version or no graph")

    def operator_set(self, visited: Iterator[Field], start: int, _function: int) -> None:
        """The standard operators in a version that we run; others are looked at in the end."""
        domain, version = b"", 0
        for number, wire, first, last in visited:
            if number == 1 and wire == BYTES:
                domain = self.name(first, last)
            elif number == 2 and wire == VARINT:
                version = last
        if normal(domain):
            self.calls.imports.setdefault(domain, start)
        elif not self.limits.opset_min <= version <= self.limits.opset_max:
            words = f"opset {version} is not {self.limits.opset_min} to {self.limits.opset_max}"
            raise UnsuitableError(Code.OPSET, words, version, start)

    def function(self, visited: Iterator[Field], start: int, _function: int) -> None:
        """A function counts as a node, so that no file is made of a million empty ones."""
        self.count_node(start)
        said = self.names(visited, (10, 1, 13))
        call = (normal(said[10]), said[1], said[13])
        if call in self.calls.functions:
            raise MalformedError("two of its functions have the same name")
        self.calls.functions[call] = start

    def node(self, visited: Iterator[Field], start: int, function: int) -> None:
        """Count it, and remember what it calls."""
        self.count_node(start)
        said = self.names(visited, (7, 4, 8))
        if said[4] in self.refused:
            raise UnsuitableError(Code.REFUSED_OPERATOR, "an operator opens files", at=start)
        self.calls.add((normal(said[7]), said[4], said[8]), start, function)

    def graph(self, visited: Iterator[Field], start: int, _function: int) -> None:
        """Count its initializers."""
        self.initializers += sum(n in {5, 15} for n, *_ in visited)
        if self.initializers > self.limits.initializers:
            words = f"more than {self.limits.initializers} initializers"
            raise UnsuitableError(Code.INITIALIZERS, words, self.initializers, start)

    def tensor(self, visited: Iterator[Field], start: int, _function: int) -> None:
        """Its numbers are here, and as many as its shape says."""
        shape, element, raw, typed = [], 0, 0, 0
        for field in visited:
            number, wire, first, last = field
            if number == 1:
                shape += self.dims(field, start, len(shape))
            elif number == 2 and wire == VARINT:
                element = last
            elif number == 13 or (number == 14 and last != 0):
                raise UnsuitableError(Code.EXTERNAL_DATA, "a tensor lies in another file", at=start)
            elif number == RAW_DATA and wire == BYTES:
                raw = last - first
            elif number in TYPED_DATA:  # an empty text takes a byte as well: its length
                typed += 1 if wire == VARINT else last - first + (number == 6)
        bits = BITS.get(element, 2)
        # A varint may hold a wide number in one byte, so there a byte is the least it takes.
        least = (prod(shape) * (bits if raw else min(bits, 8)) + 7) // 8
        if least > raw + typed:
            words = f"a tensor declares {least} bytes and has {raw + typed}"
            raise UnsuitableError(Code.TENSOR_BYTES, words, least, start)

    def sparse_tensor(self, visited: Iterator[Field], start: int, _function: int) -> None:
        """Its dense shape is held to the same cap."""
        rank = 0
        for field in visited:
            if field[0] == 3:
                rank += len(self.dims(field, start, rank))

    def dims(self, field: Field, at: int, rank: int) -> list[int]:
        """The dimensions in one field of a shape that has `rank` already: packed, or one."""
        found = []
        for size in numbers(self.data, field):
            self.count_field(at)
            found.append(size)
            if size > self.limits.dimension:  # a negative one is a huge one here
                raise UnsuitableError(Code.DIMENSION, "a dimension is too large", size, at)
            if rank + len(found) > MAX_RANK:
                raise MalformedError(f"a tensor has more than {MAX_RANK} dimensions")
        return found

    def names(self, visited: Iterator[Field], wanted: tuple[int, ...]) -> dict[int, bytes]:
        """The texts in the wanted fields, empty where absent; the last one counts."""
        said = dict.fromkeys(wanted, b"")
        for number, wire, first, last in visited:
            if number in said and wire == BYTES:
                said[number] = self.name(first, last)
        return said

    def name(self, first: int, last: int) -> bytes:
        """A name's bytes; they are compared and never shown."""
        if last - first > MAX_NAME:
            raise MalformedError(f"a name has more than {MAX_NAME} bytes")
        return bytes(self.data[first:last])

    def count_node(self, at: int) -> None:
        """One node more."""
        self.nodes += 1
        if self.nodes > self.limits.nodes:
            words = f"more than {self.limits.nodes} nodes"
            raise UnsuitableError(Code.NODES, words, self.nodes, at)


def exhaust(visited: Iterator[Field], _start: int, _function: int) -> None:
    """Nothing of this message matters but what lies inside."""
    deque(visited, maxlen=0)
