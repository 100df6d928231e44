"""What was measured on: everything that a time hangs on, and nothing that names the machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import sandbox
from evaluator.calibration import cpu_model

ROOT = Path(__file__).parents[1]
MEASURED = ("evaluator", "sandbox", "images", "benchmarks", ":!benchmarks/results.json")
LIBRARIES = ("onnxruntime", "numpy", "scikit-learn", "pillow", "tifffile")
OTHERS = ("torch", "timm", "onnxruntime", "numpy")
_VERSIONS = (
    "import importlib.metadata as m, platform, sys;"
    "print(platform.python_version(), *(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
)


def describe(python: str | None) -> dict[str, str]:
    """Return what the machine is, by names for a table; `python` is the one with torch."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    libraries = ", ".join(filter(None, map(_library, LIBRARIES)))
    found = {
        "Processor": f"{cpu_model()}, {len(os.sched_getaffinity(0))} CPUs",
        "Memory": f"{memory / 2**30:.1f} GiB",
        "System": f"{system}, Linux {platform.release()}",
        **_engine(),
        "Python": f"{platform.python_version()}, {libraries}",
    }
    if python:
        command = [python, "-c", _VERSIONS, *OTHERS]
        found["Python of the loops with torch"] = _said(command)
    return found


def commit() -> str:
    """Return the commit that is measured, and whether anything is changed in it."""
    head = _said(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _said(["git", "-C", str(ROOT), "status", "--porcelain", "--", *MEASURED])
    return head + (" with changes" if changed else "") if head else "not known"


def load() -> float:
    """Return how many processes wanted a CPU in the last minute, on average; ours among them."""
    return round(os.getloadavg()[0], 1)


def busy(seconds: float) -> float:
    """Return the share of the CPUs that is used while we do nothing for some seconds."""
    before = _ticks()
    time.sleep(seconds)
    idle, total = (then - now for now, then in zip(before, _ticks(), strict=True))
    return round(1 - idle / max(total, 1), 2)


def _ticks() -> tuple[int, int]:
    """Of all CPUs since the start: idle or waiting for a disk, and in all."""
    with Path("/proc/stat").open() as file:
        user, nice, system, idle, wait, *interrupts = map(int, file.readline().split()[1:9])
    return idle + wait, user + nice + system + idle + wait + sum(interrupts)


def runtimes() -> list[str]:
    """Return the runtimes that the engine has; none where there is no engine."""
    try:
        return sorted(sandbox.connect().info()["Runtimes"])
    except sandbox.SandboxError:
        return []


def _engine() -> dict[str, str]:
    try:
        client = sandbox.connect()
    except sandbox.SandboxError:
        return {"Engine": "none"}
    about, info = client.version(), client.info()
    words = (f"Docker {about['Version']}", info["Driver"], f"cgroup v{info['CgroupVersion']}")
    return {"Engine": ", ".join(words), "Runtimes": ", ".join(_runtimes(about, info))}


def _runtimes(about: dict[str, Any], info: dict[str, Any]) -> list[str]:
    """The versions of runc and runsc; runc's is the engine's own word."""
    found = [f"runc {each['Version']}" for each in about["Components"] if each["Name"] == "runc"]
    if "runsc" in info["Runtimes"]:
        asked = info["Runtimes"]["runsc"]
        words = _said([asked["path"], "--version"]).splitlines()
        options = [word for word in asked.get("runtimeArgs") or [] if "platform" in word]
        found.append(" ".join([words[0].replace("version ", "") if words else "runsc", *options]))
    return found


def _library(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""


def _said(command: list[str]) -> str:
    """What a command printed; nothing where it is not there or failed."""
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
