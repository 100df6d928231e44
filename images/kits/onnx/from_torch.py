"""Train a small CNN in PyTorch and write it as model.onnx: `python3 from_torch.py`.

It needs torch and onnxscript beside requirements.txt. What matters is `export`: one file with its
weights inside, a batch of any size, no softmax needed, and pixels that the evaluator scales.
"""

import sys

import onnx
import torch
from tiles import HERE, Challenge, load, read_challenge
from torch import nn

EPOCHS = 3
BATCH = 64


def main() -> None:
    """Train, and write."""
    challenge = read_challenge()
    tiles, labels = load(challenge)
    pixels = torch.from_numpy(tiles.astype("float32")) * challenge.scale
    wanted = torch.from_numpy(labels).to(torch.float32 if challenge.target_range else torch.int64)
    model = train(network(challenge), pixels, wanted)
    export(model, challenge)


def network(challenge: Challenge) -> nn.Module:
    """Three convolutions: (N, C, H, W) -> (N, K)."""
    layers: list[nn.Module] = []
    for taken, given in [(challenge.channels, 16), (16, 32), (32, 64)]:
        layers += [
            nn.Conv2d(taken, given, 3, stride=2, padding=1),
            nn.BatchNorm2d(given),
            nn.ReLU(),
        ]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, challenge.outputs)]
    return nn.Sequential(*layers, *end)


def train(model: nn.Module, pixels: torch.Tensor, wanted: torch.Tensor) -> nn.Module:
    """Train all weights; what comes out is ready to predict."""
    torch.manual_seed(0)
    numbers = wanted.dtype == torch.float32
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for epoch in range(EPOCHS):
        for batch in torch.randperm(len(pixels)).split(BATCH):
            said = model(pixels[batch])
            loss = (
                nn.functional.mse_loss(said[:, 0], wanted[batch])
                if numbers
                else nn.functional.cross_entropy(said, wanted[batch])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", file=sys.stderr)
    return model.eval()


def export(model: nn.Module, challenge: Challenge) -> None:
    """Write model.onnx."""
    example = torch.zeros(2, challenge.channels, *challenge.side)
    torch.onnx.export(
        model,
        (example,),
        HERE / "model.onnx",
        input_names=["tiles"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        external_data=False,
    )
    written = onnx.load(HERE / "model.onnx")
    onnx.helper.set_model_props(written, {"evaluator.scale": repr(challenge.scale)})
    onnx.save(written, HERE / "model.onnx")


if __name__ == "__main__":
    main()
