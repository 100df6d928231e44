"""What of a file is a weight, where its head is, and what a new head changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.images.trainer.conftest import load, make_cnn, make_model

graphs, heads, verdicts = load("graph"), load("head"), load("verdicts")
RNG = np.random.default_rng(2)
SHAPE: tuple[int | str, ...] = ("N", 4)


def weights(model: onnx.ModelProto) -> list[str]:
    """The names of what is trained."""
    found: list[str] = graphs.view(model).weights
    return found


def floats(*shape: int) -> Any:  # noqa: ANN401 - an array
    """Any numbers."""
    return RNG.standard_normal(shape)


def test_kernels_biases_and_heads_are_weights() -> None:
    """A scalar that scales the pixels is none."""
    assert weights(make_cnn()) == ["w1", "b1", "w2", "b2"]


@pytest.mark.parametrize(
    ("operator", "tensors", "wanted"),
    [
        ("BatchNormalization", {"g": 4, "b": 4, "m": 4, "v": 4}, ["g", "b"]),
        ("Clip", {"low": 0, "high": 0}, []),
        ("Pow", {"p": 4}, []),
        ("Div", {"d": 4}, []),
        ("Mul", {"s": 4}, ["s"]),
        ("Add", {"a": 1}, []),
        ("PRelu", {"s": 1}, ["s"]),
    ],
)
def test_the_place_of_a_tensor_says_what_it_is(
    operator: str, tensors: dict[str, int], wanted: list[str]
) -> None:
    """Statistics, bounds, exponents, divisors and scalars are not trained."""
    node = helper.make_node(operator, ["x", *tensors], ["y"])
    held = {name: floats(size) if size else np.float32(1) for name, size in tensors.items()}
    assert weights(make_model([node], held, SHAPE)) == wanted


def test_a_mask_is_not_trained_and_a_position_is() -> None:
    """A table that is added and reaches -100 is an attention mask."""
    nodes = [
        helper.make_node("Add", ["x", "position"], ["p"]),
        helper.make_node("Add", ["p", "mask"], ["y"]),
    ]
    tensors = {"position": floats(1, 4), "mask": np.array([[0, -100, 0, -100]])}
    assert weights(make_model(nodes, tensors, SHAPE)) == ["position"]


def test_a_weight_behind_operators_that_move_it_is_one() -> None:
    """As exporters write transposed, reshaped and deduplicated tensors."""
    nodes = [
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Transpose", ["same"], ["turned"]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    assert weights(make_model(nodes, {"w": floats(3, 4)}, SHAPE)) == ["w"]


def test_a_constant_node_can_hold_a_weight() -> None:
    """And is written back where it lies."""
    value = numpy_helper.from_array(floats(4, 3).astype(np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=value),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = make_model(nodes, {}, SHAPE)
    graph = graphs.view(model)
    assert graph.weights == ["w"]
    graph.replace("w", np.ones((4, 3)))
    assert (numpy_helper.to_array(model.graph.node[0].attribute[0].t) == 1).all()


def test_what_does_not_reach_the_output_is_no_weight() -> None:
    """A side that nobody reads is not trained."""
    nodes = [
        helper.make_node("MatMul", ["x", "idle"], ["nowhere"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    model = make_model(nodes, {"idle": floats(4, 3), "w": floats(4, 3)}, SHAPE)
    assert weights(model) == ["w"]


def test_layers_are_counted_from_the_input() -> None:
    """A bias or a scale belongs to the layer before it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Add", ["a", "b1"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["y"]),
    ]
    tensors = {"w1": floats(4, 4), "b1": floats(4), "w2": floats(4, 3)}
    graph = graphs.view(make_model(nodes, tensors, SHAPE))
    assert dict(zip(graph.weights, graph.layers, strict=True)) == {"w1": 0, "b1": 0, "w2": 1}


HEADS: dict[str, tuple[list[tuple[str, list[str], dict[str, Any]]], dict[str, Any]]] = {
    "gemm": ([("Gemm", ["x", "w", "b"], {})], {"w": (4, 3), "b": (3,)}),
    "gemm turned": ([("Gemm", ["x", "w", "b"], {"transB": 1})], {"w": (3, 4), "b": (3,)}),
    "gemm scaled": (
        [("Gemm", ["x", "w", "b"], {"alpha": 0.5, "beta": 2.0})],
        {"w": (4, 3), "b": (3,)},
    ),
    "gemm without bias": ([("Gemm", ["x", "w"], {})], {"w": (4, 3)}),
    "matmul": ([("MatMul", ["x", "w"], {})], {"w": (4, 3)}),
    "matmul add": (
        [("MatMul", ["x", "w"], {}), ("Add", ["n0", "b"], {})],
        {"w": (4, 3), "b": (3,)},
    ),
    "add first": (
        [("MatMul", ["x", "w"], {}), ("Add", ["b", "n0"], {})],
        {"w": (4, 3), "b": (1, 3)},
    ),
    "transposed": (
        [("Transpose", ["w"], {}), ("MatMul", ["x", "n0"], {}), ("Add", ["n1", "b"], {})],
        {"w": (3, 4), "b": (3,)},
    ),
    "softmax": ([("Gemm", ["x", "w", "b"], {}), ("Softmax", ["n0"], {})], {"w": (4, 3), "b": (3,)}),
}


def head_model(name: str) -> onnx.ModelProto:
    """A model of HEADS; node i makes ni."""
    steps, shapes = HEADS[name]
    nodes = [
        helper.make_node(op, inputs, [f"n{at}"], **keys)
        for at, (op, inputs, keys) in enumerate(steps)
    ]
    return make_model(nodes, {key: floats(*shape) for key, shape in shapes.items()}, SHAPE)


def computed(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """By the onnx package's own reference."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415 - slow to import

    (result,) = list(ReferenceEvaluator(model).run(None, {"x": x}))
    return np.asarray(result)


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_found_and_replaced(name: str) -> None:
    """As read it makes the model's scores; replaced, the model makes the new ones."""
    model = head_model(name)
    graph = graphs.view(model)
    head = heads.find_head(graph)
    x = floats(5, 4).astype(np.float32)
    softmax = (lambda s: np.exp(s) / np.exp(s).sum(1, keepdims=True)) if name == "softmax" else None
    ours = x @ head.matrix[:-1] + head.matrix[-1]
    np.testing.assert_allclose(computed(model, x), softmax(ours) if softmax else ours, rtol=1e-4)
    fresh = floats(5, 3)
    fresh[-1] *= head.bias
    heads.replace_head(graph, head, fresh)
    ours = x @ fresh[:-1] + fresh[-1]
    again = onnx.load_from_string(model.SerializeToString())
    np.testing.assert_allclose(
        computed(again, x), softmax(ours) if softmax else ours, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(heads.find_head(graphs.view(again)).matrix, fresh, rtol=1e-5)


def test_a_tensor_that_others_read_too_stays_for_them() -> None:
    """Only the head gets the new numbers."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["inner"]),
        helper.make_node("MatMul", ["inner", "w"], ["y"]),
    ]
    model = make_model(nodes, {"w": floats(4, 4)}, SHAPE)
    graph = graphs.view(model)
    before = graph.value("w").copy()
    heads.replace_head(graph, heads.find_head(graph), np.ones((5, 4)))
    assert (numpy_helper.to_array(model.graph.initializer[0]) == before).all()
    assert list(model.graph.node[0].input) == ["x", "w"]
    assert list(model.graph.node[1].input) != ["inner", "w"]


@pytest.mark.parametrize("tail", ["Exp", "ArgMax"])
def test_a_model_without_a_head_says_so(tail: str) -> None:
    """What follows the linear layer changes more than the scores' scale."""
    with pytest.raises(verdicts.UntrainableError) as error:
        heads.find_head(graphs.view(make_cnn(tail)))
    assert error.value.verdict == verdicts.Verdict.NO_HEAD
