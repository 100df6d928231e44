"""Steps 7 to 12 of verification: a signed statement must also be a result that adds up."""

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
from hypothesis import given
from hypothesis import strategies as st

from evaluator.bundle import encode, fingerprint, pae
from evaluator.errors import VerificationError
from evaluator.leakage import Account
from evaluator.predicate import About, LeakageBits, Phases
from evaluator.verify import verify

GOLDEN = Path(__file__).parents[1] / "golden"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NAMES = [
    "result-scored.json",
    "result-scored-without-class-sizes.json",
    "result-tuned-timeout.json",
    "result-baseline.json",
    "result-timeout.json",
    "result-refused.json",
    "result-adapted.json",
    "result-regression.json",
    "result-regression-without-class-sizes.json",
]

Statement = dict[str, Any]


def golden(name: str = "result-scored.json") -> Statement:
    """One of the statements that test_result.py writes."""
    statement: Statement = json.loads((GOLDEN / name).read_text())
    return statement


def signed(payload: bytes) -> bytes:
    """Return a bundle of any payload, signed by KEY without asking what it says."""
    signature = KEY.sign(pae(payload), ec.ECDSA(SHA256()))
    return encode(payload, signature, fingerprint(KEY.public_key()))


def changed(statement: Statement, path: str, value: object) -> Statement:
    """The same statement with one value replaced, named by the keys that lead to it."""
    *parents, last = path.split(".")
    reduce(getitem, parents, statement)[last] = value
    return statement


@pytest.mark.parametrize("name", NAMES)
def test_genuine_result_verifies(name: str) -> None:
    """The positive control of every test below: each golden statement, signed, verifies."""
    payload = rfc8785.dumps(golden(name))

    verified = verify(signed(payload), PUBLIC)

    assert verified.payload == payload == verified.result.payload()
    assert verified.keyid == fingerprint(KEY.public_key())


@given(index=st.integers(0), flip=st.integers(1, 255), name=st.sampled_from(NAMES))
def test_any_flipped_byte_is_found(index: int, flip: int, name: str) -> None:
    """Whichever byte of the file changes, verification fails, and with its own error only."""
    altered = bytearray(signed(rfc8785.dumps(golden(name))))
    altered[index % len(altered)] ^= flip

    with pytest.raises(VerificationError):
        verify(bytes(altered), PUBLIC)


SCORED, TUNED, GAIN = (f"predicate.phases.{name}" for name in ("baseline", "tuned", "gain"))
FAILED = {"status": "TIMEOUT", "charge": 41}
CHANGES = [
    # A field too many or too few, a value of the wrong type, lists that disagree.
    (f"{SCORED}.confusion", [], "Step 8"),
    (f"{SCORED}.status", "SANDBOX_ERROR", "Step 8"),
    (f"{SCORED}.status", "TIMEOUT", "Step 8"),
    (f"{SCORED}.accuracy", "0.847", "Step 8"),
    ("predicateType", "https://submission-evaluator.example/evaluation-result/v2", "Step 8"),
    ("subject", [], "Step 8"),
    ("predicate.grid.recall", 0.003, "Step 8"),
    ("predicate.grid.recall", 1 / 3, "Step 8"),
    ("predicate.grid.recall", 5e-324, "Step 8"),
    ("predicate.dataset.class_sizes", [201, 80, 20], "Step 8"),
    # Independent figures between two steps of the grid.
    (f"{SCORED}.accuracy", 0.8471, "Step 9, grid"),
    (f"{SCORED}.recall.pea", 0.855, "Step 9, grid"),
    (f"{SCORED}.rare_accuracy", 0.8305, "Step 9, grid"),
    (f"{SCORED}.recall", {"barley": 0.86, "maize": 0.83}, "Step 9, grid"),
    # On the grid, but 254/300 is 0.847 and 255/300 is 0.85; 20 tiles move by steps of 0.05;
    # and the recalls say that about 254 tiles are right, of the rare ones about 83 of 100.
    (f"{SCORED}.accuracy", 0.848, "Step 9, counts"),
    (f"{SCORED}.recall.pea", 0.86, "Step 9, counts"),
    (f"{SCORED}.accuracy", 0.75, "Step 9, counts"),
    (f"{SCORED}.accuracy", 0.95, "Step 9, counts"),
    (f"{SCORED}.rare_accuracy", 0.5, "Step 9, counts"),
    # Functions of those that do not follow.
    (f"{SCORED}.macro_recall", 0.8468, "Step 10"),
    (f"{SCORED}.rare_recall", 0.8401, "Step 10"),
    (f"{SCORED}.accuracy_interval", [0.8, 0.8833], "Step 10"),
    (f"{SCORED}.rare_accuracy_interval", None, "Step 10"),
    (f"{SCORED}.recall_interval.pea", [0.0, 1.0], "Step 10"),
    (f"{SCORED}.recall_interval", None, "Step 10"),
    # The second phase is held to the same.
    (f"{TUNED}.accuracy", 0.9333, "Step 9, grid"),
    (f"{TUNED}.recall.pea", 0.955, "Step 9, grid"),
    (f"{TUNED}.accuracy", 0.934, "Step 9, counts"),
    (f"{TUNED}.accuracy", 0.85, "Step 9, counts"),
    (f"{TUNED}.rare_accuracy", 0.99, "Step 9, counts"),
    (f"{TUNED}.macro_recall", 0.9334, "Step 10"),
    (f"{TUNED}.rare_accuracy_interval", [0.85, 0.9588], "Step 10"),
    (f"{TUNED}.status", "REFUSED", "Step 8"),
    (TUNED, {"status": "REFUSED", "rules": ["EVA301"]}, "Step 8"),
    # A gain that does not follow, or stands where there is none.
    (f"{GAIN}.accuracy", 0.087, "Step 10, derived figures: a gain"),
    (f"{GAIN}.accuracy", -0.086, "Step 10, derived figures: a gain"),
    (f"{GAIN}.accuracy_interval", [0.0363, 0.1367], "Step 10, derived figures: a gain"),
    (f"{GAIN}.macro_recall", 0.0867, "Step 10, derived figures: a gain"),
    (f"{GAIN}.rare_accuracy_interval", None, "Step 10, derived figures: a gain"),
    (f"{GAIN}.rare_recall", 0.0, "Step 10, derived figures: a gain"),
    (f"{GAIN}.recall.pea", 0.11, "Step 10, derived figures: a gain"),
    (f"{GAIN}.recall", {}, "Step 10, derived figures: a gain"),
    (f"{GAIN}.recall.oat", 0.1, "Step 10, derived figures: a gain"),
    (f"{GAIN}.accuracy", 1.1, "Step 8"),
    (f"{GAIN}.tiles", 26, "Step 8"),
    (GAIN, None, "Step 8"),
    (TUNED, FAILED, "Step 8"),
    (TUNED, None, "Step 8"),
    (SCORED, FAILED, "Step 8"),
    # Whose training it was.
    ("predicate.phases.adapted", "f" * 16, "Step 8"),
    ("predicate.phases.adapted", "../../f", "Step 8"),
    (SCORED, None, "Step 8"),
    ("predicate.phases", {"baseline": None, "tuned": None, "gain": None}, "Step 8"),
    # A charge between two steps of 1 PF, or more than the 100 PF that there were.
    (f"{SCORED}.charge", 3.5, "Step 11"),
    (f"{TUNED}.charge", 41.000001, "Step 11"),
    (f"{TUNED}.charge", 98, "Step 11"),
    (f"{SCORED}.charge", 60, "Step 11"),
    (f"{SCORED}.charge", -1, "Step 8"),
    (f"{SCORED}.charge", 1e-7, "Step 8"),
    (f"{SCORED}.charge", None, "Step 8"),
    ("predicate.compute.budget", 43, "Step 11"),
    ("predicate.compute.step", 2, "Step 11"),
    ("predicate.compute.step", 3, "Step 8"),
    ("predicate.compute.step", 0, "Step 8"),
    # Bits that do not follow: of either phase, of the slot, of the sum.
    ("predicate.leakage_bits.baseline", 1.0, "Step 12"),
    ("predicate.leakage_bits.tuned", 0.0, "Step 12"),
    ("predicate.leakage_bits.tuned", 38.9, "Step 12"),
    ("predicate.leakage_bits.run", 1.0, "Step 12"),
    ("predicate.leakage_bits.release", 0.0, "Step 12"),
    ("predicate.release.longest_seconds", 10**6, "Step 12"),
    ("predicate.compute.budget", 1000, "Step 12"),  # more charges to tell apart
    ("predicate.compute.step", 0.5, "Step 12"),
    # What the ledger says can only be held against itself.
    ("predicate.leakage_bits.dataset", 1.0, "Step 8"),
    ("predicate.leakage_bits.dataset", 16_384.1, "Step 8"),
    ("predicate.leakage_bits.dataset", 1234.56, "Step 8"),
    ("predicate.leakage_bits.budget", 1000, "Step 8"),
    ("predicate.release.at", "2026-11-23T12:00:00Z", "Step 8"),
    # A wall that let something through has no results.
    ("predicate.sandbox.wall.verdict", "UNSEALED", "Step 8"),
    ("predicate.sandbox.wall.stopped", ["tile 7 is wheat"], "Step 8"),
    ("predicate.policy.admission", None, "Step 8"),
    ("predicate.sandbox.co_resident", None, "Step 8"),
    ("predicate.sandbox.trainer", "trainer:latest", "Step 8"),
    ("predicate.training.recipe", {"epochs": 6}, "Step 8"),
    ("predicate.training.tiles", 0, "Step 8"),
    ("predicate.training", None, "Step 8"),
]


@pytest.mark.parametrize(("path", "value", "step"), CHANGES)
def test_signed_nonsense_is_found(path: str, value: object, step: str) -> None:
    """Not even the owner of the key can sign figures that contradict each other."""
    statement = changed(golden(), path, value)

    with pytest.raises(VerificationError, match=step):
        verify(signed(rfc8785.dumps(statement)), PUBLIC)


OTHERS = [
    # Where a phase failed or never was, nothing stands for it.
    ("result-tuned-timeout.json", GAIN, golden()["predicate"]["phases"]["gain"], "Step 8"),
    ("result-tuned-timeout.json", f"{TUNED}.accuracy", 0.933, "Step 8"),
    ("result-tuned-timeout.json", f"{TUNED}.charge", 60.5, "Step 11"),
    ("result-tuned-timeout.json", f"{TUNED}.charge", 98, "Step 11"),
    ("result-tuned-timeout.json", "predicate.leakage_bits.tuned", 0.0, "Step 12"),
    ("result-baseline.json", GAIN, golden()["predicate"]["phases"]["gain"], "Step 8"),
    ("result-baseline.json", "predicate.leakage_bits.tuned", 39.0, "Step 12"),
    ("result-timeout.json", f"{SCORED}.charge", 101, "Step 11"),
    ("result-timeout.json", "predicate.leakage_bits.baseline", 0.0, "Step 12"),
    ("result-refused.json", f"{SCORED}.charge", 0, "Step 8"),
    ("result-refused.json", f"{SCORED}.rules", [], "Step 8"),
    ("result-refused.json", TUNED, FAILED, "Step 8"),
    ("result-refused.json", "predicate.leakage_bits.baseline", 39.0, "Step 12"),
    # A kept model has the one phase, and the name of the run that trained it.
    ("result-adapted.json", "predicate.phases.adapted", None, "Step 8"),
    ("result-adapted.json", SCORED, golden()["predicate"]["phases"]["baseline"], "Step 8"),
    ("result-adapted.json", SCORED, FAILED, "Step 8"),
    ("result-adapted.json", TUNED, None, "Step 8"),
    ("result-adapted.json", f"{TUNED}.accuracy", 0.934, "Step 9, counts"),
    ("result-adapted.json", f"{TUNED}.charge", 41.5, "Step 11"),
    ("result-adapted.json", "predicate.leakage_bits.baseline", 39.0, "Step 12"),
]


@pytest.mark.parametrize(("name", "path", "value", "step"), OTHERS)
def test_signed_nonsense_of_other_ends_is_found(
    name: str, path: str, value: object, step: str
) -> None:
    """Of a phase that failed, was refused, was not asked for, or was trained before."""
    statement = changed(golden(name), path, value)

    with pytest.raises(VerificationError, match=step):
        verify(signed(rfc8785.dumps(statement)), PUBLIC)


def test_a_kept_model_that_was_refused_verifies() -> None:
    """The one refusal in a second phase; with the bits of the slot alone."""
    statement = golden("result-adapted.json")
    predicate = statement["predicate"]
    predicate["phases"]["tuned"] = {"status": "REFUSED", "rules": ["EVA306"]}
    stated = predicate["leakage_bits"]
    predicate["leakage_bits"] = stated | {"tuned": 0, "run": stated["release"]}

    assert verify(signed(rfc8785.dumps(statement)), PUBLIC).result.predicate.phases.adapted


@pytest.mark.parametrize(("budget", "step"), [(0.3, 0.1), (1.1, 0.1), (4.35, 0.01)])
def test_charges_in_steps_that_floats_cannot_hold_verify(budget: float, step: float) -> None:
    """0.1 + 0.2 is 0.3 in petaflops, and 3 steps; a step more is beyond the budget."""
    statement = golden("result-tuned-timeout.json")
    predicate, micro = statement["predicate"], 1_000_000
    predicate["compute"] = predicate["compute"] | {"budget": budget, "step": step}
    unit, last = round(step * micro), round(budget * micro)
    phases = predicate["phases"]
    phases["baseline"]["charge"] = unit / micro
    phases["tuned"]["charge"] = (last - unit) / micro
    stated = LeakageBits.of(
        Phases.model_validate_json(json.dumps(phases)),
        About.model_validate_json(
            json.dumps({name: predicate[name] for name in About.model_fields})
        ),
        Account(0.0, 16_384),
    )
    predicate["leakage_bits"] = stated.model_dump()

    assert verify(signed(rfc8785.dumps(statement)), PUBLIC)
    phases["tuned"]["charge"] = last / micro
    with pytest.raises(VerificationError, match="Step 11"):
        verify(signed(rfc8785.dumps(statement)), PUBLIC)


def test_impossible_accuracy_is_found_without_class_sizes() -> None:
    """The size of the holdout alone rules out an accuracy between two of its counts."""
    statement = golden("result-scored-without-class-sizes.json")
    statement["predicate"]["phases"]["baseline"]["accuracy"] = 0.848

    with pytest.raises(VerificationError, match="Step 9, counts"):
        verify(signed(rfc8785.dumps(statement)), PUBLIC)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff", b"{", b'{"a":1e400}', b"[" * 100_000, b'{"a":NaN}', b"9" * 400],
    ids=["empty", "utf8", "cut", "infinite", "deep", "nan", "large"],
)
def test_signed_bytes_that_are_no_json_are_found(payload: bytes) -> None:
    """A signature over anything else is not a result."""
    with pytest.raises(VerificationError, match="Step 7"):
        verify(signed(payload), PUBLIC)


def test_signed_statement_in_another_spelling_is_found() -> None:
    """The same JSON with spaces would make two files of one result."""
    payload = json.dumps(golden(), sort_keys=True).encode()

    with pytest.raises(VerificationError, match="Step 7"):
        verify(signed(payload), PUBLIC)


leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
values = leaves | st.text(max_size=8) | st.lists(leaves, max_size=3)


@given(data=st.data(), value=values, name=st.sampled_from(NAMES))
def test_any_signed_value_is_refused_in_words(
    data: st.DataObject, value: object, name: str
) -> None:
    """Any JSON value anywhere in a signed statement: the result, or VerificationError alone."""
    statement = golden(name)
    place: Any = statement
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    try:
        payload = rfc8785.dumps(statement)
    except ValueError:
        return  # it cannot be written, so it cannot be signed

    try:
        verified = verify(signed(payload), PUBLIC)
    except VerificationError:
        return

    assert verified.result.payload() == payload
