"""The settings of a submitted image: what may stay, what is dropped, what is refused.

The engine merges an image's settings into every container, whatever the container is
created with. So only these survive: entry point, working directory, harmless variables.
"""

from __future__ import annotations

import platform
import re
from typing import Any

from evaluator.errors import Refused

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PLATFORM = ("linux", _ARCHITECTURES.get(platform.machine(), platform.machine()))

# Read by the dynamic loader or the C library before a program starts, and by the
# container runtime's own hooks: CVE-2025-23266 was an LD_PRELOAD.
_FORBIDDEN = re.compile(r"LD_(?!LIBRARY_PATH$)\w+|GCONV_PATH|MALLOC_\w+|GLIBC_TUNABLES")
_LIBRARY_PATH = re.compile(r"(/(usr|opt|lib|lib64)(/[\w.+-]+)*:?)*")
# Set by common base images and meant for a host's hooks or network; dropped in silence.
_DROPPED = re.compile(r"NVIDIA_\w+|CUDA_VERSION|\w+_proxy", re.IGNORECASE)
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,127})=([\x20-\x7e]{0,4096})")


def reduced(config: dict[str, Any], layers: int) -> dict[str, Any]:
    """The config that a submitted image runs with, for its number of layers.

    Refused says which rule its own config breaks; ValueError, KeyError or TypeError mean
    that it is no image config.
    """
    settings = config.get("config") or {}
    if len(config["rootfs"]["diff_ids"]) != layers:
        raise ValueError("layers and their digests differ in number")
    if not is_own_platform(config):
        raise wrong_platform()
    entrypoint = settings.get("Entrypoint")
    if not _strings(entrypoint):
        raise Refused(
            "EVA103",
            "the image has no ENTRYPOINT. It is started as `docker run IMAGE predict`, so the "
            'Dockerfile needs a line like ENTRYPOINT ["/predict"].',
        )
    return {
        "architecture": config["architecture"],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": config["rootfs"]["diff_ids"]},
        "config": {
            "Entrypoint": entrypoint,
            "Env": _variables(settings.get("Env") or []),
            "WorkingDir": _working_directory(settings.get("WorkingDir") or "/"),
        },
    }


def is_own_platform(platform: dict[str, Any] | None) -> bool:
    """Whether an image of this `os` and `architecture` runs here; None is any platform."""
    return platform is None or (platform["os"], platform["architecture"]) == _PLATFORM


def wrong_platform() -> Refused:
    """What to say of an image that is for no platform of this host."""
    return Refused("EVA104", f"the image must be built for {'/'.join(_PLATFORM)}.")


def _strings(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _variables(entries: list[str]) -> list[str]:
    kept = {}
    for entry in entries:
        match = _VARIABLE.fullmatch(entry)
        if not match:
            raise Refused("EVA105", "an ENV entry is no NAME=value of at most 4 KiB plain text.")
        name, value = match.groups()
        outside = name == "LD_LIBRARY_PATH" and not _LIBRARY_PATH.fullmatch(value)
        if _FORBIDDEN.fullmatch(name) or outside:
            raise Refused(
                "EVA105",
                "the image sets a variable that steers the dynamic loader or the C library (LD_*, "
                "GCONV_PATH, MALLOC_*, GLIBC_TUNABLES). Remove that ENV line; LD_LIBRARY_PATH may "
                "name directories under /usr, /opt and /lib.",
            )
        if not _DROPPED.fullmatch(name):
            kept[name] = value
    return [f"{name}={value}" for name, value in kept.items()]


def _working_directory(path: str) -> str:
    """A plain directory of the image's own: CVE-2024-21626 was a WORKDIR below /proc."""
    plain = re.fullmatch(r"(/[\w.-]+)*/?", path) and not {".", ".."} & set(path.split("/"))
    if not plain or re.match(r"/(proc|sys|dev|input|output|tmp)(/|$)", path):
        raise Refused("EVA107", "WORKDIR must be a plain absolute directory of the image itself.")
    return path
