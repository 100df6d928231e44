"""The parent of `worker`: it starts the child, waits no longer than it must, and believes nothing.

What the child says is a place in the spool and a few settings, as untrusted as the bytes
it read: layers are hashed here, and settings go through the same allow-list again.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluator.image_settings import reduced
from evaluator.intake.handed import Handed  # noqa: TC001 - pydantic reads it
from evaluator.intake.pieces import Layer
from evaluator.intake.refusals import Incomplete, refused
from evaluator.intake.worker import Request, most_written
from sandbox import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluator.admission_policy import ImageRules
    from evaluator.errors import Refused

_UIDS = range(3_000_000, 4_000_000)  # no account's, and none of a run's
_MAX_REPORT = 4 * 2**20  # bytes; the settings come from a document of at most this
_SECONDS = 600  # for any image, and one more for each of these many bytes
_BYTES_A_SECOND = 2**22
# This very program: its path may lead through a directory that only another user enters.
_PYTHON = "/proc/self/exe"
_START_SECONDS = 60  # on a busy host
_LAST_SECONDS = 5  # between the end of a report and the end of the child
_RULES = frozenset(f"EVA{number}" for span in (range(101, 110), range(201, 210)) for number in span)
_Number = Annotated[int, Field(ge=0)]


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Refusal(_Report):
    rule: str
    incomplete: bool


class _Trouble(_Report):
    errno: Annotated[int, Field(ge=1, le=133)]


class _Settings(_Report):
    Entrypoint: list[str]
    Env: list[str]
    WorkingDir: str


class _Rebuilt(_Report):
    settings: _Settings
    layers: list[list[Annotated[list[_Number], Field(min_length=3, max_length=3)]]]
    handed: Handed | None = None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Layers as plain tars, to be read while `unpacked` lasts, and settings.

    `settings` are the `config` part of an image config, reduced to what may stay; `handed` is what
    a rehearsal is told of the image, where it asked.
    """

    layers: tuple[Layer, ...]
    settings: dict[str, Any]
    handed: Handed | None = None


@contextmanager
def unpacked(
    archive: Path, scratch: Path, rules: ImageRules, *, marks: bool = False
) -> Iterator[Unpacked]:
    """Have a child read `archive` and write its layers anew into a spool in `scratch`.

    With `marks` it is also asked what `handed.image_facts` tells of the image.
    Raises Refused with the rule that the image breaks, EVA109 where the child died of it;
    SandboxError where the disk has no room. The spool is gone at the end.
    """
    path = scratch / "layers"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    path.unlink()  # it has no name, so nothing can be left of it
    with os.fdopen(descriptor, "r+b") as spool, archive.open("rb") as source:
        report = _parsed(_run(source, spool, rules, marks=marks))
        if marks != (report.handed is not None):
            raise refused("EVA109")
        yield _believed(report, (spool.fileno(), source.fileno()), rules)


def _run(source: BinaryIO, spool: BinaryIO, rules: ImageRules, *, marks: bool) -> bytes:
    """The child's report, or nothing where it died, said too much or took too long."""
    size = os.fstat(source.fileno()).st_size
    request = Request(
        parent=os.getpid(),
        uid=secrets.choice(_UIDS) if os.geteuid() == 0 else 0,
        spool=spool.fileno(),
        seconds=_SECONDS + size // _BYTES_A_SECOND,
        marks=marks,
        **rules.model_dump(exclude={"kept"}),
    )
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "evaluator.intake.worker", json.dumps(asdict(request))],
        executable=_PYTHON,
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # its words are nobody's
        pass_fds=[spool.fileno()],
        env={"LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,  # a Ctrl-C is for this process, which then ends the child
    )
    try:
        _require_start(process)
        report = _read(process, time.monotonic() + request.seconds)
        return report if report and process.wait(timeout=_LAST_SECONDS) == 0 else b""
    except subprocess.TimeoutExpired:
        return b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it could not fork; this costs nothing
        process.wait()


def _require_start(process: subprocess.Popen[bytes]) -> None:
    """Wait for the byte that the child writes once it is confined and has met nothing hostile."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    ready, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
    if not ready or os.read(process.stdout.fileno(), 1) != b" ":
        raise SandboxError(
            "The process that reads images did not start, so nothing was run. It needs this "
            "program's Python to be readable by every user of the host, and 1 GiB of memory."
        )


def _read(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What the child writes until it closes its pipe; nothing where it is too much or too late."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    report = b""
    with process.stdout as pipe:
        while len(report) <= _MAX_REPORT:
            ready, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return b""
            chunk = os.read(pipe.fileno(), 2**16)
            if not chunk:
                return report
            report += chunk
    return b""


def _parsed(report: bytes) -> _Rebuilt:
    """The report on an image that may stay; Refused or SandboxError for another."""
    try:
        document = json.loads(report)
        if "errno" in document:
            trouble = _Trouble.model_validate(document)
            raise SandboxError(
                "The image cannot be unpacked in the workspace's tmp directory: "
                f"{os.strerror(trouble.errno)}. It needs room for the whole image twice."
            )
        if "rule" in document:
            raise _refusal(_Refusal.model_validate(document))
        return _Rebuilt.model_validate(document)
    except (ValueError, TypeError, RecursionError, ValidationError) as error:
        raise refused("EVA109") from error


def _refusal(said: _Refusal) -> Refused:
    if said.rule not in _RULES:
        return refused("EVA109")
    return Incomplete() if said.incomplete else refused(said.rule)


def _believed(report: _Rebuilt, files: tuple[int, int], rules: ImageRules) -> Unpacked:
    """What of a report can be true of these files, with settings that went through our own list."""
    ends = dict(enumerate(os.fstat(file).st_size for file in files))
    pieces = [piece for layer in report.layers for piece in layer]
    inside = all(start + size <= ends.get(file, -1) for file, start, size in pieces)
    small = sum(size for _, _, size in pieces) <= most_written(rules.unpacked_bytes)
    if not (inside and small and 0 < len(report.layers) <= rules.layers):
        raise refused("EVA109")
    settings = reduced(report.settings.model_dump())
    layers = (tuple((file, at, size) for file, at, size in layer) for layer in report.layers)
    return Unpacked(tuple(Layer(files, layer) for layer in layers), settings, report.handed)
