"""What was seen of the wall before a run: the sentence that goes into its signed result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["SEALED", "UNSEALED", "UNKNOWN"]


@dataclass(frozen=True, slots=True)
class Proof:
    """The verdict of the probe on this very engine, runtime, kernel and policy.

    `probe` is the local id of the probe image, `stopped` the ids of the techniques that it tried
    and that were stopped, `residual` the ids of the risks that only the host can take away.
    """

    verdict: Verdict
    probe: str
    stopped: tuple[str, ...]
    residual: tuple[str, ...]
