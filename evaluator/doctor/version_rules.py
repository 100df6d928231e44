"""Versions with known holes. A distribution may have closed them under an old number."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evaluator.doctor.check import HIDDEN, Finding, Rule
from evaluator.doctor.versions import build_date, is_packaged, open_holes, parse_version

if TYPE_CHECKING:
    from evaluator.doctor.facts import HostFacts

# Of this day's build the defects named in the rule were measured; newer ones were not looked at.
_OLD_RUNSC = 20221231


def _part(facts: HostFacts, name: str) -> str:
    """Version and revision of one component, as the engine says them."""
    found = (part for part in facts.engine.components if part.name == name)
    return next((f"{part.version} {part.revision}".strip() for part in found), "")


def _component(name: str, facts: HostFacts, _runtime: str) -> Finding:
    said = facts.engine.version if name == "docker" else _part(facts, name)
    return _judged(name, said)


def _runc(facts: HostFacts, runtime: str) -> Finding:
    if runtime == "runsc":
        return "ok", "of no matter under runsc"
    return _judged("runc", _part(facts, "runc"))


def _toolkit(facts: HostFacts, _runtime: str) -> Finding:
    if not facts.gpu.uuids and not facts.gpu.device_nodes:
        return "ok", "no NVIDIA GPU"
    return HIDDEN if facts.gpu.toolkit is None else _judged("nvidia-toolkit", facts.gpu.toolkit)


def _judged(component: str, said: str) -> Finding:
    version = parse_version(said)
    if version is None:
        return "unknown", "the engine names no version of it"
    major, minor, patch, _ = version
    number = f"{major}.{minor}.{patch}"
    holes = open_holes(component, version)
    if not holes:
        return "ok", number
    packaged = " (a distribution's package, perhaps fixed)" if is_packaged(said) else ""
    return "residual", f"{number}{packaged}: {', '.join(holes)}"


def _runsc(facts: HostFacts, runtime: str) -> Finding:
    if runtime != "runsc":
        return "ok", f"of no matter under {runtime}"
    built = build_date(facts.runsc or "")
    if built is None:
        return "unknown", "runsc --version names no build"
    return ("ok" if built > _OLD_RUNSC else "residual"), f"build of {built}"


_FIX = "upgrade; of a distribution's package, look the ids up in its security tracker"

RULES = (
    Rule(
        "old-docker",
        "Docker",
        partial(_component, "docker"),
        "known holes; a run copies nothing into a container and filters AF_ALG itself",
        f"29.5.1 or newer: {_FIX}",
    ),
    Rule(
        "old-containerd",
        "containerd",
        partial(_component, "containerd"),
        "known holes in what unpacks images and starts containers",
        f"1.7.29, 2.0.7, 2.1.5 or newer: {_FIX}",
    ),
    Rule(
        "old-runc",
        "runc",
        _runc,
        "known ways out of a container; admission refuses the links that they need",
        f"1.3.6, 1.4.3 or newer: {_FIX}",
    ),
    Rule(
        "old-runsc",
        "gVisor",
        _runsc,
        "the build of 2022-12 leaves processes after a failed start, and has no GPU support",
        "install a current release",
    ),
    Rule(
        "old-nvidia-toolkit",
        "NVIDIA Container Toolkit",
        _toolkit,
        "known ways from an image's environment to root on the host",
        f"1.17.8 or newer: {_FIX}",
    ),
)
