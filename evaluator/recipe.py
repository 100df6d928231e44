"""A vendor's hyperparameters.json, read strictly: the recipe by which a model is fine-tuned.

Every key has a default, and the policy's [recipe] bounds each. What a container gets as
/input/hyperparameters.json is this program's own writing of it, never the vendor's bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.errors import Refused

if TYPE_CHECKING:
    from evaluator.admission_policy import RecipeBounds

RULE = "EVA401"
MAX_BYTES = 16_384


class Recipe(BaseModel):
    """How to fine-tune; the comments say what our trainer makes of each key."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, defer_build=True
    )

    # head: the last linear layer alone, a convex fit. full: every weight. auto: full on a GPU;
    # on a CPU head where the model ends in a linear layer, full where it does not.
    mode: Literal["auto", "head", "full"] = "auto"
    # Passes over the training tiles; head needs none.
    epochs: Annotated[int, Field(ge=1)] = 6
    # Tiles in one step.
    batch_size: Annotated[int, Field(ge=1)] = 64
    # sgd has a momentum of 0.9.
    optimizer: Literal["adamw", "sgd"] = "adamw"
    # The highest one of the schedule.
    learning_rate: Annotated[float, Field(gt=0)] = 0.001
    # How the learning rate falls after the warm-up, step by step, to nothing.
    schedule: Literal["constant", "cosine", "linear"] = "cosine"
    # The share of all steps in which the learning rate rises from nothing.
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.1
    # Of weights with two dimensions or more: biases and scales do not decay.
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    # The share of each target that is spread over all classes.
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    # How much a tile of a rare class weighs: by 1 / n of its class, or 1 / sqrt(n).
    class_weighting: Literal["none", "balanced", "sqrt"] = "none"
    # Augmentation, drawn anew for every tile and epoch: mirror images, quarter turns, and
    # shifts by up to so many pixels, filled up by reflection.
    flips: bool = True
    rotations: bool = True
    crop: Annotated[int, Field(ge=0)] = 0
    # So many layers, from the input on, stay as they are.
    frozen_layers: Annotated[int, Field(ge=0, le=10_000)] = 0
    # Stop after so many epochs without a better accuracy on the validation tiles; 0: never.
    early_stopping: Annotated[int, Field(ge=0, le=10_000)] = 0
    # The share of the training tiles of each class that is set aside to choose by.
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    # bfloat16 speeds a CPU with AVX512-BF16 or AMX up twofold; auto takes it there.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    # Of the validation tiles, the order of tiles and the augmentation.
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] = 0

    def canonical(self) -> bytes:
        """The recipe as RFC 8785 has it: what the container gets."""
        return rfc8785.dumps(self.model_dump())

    def sha256(self) -> str:
        """What identifies a recipe."""
        return hashlib.sha256(self.canonical()).hexdigest()


def read_recipe(raw: bytes, bounds: RecipeBounds) -> Recipe:
    """The recipe in `raw`; Refused names our keys and bounds, and no word of the vendor's."""
    if len(raw) > MAX_BYTES:
        raise Refused(RULE, f"hyperparameters.json is larger than {MAX_BYTES:,} bytes.")
    try:
        recipe = Recipe.model_validate_json(raw)
    except ValidationError as error:
        raise Refused(RULE, _sentence(error)) from None  # its text repeats what it was given
    beyond = _beyond(recipe, bounds)
    if beyond:
        raise Refused(RULE, f"hyperparameters.json: {'; '.join(beyond)}.")
    return recipe


def _beyond(recipe: Recipe, bounds: RecipeBounds) -> list[str]:
    """What passes the data owner's bounds, one clause for each key."""
    clauses = []
    for key, bound in bounds.model_dump().items():
        value = getattr(recipe, key)
        if isinstance(bound, list):
            if value not in bound:
                clauses.append(f"{key} must be one of {', '.join(bound)} here")
        elif value > bound:
            clauses.append(f"{key} must be at most {bound} here")
    return clauses


def _sentence(error: ValidationError) -> str:
    """What is wrong with which of our keys."""
    clauses: dict[str, None] = {}  # ordered, each once
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        if problem["type"] == "extra_forbidden":
            clauses["it has a key that is not known"] = None
        elif problem["loc"] and problem["loc"][0] in Recipe.model_fields:
            key = str(problem["loc"][0])
            clauses[f"{key} must be {_expected(key)}"] = None
        else:
            return "hyperparameters.json is not one JSON object in UTF-8."
    known = ", ".join(Recipe.model_fields)
    return f"hyperparameters.json: {'; '.join(clauses)}. The known keys are {known}."


def _expected(key: str) -> str:
    """The values of a key, in words made from its own declaration."""
    schema: dict[str, Any] = Recipe.model_json_schema()["properties"][key]
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if schema["type"] == "boolean":
        return "true or false"
    words = {"integer": "a whole number", "number": "a number"}[schema["type"]]
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    said = [f"{most} {schema[name]:.10g}" for name, most in limits.items() if name in schema]
    return " ".join([words, *[" and ".join(said)] * bool(said)])
