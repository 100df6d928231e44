"""Verify a result offline, with the owner's public key and nothing else.

verified = verify(bundle, public_key)     raises VerificationError, or returns the result
commands(bundle, public_key, submission)  the same check by tools that nobody here wrote
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from evaluator.bundle import PAYLOAD_TYPE, fingerprint, load_public_key, open_bundle
from evaluator.error_arithmetic import require_errors
from evaluator.errors import VerificationError
from evaluator.leakage import Account, total
from evaluator.petaflops import MICRO
from evaluator.predicate import (
    Gain,
    LeakageBits,
    Predicate,
    RefusedPhase,
    ScoredPhase,
    Steps,
    Submission,
)
from evaluator.result import PREDICATE_TYPE, Result
from evaluator.scoring import Grid, Holdout, Published, counts_of, difference

EMPTY_TRUSTED_ROOT = (
    '{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[],'
    '"certificateAuthorities":[],"ctlogs":[],"timestampAuthorities":[]}'
)
"""For cosign before 3.0.4, which otherwise asks a server for roots that a key makes needless."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A result whose every step held; `keyid` is the fingerprint of the key that signed it."""

    result: Result
    keyid: str
    payload: bytes


def verify(raw: bytes, public_key: bytes) -> Verified:
    """Return the result in the bundle `raw` if the PEM `public_key` signed it and it adds up.

    1 to 6. The bundle: see `evaluator.bundle.open_bundle`.
    7. The payload is RFC 8785: the one spelling of what it says.
    8. It is a result by docs/result.schema.json, and its lists of classes agree.
    9. The independent figures of each phase lie on the published grid, and some counts give them.
    10. Every other figure, intervals and gains included, follows from those.
    11. Charges are whole steps, together no more than the budget.
    12. The leakage bits of the run follow; those of the data set are what the ledger said.

    Raises VerificationError naming the step that failed.
    """
    key = load_public_key(public_key)
    # Steps 1 to 6
    payload = open_bundle(raw, key)
    # Step 7
    _require_canonical(payload)
    # Step 8
    result = _parse(payload)
    # Steps 9 and 10
    _require_figures(result.predicate)
    # Step 11
    _require_charges(result.predicate)
    # Step 12
    _require_leakage(result.predicate)
    return Verified(result, fingerprint(key), payload)


def _require_canonical(payload: bytes) -> None:
    try:
        canonical = rfc8785.dumps(json.loads(payload))
    except (ValueError, RecursionError) as error:
        raise VerificationError("Step 7, payload: what was signed is not strict JSON.") from error
    if canonical != payload:
        raise VerificationError("Step 7, payload: what was signed is not in RFC 8785 form.")


def _parse(payload: bytes) -> Result:
    try:
        return Result.parse(payload)
    except ValidationError as error:
        raise VerificationError(
            f"Step 8, schema: what was signed is not a result of type {PREDICATE_TYPE}. "
            "It may be another kind of statement, or from a later version of this program."
        ) from error


def _require_figures(predicate: Predicate) -> None:
    grid, holdout, phases = predicate.grid, predicate.dataset.holdout(), predicate.phases
    if not isinstance(grid, Steps):
        require_errors(predicate.model_dump(mode="json"), holdout)
        return
    steps = grid.grid()
    shares = [phase for phase in phases.all() if isinstance(phase, ScoredPhase)]
    figures = [_on_grid(phase, steps, holdout) for phase in shares]
    for phase, published in zip(shares, figures, strict=True):
        _require_possible(published, steps, holdout)
        if phase != ScoredPhase.of(published, steps, holdout, phase.charge):
            raise VerificationError(
                "Step 10, derived figures: a mean or an interval does not follow from the "
                "published figures."
            )
    if phases.gain and phases.gain != Gain.of(difference(figures[0], figures[1], steps, holdout)):
        raise VerificationError(
            "Step 10, derived figures: a gain does not follow from the figures of the two phases."
        )


def _require_charges(predicate: Predicate) -> None:
    compute = predicate.compute
    charges = [
        round(phase.charge * MICRO)
        for phase in predicate.phases.all()
        if not isinstance(phase, RefusedPhase)
    ]
    whole = all(charge % round(compute.step * MICRO) == 0 for charge in charges)
    if not whole or sum(charges) > round(compute.budget * MICRO):
        raise VerificationError(
            "Step 11, charges: a charge is no whole number of steps, or they pass the budget."
        )


def _on_grid(phase: ScoredPhase, grid: Grid, holdout: Holdout) -> Published:
    """Return the published figures as steps of the grid, which each of them must be."""
    if {*phase.recall} != {*holdout.classes}:
        raise VerificationError("Step 9, grid: the recalls are not one for each class.")
    recall = [phase.recall[name] for name in holdout.classes]
    return Published(
        accuracy=_steps(phase.accuracy, grid.accuracy),
        recall=tuple(_steps(value, grid.recall) for value in recall),
        rare_accuracy=_steps(phase.rare_accuracy, grid.rare_accuracy),
    )


def _steps(value: float, steps: int) -> int:
    step = round(value * steps)
    if step / steps != value:
        raise VerificationError("Step 9, grid: a figure is not a whole number of grid steps.")
    return step


def _require_possible(published: Published, grid: Grid, holdout: Holdout) -> None:
    """Require counts that give these figures: of all tiles, of each class, and of the sums.

    Without class sizes only the accuracy can be held to this.
    """
    everything = counts_of(published.accuracy, grid.accuracy, holdout.tiles)
    possible = bool(everything)
    if holdout.class_sizes is not None:
        pairs = zip(published.recall, holdout.class_sizes, strict=True)
        single = [counts_of(step, grid.recall, tiles) for step, tiles in pairs]
        rare_tiles = sum(holdout.class_sizes[index] for index in holdout.rare_indexes)
        together = counts_of(published.rare_accuracy, grid.rare_accuracy, rare_tiles)
        possible = _sum_meets(single, everything) and _sum_meets(
            [single[index] for index in holdout.rare_indexes], together
        )
    if not possible:
        raise VerificationError(
            "Step 9, counts: no predictions on a holdout of this size give these figures."
        )


def _sum_meets(parts: Sequence[range], whole: range) -> bool:
    """Whether one count from each of `parts` can add up to one in `whole`."""
    if not whole or not all(parts):
        return False
    low, high = sum(part[0] for part in parts), sum(part[-1] for part in parts)
    return low <= whole[-1] and whole[0] <= high


def _require_leakage(predicate: Predicate) -> None:
    """Require the run's bits to follow; of the sum over all runs only the ledger can know."""
    stated = predicate.leakage_bits
    before = Account(total(stated.dataset, -stated.run), stated.budget)
    if stated != LeakageBits.of(predicate.phases, predicate, before):
        raise VerificationError(
            "Step 12, leakage: the bits stated do not follow from the grid, the holdout and the "
            "release slots."
        )


def commands(bundle: Path, public_key: Path, submission: Submission) -> list[str]:
    """Return shell commands, ready to paste, that check the signature without this program.

    First openssl with jq; then cosign before and since 3.0.4, which also compare the subject
    with a file of those bytes: the submission as handed in, or the image's manifest or config.
    All of them say who signed; only step 7 onwards says that the figures add up. Raises
    VerificationError where the key is no key, OSError where it cannot be read.
    """
    key = load_public_key(public_key.read_bytes())
    file, pem = shlex.quote(str(bundle)), shlex.quote(str(public_key))
    as_handed_in = "model.onnx" if submission.kind == "onnx" else "image.tar"
    blob = as_handed_in if submission.digest_of == "file" else f"{submission.digest_of}.json"
    openssl = (
        "openssl pkeyutl -verify -pubin -inkey {} -rawin -in pae -sigfile sig"
        if isinstance(key, Ed25519PublicKey)
        else "openssl dgst -sha256 -verify {} -signature sig pae"
    )
    cosign = (
        f"cosign verify-blob-attestation --key {pem} --bundle {file} --type {PREDICATE_TYPE} "
        "--insecure-ignore-tlog=true"
    )
    length = '"$(wc -c < payload)"'
    return [
        "# openssl and jq: the signature, over DSSE's pre-authentication encoding",
        f"jq -rj .dsseEnvelope.payload {file} | base64 -d > payload",
        f"jq -rj '.dsseEnvelope.signatures[0].sig' {file} | base64 -d > sig",
        f"printf 'DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} %d ' {length} | cat - payload > pae",
        openssl.format(pem),
        f"# cosign before 3.0.4: the signature, and that {blob} is the subject",
        f"printf '%s' {shlex.quote(EMPTY_TRUSTED_ROOT)} > empty-root.json",
        f"{cosign} --new-bundle-format --trusted-root empty-root.json {blob}",
        "# cosign 3.0.4 or later: the same",
        f"{cosign} {blob}",
    ]
