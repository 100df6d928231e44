"""Train a linear model and write it as model.onnx: `python3 make_model.py`.

    tiles -> mean of each part, and of its squares -> one linear layer -> scores or a number

NumPy trains it, so nothing but numpy and onnx is needed. Where your model is a PyTorch one, look
into from_torch.py instead.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiles import HERE, Challenge, load, read_challenge

PARTS = 4  # a tile is cut into 4 x 4
DECAY = 0.01


def main() -> None:
    """Train, write, and say how well it fits the tiles it was trained on."""
    challenge = read_challenge()
    tiles, labels = load(challenge)
    known = features(tiles * challenge.scale, challenge)
    if challenge.target_range:
        weights, bias = fit_numbers(known, labels)
    else:
        weights, bias = fit_classes(known, labels, challenge.outputs)
    onnx.save(exported(weights, bias, challenge), HERE / "model.onnx")
    said = known @ weights + bias
    if challenge.target_range:
        error = np.sqrt(np.mean((said[:, 0] - labels) ** 2))
        print(f"model.onnx: RMSE {error:.3f} on its own {len(tiles)} tiles", file=sys.stderr)
    else:
        right = np.mean(said.argmax(1) == labels)
        print(f"model.onnx: {right:.1%} of its own {len(tiles)} tiles", file=sys.stderr)


def part(challenge: Challenge) -> tuple[int, int]:
    """Height and width of a part."""
    height, width = challenge.side
    return max(1, height // PARTS), max(1, width // PARTS)


def features(pixels: np.ndarray, challenge: Challenge) -> np.ndarray:
    """What the graph below computes before its linear layer: (N, C, H, W) -> (N, F)."""
    both = np.concatenate([pixels, pixels**2], 1)
    high, wide = part(challenge)
    down, across = pixels.shape[2] // high, pixels.shape[3] // wide
    cut = both[:, :, : down * high, : across * wide]
    blocks = cut.reshape(*both.shape[:2], down, high, across, wide)
    return blocks.mean((3, 5)).reshape(len(pixels), -1)


Linear = tuple[np.ndarray, np.ndarray]  # weights (F, K) and bias (K)


def fit_classes(known: np.ndarray, labels: np.ndarray, count: int) -> Linear:
    """Linear discriminant analysis; a class without tiles is never the highest."""
    there = np.flatnonzero(np.bincount(labels, minlength=count))
    centres = np.stack([known[labels == label].mean(0) for label in there])
    apart = known - centres[np.searchsorted(there, labels)]
    spread = apart.T @ apart / len(known) + DECAY * np.eye(known.shape[1]) / 100
    weights, bias = np.zeros((known.shape[1], count)), np.full(count, -1e9)
    weights[:, there] = np.linalg.solve(spread, centres.T)
    bias[there] = -0.5 * (centres.T * weights[:, there]).sum(0)
    return weights, bias


def fit_numbers(known: np.ndarray, labels: np.ndarray) -> Linear:
    """Least squares with a penalty on large weights."""
    centre, middle = known.mean(0), labels.mean()
    apart = known - centre
    penalty = DECAY * np.eye(known.shape[1])
    weights = np.linalg.solve(apart.T @ apart + penalty, apart.T @ (labels - middle)[:, None])
    return weights, middle - centre @ weights


def exported(weights: np.ndarray, bias: np.ndarray, challenge: Challenge) -> onnx.ModelProto:
    """The graph: float32 (N, C, H, W) -> (N, K). The evaluator scales the pixels before it."""
    size = part(challenge)
    nodes = [
        helper.make_node("Mul", ["tiles", "tiles"], ["squares"]),
        helper.make_node("Concat", ["tiles", "squares"], ["both"], axis=1),
        helper.make_node("AveragePool", ["both"], ["means"], kernel_shape=size, strides=size),
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["scores"]),
    ]
    shape = ["N", challenge.channels, *challenge.side]
    graph = helper.make_graph(
        nodes,
        "KIT_NAME",
        [helper.make_tensor_value_info("tiles", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", challenge.outputs])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"evaluator.scale": repr(challenge.scale)})
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    main()
