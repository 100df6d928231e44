"""Inside the image: exported networks in /exports load, match, train and match again."""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from answers import Answers
from classifier import Classifier, fit, session_options
from compare import difference, require_equal
from executor import Executor
from finetune import FineTuning, prepare_torch, rate
from graph import read_graph
from head import find_head
from inputs import synthetic
from sampling import class_weights
from settings import read_settings
from verdicts import UntrainableError

STEPS = 3


def opened(path: Path, manifest: dict[str, Any]) -> Classifier:
    """A file in onnxruntime."""
    session = ort.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    return fit(session, manifest)


def tried(path: Path) -> dict[str, Any]:
    """What happens to one export, in numbers."""
    settings = replace(
        read_settings(Path("/input")), precision="float32", warmup=0.0, learning_rate=1e-4
    )
    graph = read_graph(path)
    session = ort.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    side, classes = session.get_inputs()[0].shape[2], session.get_outputs()[0].shape[1]
    manifest = {"shape": [side, side], "bands": 1, "dtype": "float32", "classes": [""] * classes}
    classifier = fit(session, manifest)
    tiles = synthetic(manifest, 8)
    away, scale = difference(Executor(graph), classifier, tiles)
    run = FineTuning(graph, classifier, settings, classes, "cpu")
    labels = (np.arange(len(tiles)) % classes).astype(np.uint8)
    weights = torch.from_numpy(class_weights(labels, classes, "none"))
    answers = Answers(labels)
    losses = [run.step(tiles, answers, weights, rate(settings, 0, 1)) for _ in range(STEPS)]
    idle = [name for name, held in run.executor.parameter.items() if held.grad is None]
    before = {name: graph.value(name).copy() for name in graph.weights}
    for name, value in run.executor.trained().items():
        graph.replace(name, value)
    moved = sum(bool((graph.value(name) != before[name]).any()) for name in graph.weights)
    saved = Path("/tmp") / path.name
    graph.write(saved)
    after = require_equal(graph, opened(saved, manifest), tiles)
    saved.unlink()
    return {
        "difference": away / scale,
        "after": after / scale,
        "weights": len(graph.weights),
        "idle": idle,
        "moved": moved,
        "losses": losses,
        "head": list(find_head(graph).matrix.shape),
    }


def outcome(path: Path) -> dict[str, Any]:
    """As tried; an error is a result too."""
    try:
        return tried(path)
    except (UntrainableError, RuntimeError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


prepare_torch("cpu")
json.dump(
    {path.name: outcome(path) for path in sorted(Path("/exports").glob("*.onnx"))}, sys.stdout
)
