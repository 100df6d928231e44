"""The models that are measured: timm's ResNet-50, ViT-B/16 and EfficientNet-B0, and a tiny CNN.

A tiny ViT is there for training, where the large one would take too long. All are for grey 64x64
tiles and nine classes, with seeded random weights: what a model costs does not hang on what it has
learnt. `ensure` needs an interpreter with torch, timm and onnxscript once; it runs this file with
it.
"""

# mypy: ignore-errors
# Half of what it imports is not in the environment that is type-checked.
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

EXPORTER = Path(__file__).parents[1] / "tests" / "images" / "trainer"  # make_exports.py
TINY = "tiny-cnn"
TIMM = {
    "resnet50": "resnet50",
    "vit-b16": "vit_base_patch16_224",
    "efficientnet-b0": "efficientnet_b0",
    "vit-tiny": "vit_tiny_patch16_224",
}
MEASURED = ("resnet50", "vit-b16", "efficientnet-b0", TINY)
SIDE, CLASSES, WIDTHS = 64, 9, (32, 64, 128, 256)


def ensure(python: str, folder: Path, names: Sequence[str] = MEASURED) -> dict[str, Path]:
    """The models' files by their names, made in `folder` where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.onnx" for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    if missing:
        command = [python, __file__, str(folder), *missing]
        subprocess.run(command, check=True, capture_output=True)
    return paths


def main() -> None:
    """With FOLDER NAME...: export these."""
    # ruff: noqa: PLC0415
    sys.path.insert(0, str(EXPORTER))
    from make_exports import export

    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        partial = folder / f"{name}.part"
        export(network(name), partial, SIDE, dynamo=False)
        partial.rename(folder / f"{name}.onnx")


def network(name: str) -> nn.Module:
    """One of them in torch, always with the same weights."""
    import torch

    sys.path.insert(0, str(EXPORTER))
    from make_exports import large, stand_in, stirred

    stand_in()
    torch.manual_seed(7)
    return stirred(tiny_cnn() if name == TINY else large(TIMM[name]))


def tiny_cnn() -> nn.Module:
    """0.39 million parameters: four convolutions, each of which halves the sides."""
    from torch import nn

    layers = []
    for taken, given in zip((1, *WIDTHS), WIDTHS, strict=False):
        layers += nn.Conv2d(taken, given, 3, stride=2, padding=1), nn.ReLU()
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], CLASSES)
    return nn.Sequential(*layers, *pooled)


if __name__ == "__main__":
    main()
