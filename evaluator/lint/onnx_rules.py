"""EVA340 on: an ONNX file that is accepted, and will be slower or scored otherwise than meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.making import asks, block, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts, ModelFacts

_BATCH = 64  # what our runner takes at a time where the model leaves it open
_LARGE = 500 * 2**20  # bytes


def _model(facts: Facts) -> ModelFacts:
    assert facts.model is not None  # noqa: S101 - the rule is not asked otherwise
    return facts.model


def _batch(facts: Facts) -> int:
    shape = _model(facts).input[1]
    return shape[0] if shape else -1


@asks(
    340,
    "batch-of-one",
    "warning",
    applies="onnx",
    needs=("model",),
    title="The model takes more than one tile at a time",
    why="With a batch of one, each tile pays for a whole call: several times the time, and the "
    "charge with it.",
    fix="Export with a free batch dimension."
    + block("python", 'torch.onnx.export(model, tile, path, dynamic_axes={"tiles": {0: "N"}})'),
)
def _batch_of_one(facts: Facts) -> Iterator[Hit]:
    if _batch(facts) == 1:
        yield Hit("its batch dimension is fixed at 1", "model/input/0")


@asks(
    341,
    "fixed-batch",
    "note",
    applies="onnx",
    needs=("model",),
    title="The batch dimension is free",
    why=f"Then tiles come in batches of {_BATCH} and the last one is shorter. A fixed batch is "
    "filled up with zeros at the end, which costs as much as tiles do.",
    fix="Export with a free batch dimension."
    + block("python", 'torch.onnx.export(model, tile, path, dynamic_axes={"tiles": {0: "N"}})'),
)
def _fixed_batch(facts: Facts) -> Iterator[Hit]:
    if _batch(facts) > 1:
        yield Hit(f"its batch dimension is fixed at {_batch(facts)}", "model/input/0")


@asks(
    342,
    "double-precision",
    "note",
    applies="onnx",
    needs=("model",),
    title="Scores are not computed in float64",
    why="It takes twice the memory and many times the time on most devices, and the order of the "
    "scores is the same.",
    fix="Export in float32."
    + block("python", "torch.onnx.export(model.float(), tile.float(), path)"),
)
def _double_precision(facts: Facts) -> Iterator[Hit]:
    for place, (element, _) in (("input", _model(facts).input), ("output", _model(facts).output)):
        if element == "float64":
            yield Hit(f"its {place} is float64", f"model/{place}")


@asks(
    343,
    "classes-instead-of-scores",
    "warning",
    applies="onnx",
    needs=("model",),
    title="The model gives scores, not class indices",
    why="An index has no gradient, so such a model has a baseline and nothing else: its fine-tuned "
    "phase is refused (EVA333).",
    fix="Export it without its last ArgMax; the highest score wins anyway."
    + block("python", "return logits  # in forward, not logits.argmax(1)"),
)
def _classes_instead_of_scores(facts: Facts) -> Iterator[Hit]:
    element, _ = _model(facts).output
    if element.startswith(("int", "uint")) and facts.challenge.tiles.training:
        yield Hit(
            f"its output is {element}, and the challenge has tiles to train on", "model/output"
        )


@asks(
    344,
    "half-precision-scores",
    "note",
    applies="onnx",
    needs=("model",),
    title="Scores are fine enough to tell classes apart",
    why="float16 and bfloat16 have three decimal digits, so scores of different classes are often "
    "equal, and of equal ones the first class wins.",
    fix="Cast the output to float32, or export it in float32."
    + block("python", "return logits.float()"),
)
def _half_precision_scores(facts: Facts) -> Iterator[Hit]:
    element, _ = _model(facts).output
    if element in {"float16", "bfloat16"}:
        yield Hit(f"its output is {element}", "model/output")


@asks(
    345,
    "layout-left-open",
    "warning",
    applies="onnx",
    needs=("model",),
    title="The input's shape says where the bands are",
    why="Where every dimension is free, (N, C, H, W) is assumed. A model that wants (N, H, W, C) "
    "then sees something else, and is scored on it.",
    fix="Export with height, width and channels fixed; the batch alone is free."
    + block("python", 'torch.onnx.export(model, tile, path, dynamic_axes={"tiles": {0: "N"}})'),
)
def _layout_left_open(facts: Facts) -> Iterator[Hit]:
    shape = _model(facts).input[1]
    if len(shape) == 4 and shape[1] < 0 and shape[3] < 0:
        yield Hit("channels and width are both free, so (N, C, H, W) is assumed", "model/input")


@asks(
    346,
    "large-model",
    "note",
    applies="onnx",
    needs=("model",),
    title="The model is no larger than the task",
    why="It is loaded once for the check and once for each phase, and kept more than once in "
    "memory while it loads.",
    fix="Quantise or distil it, or export its weights as float16."
    + block("sh", "python -m onnxruntime.quantization.preprocess --input a.onnx --output b.onnx"),
)
def _large_model(facts: Facts) -> Iterator[Hit]:
    if _model(facts).size > _LARGE:
        yield Hit(f"it has {_model(facts).size / 2**20:,.0f} MiB", "model")


RULES = rules_of(globals())
