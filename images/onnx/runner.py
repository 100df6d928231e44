"""Run a vendor's ONNX model on the tiles of one dataset, inside the sandbox.

    predict         /submission/model.onnx + /input/tiles.npy -> /output/predictions
                    or, where `train` has left one, /opt/ml/model/model.onnx
    check           /submission/model.onnx + /input/manifest.json -> a record of 24 numbers
    check predict   the record; then, once the host has put tiles.npy in its place, predictions

All read /input/admission.json, the data owner's limits of a model. `check` sees no tile. Its
record holds numbers only, because the host then prints words of its own: nothing that a model
could have written reaches a message or a log. `check predict` spares the second start of Python,
of onnxruntime and of the model: to it the tiles come when the host has read its record.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from classifier import ELEMENT_TYPES, Classifier, fit, load, on_cuda
from findings import Code, Limits, UnsuitableError
from numpy.typing import NDArray

MODEL = Path("/submission/model.onnx")
TRAINED = Path("/opt/ml/model/model.onnx")  # what `train` left; absent before it
INPUT = Path("/input")
OUTPUT = Path("/output/predictions")

USAGE, UNSUITABLE, NO_GPU = 64, 65, 70  # exit statuses of `predict`; `check` has 0 alone
RECORD = 24  # numbers
CUDA_LIVE, FOUND, AT = 19, 20, 21  # where the record says them
_LOOK = 0.001  # seconds between two looks for the tiles


def main(verb: str) -> int:
    """Carry out one verb on the contract's paths."""
    device = os.environ.get("EVALUATOR_DEVICE", "cpu")
    if verb == "predict":
        return predict(TRAINED if TRAINED.exists() else MODEL, INPUT, OUTPUT, device)
    if verb == "check":
        return check(MODEL, INPUT, OUTPUT, device)
    if verb == "check predict":
        return check_predict(MODEL, INPUT, OUTPUT, device)
    print("usage: predict | check | check predict", file=sys.stderr)
    return USAGE


def predict(model: Path, inputs: Path, output: Path, device: str) -> int:
    """Write one uint8 class index, or one float32, for each tile; return the exit status."""
    manifest, limits = read_manifest(inputs), read_limits(inputs)
    try:
        classifier = fit(load(model, limits, device), manifest)
        return answer(classifier, manifest, inputs, output, device)
    except UnsuitableError as error:
        print(f"{error.code.name}: {error}", file=sys.stderr)
        return UNSUITABLE


def check_predict(model: Path, inputs: Path, output: Path, device: str) -> int:
    """Write the record of a check, wait for the tiles, and predict with what was checked."""
    classifier = checked(model, inputs, output, device)
    if classifier is None:
        return 0  # as `check` has it: the record says why
    while not (inputs / "tiles.npy").exists():  # the host ends this where it gives none
        time.sleep(_LOOK)
    try:
        return answer(classifier, read_manifest(inputs), inputs, output, device)
    except UnsuitableError as error:
        print(f"{error.code.name}: {error}", file=sys.stderr)
        return UNSUITABLE


def answer(
    classifier: Classifier, manifest: dict[str, Any], inputs: Path, output: Path, device: str
) -> int:
    """Write what a model predicts; return the exit status."""
    if device == "cuda" and not on_cuda(classifier.session):
        print("no GPU computes here, and the CPU never stands in for one", file=sys.stderr)
        return NO_GPU
    made = predictions(classifier, read_tiles(inputs, manifest))
    write(output, made.astype(made.dtype.newbyteorder("<")).tobytes())
    return 0


def read_manifest(inputs: Path) -> dict[str, Any]:
    """What the tiles are, as the contract has it."""
    return json.loads((inputs / "manifest.json").read_text())  # type: ignore[no-any-return]


def read_limits(inputs: Path) -> Limits:
    """The data owner's limits of a model."""
    return Limits(**json.loads((inputs / "admission.json").read_text()))


def read_tiles(inputs: Path, manifest: dict[str, Any]) -> NDArray[Any]:
    """All tiles as (N, H, W, C), memory-mapped: C is 1 for grey tiles (N, H, W)."""
    tiles = np.load(inputs / "tiles.npy", mmap_mode="r", allow_pickle=False)
    return tiles.reshape(*tiles.shape[:3], manifest["bands"])  # type: ignore[no-any-return]


def predictions(classifier: Classifier, tiles: NDArray[Any]) -> NDArray[Any]:
    """(N, H, W, C) tiles -> (N,) class indices or numbers, a batch at a time."""
    batch = len(classifier.buffer)
    answers = np.empty(len(tiles), classifier.dtype)
    for start in range(0, len(tiles), batch):
        answers[start : start + batch] = classifier.predict(tiles[start : start + batch])
    return answers


def check(model: Path, inputs: Path, output: Path, device: str) -> int:
    """Write what the model is, and the first rule it breaks, as 24 little-endian int64."""
    checked(model, inputs, output, device)
    return 0


def checked(model: Path, inputs: Path, output: Path, device: str) -> Classifier | None:
    """What can predict, where the record that is written has no complaint."""
    record, classifier = np.zeros(RECORD, "<i8"), None
    manifest, limits = read_manifest(inputs), read_limits(inputs)
    try:
        classifier = examine(load(model, limits, device), manifest, record)
    except UnsuitableError as error:
        print(f"{error.code.name}: {error}", file=sys.stderr)
        record[0], record[FOUND], record[AT] = error.code, error.found, error.at
    except Exception as error:  # noqa: BLE001 - whatever a hostile model can raise is its fault
        print(f"{Code.OTHER.name}: {error!r}", file=sys.stderr)
        record[0] = Code.OTHER
    write(output, record.tobytes())
    return classifier


def examine(
    session: ort.InferenceSession, manifest: dict[str, Any], record: NDArray[np.int64]
) -> Classifier:
    """Fill in the record as far as the model allows; UnsuitableError carries the code.

    record: [0] code; [1] inputs; [2] outputs; [3] input type, [4] rank, [5..12] dims;
    [13] output type, [14] rank, [15..18] dims; [19] whether a GPU computes; [20] what was
    counted and [21] the byte of the file where, for a limit that is passed. Types are
    TensorProto.DataType, a dimension is -1 where dynamic. Once a batch of zeros came out
    as a tensor, the output's rank and dims are that tensor's.
    """
    taken, given = session.get_inputs(), session.get_outputs()
    record[1:3] = len(taken), len(given)
    record[CUDA_LIVE] = on_cuda(session)
    if taken:
        record[3:13] = described(taken[0], 8)
    if given:
        record[13:19] = described(given[0], 4)
    classifier = fit(session, manifest)
    rows = len(classifier.buffer) if classifier.fixed else 2  # 1 would hide a missing batch axis
    zeros = np.zeros((min(rows, 2), *manifest["shape"][:2], manifest["bands"]), manifest["dtype"])
    result = classifier.run(zeros)
    if isinstance(result, np.ndarray):
        free = not classifier.fixed and result.shape[:1] == (rows,)
        record[14] = result.ndim
        record[15:19] = dimensions([None, *result.shape[1:]] if free else list(result.shape), 4)
    classifier.answers(result, rows)
    return classifier


def described(value: ort.NodeArg, most: int) -> list[int]:
    """Type, rank and `most` dimensions of a declared input or output."""
    return [ELEMENT_TYPES.get(value.type, 0), len(value.shape), *dimensions(value.shape, most)]


def dimensions(shape: list[Any], most: int) -> list[int]:
    """`most` numbers: each dimension, -1 where it is dynamic, 0 past the last."""
    known = [size if isinstance(size, int) else -1 for size in shape[:most]]
    return known + [0] * (most - len(known))


def write(output: Path, data: bytes) -> None:
    """Write all of `data` and leave nothing after it.

    One write call may take less, under gVisor it often does.
    """
    rest = memoryview(data)
    with output.open("r+b", buffering=0) as file:
        while rest:
            rest = rest[file.write(rest) :]
        file.truncate()


if __name__ == "__main__":
    status = main(" ".join(sys.argv[1:]))
    sys.stderr.flush()
    os._exit(status)  # all is written, and taking onnxruntime down takes longer than a small model
