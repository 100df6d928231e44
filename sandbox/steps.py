"""The steps of a run that touch the machine: all that another engine would have to do as well.

Labels, scores, the ledger and keys are on this side of it, images and containers on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.model import held_model
from sandbox.run import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sandbox.frames import Frame
    from sandbox.logs import Log
    from sandbox.spec import Outcome, Spec


@dataclass(frozen=True, slots=True)
class Steps:
    """This host's Docker engine.

    `frames` shows what our own trainer reports, `charged` the operations that any container has
    used so far. `log` is for rehearsals: the verb of each step, and what it printed.
    """

    scratch: Path
    seccomp: str
    frames: Callable[[Frame], None] | None = None
    charged: Callable[[float], None] | None = None
    log: Log | None = None

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        """A place of at most `size` bytes for the run's model, for as long as the block lasts."""
        return held_model(holder, size, self.seccomp)

    def run(self, spec: Spec) -> Outcome:
        """Run one step to its end."""
        return run(spec, self.scratch, self.seccomp, self.frames, self.charged, self.log)
