"""What `evaluator key show` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.tables import show

if TYPE_CHECKING:
    from datetime import datetime

    from evaluator.trust import Trust


def print_keys(trust: Trust) -> None:
    """Each key of results and when it was valid; the log, and its witnesses."""
    for key in trust.keys:
        until = f"until {_text(key.not_after)}" if key.not_after else "still in use"
        stolen = f", in other hands since {_text(key.compromised)}" if key.compromised else ""
        show(f"{key.keyid}  from {_text(key.not_before)}, {until}{stolen}")
    show(f"Log: {trust.log}", *(f"Witness: {witness}" for witness in trust.witnesses))


def keys_document(trust: Trust) -> dict[str, Any]:
    """`evaluator key show --json`."""
    return {
        "log": str(trust.log),
        "witnesses": [str(witness) for witness in trust.witnesses],
        "quorum": trust.quorum,
        "keys": [
            {
                "keyid": key.keyid,
                "pem": key.pem.decode(),
                "not_before": _text(key.not_before),
                "not_after": _text(key.not_after),
                "compromised": _text(key.compromised),
            }
            for key in trust.keys
        ],
    }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%SZ")
