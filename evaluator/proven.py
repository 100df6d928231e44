"""What a verification has proven, and what it has not, in sentences.

    sentences(verified)     for people
    document(verified)      for programs

The same sentences come from `evaluator verify` and from `python -m evaluator.verify`; below them
stand the lines of `evaluator.shell_lines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluator.kinds import ABORTED, RECEIVED, RESULT, WITHDRAWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from evaluator.verify import Verified

Json = dict[str, Any]


def sentences(verified: Verified) -> list[str]:
    """Return what was proven, and last what was not."""
    return [
        f"Verified: {verified.keyid} signed exactly these bytes.",
        *_SAYS.get(verified.kind, _statement)(verified),
        *_logged(verified),
        *_key(verified),
        *_missing(verified),
    ]


def document(verified: Verified) -> Json:
    """Return the same as JSON."""
    logged = verified.logged
    return {
        "verified": True,
        "keyid": verified.keyid,
        "key_valid_at": None if verified.valid_at is None else _time(verified.valid_at),
        "key_time_is_of_witnesses": verified.witnessed,
        "log": logged
        and {
            "origin": logged.origin,
            "index": logged.index,
            "size": logged.size,
            "root": logged.root.hex(),
            "leaf": verified.leaf.hex(),
            "witnesses": [{"name": name, "time": _time(at)} for name, at in logged.witnesses],
        },
        "statement": verified.statement,
    }


def _result(verified: Verified) -> Iterator[str]:
    predicate = verified.predicate
    dataset = predicate["dataset"]
    yield (
        f"It is about the submission with SHA-256 {_subject(verified)} of vendor "
        f"{predicate['vendor']}, on {dataset['holdout_tiles']} tiles of dataset version "
        f"{dataset['version']}."
    )
    yield from _figures(predicate)
    yield (
        "Every mean and interval in it follows from the published figures, and some predictions "
        "give those figures."
    )
    yield charge_line(predicate)
    yield leakage_line(predicate)
    yield _wall_line(predicate)
    yield (
        "That is: before the run, a probe image tried each technique on this host, behind the same "
        "settings, and none got through; residual risks are those that only the host can remove."
    )


def _figures(predicate: Json) -> Iterator[str]:
    for name, label in (("baseline", "As submitted"), ("tuned", "Fine-tuned")):
        phase = predicate["phases"][name]
        if phase is None:
            continue
        if phase["status"] != "OK":
            rules = ", ".join(phase.get("rules", ()))
            yield f"{label}: {phase['status']}{f' by {rules}' if rules else ''}."
            continue
        if phase["task"] == "regression":
            yield _errors(label, phase, predicate["dataset"]["unit"])
            continue
        low, high = phase["accuracy_interval"]
        yield (
            f"{label}: accuracy {_percent(phase['accuracy'])} (95 % interval {_percent(low)} to "
            f"{_percent(high)}), macro recall {_percent(phase['macro_recall'])}, accuracy on the "
            f"rare classes {_percent(phase['rare_accuracy'])}."
        )


def _errors(label: str, phase: Json, unit: str) -> str:
    low, high = phase["rmse_interval"]
    return (
        f"{label}: RMSE {phase['rmse']:g} {unit} (approximate 95 % interval {low:g} to {high:g}), "
        f"MAE {phase['mae']:g}, bias {phase['bias']:+g}, R2 {phase['r2']:g}, mean RMSE of the "
        f"classes {phase['macro_rmse']:g}."
    )


def _received(verified: Verified) -> Iterator[str]:
    said = verified.predicate
    adapted = f"the model of run {said['adapted']}"
    what = f"submission {said['number']}" if said["number"] else adapted
    yield (
        f"It is the receipt of {what} of vendor {said['vendor']}, with SHA-256 "
        f"{_subject(verified)}, received {said['received']}: it must end in a result or an abort."
    )


def _aborted(verified: Verified) -> Iterator[str]:
    said = verified.predicate
    yield (
        f"The submission of vendor {said['vendor']} that was received at entry {said['received']} "
        f"ended without a result ({said['reason']}): not by a fault of its own, and not charged."
    )


def _withdrawn(verified: Verified) -> Iterator[str]:
    said = verified.predicate
    yield (
        f"The owner has withdrawn the result of run {said['run']} of vendor {said['vendor']} at "
        f"entry {said['result']}. The owner's reason: {said['reason']}"
    )


def _statement(verified: Verified) -> Iterator[str]:
    yield f"It is a statement of type {verified.kind}."


_SAYS: dict[str, Callable[[Verified], Iterator[str]]] = {
    RESULT: _result,
    RECEIVED: _received,
    ABORTED: _aborted,
    WITHDRAWN: _withdrawn,
}


def _logged(verified: Verified) -> Iterator[str]:
    logged = verified.logged
    if logged is None:
        return
    yield (
        f"The log {logged.origin} has it as entry {logged.index}, counted from 0, of "
        f"{logged.size}, under root {logged.root.hex()}."
    )
    for name, at in logged.witnesses:
        yield f"Witness {name} had seen that log on {_words(at)}."


def _key(verified: Verified) -> Iterator[str]:
    if verified.valid_at is not None:
        whose = (
            "when its witnesses had seen it"
            if verified.witnessed
            else "the time that it states itself"
        )
        yield f"Its key was valid on {_words(verified.valid_at)}, {whose}."


def _missing(verified: Verified) -> Iterator[str]:
    """What nobody should read into this."""
    if verified.logged is None:
        yield (
            "Not proven: that the log has it, so that it could not be dropped or replaced. Its "
            ".tlog-proof proves that, with --proof and --trust."
        )
    elif not verified.logged.witnesses:
        yield (
            "Not proven: that everyone sees this same log, and when. No witness that you trust "
            "has cosigned it."
        )
    if verified.kind == RESULT:
        yield "Not proven: that it was not withdrawn since. The owner's published log says so."
    if verified.valid_at is None:
        yield "Not proven: that the key was valid at the time. The owner's trust.toml says when."
    elif not verified.witnessed:
        yield "Not proven: the time that it states. Whoever had the key could state another."


def charge_line(predicate: Json) -> str:
    """What was charged, in which steps and of which budget."""
    phases, compute = predicate["phases"], predicate["compute"]
    charged = {
        label: phases[name].get("charge", 0.0)
        for name, label in (("baseline", "baseline"), ("tuned", "fine-tuned"))
        if phases[name]
    }
    parts = ", ".join(f"{name} {charge:.6g} PF" for name, charge in charged.items())
    return (
        f"Charged: {parts}; in steps of {compute['step']:.6g} PF, of a budget of "
        f"{compute['budget']:.6g} PF. A CPU counts {compute['cpu_peak']:.3g} operations a second"
        + (f", a GPU {compute['gpu_peak']:.3g}." if compute["gpu_peak"] else ".")
    )


def leakage_line(predicate: Json) -> str:
    """How many bits about the data can have left with it, and with all results so far."""
    bits = predicate["leakage_bits"]
    return (
        f"It can carry at most {bits['run']:,} bits about the data, whatever the submission did; "
        f"all results of this data set so far {bits['dataset']:,}, of a budget of "
        f"{bits['budget']:,}."
    )


def _wall_line(predicate: Json) -> str:
    wall = predicate["sandbox"]["wall"]
    risks = ", ".join(wall["residual"]) or "none"
    return (
        f"wall  {wall['verdict']}: {len(wall['stopped'])} techniques stopped; "
        f"residual risks: {risks}."
    )


def _subject(verified: Verified) -> str:
    return str(verified.statement["subject"][0]["digest"]["sha256"])


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _words(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
