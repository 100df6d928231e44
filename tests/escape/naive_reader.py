"""Readers of a submission as one would first write them, each in a process of its own.

    python naive_reader.py onnxruntime|join|numpy FILE

"onnxruntime" loads a model and runs it, "join" follows the names in it as loaders did before
CVE-2022-25882, "numpy" loads an array. What they found is the last line they print, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np

GIB = 2**30


def onnxruntime(path: Path) -> dict[str, object]:
    """Load and run a model with a batch of one tile."""
    import onnxruntime as ort  # noqa: PLC0415 - only in this child, and only for this reader

    ort.set_default_logger_severity(4)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    (answer,) = session.run(None, {"x": np.zeros((1, 1, 8, 8), np.float32)})
    return {"metadata": metadata, "answer": answer.tobytes()[:64].hex()}


def join(path: Path) -> dict[str, object]:
    """Read the weights from where the model says that they are."""
    import onnx  # noqa: PLC0415 - as above

    model = onnx.load(str(path), load_external_data=False)
    (weights,) = model.graph.initializer
    where = {entry.key: entry.value for entry in weights.external_data}
    content = (path.parent / where["location"]).read_bytes()[: int(where["length"])]
    return {"answer": content.hex()}


def numpy(path: Path) -> dict[str, object]:
    """Load an array of anything."""
    return {"loaded": str(np.load(path, allow_pickle=True))}


READERS = {"onnxruntime": onnxruntime, "join": join, "numpy": numpy}

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (4 * GIB, 4 * GIB))
    print(json.dumps(READERS[sys.argv[1]](Path(sys.argv[2]))))  # noqa: T201 - its only way to answer
