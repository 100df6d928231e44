"""Steps 8 to 12 of verification for results whose predictions are numbers."""

import copy
import json
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from evaluator.bundle import encode, fingerprint, pae
from evaluator.errors import VerificationError
from evaluator.verify import verify

GOLDEN = Path(__file__).parents[1] / "golden"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

Statement = dict[str, Any]


def golden(name: str) -> Statement:
    """One of the statements that test_result.py writes."""
    statement: Statement = json.loads((GOLDEN / name).read_text())
    return statement


def signed(payload: bytes) -> bytes:
    """Return a bundle of any payload, signed by KEY without asking what it says."""
    signature = KEY.sign(pae(payload), ec.ECDSA(SHA256()))
    return encode(payload, signature, fingerprint(KEY.public_key()))


def changed(statement: Statement, path: str, value: object) -> Statement:
    """The same statement with one value replaced, named by the keys that lead to it."""
    altered = copy.deepcopy(statement)
    *parents, last = path.split(".")
    reduce(getitem, parents, altered)[last] = value
    return altered


OPEN, CLOSED = "result-regression.json", "result-regression-without-class-sizes.json"
BASELINE, TUNED, GAIN = (f"predicate.phases.{name}" for name in ("baseline", "tuned", "gain"))
CLASSIFIED = golden("result-scored.json")["predicate"]


@pytest.mark.parametrize(
    ("path", "value", "step"),
    [
        ("predicate.dataset.task", "classification", "Step 8"),
        ("predicate.dataset.unit", None, "Step 8"),
        ("predicate.dataset.unit", "t/ha\n", "Step 8"),
        ("predicate.dataset.range", None, "Step 8"),
        ("predicate.dataset.range", [12, 0], "Step 8"),
        ("predicate.dataset.range", [0, 12.00001], "Step 8"),
        ("predicate.grid.error", 0.07, "Step 8"),
        ("predicate.grid.crop_error", 0, "Step 8"),
        ("predicate.grid.r2", 0.03, "Step 8"),
        ("predicate.grid", CLASSIFIED["grid"], "Step 8"),
        (BASELINE, CLASSIFIED["phases"]["baseline"], "Step 8"),
        (GAIN, CLASSIFIED["phases"]["gain"], "Step 8"),
        (f"{BASELINE}.task", "classification", "Step 8"),
        (f"{BASELINE}.rmse", -0.01, "Step 8"),
        (f"{BASELINE}.rmse", 1.395, "Step 9"),
        (f"{BASELINE}.rmse", 12.01, "Step 9"),
        (f"{BASELINE}.mae", 9, "Step 9"),
        (f"{BASELINE}.bias", -11, "Step 9"),
        (f"{BASELINE}.r2", -1, "Step 9"),
        (f"{BASELINE}.r2", 0.9, "Step 9"),
        (f"{TUNED}.rmse", 0.6, "Step 9"),
        (f"{BASELINE}.crop_rmse", {"barley": 1.4, "maize": 1.4}, "Step 9"),
        (f"{BASELINE}.crop_rmse", {"barley": 9.9, "maize": 9.9, "pea": 9.9}, "Step 9"),
        (f"{BASELINE}.rmse_interval", [1.2, 1.6], "Step 10"),
        (f"{BASELINE}.bias_interval", [0.2, 0.6], "Step 10"),
        (f"{BASELINE}.macro_rmse", 1.3, "Step 10"),
        (f"{BASELINE}.rare_rmse", 1.3, "Step 10"),
        (f"{GAIN}.rmse", -2, "Step 10"),
        (f"{GAIN}.rmse_interval", [-2, -1], "Step 10"),
        (f"{GAIN}.crop_rmse", {"barley": -2, "maize": -1, "pea": -1}, "Step 10"),
        ("predicate.leakage_bits.baseline", 1, "Step 12"),
    ],
)
@pytest.mark.parametrize("name", [OPEN, CLOSED])
def test_what_does_not_add_up_is_found(name: str, path: str, value: object, step: str) -> None:
    """Signed by the owner's own key, and still refused at the step that it breaks."""
    statement = golden(name)
    verify(signed(rfc8785.dumps(statement)), PUBLIC)  # the positive control

    with pytest.raises(VerificationError, match=step):
        verify(signed(rfc8785.dumps(changed(statement, path, value))), PUBLIC)


def test_a_coarser_grid_than_stated_bits_is_found() -> None:
    """Bits follow from the steps: steps that are larger than those counted do not pass."""
    statement = changed(golden(CLOSED), "predicate.grid.crop_error", 0.2)

    with pytest.raises(VerificationError):
        verify(signed(rfc8785.dumps(statement)), PUBLIC)
