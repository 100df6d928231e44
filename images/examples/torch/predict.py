"""A submission in PyTorch: a small CNN that predicts, and that can be fine-tuned.

    predict   /input/manifest.json, tiles.npy -> /output/predictions
    train     /input/manifest.json, tiles.npy, labels.npy -> /opt/ml/model/weights.pt

What `train` left wins over the weights.pt beside this file; without either, `train`
starts from nothing: that is how the shipped weights.pt was made.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

INPUT = Path("/input")
OUTPUT = Path("/output/predictions")
MODEL = Path("/opt/ml/model")
SHIPPED = Path(__file__).parent
BATCH = 64
DEVICE = torch.device(os.environ.get("EVALUATOR_DEVICE", "cpu"))


def main(verb: str) -> None:
    """Carry out one verb of the contract."""
    if DEVICE.type == "cuda" and not torch.cuda.is_available():
        sys.exit("a GPU was asked for and none computes here")
    if json.loads((INPUT / "manifest.json").read_text()).get("task") == "regression":
        sys.exit("this example tells classes apart; predict one float32 a tile for a regression")
    torch.set_num_threads(int(os.environ.get("EVALUATOR_THREADS", "1")))
    if verb == "predict":
        predict()
    elif verb == "train":
        train()
    else:
        sys.exit("usage: predict | train")


def network(classes: int) -> nn.Module:
    """Build the CNN, (N, 1, H, W) -> (N, classes) logits, with the best weights at hand."""
    layers: list[nn.Module] = []
    for taken, given in [(1, 16), (16, 32), (32, 64)]:
        layers += [nn.Conv2d(taken, given, 3, padding=1), nn.BatchNorm2d(given), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    for path in (MODEL / "weights.pt", SHIPPED / "weights.pt"):
        if path.exists():
            known = torch.load(path, weights_only=True, map_location="cpu")
            fresh = model.state_dict()  # a head for another number of classes starts untrained
            fits = {name: known[name] for name in fresh if known[name].shape == fresh[name].shape}
            model.load_state_dict(fits, strict=False)
            break
    return model.to(DEVICE)


def predict() -> None:
    """Write one uint8 class index for each tile."""
    model = network(class_count()).eval()
    tiles = np.load(INPUT / "tiles.npy", mmap_mode="r")
    indices = np.empty(len(tiles), np.uint8)
    with torch.inference_mode():
        for start in range(0, len(tiles), BATCH):
            logits = model(grey(tiles[start : start + BATCH]))
            indices[start : start + BATCH] = logits.argmax(1).cpu().numpy()
    OUTPUT.write_bytes(indices.tobytes())


def train() -> None:
    """Fine-tune all weights; epochs and learning rate may come from the data owner."""
    given = INPUT / "hyperparameters.json"
    options = json.loads(given.read_text()) if given.exists() else {}
    torch.manual_seed(0)
    model = network(class_count()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=float(options.get("learning_rate", 1e-3)))
    tiles = np.load(INPUT / "tiles.npy", mmap_mode="r")
    labels = torch.from_numpy(np.load(INPUT / "labels.npy").astype(np.int64)).to(DEVICE)
    for epoch in range(int(options.get("epochs", 3))):
        for batch in torch.randperm(len(tiles)).split(BATCH):
            loss = nn.functional.cross_entropy(model(grey(tiles[batch.numpy()])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.3f}", file=sys.stderr)
    torch.save(model.cpu().state_dict(), MODEL / "weights.pt")


def grey(tiles: np.ndarray) -> Tensor:
    """(N, H, W) or (N, H, W, C) of any dtype -> (N, 1, H, W) float32 around zero."""
    pixels = torch.from_numpy(tiles.astype(np.float32))
    if pixels.ndim == 4:
        pixels = pixels.mean(3)
    scale = 255.0 if tiles.dtype == np.uint8 else 10_000.0 if tiles.dtype == np.uint16 else 1.0
    return ((pixels / scale - 0.4)[:, None] * 4).to(DEVICE)


def class_count() -> int:
    """The number of classes of this dataset."""
    return len(json.loads((INPUT / "manifest.json").read_text())["classes"])


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
