"""Inside the image: every case of operator_cases.py against onnxruntime.

Prints {"cases": {name: "" or what is wrong}, "known": the operators of the executor}.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime as ort
import torch
from executor import Executor
from graph import view
from operator_cases import CASES
from operators import KNOWN


def compare(name: str) -> str:
    """What is wrong with a case, or nothing."""
    model, x = CASES[name]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    theirs = ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})
    executor = Executor(view(model))
    for at, wanted in enumerate(theirs):
        ours = executor(torch.from_numpy(np.array(x)), f"y{at}").detach().numpy()
        if ours.shape != wanted.shape or ours.dtype != wanted.dtype:
            return f"{ours.dtype} {ours.shape} is not {wanted.dtype} {wanted.shape}"
        scale = max(1.0, float(np.abs(wanted).max()) if wanted.size else 1.0)
        away = np.abs(ours.astype(np.float64) - wanted.astype(np.float64)).max(initial=0)
        if not away <= 2e-6 * scale:
            return f"output {at} differs by {away} of {scale}"
    if executor.parameter:
        executor(torch.from_numpy(np.array(x)), "y0").sum().backward()
        idle = [weight for weight, held in executor.parameter.items() if held.grad is None]
        if idle:
            return f"no gradient for {idle}"
    return ""


def outcome(name: str) -> str:
    """As compare; an error is something wrong too."""
    try:
        return compare(name)
    except Exception as error:  # noqa: BLE001 - the table of outcomes is the point
        return f"{type(error).__name__}: {error}"[:300]


known = sorted(f"{domain or 'ai.onnx'} {name}" for domain, name in KNOWN)
json.dump({"cases": {name: outcome(name) for name in CASES}, "known": known}, sys.stdout)
