"""Inside the image: the onnx package's own cases of single operators, where all are known here.

The package's test modules are mounted beside it; {name: "" or what is wrong}. A case runs with its
first input as the image and the others as tensors of the file; its outputs are the wanted ones.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import onnx
import torch
from executor import Executor
from graph import view
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from operators import DTYPES, KNOWN
from verdicts import UntrainableError


def runnable(model: onnx.ModelProto) -> bool:
    """Known operators and plain tensors of types that torch has."""
    values = [*model.graph.input, *model.graph.output]
    return (
        len(model.graph.input) > 0
        and len(model.graph.node) > 0
        and all(value.type.HasField("tensor_type") for value in values)
        and all(value.type.tensor_type.elem_type in set(DTYPES) - {16} for value in values)
        and all((node.domain, node.op_type) in KNOWN for node in model.graph.node)
    )


def compare(model: onnx.ModelProto, inputs: list[Any], outputs: list[Any]) -> str:
    """What is wrong with a case, or nothing."""
    names = [value.name for value in model.graph.input]
    for name, value in zip(names[1:], inputs[1:], strict=True):
        held = value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        held.name = name
        model.graph.initializer.append(held)
    first, *outputs = [
        numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.array(value)
        for value in (inputs[0], *outputs)
    ]
    executor = Executor(view(model))
    for value, wanted in zip(model.graph.output, outputs, strict=True):
        ours = executor(torch.from_numpy(first), value.name).detach().numpy()
        if ours.dtype != wanted.dtype or ours.shape != wanted.shape:
            return f"{ours.dtype} {ours.shape} is not {wanted.dtype} {wanted.shape}"
        half = wanted.dtype == np.float16
        near = {"rtol": 1e-2 if half else 1e-4, "atol": 1e-3 if half else 1e-6}
        if not np.allclose(ours.astype(float), wanted.astype(float), equal_nan=True, **near):
            return f"{value.name} differs"
    return ""


def outcome(case: Any) -> str:  # noqa: ANN401 - the package's TestCase
    """As compare; an error is something wrong too, a refusal is not."""
    inputs, outputs = case.data_sets[0]
    try:
        return compare(case.model, list(inputs), list(outputs))
    except UntrainableError as error:
        return f"refused: {error}"[:300]
    except Exception as error:  # noqa: BLE001 - the table of outcomes is the point
        return f"{type(error).__name__}: {error}"[:300]


json.dump({c.name: outcome(c) for c in collect_testcases(None) if runnable(c.model)}, sys.stdout)
