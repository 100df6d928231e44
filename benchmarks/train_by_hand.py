"""What a user would do without the wall: the recipe as a loop in torch, on the network itself.

    python train_by_hand.py NETWORK INPUTS

INPUTS has what a training in the sandbox finds in /input. Printed are the seconds from the end of
the first step to the end of the last epoch's validation. Nothing is saved.
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

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.models import network

torch.set_num_threads(2)
inputs = Path(sys.argv[2])
recipe = json.loads((inputs / "hyperparameters.json").read_text())
tiles = np.load(inputs / "tiles.npy")
labels = np.load(inputs / "labels.npy").astype(np.int64)
model = network(sys.argv[1]).to(memory_format=torch.channels_last)
weights = list(model.parameters())
groups = [
    {"params": [w for w in weights if w.ndim > 1], "weight_decay": recipe["weight_decay"]},
    {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=recipe["learning_rate"])


def scores(batch: np.ndarray) -> torch.Tensor:
    """Of (n, 64, 64) tiles, in the recipe's precision."""
    pixels = torch.from_numpy(batch[:, None].astype(np.float32))
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe["precision"] == "bfloat16"):
        return model(pixels.to(memory_format=torch.channels_last)).float()


def accuracy(of: np.ndarray) -> float:
    """On some of the tiles."""
    parts = [of[start : start + 256] for start in range(0, len(of), 256)]
    with torch.no_grad():
        best = torch.cat([scores(tiles[part]).argmax(1) for part in parts])
    return float((best.numpy() == labels[of]).mean())


rng = np.random.default_rng(recipe["seed"])
order = rng.permutation(len(labels))
aside = round(recipe["validation"] * len(labels))
validation, training = order[:aside], order[aside:]
each = math.ceil(len(training) / recipe["batch_size"])
steps, step = recipe["epochs"] * each, 0
warm = max(1, round(recipe["warmup"] * steps))
best, kept = accuracy(validation), None
for _ in range(recipe["epochs"]):
    shuffled = rng.permutation(training)
    for start in range(0, len(shuffled), recipe["batch_size"]):
        batch = shuffled[start : start + recipe["batch_size"]]
        chosen = tiles[batch].copy()
        for at, (down, across) in enumerate(rng.integers(0, 2, (len(batch), 2))):
            chosen[at] = chosen[at][:: -1 if down else 1, :: -1 if across else 1]
        for at, turns in enumerate(rng.integers(0, 4, len(batch))):
            chosen[at] = np.rot90(chosen[at], turns)
        falling = (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2
        for group in optimizer.param_groups:
            group["lr"] = recipe["learning_rate"] * ((step + 1) / warm if step < warm else falling)
        optimizer.zero_grad()
        loss = functional.cross_entropy(scores(chosen), torch.from_numpy(labels[batch]))
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        if not math.isfinite(loss.item()):
            sys.exit("the loss is no number any more")
        if step == 0:
            begun = time.perf_counter()
        step += 1
    reached = accuracy(validation)
    if reached > best:
        best, kept = reached, {name: held.clone() for name, held in model.state_dict().items()}
json.dump(time.perf_counter() - begun, sys.stdout)
