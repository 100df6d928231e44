"""A model is loaded once: what has checked it waits, and gets the tiles when the host says so.

A check of a model by our own program meets no tile, and what it says decides whether the model may
meet any. That both were containers cost each run a second start of Python, of onnxruntime and of
the model. Here it is one container, which has no tile until the host has read what it says: its
/input is a folder of the host's, and the tiles are linked into that folder after the check.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox.run import Container, contained
from sandbox.spec import Mount, Outcome, Spec, Status

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from sandbox.steps import Steps

_INPUT = "/input"
_VERB = "check predict"  # what our program is told: it waits for tiles.npy in between


@dataclass
class ResidentSteps:
    """Steps of one run, in which a Spec that `waits` goes on as the prediction that follows it.

    A context manager: a container that still waits when the block is left is removed.
    """

    steps: Steps
    _open: ExitStack = field(default_factory=ExitStack)
    _waiting: Container | None = None

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing that waits."""
        self._open.__exit__(kind, error, trace)

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        """As the steps themselves do."""
        return self.steps.prepare(holder, size)

    def run(self, spec: Spec) -> Outcome:
        """Run one step to its end; of one that waits, to its answer."""
        if spec.waits:
            return self._check(spec)
        waiting, self._waiting = self._waiting, None
        if waiting and _same(waiting.spec, spec):
            return self._go_on(waiting, spec)
        self._open.close()  # two containers of a run are never there at a time
        return self.steps.run(spec)

    def _check(self, spec: Spec) -> Outcome:
        """The answer of a program of ours, which then waits; or how it ended without one."""
        inside, beside = _divided(spec)
        self._folder.mkdir(mode=0o755)
        self._folder.chmod(0o755)  # past the umask; the directory around it is 0700
        for each in inside:
            self._give(each)
        asked = replace(spec, verb=_VERB, inputs=(Mount(self._folder, _INPUT), *beside))
        steps = self.steps
        container = self._open.enter_context(
            contained(asked, steps.scratch, steps.seccomp, charged=steps.charged)
        )
        container.start()
        answer = container.answer(spec.output_size, spec.limits.seconds)
        if answer is None:
            return container.outcome(spec.limits.seconds, spec.output_size)
        self._waiting = container
        return Outcome(Status.OK, answer, None, 0.0)

    def _go_on(self, container: Container, spec: Spec) -> Outcome:
        """Let it have what it has not had yet, and wait for its end."""
        inside, _ = _divided(spec)
        for each in inside:
            if not self._place(each).exists():
                self._give(each)
        container.meter.allow(spec.allowance)
        return container.outcome(spec.limits.seconds, spec.output_size)

    @property
    def _folder(self) -> Path:
        return self.steps.scratch / "input"

    def _place(self, mount: Mount) -> Path:
        return self._folder / Path(mount.target).name

    def _give(self, mount: Mount) -> None:
        """A second name for the file, or a copy where the two are on different file systems."""
        try:
            os.link(mount.source, self._place(mount))
        except OSError:
            part = self._place(mount).with_suffix(".part")
            shutil.copyfile(mount.source, part)
            part.chmod(0o444)
            part.rename(self._place(mount))


def _divided(spec: Spec) -> tuple[list[Mount], list[Mount]]:
    """The files directly in /input, and the others."""
    inside = [m for m in spec.inputs if str(Path(m.target).parent) == _INPUT]
    return inside, [m for m in spec.inputs if m not in inside]


def _same(waiting: Spec, spec: Spec) -> bool:
    """Whether a prediction is the one that a container waits for: same wall, same files beside."""
    folder, *_ = waiting.inputs
    _, others = _divided(spec)
    as_waiting = replace(
        spec,
        verb=waiting.verb,
        inputs=(folder, *others),
        output_size=waiting.output_size,
        limits=replace(spec.limits, seconds=waiting.limits.seconds),
        allowance=replace(spec.allowance, operations=waiting.allowance.operations),
        waits=True,
    )
    return as_waiting == waiting
