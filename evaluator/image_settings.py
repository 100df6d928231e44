"""The settings of a submitted image: what may stay, what is dropped, what is refused.

The engine merges an image's settings into every container, whatever the container is
created with. So only these survive: entry point, working directory, harmless variables.
"""

from __future__ import annotations

import platform
import re
from typing import Any

from evaluator.intake.refusals import refused

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ARCHITECTURE = _ARCHITECTURES.get(platform.machine(), platform.machine())

# Read by the dynamic loader or the C library before a program starts, and by the
# container runtime's own hooks: CVE-2025-23266 was an LD_PRELOAD.
_FORBIDDEN = re.compile(r"LD_(?!LIBRARY_PATH$)\w+|GCONV_PATH|MALLOC_\w+|GLIBC_TUNABLES")
_LIBRARY_PATH = re.compile(r"(/(usr|opt|lib|lib64)(/[\w.+-]+)*:?)*")
# Set by common base images and meant for a host's hooks or network; dropped in silence.
_DROPPED = re.compile(r"NVIDIA_\w+|CUDA_VERSION|\w+_proxy", re.IGNORECASE)
_NO_ARGUMENT = re.compile("[\0\ud800-\udfff]")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})=([\x20-\x7e]{0,4096})")


def reduced(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a submitted image runs with, from the `config` part of its config.

    What comes out stays the same when it is put in again. Refused says which rule the settings
    break; ValueError, KeyError or TypeError mean that they are none.
    """
    entrypoint = settings.get("Entrypoint")
    if not _strings(entrypoint):
        raise refused("EVA103")
    return {
        "Entrypoint": entrypoint,
        "Env": _variables(settings.get("Env") or []),
        "WorkingDir": _working_directory(settings.get("WorkingDir") or "/"),
    }


def is_own_platform(platform: dict[str, Any] | None) -> bool:
    """Whether an image of this `os` and `architecture` runs here; None is any platform."""
    return platform is None or (platform["os"], platform["architecture"]) == ("linux", ARCHITECTURE)


def _strings(value: object) -> bool:
    """A list of what a program can be given as arguments."""
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(v, str) and not _NO_ARGUMENT.search(v) for v in value)


def _variables(entries: list[str]) -> list[str]:
    kept = {}
    for entry in entries:
        match = _VARIABLE.fullmatch(entry)
        if not match:
            raise refused("EVA105")
        name, value = match.groups()
        outside = name == "LD_LIBRARY_PATH" and not _LIBRARY_PATH.fullmatch(value)
        if _FORBIDDEN.fullmatch(name) or outside:
            raise refused("EVA105")
        if not _DROPPED.fullmatch(name):
            kept[name] = value
    return [f"{name}={value}" for name, value in kept.items()]


def _working_directory(path: str) -> str:
    """A plain directory of the image's own: CVE-2024-21626 was a WORKDIR below /proc."""
    plain = re.fullmatch(r"(/[\w.-]+)*/?", path) and not {".", ".."} & set(path.split("/"))
    if not plain or re.match(r"/(proc|sys|dev|input|output|tmp)(/|$)", path):
        raise refused("EVA107")
    return path
