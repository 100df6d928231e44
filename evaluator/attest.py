"""A signed verdict: in-toto's own test-result predicate, in a bundle like that of a result.

https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md, version 0.1. It is
the vendor's word, signed by the vendor's key: that these rules were asked of this submission under
this challenge, and what came of it. It proves nothing to a data owner, who runs it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rfc8785

from evaluator.reports.shared import title
from evaluator.signing import sign

if TYPE_CHECKING:
    from evaluator.lint.rule import Severity
    from evaluator.lint.verdict import Verdict
    from evaluator.signing import Signer

PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"


def attested(verdict: Verdict, signer: Signer) -> bytes:
    """Return the bundle of a verdict; its bytes depend on nothing but the verdict and the key."""
    return sign(rfc8785.dumps(statement(verdict)), signer)


def statement(verdict: Verdict) -> dict[str, Any]:
    """Return the in-toto statement of a verdict; waived findings count as warnings."""
    warned = _titles(verdict, "warning") | {
        title(found.rule) for found in verdict.findings if found.waiver
    }
    failed = _titles(verdict, "error")
    passed = {title(rule) for rule in verdict.passed} | _titles(verdict, "note")
    challenge = verdict.facts.challenge
    policies = challenge.policies
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "submission", "digest": {"sha256": verdict.facts.digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": verdict.result,
            "configuration": [
                _descriptor("challenge.json", challenge.sha256),
                _descriptor("policies/sandbox.toml", policies.sandbox.sha256),
                _descriptor("policies/admission.toml", policies.admission.sha256),
            ],
            "passedTests": sorted(passed - warned - failed),
            "warnedTests": sorted(warned - failed),
            "failedTests": sorted(failed),
        },
    }


def _titles(verdict: Verdict, severity: Severity) -> set[str]:
    return {title(found.rule) for found in verdict.open if found.rule.severity == severity}


def _descriptor(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}
