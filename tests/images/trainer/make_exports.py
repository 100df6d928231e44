"""Write exports/*.onnx: timm's architectures in miniature, by both of torch's exporters.

Their weights are random; what counts is the shape of the graphs, which is that of the large ones.
By hand, with torch, timm and onnxscript at hand (none of them in the project's own environment):

    python make_exports.py
    python make_exports.py --large vit_base_patch16_224 FOLDER

timm imports torchvision for its data loaders; where that does not import beside a CPU build of
torch, stand_in() is enough. No weights are fetched.
"""

# mypy: ignore-errors
# What it imports is not in the environment that is type-checked.
from __future__ import annotations

import importlib.machinery
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

FOLDER = Path(__file__).parent / "exports"
SIDE = 32
MODULES = "", ".transforms", ".transforms.functional", ".datasets", ".models", ".ops", ".ops.misc"
MODULES += (".models.feature_extraction",)


class StandIn(types.ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        """Names of the language itself stay unknown."""
        if name.startswith("__"):
            raise AttributeError(name)
        kinds = ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"]
        return type(name, (), {"__init__": lambda *_: None} | {k.upper(): k for k in kinds})


def stand_in() -> None:
    """Put empty modules in torchvision's place."""
    for suffix in MODULES:
        name = f"torchvision{suffix}"
        module = sys.modules[name] = StandIn(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def networks() -> dict[str, nn.Module]:
    """Grey 32x32 pictures, nine classes; timm imports what stand_in() has put in place."""
    # ruff: noqa: PLC0415, I001
    from timm.models.byobnet import ByoBlockCfg, ByoModelCfg, ByobNet
    from timm.models.convnext import ConvNeXt
    from timm.models.densenet import DenseNet
    from timm.models.efficientnet import _gen_efficientnet
    from timm.models.resnet import Bottleneck, ResNet
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.vision_transformer import VisionTransformer

    common: dict[str, Any] = {"num_classes": 9, "in_chans": 1}
    picture: dict[str, Any] = common | {"img_size": SIDE}
    blocks = tuple(ByoBlockCfg(type="rep", d=1, c=8 * at, s=2, gs=0) for at in (1, 2))
    return {
        "resnet": ResNet(Bottleneck, [1] * 4, channels=(4, 4, 8, 8), stem_width=8, **common),
        "vit": VisionTransformer(patch_size=8, embed_dim=24, depth=2, num_heads=2, **picture),
        "deit": VisionTransformer(
            patch_size=8, embed_dim=24, depth=1, num_heads=2, global_pool="avg", **picture
        ),
        "efficientnet": _gen_efficientnet(
            "efficientnet_b0", channel_multiplier=0.03, depth_multiplier=0.3, **common
        ),
        "convnext": ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 8, 12, 16), **common),
        "swin": SwinTransformer(
            patch_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=2, **picture
        ),
        "densenet": DenseNet(growth_rate=4, block_config=(2, 2), **common),
        "repvgg": ByobNet(ByoModelCfg(blocks=blocks, stem_type="rep", stem_chs=8), **common),
    }


def stirred(network: nn.Module) -> nn.Module:
    """Statistics and scales of normalisation other than 0 and 1: equality then says something."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        for name, weight in network.named_parameters():
            if weight.ndim == 1 or "gamma" in name:
                weight.add_(torch.randn_like(weight) * 0.1)
    return network.eval()


def export(network: nn.Module, path: Path, side: int, *, dynamo: bool) -> None:
    """Export with a free batch, and without the exporter's notes on where each node came from."""
    example = (torch.randn(2, 1, side, side),)
    if dynamo:
        free = ({0: torch.export.Dim("N")},)
        torch.onnx.export(
            network, example, path, dynamo=True, opset_version=18, external_data=False,
            dynamic_shapes=free, verbose=False,
        )  # fmt: skip
    else:
        torch.onnx.export(
            network, example, path, dynamo=False, opset_version=17, input_names=["x"],
            output_names=["y"], dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
        )  # fmt: skip
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, path)


def large(name: str) -> nn.Module:
    """One of timm's own, for grey 64x64 pictures and nine classes, untrained."""
    from timm import create_model

    keys: dict[str, Any] = {"num_classes": 9, "in_chans": 1}
    keys |= {"img_size": 64} if name.startswith("vit") else {}
    network: nn.Module = create_model(name, pretrained=False, **keys)
    return network


def both(name: str, network: nn.Module, folder: Path, side: int) -> None:
    """By each exporter."""
    for exporter in ("dynamo", "script"):
        path = folder / f"{name}.{exporter}.onnx"
        export(stirred(network), path, side, dynamo=exporter == "dynamo")
        sys.stdout.write(f"{path.name} {path.stat().st_size}\n")


def main() -> None:
    """All of the small ones, or with `--large NAME FOLDER` one large one."""
    warnings.simplefilter("ignore")
    stand_in()
    torch.manual_seed(7)
    if sys.argv[1:2] == ["--large"]:
        both(sys.argv[2], large(sys.argv[2]), Path(sys.argv[3]), 64)
        return
    FOLDER.mkdir(exist_ok=True)
    for name, network in networks().items():
        both(name, network, FOLDER, SIDE)


if __name__ == "__main__":
    main()
