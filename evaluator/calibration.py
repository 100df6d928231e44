"""What a second of a busy device is worth, so that a charge in petaflops means something.

    petaflops = (busy CPU seconds x peak of one CPU + busy GPU seconds x peak of a GPU) / 1e15

Peaks are operations a second. That of one CPU is measured once per host: the best of many products
of two single-precision matrices on one thread, per second of CPU time, rounded to three figures.
That of a GPU is what its maker states (devices.toml), or `gpu_peak_flops` of evaluator.toml. So a
charge is what the devices could have done in the time that they were held, not what a program made
of it; no program reaches a peak.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from evaluator.errors import OwnerError
from evaluator.files import write_new

if TYPE_CHECKING:
    from collections.abc import Callable

PETA = 1e15
_CPUINFO = Path("/proc/cpuinfo")
_ONE_THREAD = {
    f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL", "BLIS", "VECLIB")
}
# CPU time and not the clock's: another program of the host may take its turn meanwhile.
_PYTHON = "/proc/self/exe"  # this very one: its path may lie where this user cannot go any more
_PROGRAM = """
import time, numpy
size = 1024
random = numpy.random.default_rng(0)
a, b = (random.random((size, size), numpy.float32) for _ in range(2))
best, rounds, end = float("inf"), 0, time.monotonic() + 3
while rounds < 10 or time.monotonic() < end:
    before = time.process_time()
    a @ b
    best, rounds = min(best, time.process_time() - before), rounds + 1
print(2 * size**3 / best)
"""
# After a name of the table these words make it another GPU.
_VARIANTS = r"(?:Ti|SUPER|D|Laptop|Mobile|Max-Q)"


@dataclass(frozen=True, slots=True)
class Peaks:
    """Operations a second of one CPU and one GPU, and whose they are; 0 and "" without a GPU."""

    cpu: float
    gpu: float
    cpu_model: str
    gpu_model: str


def load_or_measure(
    path: Path,
    gpus: tuple[str, ...],
    gpu_peak_flops: float,
    say: Callable[[str], None],
    *,
    again: bool = False,
) -> Peaks:
    """The peaks of this host; the CPU's is measured where `path` has none for it, or `again`.

    `gpus` are the devices of a run, and `gpu_peak_flops` the owner's own figure for them, 0 to look
    it up. Raises OwnerError for a GPU that no table knows, SandboxError where nothing can be read:
    a GPU that cannot be metered is told here, before anything of a run.
    """
    gpu, gpu_model = _gpu_peak(gpus, gpu_peak_flops)
    known = _read(path)
    cpu = None if again else known.get(host())
    if cpu is None:
        say("Measuring the peak of one CPU, once for this host ...")
        cpu = measure()
        _write(path, {**known, host(): cpu})
    return Peaks(cpu, gpu, cpu_model(), gpu_model)


def known_peak(path: Path) -> float | None:
    """The peak of one CPU of this host where it was measured before."""
    return _read(path).get(host())


def measure() -> float:
    """The operations a second of one CPU at its best, in about three seconds."""
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-c", _PROGRAM],
            executable=_PYTHON,
            env={**os.environ, **_ONE_THREAD},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        peak = float(ended.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise sandbox.SandboxError(
            "The peak of a CPU could not be measured: the program that multiplies matrices failed. "
            "See that numpy works here (python -c 'import numpy')."
        ) from error
    if not _is_peak(peak):
        raise sandbox.SandboxError("The peak of a CPU could not be measured: its clock stands.")
    return float(f"{peak:.3g}")


def host() -> str:
    """What the measured peak depends on: the CPU, and how many the kernel has."""
    return f"{cpu_model()} x {os.cpu_count()}"


def cpu_model() -> str:
    """The CPU as the kernel names it."""
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        lines = []
    fields = (line.partition(":") for line in lines)
    named = (value.strip() for key, _, value in fields if key.strip() == "model name")
    return next(named, platform.processor() or platform.machine())


def gpu_peak(model: str) -> float:
    """The table's figure for a GPU, by what its driver calls it; OwnerError where there is none."""
    fitting = [
        (len(name), peak)
        for name, peak in _table().items()
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w| {_VARIANTS}\b)", model, re.IGNORECASE)
    ]
    if not fitting:
        raise OwnerError(
            f"What the GPU {model!r} can do is in no table of this program. Set gpu_peak_flops "
            "under [resources] in evaluator.toml to the operations a second that its maker states "
            "for dense half-precision products (165.2e12, say)."
        )
    return max(fitting)[1]


def _gpu_peak(gpus: tuple[str, ...], own_figure: float) -> tuple[float, str]:
    """The peak of one GPU of a run (of the fastest, where they differ), and the models."""
    if not gpus:
        return 0.0, ""
    models = sorted(set(sandbox.gpu_models(gpus)))  # raises for one that cannot be metered
    if own_figure:
        return own_figure, f"{', '.join(models)}, as gpu_peak_flops says"
    return max(map(gpu_peak, models)), ", ".join(models)


def _table() -> dict[str, float]:
    text = (resources.files("evaluator") / "devices.toml").read_text()
    return {row["name"]: float(row["peak"]) for row in tomllib.loads(text)["gpu"]}


def _is_peak(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value > 0


def _read(path: Path) -> dict[str, float]:
    """What was measured before; a file that is not as it must be counts as none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    return {name: peak for name, peak in document.items() if _is_peak(peak)}


def _write(path: Path, peaks: dict[str, float]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    write_new(part, json.dumps(peaks, indent=1).encode(), 0o600)
    part.replace(path)
