"""Challenges of kinds of tiles that owners have, as challenge.json has them."""

from __future__ import annotations

from typing import Any

from evaluator.challenge import Challenge, Tiles, sample_challenge

_CROPS = {"task": "classification", "classes": ("barley", "corn", "wheat")}
_YIELDS = {"task": "regression", "classes": ("corn",), "unit": "t/ha", "range": (0.0, 12.0)}
KINDS: dict[str, dict[str, Any]] = {
    "grey": {"shape": (16, 16), "dtype": "uint8", **_CROPS},
    "bands": {"shape": (9, 10, 13), "dtype": "uint16", **_CROPS},
    "floats": {"shape": (3, 2, 2), "dtype": "float32", **_CROPS},
    "yields": {"shape": (16, 16), "dtype": "uint8", **_YIELDS},
}


def challenge_of_kind(kind: str) -> Challenge:
    """The sample, of other tiles."""
    sample = sample_challenge()
    tiles = sample.tiles.model_dump() | {"rare": ()} | KINDS[kind]
    return sample.model_copy(update={"tiles": Tiles.model_validate(tiles)})


def manifest_of(kind: str, tiles: int) -> dict[str, Any]:
    """What a container finds as /input/manifest.json where so many tiles are of that kind."""
    said = dict(KINDS[kind])
    number = said["task"] == "regression"
    bands = said["shape"][2] if len(said["shape"]) == 3 else 1
    document = {"contract": 1, "tiles": tiles, "bands": bands, **said}
    document["output_dtype"] = "float32" if number else "uint8"
    if number:
        document["target_range"] = document.pop("range")
    return document
