"""A model in an ONNX file: how tiles become its input, and its output class indices or numbers."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from findings import Code, Limits, UnsuitableError
from model_file import check_file
from numpy.typing import NDArray
from preprocessing import MetadataError, affine, read_metadata

BATCH = 64  # measured best on CPU for models from 0.4 to 85 million parameters
MAX_BATCH = 1024  # of a model whose batch is fixed: more is memory, not speed
INVALID = 255  # a class index that no dataset has: the host answers OUTPUT_INVALID

ELEMENT_TYPES = {  # onnxruntime's words -> TensorProto.DataType
    "tensor(float)": 1,
    "tensor(uint8)": 2,
    "tensor(int8)": 3,
    "tensor(uint16)": 4,
    "tensor(int16)": 5,
    "tensor(int32)": 6,
    "tensor(int64)": 7,
    "tensor(string)": 8,
    "tensor(bool)": 9,
    "tensor(float16)": 10,
    "tensor(double)": 11,
    "tensor(uint32)": 12,
    "tensor(uint64)": 13,
    "tensor(bfloat16)": 16,
}
INPUT_TYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(uint16)": "uint16"}


def load(model: Path, limits: Limits, device: str) -> ort.InferenceSession:
    """A session on "cpu" or "cuda", with EVALUATOR_THREADS threads."""
    check_file(model, limits)
    provider = "CPUExecutionProvider"
    if device == "cuda":
        provider = "CUDAExecutionProvider"
        ort.preload_dlls()  # the CUDA wheels are on no library path
    try:
        return ort.InferenceSession(model, session_options(), providers=[provider])
    except Exception as error:
        raise UnsuitableError(why(str(error)), str(error)) from error


def session_options() -> ort.SessionOptions:
    """No custom operators, no profile, no optimised copy of the model: only thread counts."""
    cores = len(os.sched_getaffinity(0))
    threads = int(os.environ.get("EVALUATOR_THREADS") or cores)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads < cores:  # a CPU quota: spinning would burn what the other thread needs
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def why(message: str) -> Code:
    """Sort onnxruntime's reasons for not loading a model: its exception types do not."""
    if "INVALID_PROTOBUF" in message or "Protobuf parsing failed" in message:
        return Code.NOT_ONNX
    operator = ("NOT_IMPLEMENTED", "is not a registered function/op", "No Op registered for")
    opset = ("opset", "Unsupported model IR version")
    return Code.OPERATOR if any(words in message for words in operator + opset) else Code.OTHER


def on_cuda(session: ort.InferenceSession) -> bool:
    """Whether this very session computes on a GPU: onnxruntime falls back without a word."""
    return "CUDAExecutionProvider" in session.get_providers()


@dataclass(frozen=True, slots=True)
class Classifier:
    """A session, and the one buffer through which every batch of tiles reaches it."""

    session: ort.InferenceSession
    input: str
    buffer: NDArray[Any]  # (batch, ...) in the model's own type and layout
    layout: str  # NHW, NCHW or NHWC
    affine: tuple[NDArray[np.float32], NDArray[np.float32]] | None
    fixed: bool  # whether the model takes whole batches only
    classes: int  # scores for each tile; 1 where it predicts a number
    numbers: bool = False  # whether it predicts a number for each tile, and not its class

    def run(self, tiles: NDArray[Any]) -> Any:  # noqa: ANN401 - an output may be any ONNX value
        """The model's raw output for (n, H, W, C) tiles, n at most the batch."""
        count = len(tiles)
        self.buffer[:count] = arranged(tiles, self.layout)  # casts, and repeats a grey band
        filled = self.buffer[:count]
        if self.affine is not None:
            np.multiply(filled, self.affine[0], out=filled)
            np.add(filled, self.affine[1], out=filled)
        if self.fixed:
            self.buffer[count:] = 0
            filled = self.buffer
        return self.session.run(None, {self.input: filled})[0]

    def predict(self, tiles: NDArray[Any]) -> NDArray[Any]:
        """(n, H, W, C) tiles -> (n,) uint8 class indices, or float32 numbers."""
        output = self.run(tiles)
        rows = len(self.buffer) if self.fixed else len(tiles)
        return self.answers(output, rows)[: len(tiles)]

    def answers(self, output: Any, rows: int) -> NDArray[Any]:  # noqa: ANN401 - as in run
        """What the output says of each row; UnsuitableError where it is nothing of the kind."""
        if self.numbers:
            return predicted_numbers(output, rows)
        return class_indices(output, rows, self.classes)

    @property
    def dtype(self) -> type[np.generic]:
        """Of the answers."""
        return np.float32 if self.numbers else np.uint8


def fit(session: ort.InferenceSession, manifest: dict[str, Any]) -> Classifier:
    """Match the session to the tiles that the manifest describes; UnsuitableError says why not."""
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise UnsuitableError(Code.COUNT, "a model has one input and one output")
    (taken,) = session.get_inputs()
    dtype = INPUT_TYPES.get(taken.type)
    if dtype is None or dtype not in {"float32", manifest["dtype"]}:
        raise UnsuitableError(
            Code.INPUT, f"its input is {taken.type}: it must be float32 or {manifest['dtype']}"
        )
    try:
        metadata = read_metadata(session)
        bands = None if "channels" in metadata and manifest["bands"] == 1 else manifest["bands"]
        height, width = manifest["shape"][:2]
        layout, shape = input_shape(taken.shape, height, width, bands)
        factors = affine(metadata, layout, shape, is_float=dtype == "float32")
    except MetadataError as error:
        raise UnsuitableError(Code.METADATA, str(error)) from error
    fixed = isinstance(taken.shape[0], int)
    numbers = manifest.get("task") == "regression"  # older manifests have no task
    return Classifier(
        session=session,
        input=taken.name,
        buffer=np.zeros((taken.shape[0] if fixed else BATCH, *shape), dtype),
        layout=layout,
        affine=factors,
        fixed=fixed,
        classes=1 if numbers else len(manifest["classes"]),
        numbers=numbers,
    )


def input_shape(
    dims: list[Any], height: int, width: int, bands: int | None
) -> tuple[str, tuple[int, ...]]:
    """The layout, and the shape of one tile in it, that a declared input shape stands for.

    A dimension that is no int is dynamic and fits anything. `bands` is None where a grey
    tile is repeated to as many channels as the model has. Where both fit, NCHW wins.
    """
    if dims and isinstance(dims[0], int) and not 1 <= dims[0] <= MAX_BATCH:
        raise UnsuitableError(Code.INPUT, f"its batch is not between 1 and {MAX_BATCH}")
    layouts: dict[str, tuple[int | None, ...]] = {
        "NCHW": (bands, height, width),
        "NHWC": (height, width, bands),
    }
    if bands == 1:
        layouts["NHW"] = (height, width)
    for layout, wanted in layouts.items():
        if len(dims) == len(wanted) + 1 and all(map(fits, dims[1:], wanted)):
            shape = [want or have for have, want in zip(dims[1:], wanted, strict=True)]
            if not all(isinstance(size, int) for size in shape):
                raise MetadataError("evaluator.channels=repeat needs a fixed number of channels")
            return layout, tuple(shape)
    raise UnsuitableError(Code.INPUT, f"its input shape {dims} does not fit the tiles")


def fits(have: Any, want: int | None) -> bool:  # noqa: ANN401 - onnxruntime gives int, str or None
    """Whether a declared dimension accepts a size (None: any from 1)."""
    return not isinstance(have, int) or have == want or (want is None and 1 <= have <= MAX_BATCH)


def arranged(tiles: NDArray[Any], layout: str) -> NDArray[Any]:
    """A view of (n, H, W, C) tiles in the given layout."""
    if layout == "NHW":
        return tiles[..., 0]
    return np.moveaxis(tiles, 3, 1) if layout == "NCHW" else tiles


def class_indices(output: Any, rows: int, classes: int) -> NDArray[np.uint8]:  # noqa: ANN401 - as in run
    """Scores (rows, classes) of any float type, or integer indices (rows,) or (rows, 1).

    Returns (rows,) uint8; INVALID for a row with a NaN or an index that is no class.
    """
    if not isinstance(output, np.ndarray):
        raise UnsuitableError(Code.OUTPUT, "its output is no tensor")
    if np.issubdtype(output.dtype, np.floating) and output.shape == (rows, classes):
        best = output.argmax(axis=1)
        return np.where(np.isnan(output).any(axis=1), INVALID, best).astype(np.uint8)
    if np.issubdtype(output.dtype, np.integer) and output.shape in {(rows,), (rows, 1)}:
        index = output.reshape(rows)
        return np.where((index >= 0) & (index < classes), index, INVALID).astype(np.uint8)
    raise UnsuitableError(
        Code.OUTPUT,
        f"its output is {output.dtype} {output.shape}: it must be float scores "
        f"({rows}, {classes}), or integer class indices ({rows},) or ({rows}, 1)",
    )


def predicted_numbers(output: Any, rows: int) -> NDArray[np.float32]:  # noqa: ANN401 - as in run
    """Numbers (rows,) or (rows, 1) of any float type -> (rows,) float32.

    One that is no finite float32 stays NaN or infinite, which the host answers OUTPUT_INVALID.
    """
    if not isinstance(output, np.ndarray):
        raise UnsuitableError(Code.OUTPUT, "its output is no tensor")
    if np.issubdtype(output.dtype, np.floating) and output.shape in {(rows,), (rows, 1)}:
        with np.errstate(over="ignore"):
            return output.reshape(rows).astype(np.float32)
    raise UnsuitableError(
        Code.OUTPUT,
        f"its output is {output.dtype} {output.shape}: it must be floats ({rows},) or ({rows}, 1)",
    )
