"""Inside the image: the recipe once more, as anybody would write it in torch, on the same tiles.

Prints the scores of one of two networks after this loop: of the training tiles, or of those in
/scored; the file that the trainer left is for the test to run. benchmarks/train_by_hand.py takes
the time of the same loop.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

torch.set_num_threads(2)


class Small(nn.Module):
    """What conftest.make_cnn describes."""

    def __init__(self, held: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.kernel, self.bias = nn.Parameter(held["w1"]), nn.Parameter(held["b1"])
        self.weights, self.shift = nn.Parameter(held["w2"]), nn.Parameter(held["b2"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 1, 8, 8) -> (N, 3)."""
        made = functional.conv2d(pixels / 128, self.kernel, self.bias, padding=1).relu()
        return functional.linear(
            functional.max_pool2d(made, 2).flatten(1), self.weights, self.shift
        )


class Weak(nn.Module):
    """What weak_model.py exports: its batch normalisation is part of the kernels then."""

    def __init__(self, held: dict[str, torch.Tensor]) -> None:
        super().__init__()
        names = [f"body.{at}.weight" for at in (0, 3, 7, 11)]
        self.kernels = nn.ParameterList([held[name] for name in names])
        self.biases = nn.ParameterList([held[f"{name}_bias"] for name in names])
        self.weights, self.shift = (
            nn.Parameter(held["head.weight"]),
            nn.Parameter(held["head.bias"]),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, 1, 64, 64) -> (N, 9)."""
        made = pixels * (1 / 64) - 1.5
        for at, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            made = functional.conv2d(made, kernel, bias, stride=1 if at else 2, padding=1).relu()
            made = functional.max_pool2d(made, 2) if at else made
        return functional.linear(made.mean((2, 3)), self.weights, self.shift)


def pixels(batch: np.ndarray) -> torch.Tensor:
    """As the runner hands them to the model."""
    given = torch.from_numpy(batch[:, None].astype(np.float32))
    return given.to(memory_format=torch.channels_last)


def pieces(of: np.ndarray) -> list[np.ndarray]:
    """At most 256 at a time."""
    return [of[start : start + 256] for start in range(0, len(of), 256)]


def split(
    labels: np.ndarray, classes: int, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Which tiles are trained on, and which are set aside: a share of each class."""
    aside = []
    for label in range(classes):
        mine = rng.permutation(np.flatnonzero(labels == label))
        aside.append(mine[: round(share * len(mine))])
    validation = np.sort(np.concatenate(aside))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def augmented(batch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each tile mirrored and turned by chance; a copy."""
    chosen = batch.copy()
    for at, (down, across) in enumerate(rng.integers(0, 2, (len(batch), 2))):
        chosen[at] = chosen[at][:: -1 if down else 1, :: -1 if across else 1]
    for at, turns in enumerate(rng.integers(0, 4, len(batch))):
        chosen[at] = np.rot90(chosen[at], turns)
    return chosen


def train(network: nn.Module, inputs: Path) -> float:
    """Leave the best weights in `network`.

    Returned are the seconds from the end of the first step to the end of the last validation.
    """
    recipe = json.loads((inputs / "hyperparameters.json").read_text())
    classes = len(json.loads((inputs / "manifest.json").read_text())["classes"])
    tiles, labels = np.load(inputs / "tiles.npy"), np.load(inputs / "labels.npy").astype(np.int64)
    network.to(memory_format=torch.channels_last)
    weights = list(network.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe["weight_decay"]},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe["learning_rate"])

    def computed(batch: np.ndarray) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe["precision"] == "bfloat16"):
            return network(pixels(batch)).float()

    def accuracy(of: np.ndarray) -> float:
        with torch.no_grad():
            best = torch.cat([computed(tiles[part]).argmax(1) for part in pieces(of)])
        return float((best.numpy() == labels[of]).mean())

    rng = np.random.default_rng(recipe["seed"])
    training, validation = split(labels, classes, recipe["validation"], rng)
    each = math.ceil(len(training) / recipe["batch_size"])
    steps, warm = recipe["epochs"] * each, round(recipe["warmup"] * recipe["epochs"] * each)
    best, kept, step, begun = accuracy(validation), None, 0, 0.0
    for _ in range(recipe["epochs"]):
        order = rng.permutation(training)
        for start in range(0, len(order), recipe["batch_size"]):
            batch = order[start : start + recipe["batch_size"]]
            chosen = augmented(tiles[batch], rng)
            falling = (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
            share = (step + 1) / warm if step < warm else falling
            for group in optimizer.param_groups:
                group["lr"] = recipe["learning_rate"] * share
            optimizer.zero_grad()
            loss = functional.cross_entropy(computed(chosen), torch.from_numpy(labels[batch]))
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            if not math.isfinite(loss.item()):
                sys.exit("the loss is no number any more")
            step += 1
            begun = begun or time.perf_counter()
        reached = accuracy(validation)
        if reached > best:
            best, kept = reached, {k: v.clone() for k, v in network.state_dict().items()}
    seconds = time.perf_counter() - begun
    if kept is not None:
        network.load_state_dict(kept)
    return seconds


def main() -> None:
    """Train what is in /submission; print its scores."""
    import onnx  # noqa: PLC0415 - the benchmark needs none

    held = {
        tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load("/submission/model.onnx").graph.initializer
    }
    network, inputs = Small(held) if "w1" in held else Weak(held), Path("/input")
    train(network, inputs)
    given = Path("/scored/tiles.npy")
    scored = np.load(given if given.exists() else inputs / "tiles.npy")
    with torch.no_grad():
        made = [network(pixels(scored[part])) for part in pieces(np.arange(len(scored)))]
    json.dump(torch.cat(made).tolist(), sys.stdout)


if __name__ == "__main__":
    main()
