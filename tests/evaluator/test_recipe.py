"""A vendor's hyperparameters.json: what is taken, what is refused, and in whose words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from evaluator.admission_policy import RecipeBounds, load_admission_policy
from evaluator.errors import OwnerError, Refused
from evaluator.recipe import MAX_BYTES, Recipe, read_recipe
from evaluator.workspace import shipped

if TYPE_CHECKING:
    from pathlib import Path

POLICY = shipped("policies") / "admission.toml"
BOUNDS = load_admission_policy(POLICY).recipe
WORD = "tile-0042-is-barley"


def refusal(raw: bytes, bounds: RecipeBounds = BOUNDS) -> str:
    """The sentence that a vendor reads."""
    with pytest.raises(Refused) as error:
        read_recipe(raw, bounds)
    assert error.value.rule == "EVA401"
    return str(error.value)


def test_an_empty_object_is_the_default_recipe() -> None:
    """Every key has a default, and the shipped policy allows all of them."""
    assert read_recipe(b"{}", BOUNDS) == Recipe()


def test_every_key_can_be_given() -> None:
    """As JSON, a whole number for a real one included."""
    given_ = Recipe(mode="full", epochs=9, learning_rate=0.5, flips=False, seed=7, crop=4)
    assert read_recipe(given_.canonical(), BOUNDS) == given_
    assert read_recipe(b'{"weight_decay": 0}', BOUNDS).weight_decay == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("mode", "both", "one of auto, head, full"),
        ("epochs", 0, "a whole number at least 1"),
        ("epochs", 2.5, "a whole number"),
        ("epochs", True, "a whole number"),
        ("epochs", "3", "a whole number"),
        ("learning_rate", 0, "a number above 0"),
        ("learning_rate", "fast", "a number above 0"),
        ("validation", 1.0, "at least 0 and below 1"),
        ("flips", 1, "true or false"),
        ("seed", -1, "at least 0 and at most 2147483647"),
        ("frozen_layers", 10**18, "at most 10000"),
        ("optimizer", None, "one of adamw, sgd"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_key(key: str, value: Any, words: str) -> None:  # noqa: ANN401 - JSON
    """The sentence names the key and what it must be."""
    sentence = refusal(json.dumps({key: value}).encode())
    assert f"{key} must be " in sentence
    assert words in sentence


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", 201, "epochs must be at most 200 here"),
        ("batch_size", 1025, "batch_size must be at most 1024 here"),
        ("learning_rate", 1.5, "learning_rate must be at most 1.0 here"),
        ("weight_decay", 2, "weight_decay must be at most 1.0 here"),
        ("label_smoothing", 0.6, "label_smoothing must be at most 0.5 here"),
        ("crop", 17, "crop must be at most 16 here"),
        ("validation", 0.6, "validation must be at most 0.5 here"),
    ],
)
def test_the_policy_bounds_what_can_be_asked(key: str, value: float, words: str) -> None:
    """The bound itself is allowed, the next value is not."""
    assert words in refusal(json.dumps({key: value}).encode())
    assert read_recipe(json.dumps({key: getattr(BOUNDS, key)}).encode(), BOUNDS)


def test_an_owner_can_allow_the_head_alone() -> None:
    """Then a vendor must name it."""
    narrow = BOUNDS.model_copy(update={"mode": ["head"]})
    assert read_recipe(b'{"mode": "head"}', narrow).mode == "head"
    assert "mode must be one of head here" in refusal(b"{}", narrow)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b'{"epochs": 3',
        b'{"epochs": 3} {}',
        b"{'epochs': 3}",
        b'{"\xff": 1}',
        b'{"a":' * 3000,
        b'{"epochs": 1' + b"0" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    """In one sentence, whatever it is."""
    assert refusal(raw).endswith("is not one JSON object in UTF-8.")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_beyond_all_numbers_is_refused(number: str) -> None:
    """JSON has none, and a recipe neither."""
    assert "EVA401" in refusal(f'{{"learning_rate": {number}}}'.encode())


def test_a_file_above_the_limit_is_not_parsed() -> None:
    """One byte more than 16 KiB is too many; 16 KiB of spaces around an object are not."""
    assert "larger than 16,384 bytes" in refusal(b"{}" + b" " * (MAX_BYTES - 1))
    assert read_recipe(b"{}" + b" " * (MAX_BYTES - 2), BOUNDS) == Recipe()


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps({WORD: 1}),
        json.dumps({"mode": WORD}),
        json.dumps({"epochs": WORD}),
        json.dumps({"epochs": {WORD: 1}}),
        json.dumps({"flips": [WORD]}),
        f'{{"epochs": {WORD}}}',
    ],
)
def test_no_word_of_the_vendors_is_repeated(raw: str) -> None:
    """Neither a key nor a value."""
    assert WORD not in refusal(raw.encode())


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: json.dumps(text).encode()))
def test_any_bytes_are_a_recipe_or_a_refusal(raw: bytes) -> None:
    """Nothing else escapes."""
    try:
        read_recipe(raw, BOUNDS)
    except Refused as error:
        assert error.rule == "EVA401"  # noqa: PT017 - the other way out is a recipe


def test_a_canonical_recipe_is_rfc_8785() -> None:
    """One writing of each recipe, whose digest identifies it."""
    recipe = Recipe(learning_rate=0.001)
    assert recipe.canonical() == rfc8785.dumps(json.loads(recipe.canonical()))
    assert recipe.sha256() == read_recipe(b'{ "learning_rate": 1e-3 }', BOUNDS).sha256()
    assert recipe.sha256() != Recipe(seed=1).sha256()


def test_a_policy_cannot_widen_the_ceilings(tmp_path: Path) -> None:
    """Each key has one in the code."""
    path = tmp_path / "admission.toml"
    path.write_text(POLICY.read_text().replace("epochs = 200", "epochs = 1_000_000"))
    with pytest.raises(OwnerError, match=r"recipe\.epochs"):
        load_admission_policy(path)
