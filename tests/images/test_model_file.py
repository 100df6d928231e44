"""The walk that finds external data before onnxruntime opens a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    Make = Callable[..., onnx.ModelProto]


def outside(tensor: TensorProto) -> TensorProto:
    """Move a tensor's numbers to another file."""
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def in_initializer(model: onnx.ModelProto) -> None:
    """The usual place."""
    outside(model.graph.initializer[0])


def in_attribute(model: onnx.ModelProto) -> None:
    """A Constant node's tensor."""
    outside(model.graph.node[0].attribute.add(name="value").t)


def in_attribute_list(model: onnx.ModelProto) -> None:
    """One of an attribute's tensors."""
    outside(model.graph.node[0].attribute.add(name="values").tensors.add())


def in_subgraph(model: onnx.ModelProto) -> None:
    """The branch of an If inside the branch of an If."""
    branch = model.graph.node[0].attribute.add(name="then_branch").g
    outside(branch.node.add().attribute.add(name="else_branch").g.initializer.add())


def in_sparse_initializer(model: onnx.ModelProto) -> None:
    """The values of a sparse tensor."""
    outside(model.graph.sparse_initializer.add().values)


def in_sparse_attribute(model: onnx.ModelProto) -> None:
    """The indices of a sparse attribute."""
    outside(model.graph.node[0].attribute.add(name="sparse").sparse_tensor.indices)


def in_function(model: onnx.ModelProto) -> None:
    """A node of a model-local function."""
    outside(model.functions.add().node.add().attribute.add(name="value").t)


def in_function_default(model: onnx.ModelProto) -> None:
    """A default value of a function's attribute."""
    outside(model.functions.add().attribute_proto.add(name="value").t)


def in_training_graph(model: onnx.ModelProto) -> None:
    """The graph that initialises a training."""
    outside(model.training_info.add().initialization.initializer.add())


PLACES = [
    in_initializer,
    in_attribute,
    in_attribute_list,
    in_subgraph,
    in_sparse_initializer,
    in_sparse_attribute,
    in_function,
    in_function_default,
    in_training_graph,
]


@pytest.mark.parametrize("move", PLACES, ids=lambda move: move.__name__)
def test_external_data_is_found_wherever_a_tensor_can_be(
    model_file: ModuleType, classifier: Make, move: Callable[[onnx.ModelProto], None]
) -> None:
    """The same model passes until one of its tensors moves to another file."""
    model = classifier()
    model_file.walk(model.SerializeToString())
    move(model)
    with pytest.raises(model_file.ExternalDataError):
        model_file.walk(model.SerializeToString())


def test_the_table_names_every_message_that_leads_to_a_tensor(model_file: ModuleType) -> None:
    """The field numbers are those of the installed onnx.proto, and none is missing."""
    leads = set(model_file.INSIDE)
    for message, inside in model_file.INSIDE.items():
        declared = getattr(onnx, message).DESCRIPTOR.fields
        expected = {
            field.number: field.message_type.name
            for field in declared
            if field.message_type and field.message_type.name in leads
        }
        assert inside == expected


def test_a_model_without_a_graph_is_no_model(model_file: ModuleType) -> None:
    """A valid protobuf of another kind is refused before onnxruntime sees it."""
    with pytest.raises(model_file.NotOnnxError, match="no graph"):
        model_file.walk(onnx.ModelProto(ir_version=9).SerializeToString())


def test_depth_costs_no_recursion(model_file: ModuleType) -> None:
    """2,000 graphs, one inside the other, end at a tensor on the last."""
    nested = helper.make_graph([], "g", [], [], [TensorProto()]).SerializeToString()
    for _ in range(2_000):
        for field in (6, 5, 1):  # graph in attribute in node in graph
            nested = bytes([field << 3 | 2]) + _varint(len(nested)) + nested
    model_file.walk(b"\x08\x09\x3a" + _varint(len(nested)) + nested)


def _varint(value: int) -> bytes:
    septets = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([septet | 0x80 for septet in septets[:-1]] + septets[-1:])


def test_the_walk_is_bounded(model_file: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more fields than any model has is refused rather than walked to its end."""
    monkeypatch.setattr(model_file, "MAX_FIELDS", 1000)
    model_file.walk(b"\x08\x09\x3a\x00" * 500)
    with pytest.raises(model_file.NotOnnxError, match="more than 1000 fields"):
        model_file.walk(b"\x08\x09\x3a\x00" * 501)


@given(st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused_by_name(model_file: ModuleType, raw: bytes) -> None:
    """No input ends the walk with another exception than its own two."""
    try:
        model_file.walk(raw)
    except (model_file.NotOnnxError, model_file.ExternalDataError):
        return
    onnx_fields = {number for number, *_ in model_file.fields(raw, 0, len(raw))}
    assert {model_file.IR_VERSION, model_file.GRAPH} <= onnx_fields
