"""Make what the demo evaluates: class folders of synthetic tiles, and a small ONNX classifier.

    python .ci/demo_inputs.py FOLDER    writes FOLDER/tiles/CLASS/N.png and FOLDER/brightness.onnx

The crops differ in brightness, which is what the model and the Perl example look at.
"""

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from PIL import Image

CLASSES = ["barley", "corn", "non-crop", "oats", "potato", "rapeseed", "rye", "sugar-beet", "wheat"]
CENTROIDS = Path(__file__).parents[1] / "images" / "examples" / "perl" / "centroids.txt"
OFF = 12.0  # the vendor has seen darker tiles, so that there is something to learn
SPREAD = 100.0  # of the logits; which is the largest does not depend on it
TILES = 60  # of the first class; later ones have fewer, so that some are rare


def main(folder: Path) -> None:
    """Write both."""
    means = [float(line) for line in CENTROIDS.read_text().split()]
    write_tiles(folder / "tiles", means)
    save(classifier(means), str(folder / "brightness.onnx"))


def write_tiles(folder: Path, means: list[float]) -> None:
    """Noise around the mean of each class, as PNG files of 64x64 RGB."""
    random = np.random.default_rng(0)
    for index, (name, mean) in enumerate(zip(CLASSES, means, strict=True)):
        (folder / name).mkdir(parents=True)
        for number in range(TILES - 4 * index):
            level = mean + random.normal(0, 4)
            pixels = np.clip(random.normal(level, 20, (64, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:04}.png")


def classifier(means: list[float]) -> "onnx.ModelProto":  # noqa: F821 - named for the reader
    """Logits (N, 9), linear in a tile's mean: minus its squared distance to each centroid.

    Without the square of the mean, that is, which is the same for all classes. So the model ends in
    a linear layer, which training can fit anew.
    """
    centroids = np.array(means, np.float32) + OFF
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["tiles"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
            helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
            helper.make_node("Mul", ["column", "scale"], ["scaled"]),
            helper.make_node("Gemm", ["scaled", "matrix", "bias"], ["logits"]),
        ],
        "brightness",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", 64, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", len(means)])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(np.array([1], np.int64), "last"),
            numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
            numpy_helper.from_array(centroids[None] * (2 * 255 / SPREAD), "matrix"),
            numpy_helper.from_array(-(centroids**2) / SPREAD, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]))
