"""The model rows in the open: naive readers in place of the check, and the check without a wall."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evaluator.attacks.forged_models import FORGED_MODELS, SECRET_BYTES, expected
from evaluator.attacks.model_tries import SECONDS
from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import admitted, hasty, stand_in_job
from evaluator.errors import Refused, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Outcome, Spec

READER = Path(__file__).with_name("naive_reader.py")
SECRET = b"SECRET OF A HOST"
MIB = 2**20


@dataclass(frozen=True)
class Read:
    """What a reader printed, whether it ended at all, and its peak memory in bytes."""

    printed: str
    ended: bool
    memory: int

    @property
    def found(self) -> dict[str, object]:
        """Its last line; nothing where it failed."""
        with suppress(ValueError, IndexError):
            return dict(json.loads(self.printed.splitlines()[-1]))
        return {}


def read(reader: str, model: Path) -> Read:
    """Have a naive reader read a model, for a few seconds."""
    environment = {"SECRET OF A HOST": "", **os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            [sys.executable, str(READER), reader, str(model)],
            stdout=printed,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS["runc"])
        ended = process.poll() is not None
        memory = 0 if ended else _memory(process.pid)
        process.kill()
        process.wait()
        printed.seek(0)
        return Read(printed.read(), ended, memory)


def _memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024


def naively(reader: str, shown: Callable[[Read], bool]) -> OpenTry:
    """A try that succeeds where a naive reader shows it; behind a control, the check it is for."""

    def try_it(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
        if control is not None:
            return checked(row, bench)
        with tempfile.TemporaryDirectory() as folder:
            model = laid_out(Path(folder), FORGED_MODELS[row.id]())
            return Tried(row, "succeeds" if shown(read(reader, model)) else "blocked")

    return try_it


def laid_out(folder: Path, model: bytes) -> Path:
    """A model among files that are none of its business, as its names would have them."""
    etc, home = folder / "etc", folder / "home" / "vendor"
    for path in (etc, home):
        path.mkdir(parents=True)
    (etc / "passwd").write_bytes(SECRET)
    (home / "link").symlink_to(etc / "passwd")
    (home / "linked").symlink_to(etc)
    (home / "weights.bin").hardlink_to(etc / "passwd")
    (home / "model.onnx").write_bytes(model)
    return home / "model.onnx"


@dataclass(frozen=True, slots=True)
class OpenSteps:
    """The steps of a run, each started as the bench does; `outputs` are what they wrote."""

    start: Callable[[Spec, Path], Outcome]
    scratch: Path
    outputs: list[bytes]

    def prepare(self, holder: Spec, size: int) -> AbstractContextManager[None]:
        """No model is trained here."""
        raise NotImplementedError

    def run(self, spec: Spec) -> Outcome:
        """Start it in the open."""
        outcome = self.start(spec, self.scratch)
        self.outputs.append(outcome.output)
        return outcome


def checked(row: Attack, bench: Bench) -> Tried:
    """Let our runner check it in an open container that has the one control of the row."""
    why = expected[row.id]
    limits = hasty(bench.limits, SECONDS[bench.runtime]) if why == "TIMEOUT" else bench.limits
    assert bench.start is not None
    job, outputs = stand_in_job(bench, limits), list[bytes]()
    steps = OpenSteps(bench.start, job.scratch, outputs)
    try:
        with admitted(FORGED_MODELS[row.id](), "onnx", job, steps):
            return Tried(row, "succeeds")
    except SubmissionError as failure:
        if why.startswith("EVA"):
            stopped = isinstance(failure, Refused) and failure.rule == why
        else:  # killed before it could answer
            stopped = outputs == [b""]
        return Tried(row, "blocked" if stopped else "unknown")


def answers(content: bytes) -> Callable[[Read], bool]:
    """The model's answer is what another file holds."""
    return lambda end: end.found.get("answer") == content[:SECRET_BYTES].hex()


def loads(end: Read) -> bool:
    """It is loaded and run at all."""
    return bool(end.found)


def metadata(end: Read) -> list[str]:
    """Names and values of a model's metadata, as they would be printed."""
    entries = end.found["metadata"]
    assert isinstance(entries, dict)
    return [*entries.keys(), *entries.values()]


JOINED = {
    "mdl-ext-dotdot": SECRET,
    "mdl-ext-abs": Path("/etc/passwd").read_bytes(),
    "mdl-ext-symlink": SECRET,
    "mdl-ext-dirsymlink": SECRET,
    "mdl-ext-proc": SECRET,  # of the reader's own environment
}
LOADED = (
    "mdl-custom-op",
    "mdl-epcontext",
    "mdl-proto-nest",
    "mdl-ort-format",
    "mdl-ext-memory",
    "mdl-function-cycle",
)
OPEN: dict[str, OpenTry] = {
    **{name: naively("join", answers(content)) for name, content in JOINED.items()},
    "mdl-ext-hardlink": naively("onnxruntime", answers(SECRET)),
    **{name: naively("onnxruntime", loads) for name in LOADED},
    "mdl-mem-bomb": naively("onnxruntime", lambda end: end.memory > 600 * MIB),
    "mdl-loop": naively("onnxruntime", lambda end: not end.ended),
    "mdl-function-bomb": naively("onnxruntime", lambda end: not end.ended),
    "mdl-ansi": naively("onnxruntime", lambda end: "\x1b" in "".join(metadata(end))),
    "mdl-npy-pickle": naively("numpy", lambda end: "owned" in end.printed),
    "mdl-npy-header": naively("numpy", loads),
}
