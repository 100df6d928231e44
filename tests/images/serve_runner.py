"""A child process of the tests: onnxruntime loads here, and never in pytest's own process.

One JSON request a line on stdin, one JSON answer a line on stdout.
"""

import json
import os
import sys
from pathlib import Path

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what libraries print is no answer
sys.path.insert(0, sys.argv[1])

import numpy as np  # noqa: E402 - after the path is set
import onnxruntime as ort  # noqa: E402 - after the path is set
import runner  # type: ignore[import-not-found]  # noqa: E402 - found through argv[1]


def plain(model: str, values: str, output: str) -> int:
    """Run a model on an array that the test prepared, with nothing of ours between."""
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: np.load(values)})
    np.save(output, result)
    return 0


for line in sys.stdin:
    verb, first, second, third, *device = json.loads(line)
    if verb == "plain":
        status = plain(first, second, third)
    else:
        status = getattr(runner, verb)(Path(first), Path(second), Path(third), *device)
    print(json.dumps(status), file=answers, flush=True)
