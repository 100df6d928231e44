"""/input/hyperparameters.json: the recipe, as the host has checked and written it."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """The keys of the recipe; evaluator/recipe.py says what each means, and bounds it."""

    mode: str
    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    label_smoothing: float
    class_weighting: str
    flips: bool
    rotations: bool
    crop: int
    frozen_layers: int
    early_stopping: int
    validation: float
    precision: str
    seed: int


def read_settings(inputs: Path) -> Settings:
    """Every key is there, none beside them: the host wrote it."""
    return Settings(**json.loads((inputs / "hyperparameters.json").read_text()))
