"""Inside the image: the recipe once more, as anybody would write it in torch, on the same tiles.

Prints the predictions of a network that conftest.make_cnn describes, after this loop; the trained
file that the trainer left is for the test to run.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

torch.set_num_threads(2)
recipe = json.loads(Path("/input/hyperparameters.json").read_text())
tiles, labels = np.load("/input/tiles.npy"), np.load("/input/labels.npy").astype(np.int64)
held = {
    tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
    for tensor in onnx.load("/submission/model.onnx").graph.initializer
}
network = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
)
names = {"0.weight": "w1", "0.bias": "b1", "4.weight": "w2", "4.bias": "b2"}
network.load_state_dict({mine: held[theirs] for mine, theirs in names.items()})
groups = [
    {
        "params": [w for w in network.parameters() if w.ndim > 1],
        "weight_decay": recipe["weight_decay"],
    },
    {"params": [w for w in network.parameters() if w.ndim == 1], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=recipe["learning_rate"])


def pixels(batch: np.ndarray) -> torch.Tensor:
    """As the model's own first node scales them."""
    return torch.from_numpy(batch[:, None].astype(np.float32)) / 128


def accuracy(of: np.ndarray) -> float:
    """On some of the tiles."""
    with torch.no_grad():
        return float((network(pixels(tiles[of])).argmax(1).numpy() == labels[of]).mean())


rng = np.random.default_rng(recipe["seed"])
aside = []
for label in range(3):
    mine = rng.permutation(np.flatnonzero(labels == label))
    aside.append(mine[: round(recipe["validation"] * len(mine))])
validation = np.sort(np.concatenate(aside))
training = np.setdiff1d(np.arange(len(labels)), validation)
each = math.ceil(len(training) / recipe["batch_size"])
steps, warm = recipe["epochs"] * each, round(recipe["warmup"] * recipe["epochs"] * each)
best, kept, step = accuracy(validation), None, 0
for _ in range(recipe["epochs"]):
    order = rng.permutation(training)
    for start in range(0, len(order), recipe["batch_size"]):
        batch = order[start : start + recipe["batch_size"]]
        chosen = tiles[batch].copy()
        for at, (down, across) in enumerate(rng.integers(0, 2, (len(batch), 2))):
            chosen[at] = chosen[at][:: -1 if down else 1, :: -1 if across else 1]
        for at, turns in enumerate(rng.integers(0, 4, len(batch))):
            chosen[at] = np.rot90(chosen[at], turns)
        falling = (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
        for group in optimizer.param_groups:
            group["lr"] = recipe["learning_rate"] * ((step + 1) / warm if step < warm else falling)
        optimizer.zero_grad()
        functional.cross_entropy(
            network(pixels(chosen)), torch.from_numpy(labels[batch])
        ).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
    reached = accuracy(validation)
    if reached > best:
        best, kept = reached, {k: v.clone() for k, v in network.state_dict().items()}
if kept is not None:
    network.load_state_dict(kept)
with torch.no_grad():
    json.dump(network(pixels(tiles)).tolist(), sys.stdout)
