"""The weak vendor's model that fine-tuning must improve: its recipe, and the tiles it is tried on.

A small CNN sees 2,000 of the training tiles for a few epochs and is exported as ONNX. By hand, with
torch, onnxscript and Pillow at hand (none of them in the project's own environment):

    python weak_model.py TILES.tar FOLDER

writes FOLDER/model.onnx and, as the containers have them, FOLDER/{train,holdout}/ with
manifest.json, tiles.npy and labels.npy. A holdout's labels are for the one who scores.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

HOLDOUT = 5_000
SEEN = 2_000  # training tiles that the vendor had
EPOCHS = 12
SEED = 20_261_122


def read_tiles(archive: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Grey tiles (N, 64, 64) uint8, labels (N,) uint8 and class names of a tar of class folders."""
    found = []
    with tarfile.open(archive) as members:
        for member in members:
            if member.isfile() and member.name.endswith(".jpg"):
                content = members.extractfile(member)
                assert content is not None
                image = Image.open(io.BytesIO(content.read())).convert("L")
                found.append((member.name, np.asarray(image)))
    found.sort(key=lambda pair: pair[0])
    folders = [Path(name).parent.name for name, _ in found]
    names = sorted(set(folders))
    labels = np.array([names.index(folder) for folder in folders], np.uint8)
    return np.stack([tile for _, tile in found]), labels, names


class WeakCNN(nn.Module):
    """(N, 1, 64, 64) values of 0 to 255 -> (N, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for taken, given, stride in [(1, 16, 2), (16, 32, 1), (32, 64, 1), (64, 128, 1)]:
            layers += [nn.Conv2d(taken, given, 3, stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(given), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if taken > 1 else []
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(128, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scaled inside, so that the file needs no metadata."""
        scores: torch.Tensor = self.head(self.body(pixels * (1 / 64) - 1.5))
        return scores


def train_weak(tiles: np.ndarray, labels: np.ndarray, classes: int) -> WeakCNN:
    """EPOCHS passes over the tiles given, the same ones under the same number of threads."""
    torch.manual_seed(SEED)
    model = WeakCNN(classes).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    pixels = torch.from_numpy(tiles[:, None].astype(np.float32))
    targets = torch.from_numpy(labels.astype(np.int64))
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(pixels)).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(pixels[batch]), targets[batch]).backward()
            optimizer.step()
    return model.eval()


def export(model: nn.Module, path: Path, *, dynamo: bool = True) -> None:
    """One file with its weights inside, by either of torch's exporters."""
    example = torch.zeros(2, 1, 64, 64)
    names = {"input_names": ["tiles"], "output_names": ["scores"]}
    if dynamo:
        free = ({0: torch.export.Dim("N")},)
        torch.onnx.export(
            model, (example,), path, dynamo=True, opset_version=18, external_data=False,
            dynamic_shapes=free, verbose=False, **names,
        )  # fmt: skip
    else:
        axes = {"tiles": {0: "N"}, "scores": {0: "N"}}
        torch.onnx.export(
            model, (example,), path, dynamo=False, opset_version=17, dynamic_axes=axes, **names
        )


def write_inputs(folder: Path, tiles: np.ndarray, labels: np.ndarray, names: list[str]) -> None:
    """What a container finds under /input."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "contract": 1,
        "tiles": len(tiles),
        "shape": list(tiles.shape[1:]),
        "dtype": str(tiles.dtype),
        "bands": tiles.shape[3] if tiles.ndim == 4 else 1,
        "classes": names,
        "output_dtype": "uint8",
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    np.save(folder / "tiles.npy", tiles)
    np.save(folder / "labels.npy", labels)


def main(archive: Path, folder: Path) -> None:
    """Split the tiles, train the weak model, and write both."""
    tiles, labels, names = read_tiles(archive)
    order = np.random.default_rng(SEED).permutation(len(tiles))
    holdout, training = np.sort(order[:HOLDOUT]), np.sort(order[HOLDOUT:])
    seen = order[HOLDOUT : HOLDOUT + SEEN]
    write_inputs(folder / "holdout", tiles[holdout], labels[holdout], names)
    write_inputs(folder / "train", tiles[training], labels[training], names)
    model = train_weak(tiles[seen], labels[seen], len(names))
    export(model, folder / "model.onnx")
    with torch.no_grad():
        scores = model(torch.from_numpy(tiles[holdout][:, None].astype(np.float32)))
    accuracy = (scores.argmax(1).numpy() == labels[holdout]).mean()
    words = f"{len(training)} training tiles, {len(holdout)} held out"
    sys.stdout.write(f"{words}; accuracy {accuracy:.3f}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
