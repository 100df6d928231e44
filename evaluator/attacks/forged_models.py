"""Hostile models, one for each `mdl-*` technique: protobuf bytes made by hand.

Some techniques lay a second file beside the model: a link, a hard link, a path that leads
elsewhere. A submission is one regular file that we copy, so of these only the model that names
the second file can reach the product. Likewise an .npy file can come only in place of a model.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET_BYTES = 16  # of the second file: a model of the `mdl-ext-*` rows answers with them
_FLOAT, _UINT8, _INT64 = 1, 2, 7  # TensorProto.DataType
_INT, _TENSOR, _GRAPH = 2, 4, 5  # AttributeProto.AttributeType
_LOCAL = "local"  # the operator set of a model's own functions


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field: a number as varint, text and messages with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _opset(number: int, domain: str, version: int) -> bytes:
    return _field(number, _field(1, domain) + _field(2, version))


_IMPORTS = _opset(8, "", 17) + _opset(8, "com.microsoft", 1)


def _tensor(name: str, element: int, dims: tuple[int, ...], raw: bytes) -> bytes:
    shape = b"".join(_field(1, size) for size in dims)
    return shape + _field(2, element) + _field(8, name) + _field(9, raw)


def _external(name: str, location: str) -> bytes:
    """A tensor of uint8 whose numbers are the first bytes of another file."""
    entries = {"location": location, "offset": "0", "length": str(SECRET_BYTES)}
    named = [_field(13, _field(1, key) + _field(2, value)) for key, value in entries.items()]
    tensor = _field(1, SECRET_BYTES) + _field(2, _UINT8) + _field(8, name)
    return tensor + b"".join(named) + _field(14, 1)


def _node(
    operator: str, inputs: tuple[str, ...], output: str, *attributes: bytes, domain: str = ""
) -> bytes:
    taken = b"".join(_field(1, name) for name in inputs)
    given = _field(2, output) + _field(4, operator)
    return taken + given + b"".join(_field(5, one) for one in attributes) + _field(7, domain)


def _attribute(name: str, kind: int, number: int, value: int | bytes) -> bytes:
    return _field(1, name) + _field(number, value) + _field(20, kind)


def _value(name: str, element: int, dims: tuple[str, ...] | None) -> bytes:
    """An input or output; its dimensions are free, None leaves out the shape too."""
    shape = b"" if dims is None else b"".join(_field(1, _field(2, size)) for size in dims)
    inner = _field(1, element) + (b"" if dims is None else _field(2, shape))
    return _field(1, name) + _field(2, _field(1, inner))


def _graph(nodes: list[bytes], initializers: list[bytes], inputs: bytes, outputs: bytes) -> bytes:
    body = b"".join(_field(1, node) for node in nodes) + _field(2, "graph")
    return body + b"".join(_field(5, tensor) for tensor in initializers) + inputs + outputs


def _model(
    *nodes: bytes,
    initializers: tuple[bytes, ...] = (),
    functions: tuple[bytes, ...] = (),
    metadata: bytes = b"",
    output: int = _FLOAT,
) -> bytes:
    """A model of four free dimensions whose output is `y`, so that it fits any tiles."""
    tiles = _field(11, _value("x", _FLOAT, ("N", "C", "H", "W")))
    graph = _graph(list(nodes), list(initializers), tiles, _field(12, _value("y", output, None)))
    own = b"".join(_field(25, function) for function in functions)
    own += _opset(8, _LOCAL, 1) if functions else b""
    return _field(1, 9) + _field(7, graph) + _IMPORTS + metadata + own


def _named_file(location: str) -> bytes:
    weights = (_external("w", location),)
    return _model(_node("Identity", ("w",), "y"), initializers=weights, output=_UINT8)


def _custom_operator() -> bytes:
    return _model(_node("Exfiltrate", ("x",), "y", domain="vendor.ops"))


def _engine_context() -> bytes:
    """A node that has an execution provider open a compiled engine from a path."""
    path = _field(1, "ep_cache_context") + _field(4, "/etc/passwd") + _field(20, 3)
    embedded = _attribute("embed_mode", _INT, 3, 0)
    return _model(_node("EPContext", ("x",), "y", path, embedded, domain="com.microsoft"))


def _memory_bomb() -> bytes:
    """64 tensors of 512 MiB, alive together; each alone is no more than a host would grant."""
    shape = _tensor("shape", _INT64, (1,), struct.pack("<q", 2**27))
    parts = [f"part{number}" for number in range(64)]
    nodes = [_node("ConstantOfShape", ("shape",), part) for part in parts]
    return _model(*nodes, _node("Sum", tuple(parts), "y"), initializers=(shape,))


def _endless_loop() -> bytes:
    """2^62 rounds of nothing."""
    most = _tensor("most", _INT64, (), struct.pack("<q", 2**62))
    inputs = [_value("round", _INT64, ()), _value("go", 9, ()), _value("before", _FLOAT, None)]
    outputs = [_value("on", 9, ()), _value("after", _FLOAT, None)]
    body = _graph(
        [_node("Identity", ("go",), "on"), _node("Identity", ("before",), "after")],
        [],
        b"".join(_field(11, one) for one in inputs),
        b"".join(_field(12, one) for one in outputs),
    )
    loop = _node("Loop", ("most", "", "x"), "y", _attribute("body", _GRAPH, 6, body))
    return _model(loop, initializers=(most,))


def _nested() -> bytes:
    """3,000 graphs, one inside the other."""
    graph = b""
    for _ in range(3000):
        graph = _field(1, _field(5, _field(6, graph)))
    return _field(1, 9) + _field(7, graph)


def _terminal_escapes() -> bytes:
    """A key that clears the reader's terminal, were it ever shown."""
    entry = _field(1, "evaluator.\x1b[2J\x1b]0;owned\x07") + _field(2, "\x1b[31m")
    return _model(_node("Identity", ("x",), "y"), metadata=_field(14, entry))


def _pickled_array() -> bytes:
    """An .npy file of objects: reading it with allow_pickle=True would run `print`."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header))
    return start + header + b"cbuiltins\nprint\n(Vowned\ntR."


def _huge_array() -> bytes:
    """An .npy file whose header promises 2^40 numbers."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,), }\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def _ort_format() -> bytes:
    """The head of onnxruntime's own format, which skips what is checked of ONNX."""
    return struct.pack("<I", 20) + b"ORTM" + bytes(56)


def _function(name: str, *calls: str) -> bytes:
    """A function of one value that hands it to each of `calls`, functions too, in turn."""
    nodes = [
        _node(call, (f"v{step}",), f"v{step + 1}", domain=_LOCAL) for step, call in enumerate(calls)
    ]
    nodes.append(_node("Identity", (f"v{len(calls)}",), "out"))
    body = b"".join(_field(7, node) for node in nodes)
    imports = _opset(9, "", 17) + _opset(9, _LOCAL, 1)
    return (
        _field(1, name) + _field(4, "v0") + _field(5, "out") + body + imports + _field(10, _LOCAL)
    )


def _recursive_function() -> bytes:
    """Two functions that call each other."""
    functions = (_function("There", "Back"), _function("Back", "There"))
    return _model(_node("There", ("x",), "y", domain=_LOCAL), functions=functions)


def _function_bomb() -> bytes:
    """40 functions, each calling the next twice: 2^40 nodes once they are written out."""
    functions = [_function(f"F{n}", f"F{n + 1}", f"F{n + 1}") for n in range(40)]
    end = _function("F40")
    start = _node("F0", ("x",), "y", domain=_LOCAL)
    return _model(start, functions=(*functions, end))


FORGED_MODELS: dict[str, Callable[[], bytes]] = {
    "mdl-ext-dotdot": partial(_named_file, "../../etc/passwd"),
    "mdl-ext-abs": partial(_named_file, "/etc/passwd"),
    "mdl-ext-symlink": partial(_named_file, "link"),
    "mdl-ext-dirsymlink": partial(_named_file, "linked/passwd"),
    "mdl-ext-proc": partial(_named_file, "/proc/self/environ"),
    "mdl-ext-hardlink": partial(_named_file, "weights.bin"),
    "mdl-custom-op": _custom_operator,
    "mdl-epcontext": _engine_context,
    "mdl-mem-bomb": _memory_bomb,
    "mdl-loop": _endless_loop,
    "mdl-proto-nest": _nested,
    "mdl-ansi": _terminal_escapes,
    "mdl-npy-pickle": _pickled_array,
    "mdl-npy-header": _huge_array,
    "mdl-ort-format": _ort_format,
    "mdl-ext-memory": partial(_named_file, "*/_ORT_MEM_ADDR_/*"),  # an address, not a file
    "mdl-function-cycle": _recursive_function,
    "mdl-function-bomb": _function_bomb,
}
expected = {
    **dict.fromkeys((name for name in FORGED_MODELS if name.startswith("mdl-ext-")), "EVA303"),
    "mdl-custom-op": "EVA311",
    "mdl-epcontext": "EVA312",
    "mdl-mem-bomb": "OUT_OF_MEMORY",
    "mdl-loop": "TIMEOUT",
    "mdl-proto-nest": "EVA318",
    "mdl-ansi": "EVA308",
    "mdl-npy-pickle": "EVA302",
    "mdl-npy-header": "EVA302",
    "mdl-ort-format": "EVA319",
    "mdl-function-cycle": "EVA313",
    "mdl-function-bomb": "EVA314",
}
"""The rule that refuses each of them, or the status in which the check of it ends."""
