"""The walk that looks for what a model may not hold before onnxruntime opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from evaluator.attacks.forged_models import FORGED_MODELS, expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.images.conftest import Verdict

    Make = Callable[..., onnx.ModelProto]
    Walk = Callable[..., Verdict]


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
    walk: Walk, classifier: Make, move: Callable[[onnx.ModelProto], None]
) -> None:
    """The same model passes until one of its tensors moves to another file."""
    model = classifier()
    before = walk(model.SerializeToString())
    move(model)

    assert (before.code, walk(model.SerializeToString()).code) == ("OK", "EXTERNAL_DATA")


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


def test_the_numbers_of_the_fields_are_those_of_onnx(model_file: ModuleType) -> None:
    """What the readers look at by number has the name that they mean."""
    tensor = {f.number: f.name for f in onnx.TensorProto.DESCRIPTOR.fields}
    data = {name for name in tensor.values() if name.endswith("_data")}
    read = {tensor[number] for number in (*model_file.TYPED_DATA, model_file.RAW_DATA, 13)}

    assert read == data
    assert [tensor[number] for number in (1, 2, 14)] == ["dims", "data_type", "data_location"]
    assert {
        (message, field.number): field.name
        for message in ("NodeProto", "FunctionProto", "OperatorSetIdProto", "SparseTensorProto")
        for field in getattr(onnx, message).DESCRIPTOR.fields
        if field.name in {"op_type", "domain", "overload", "version"}
        or (message, field.name) in {("FunctionProto", "name"), ("SparseTensorProto", "dims")}
    } == {
        ("NodeProto", 4): "op_type",
        ("NodeProto", 7): "domain",
        ("NodeProto", 8): "overload",
        ("FunctionProto", 1): "name",
        ("FunctionProto", 10): "domain",
        ("FunctionProto", 13): "overload",
        ("OperatorSetIdProto", 1): "domain",
        ("OperatorSetIdProto", 2): "version",
        ("SparseTensorProto", 3): "dims",
    }


def test_a_model_without_a_graph_is_no_model(walk: Walk) -> None:
    """A valid protobuf of another kind is refused before onnxruntime sees it."""
    assert "no graph" in walk(onnx.ModelProto(ir_version=9).SerializeToString()).message


def test_the_walk_is_bounded(
    walk: Walk, model_file: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of more fields than any model has is refused rather than walked to its end."""
    monkeypatch.setattr(model_file, "MAX_FIELDS", 1000)
    assert walk(b"\x08\x09\x3a\x00" * 500).code == "OK"
    assert walk(b"\x08\x09\x3a\x00" * 501).code == "FIELDS"


def test_packed_numbers_are_steps_too(
    walk: Walk, model_file: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 shapes of 50 dimensions, each packed into one field, are over 1,000 steps."""
    monkeypatch.setattr(model_file, "MAX_FIELDS", 1000)
    packed = b"\x2a\x34\x0a\x32" + bytes(50)

    assert walk(b"\x08\x09" + (b"\x3a\x36" + packed) * 15).code == "OK"
    assert walk(b"\x08\x09" + (b"\x3a\x36" + packed) * 20).code == "FIELDS"


def test_depth_costs_no_recursion(walk: Walk) -> None:
    """3,000 graphs, one inside the other, are refused at the limit."""
    assert walk(FORGED_MODELS["mdl-proto-nest"]()).found == 101


ONLY_AT_RUN = {"mdl-mem-bomb", "mdl-loop", "mdl-ansi"}


@pytest.mark.parametrize("name", sorted(FORGED_MODELS.keys() - ONLY_AT_RUN))
def test_a_forged_model_is_refused_by_the_expected_rule(
    walk: Walk, model_file: ModuleType, name: str
) -> None:
    """Before onnxruntime: code n is rule EVA301 + n."""
    code = walk(FORGED_MODELS[name]()).code

    assert f"EVA{301 + model_file.Code[code]}" == expected[name]


@given(st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused_by_name(
    walk: Walk, model_file: ModuleType, raw: bytes
) -> None:
    """No input ends the walk with another exception than its own."""
    if walk(raw).code == "OK":
        numbers = {number for number, *_ in model_file.fields(raw, 0, len(raw))}
        assert {1, 7} <= numbers
