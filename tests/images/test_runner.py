"""What the ONNX runner accepts, how it reads pixels, and what it says of the rest."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from evaluator.attacks.forged_models import FORGED_MODELS
from evaluator.images import build_onnx_runner
from tests.images.conftest import CLASSES, LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.images.conftest import Runner

    Make = Callable[..., onnx.ModelProto]

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (150, 8, 8), np.uint8)  # two whole batches and a rest
COLOUR = RNG.integers(0, 256, (150, 8, 8, 3), np.uint8)
NAN_TILE = 11


def best(scores: NDArray[Any]) -> list[int]:
    """Return the class of the highest score, row by row."""
    return [int(row) for row in scores.argmax(axis=1)]


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        (("N", 1, 8, 8), (-1, 1, 8, 8)),
        (("N", 8, 8, 1), (-1, 8, 8, 1)),
        (("N", 8, 8), (-1, 8, 8)),
    ],
)
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.UINT8])
def test_grey_tiles_reach_the_model_in_its_own_layout(
    runner: Runner, classifier: Make, shape: tuple[Any, ...], layout: tuple[int, ...], dtype: int
) -> None:
    """NCHW, NHWC and NHW inputs of both types predict what plain onnxruntime predicts."""
    model = classifier(shape, dtype)
    wanted = GREY.reshape(layout).astype(helper.tensor_dtype_to_np_dtype(dtype))
    assert runner.check(model)[0] == 0
    assert runner.predict(model, GREY) == (0, best(runner.plain(model, wanted)))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [(("N", 3, 8, 8), (0, 3, 1, 2)), (("N", 8, 8, 3), (0, 1, 2, 3))],
)
def test_colour_tiles_reach_the_model_in_its_own_layout(
    runner: Runner, classifier: Make, shape: tuple[Any, ...], axes: tuple[int, ...]
) -> None:
    """Channels move to where the model declares them, and nowhere else."""
    model = classifier(shape)
    wanted = COLOUR.transpose(axes).astype(np.float32)
    assert runner.predict(model, COLOUR) == (0, best(runner.plain(model, wanted)))


def test_a_shape_that_fits_both_layouts_is_read_as_nchw(runner: Runner, classifier: Make) -> None:
    """8 bands of 8x8 tiles fit NCHW and NHWC; the contract says that NCHW wins."""
    tiles = RNG.integers(0, 256, (5, 8, 8, 8), np.uint8)
    model = classifier(("N", 8, 8, 8))
    wanted = tiles.transpose(0, 3, 1, 2).astype(np.float32)
    assert runner.predict(model, tiles)[1] == best(runner.plain(model, wanted))


def test_uint16_tiles_feed_a_uint16_model(runner: Runner, classifier: Make) -> None:
    """An integer model gets the values as they are, beyond 255 too."""
    tiles = RNG.integers(0, 10_000, (20, 8, 8), np.uint16)
    model = classifier(("N", 1, 8, 8), TensorProto.UINT16)
    assert runner.predict(model, tiles)[1] == best(runner.plain(model, tiles[:, None]))


@pytest.mark.parametrize("batch", [1, 7, 150, 400])
def test_a_fixed_batch_is_padded_and_its_padding_dropped(
    runner: Runner, classifier: Make, batch: int
) -> None:
    """150 tiles come out of any fixed batch as 150 classes, the same as one by one."""
    fixed, free = classifier((batch, 1, 8, 8)), classifier()
    assert runner.check(fixed)[0] == 0
    assert runner.predict(fixed, GREY) == runner.predict(free, GREY)


def test_a_check_goes_on_as_a_prediction_when_the_tiles_come(
    runner: Runner, classifier: Make
) -> None:
    """Its record and its predictions are those of the two verbs by themselves."""
    model = classifier()

    record, status, predicted = runner.check_predict(model, GREY)

    assert record == runner.check(model, GREY)
    assert (status, predicted) == runner.predict(model, GREY)


def test_metadata_scales_shifts_and_repeats(runner: Runner, classifier: Make) -> None:
    """scale, mean, std and channels=repeat do what the contract's formula says."""
    keys = {"scale": "0.00392", "mean": "0.4,0.5,0.6", "std": "0.2", "channels": "repeat"}
    metadata = {f"evaluator.{key}": value for key, value in keys.items()}
    model = classifier(("N", 3, 8, 8), metadata=metadata)
    mean = np.array([0.4, 0.5, 0.6], np.float32)[:, None, None]
    wanted = (np.repeat(GREY[:, None], 3, axis=1) * np.float32(0.00392) - mean) / np.float32(0.2)
    assert runner.predict(model, GREY) == (0, best(runner.plain(model, wanted)))


@pytest.mark.parametrize("keep", [0, 1])
def test_class_indices_are_taken_as_they_are(runner: Runner, classifier: Make, keep: int) -> None:
    """A model may end in ArgMax: (N,) and (N, 1) integers are the prediction."""
    model = classifier(tail=("ArgMax", {"axis": 1, "keepdims": keep}))
    assert runner.check(model)[0] == 0
    assert runner.predict(model, GREY) == runner.predict(classifier(), GREY)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_scores_of_any_float_width_are_read(runner: Runner, classifier: Make, dtype: int) -> None:
    """Half and double precision scores have a highest one too."""
    model = classifier(tail=("Cast", {"to": dtype}))
    assert runner.predict(model, GREY // 16)[1] == best(
        runner.plain(model, (GREY // 16)[:, None].astype(np.float32))
    )


def test_a_nan_in_the_scores_becomes_255_for_that_tile_alone(
    runner: Runner, classifier: Make
) -> None:
    """255 is no class of any dataset, so the host answers OUTPUT_INVALID."""
    tiles = GREY.astype(np.float32)
    tiles[NAN_TILE] = np.nan
    _, predicted = runner.predict(classifier(), tiles)
    assert [tile for tile, index in enumerate(predicted) if index == 255] == [NAN_TILE]


def test_an_index_that_is_no_class_becomes_255(runner: Runner, classifier: Make) -> None:
    """A negative index is not wrapped into a valid one by the narrower type."""
    model = classifier(tail=("Cast", {"to": TensorProto.INT64}), classes=1)
    status, predicted = runner.predict(model, GREY)
    raw = runner.plain(model, GREY[:, None].astype(np.float32))[:, 0]
    assert (raw < 0).any()
    assert (status, predicted) == (0, [int(i) if 0 <= i < 9 else 255 for i in raw])


def test_the_record_says_what_was_found(runner: Runner, classifier: Make) -> None:
    """One input float32 (-1, 1, 8, 8), one output float32 (-1, 9), computed on the CPU."""
    record = runner.check(classifier())
    assert record[:3] == [0, 1, 1]
    assert record[3:13] == [1, 4, -1, 1, 8, 8, 0, 0, 0, 0]
    assert record[13:19] == [1, 2, -1, 9, 0, 0]
    assert record[19:] == [0] * 5


def test_a_models_own_functions_run(runner: Runner, classifier: Make) -> None:
    """A function of the file is known, whatever its domain: the file is all there is of it."""
    model = classifier()
    imports = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Flatten", ["tiles"], ["row"])]
    model.functions.append(helper.make_function("own", "Row", ["tiles"], ["row"], body, imports))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node[1].op_type, model.graph.node[1].domain = "Row", "own"

    assert runner.check(model)[0] == 0
    assert runner.predict(model, GREY) == runner.predict(classifier(), GREY)


def external(classifier: Make) -> onnx.ModelProto:
    """Point the weights at a second file."""
    model = classifier()
    (weights,) = model.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    return model


def renamed(classifier: Make, operator: str, domain: str = "") -> onnx.ModelProto:
    """Replace an operator by one that does not exist."""
    model = classifier()
    model.graph.node[1].op_type, model.graph.node[1].domain = operator, domain
    return model


def two_inputs(classifier: Make) -> onnx.ModelProto:
    """Declare a second input."""
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1]))
    return model


def two_outputs(classifier: Make) -> onnx.ModelProto:
    """Declare the flattened tile as a second output."""
    model = classifier()
    model.graph.output.append(helper.make_empty_tensor_value_info("flat"))
    return model


REFUSED = {
    "text": (1, lambda _: b"this is no model"),
    "nothing": (1, lambda _: b""),
    "the first half": (1, lambda make: make().SerializeToString()[:1000]),
    "external data": (2, external),
    "an unknown operator": (3, lambda make: renamed(make, "Frobnicate")),
    "a custom domain": (10, lambda make: renamed(make, "Frobnicate", "vendor.ops")),
    "a future opset": (9, lambda make: make(opset=99)),
    "two inputs": (4, two_inputs),
    "two outputs": (4, two_outputs),
    "a double input": (5, lambda make: make(dtype=TensorProto.DOUBLE)),
    "a uint16 input for uint8 tiles": (5, lambda make: make(dtype=TensorProto.UINT16)),
    "another tile size": (5, lambda make: make(("N", 1, 16, 16))),
    "three channels without repeat": (5, lambda make: make(("N", 3, 8, 8))),
    "a huge fixed batch": (5, lambda make: make((4096, 1, 8, 8))),
    "ten classes": (6, lambda make: make(classes=10)),
    "scores squeezed to one": (6, lambda make: make(tail=("ReduceMax", {"keepdims": 0}))),
    "integer scores": (6, lambda make: make(tail=("Cast", {"to": TensorProto.INT32}))),
    "an unknown key": (7, lambda make: make(metadata={"evaluator.sclae": "2"})),
    "escape sequences for a key": (7, lambda _: FORGED_MODELS["mdl-ansi"]()),
    "a word for a number": (7, lambda make: make(metadata={"evaluator.scale": "two"})),
    "a missing initializer": (8, lambda make: _without_weights(make())),
    "a size that only running reveals": (8, lambda make: make(("N", 1, "height", "width"))),
}


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    model.graph.ClearField("initializer")
    return model


@pytest.mark.parametrize(("code", "make"), REFUSED.values(), ids=REFUSED.keys())
def test_each_refusal_has_its_code(
    runner: Runner, classifier: Make, code: int, make: Callable[[Make], onnx.ModelProto | bytes]
) -> None:
    """The first number of the record names the rule; the process itself never fails."""
    assert runner.check(make(classifier))[0] == code


def test_the_limits_are_those_of_the_data_owner(runner: Runner, classifier: Make) -> None:
    """Three nodes pass a limit of three and not one of two; the record says where, and how many."""
    assert runner.check(classifier(), nodes=3)[0] == 0
    record = runner.check(classifier(), nodes=2)

    assert (record[0], record[20]) == (13, 3)
    assert 0 < record[21] < len(classifier().SerializeToString())


@pytest.mark.docker
def test_predict_prefers_what_train_left(classifier: Make, tmp_path: Path) -> None:
    """/opt/ml/model/model.onnx where it is there, /submission/model.onnx where it is not."""
    image = build_onnx_runner(print)
    (tmp_path / "submission").mkdir()
    (tmp_path / "left").mkdir()
    onnx.save(classifier(), tmp_path / "submission/model.onnx")
    trained = classifier()
    weights = trained.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
    onnx.save(trained, tmp_path / "left/model.onnx")
    (tmp_path / "input").mkdir()
    manifest = {
        "contract": 1,
        "tiles": len(GREY),
        "shape": [8, 8],
        "dtype": "uint8",
        "bands": 1,
        "classes": [f"class {index}" for index in range(CLASSES)],
        "output_dtype": "uint8",
    }
    (tmp_path / "input/manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "input/admission.json").write_text(json.dumps(LIMITS))
    np.save(tmp_path / "input/tiles.npy", GREY)
    output = tmp_path / "predictions"

    def predict(*options: str) -> list[int]:
        output.write_bytes(b"")
        output.chmod(0o666)
        command = ["docker", "run", "--rm", "--network=none", "--read-only", "--user=12345"]
        command += [f"--volume={tmp_path / 'input'}:/input:ro"]
        command += [f"--volume={tmp_path / 'submission'}:/submission:ro"]
        command += [f"--volume={output}:/output/predictions", *options, image, "predict"]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return [int(index) for index in np.fromfile(output, np.uint8)]

    first = predict()
    second = predict(f"--volume={tmp_path / 'left'}:/opt/ml/model:ro")
    values = GREY[:, None].astype(np.float32).reshape(len(GREY), -1)
    scores = values @ -numpy_helper.to_array(weights)
    assert second == best(values @ numpy_helper.to_array(weights))
    assert first == best(scores)


def test_predict_refuses_what_check_refuses(runner: Runner, classifier: Make) -> None:
    """A model of ten classes leaves the status 65 and no predictions."""
    assert runner.predict(classifier(classes=10), GREY) == (65, [])


def test_the_cpu_never_stands_in_for_a_gpu(runner: Runner, classifier: Make) -> None:
    """Asked for CUDA where there is none: check says so, predict ends with 70."""
    assert runner.check(classifier(), device="cuda")[19] == 0
    assert runner.predict(classifier(), GREY, device="cuda") == (70, [])
    assert runner.predict(classifier(), GREY, device="cpu")[0] == 0


@settings(max_examples=60, deadline=None)
@given(raw=st.binary(max_size=400))
def test_any_bytes_end_in_a_record(runner: Runner, raw: bytes) -> None:
    """Bytes that are no model are refused with a code, and never hang or end the runner."""
    assert 1 <= runner.check(raw)[0] <= 19


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_damaged_model_ends_in_a_record(
    runner: Runner, classifier: Make, data: st.DataObject
) -> None:
    """A model with a few bytes changed, cut or doubled is accepted or refused, nothing else."""
    raw = bytearray(classifier().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    assert 0 <= runner.check(bytes(raw))[0] <= 19


@pytest.mark.parametrize(
    ("batch", "tail"),
    [
        ("N", None),
        (7, None),
        ("N", ("Flatten", {"axis": 0})),  # of one class: (1, N), which is no column
        ("N", ("Cast", {"to": TensorProto.DOUBLE})),
        ("N", ("Cast", {"to": TensorProto.FLOAT16})),
    ],
)
def test_a_number_for_each_tile_comes_out_as_float32(
    runner: Runner, classifier: Make, batch: int | str, tail: tuple[str, dict[str, Any]] | None
) -> None:
    """(N, 1) of any float type, batches or not, is what plain onnxruntime computes."""
    model = classifier((batch, 1, 8, 8), classes=1, tail=tail)
    if tail and tail[0] == "Flatten":
        assert runner.check_numbers(model)[0] == 6
        return
    plain = runner.plain(classifier(classes=1, tail=tail), GREY[:, None].astype(np.float32))

    status, numbers = runner.numbers(model, GREY)

    assert runner.check_numbers(model)[0] == 0
    assert status == 0
    assert numbers == pytest.approx(plain[:, 0].astype(np.float32).tolist(), rel=1e-5)


def test_a_flat_row_of_numbers_is_taken(runner: Runner, classifier: Make) -> None:
    """(N,) as well as (N, 1)."""
    column = classifier(classes=1)
    flat = classifier(classes=1, tail=("ReduceSum", {"keepdims": 0}))
    flat.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    flat.graph.node[-1].input.append("axis")

    assert runner.check_numbers(flat)[0] == 0
    assert runner.numbers(flat, GREY) == runner.numbers(column, GREY)


@pytest.mark.parametrize(
    ("classes", "tail"),
    [(2, None), (9, None), (1, ("Cast", {"to": TensorProto.INT64}))],
)
def test_scores_and_whole_numbers_are_no_numbers(
    runner: Runner, classifier: Make, classes: int, tail: tuple[str, dict[str, Any]] | None
) -> None:
    """Several columns or integers: EVA307. As a classifier of nine classes one of them is right."""
    model = classifier(classes=classes, tail=tail)

    assert runner.check_numbers(model)[0] == 6
    assert runner.numbers(model, GREY)[0] != 0
    assert runner.check(model)[0] == (0 if classes != 2 else 6)


def test_a_number_that_is_none_is_left_to_the_host(runner: Runner, classifier: Make) -> None:
    """Log of something negative: NaN is written as it is, and read_numbers refuses it."""
    status, numbers = runner.numbers(classifier(classes=1, tail=("Log", {})), GREY)

    assert status == 0
    assert np.isnan(numbers).any()
