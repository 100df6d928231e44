"""Each limit of a model, with a model that breaks it and a neighbour that does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.images.conftest import Verdict

    Walk = Callable[..., Verdict]


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "element",
    sorted(set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED, TensorProto.STRING}),
)
def test_no_element_type_is_taken_for_larger_than_it_is(
    walk: Walk, element: int, *, raw: bool
) -> None:
    """Seven numbers of every type, as raw bytes or one by one, hold what they declare."""
    array = np.zeros(7, helper.tensor_dtype_to_np_dtype(element))
    made = numpy_helper.from_array(array) if raw else helper.make_tensor("w", element, [7], array)

    assert walk(model_of(initializer=[made])).code == "OK"


def test_empty_texts_hold_what_they_declare(walk: Walk) -> None:
    """A tensor of texts takes a byte for each, its length, were they all empty."""
    made = TensorProto(data_type=TensorProto.STRING, dims=[3], string_data=[b""] * 3)

    assert walk(model_of(initializer=[made])).code == "OK"


def model_of(functions: tuple[onnx.FunctionProto, ...] = (), **graph: Any) -> bytes:  # noqa: ANN401 - fields of a GraphProto
    """The least that is a model, with the given fields in its graph."""
    return helper.make_model(  # type: ignore[no-any-return]
        onnx.GraphProto(**graph),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)][
            : 1 + len(functions)
        ],
        functions=functions,
    ).SerializeToString()


def function(name: str, *calls: str) -> onnx.FunctionProto:
    """A function whose nodes call others of the model's own."""
    nodes = [helper.make_node(call, ["x"], ["y"], domain="own") for call in calls]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], nodes, imports)


def call(name: str) -> list[onnx.NodeProto]:
    """A graph that calls one function."""
    return [helper.make_node(name, ["x"], ["y"], domain="own")]


def opset(version: int, domain: str = "") -> bytes:
    """A model that imports one version of one set of operators."""
    imports = [helper.make_opsetid(domain, version)]
    return helper.make_model(onnx.GraphProto(), opset_imports=imports).SerializeToString()  # type: ignore[no-any-return]


def versioned(made: onnx.FunctionProto, version: int) -> onnx.FunctionProto:
    """The same function for another version of the standard operators."""
    made.opset_import[0].version = version
    return made


def branch(*nodes: onnx.NodeProto) -> bytes:
    """A model whose one node has a branch of the given nodes."""
    outer = helper.make_node("If", ["x"], ["y"], then_branch=onnx.GraphProto(node=nodes))
    return model_of(node=[outer])


def nested(levels: int) -> bytes:
    """Graphs in branches, one inside the other: deeper than the onnx package would make."""
    graph = b""
    for _ in range(levels):
        for field in (6, 5, 1):  # graph in attribute in node in graph
            graph = bytes([field << 3 | 2]) + _varint(len(graph)) + graph
    return b"\x08\x09\x3a" + _varint(len(graph)) + graph


def _varint(value: int) -> bytes:
    septets = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])


def doubling(functions: int) -> bytes:
    """Each function calls the next one twice: two to the power of their number when inlined."""
    chain = [function(f"F{n}", f"F{n + 1}", f"F{n + 1}") for n in range(functions)]
    return model_of((*chain, function(f"F{functions}")), node=call("F0"))


def tensor(dims: list[int], size: int, **more: Any) -> list[TensorProto]:  # noqa: ANN401 - fields of a TensorProto
    """One initializer of bytes, of the given shape and of the given size."""
    return [TensorProto(data_type=TensorProto.UINT8, dims=dims, raw_data=bytes(size), **more)]


NODE = helper.make_node("Relu", ["x"], ["y"])
FOREIGN = helper.make_node("Frobnicate", ["x"], ["y"], domain="vendor.ops")
CONTEXT = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
ENTRY = onnx.StringStringEntryProto(key="location", value="weights.bin")
SPARSE = onnx.SparseTensorProto(dims=[1001])
# rule: (a model that breaks it, its neighbour that passes, the limits where they are not shipped)
RULES: dict[str, tuple[bytes, bytes, dict[str, Any]]] = {
    "OPSET": (opset(27), opset(26), {}),
    "OPSET too old": (opset(6), opset(7), {}),
    "OPSET missing": (opset(0), opset(17), {}),
    "OPSET by its other name": (opset(27, "ai.onnx"), opset(26, "ai.onnx"), {}),
    "OPSET of a function": (
        model_of((versioned(function("F"), 27),), node=call("F")),
        model_of((versioned(function("F"), 26),), node=call("F")),
        {},
    ),
    "DOMAIN of an import": (opset(1, "vendor.ops"), opset(1, "com.microsoft"), {}),
    "DOMAIN of a node": (model_of(node=[FOREIGN]), model_of(node=[NODE]), {}),
    "DOMAIN of a node in a branch": (branch(FOREIGN), branch(NODE), {}),
    "DOMAIN of a node in a function": (
        model_of((function("F", "Missing"),), node=call("F")),
        model_of((function("F", "G"), function("G")), node=call("F")),
        {},
    ),
    "DOMAIN that the policy leaves out": (
        opset(1, "com.microsoft"),
        opset(17),
        {"domains": [""]},
    ),
    "REFUSED_OPERATOR": (model_of(node=[CONTEXT]), model_of(node=[NODE]), {}),
    "REFUSED_OPERATOR in a branch": (branch(CONTEXT), branch(NODE), {}),
    "REFUSED_OPERATOR by the policy": (
        model_of(node=[NODE]),
        model_of(node=[NODE]),
        {"refused_operators": ["Relu"]},
    ),
    "FUNCTION_CYCLE": (
        model_of((function("F", "F"),), node=call("F")),
        model_of((function("F"),), node=call("F")),
        {},
    ),
    "FUNCTION_CYCLE of two": (
        model_of((function("F", "G"), function("G", "F"))),
        model_of((function("F", "G"), function("G"))),
        {},
    ),
    "NODES": (model_of(node=[NODE] * 11), model_of(node=[NODE] * 10), {"nodes": 10}),
    "NODES in branches": (branch(*[NODE] * 10), branch(*[NODE] * 9), {"nodes": 10}),
    "NODES once functions are inlined": (doubling(17), doubling(16), {}),
    "NODES of empty functions": (
        model_of(tuple(function(f"F{n}") for n in range(11))),
        model_of(tuple(function(f"F{n}") for n in range(10))),
        {"nodes": 10},
    ),
    "INITIALIZERS": (
        model_of(initializer=tensor([1], 1) * 6, sparse_initializer=[onnx.SparseTensorProto()] * 5),
        model_of(initializer=tensor([1], 1) * 5, sparse_initializer=[onnx.SparseTensorProto()] * 5),
        {"initializers": 10},
    ),
    "DIMENSION": (
        model_of(initializer=tensor([0, 1001], 0)),
        model_of(initializer=tensor([0, 1000], 0)),
        {"dimension": 1000},
    ),
    "DIMENSION below zero": (
        model_of(initializer=tensor([-1], 0)),
        model_of(initializer=tensor([0], 0)),
        {},
    ),
    "DIMENSION of a sparse tensor": (
        model_of(sparse_initializer=[SPARSE]),
        model_of(sparse_initializer=[SPARSE]),
        {"dimension": 1000},
    ),
    "TENSOR_BYTES": (
        model_of(initializer=tensor([3, 5], 14)),
        model_of(initializer=tensor([3, 5], 15)),
        {},
    ),
    "TENSOR_BYTES of petabytes": (
        model_of(initializer=tensor([2**30, 2**30], 1)),
        model_of(initializer=tensor([1, 1], 1)),
        {},
    ),
    "DEPTH": (nested(34), nested(33), {}),
    "EXTERNAL_DATA by its place alone": (
        model_of(initializer=tensor([1], 1, data_location=TensorProto.EXTERNAL)),
        model_of(initializer=tensor([1], 1, data_location=TensorProto.DEFAULT)),
        {},
    ),
    "EXTERNAL_DATA by its entries alone": (
        model_of(initializer=tensor([1], 1, external_data=[ENTRY])),
        model_of(initializer=tensor([1], 1)),
        {},
    ),
    "NOT_ONNX: a tensor of 65 dimensions": (
        model_of(initializer=tensor([1] * 65, 1)),
        model_of(initializer=tensor([1] * 64, 1)),
        {},
    ),
    "NOT_ONNX: a name of 1,025 bytes": (
        model_of(node=[onnx.NodeProto(op_type="R" * 1025)]),
        model_of(node=[onnx.NodeProto(op_type="R" * 1024)]),
        {},
    ),
    "NOT_ONNX: two functions of one name": (
        model_of((function("F"), function("F"))),
        model_of((function("F"), function("G"))),
        {},
    ),
    "ORT_FORMAT": (b"\x14\0\0\0ORTM" + bytes(56), model_of(), {}),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_refuses_its_model_and_passes_its_neighbour(walk: Walk, rule: str) -> None:
    """The code is the first word of the row; the place is inside the file."""
    broken, neighbour, limits = RULES[rule]
    passed = walk(neighbour, **({} if broken == neighbour else limits))
    refusal = walk(broken, **limits)

    assert (passed.code, refusal.code) == ("OK", rule.replace(":", " ").split(maxsplit=1)[0])
    assert 0 <= refusal.at < len(broken)


SEEDS = [broken for broken, _, _ in RULES.values() if len(broken) < 10_000]


@given(st.sampled_from(SEEDS), st.data())
def test_a_damaged_model_passes_or_is_refused_by_name(
    walk: Walk, model_file: ModuleType, seed: bytes, data: st.DataObject
) -> None:
    """The same of models with a few bytes changed, where lengths and kinds still mean something."""
    raw = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    assert walk(bytes(raw)).code in model_file.Code.__members__
