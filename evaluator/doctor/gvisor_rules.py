"""gVisor's flags: what each would take from the wall. Of no matter where the policy says runc."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from evaluator.doctor.check import Finding, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.doctor.facts import HostFacts

_FALSE = ("false", "f", "0", "none")


def flag(arguments: tuple[str, ...], name: str) -> str | None:
    """The value of a flag by the rules of Go's flag package, or None where it is not given.

    One dash or two, "=" or the next word, the last one wins; a flag alone is "true".
    """
    value = None
    for word, following in pairwise((*arguments, "-")):
        given, equals, said = word.partition("=")
        if given in {f"-{name}", f"--{name}"}:
            alone = "true" if following.startswith("-") else following
            value = said if equals else alone
    return None if value is None else value.lower()


def _judged(judge: Callable[[tuple[str, ...]], Finding], facts: HostFacts, runtime: str) -> Finding:
    if runtime != "runsc":
        return "ok", f"of no matter under {runtime}"
    registered = (each for each in facts.engine.runtimes if each.name == "runsc")
    found = next(registered, None)
    if found is None or found.arguments is None:
        return "unknown", "its flags are not in the engine's settings"
    return judge(found.arguments)


def _ignore_cgroups(arguments: tuple[str, ...]) -> Finding:
    given = _given(arguments, "ignore-cgroups")
    return ("fatal", given) if given else ("ok", "not given")


def _network(arguments: tuple[str, ...]) -> Finding:
    value = flag(arguments, "network") or "sandbox"
    return ("ok" if value in {"none", "sandbox"} else "fatal"), f"--network={value}"


def _host_access(arguments: tuple[str, ...]) -> Finding:
    given = _given(arguments, "host-uds", "fsgofer-host-uds", "host-fifo")
    return ("fatal", given) if given else ("ok", "not given")


def _overlay(arguments: tuple[str, ...]) -> Finding:
    everything = (flag(arguments, "overlay2") or "").startswith("all")
    given = _given(arguments, "overlay") or ("--overlay2=all" if everything else "")
    return ("fatal", given) if given else ("ok", "not given, or of the root file system only")


def _oci_seccomp(arguments: tuple[str, ...]) -> Finding:
    given = _given(arguments, "oci-seccomp")
    return ("residual", given) if given else ("ok", "not given")


def _debug(arguments: tuple[str, ...]) -> Finding:
    given = _given(arguments, "debug", "strace", "log-packets", "debug-log")
    return ("residual", given) if given else ("ok", "not given")


def _given(arguments: tuple[str, ...], *names: str) -> str:
    """Those of the flags that are on, as words."""
    said = ((name, flag(arguments, name)) for name in names)
    return " ".join(f"--{name}" for name, value in said if value and value not in _FALSE)


_FIX = "take the flag out of runtimeArgs in daemon.json, and restart the engine"


def _rule(name: str, title: str, judge: Callable[[tuple[str, ...]], Finding], why: str) -> Rule:
    return Rule(name, title, partial(_judged, judge), why, _FIX, decisive=True)


RULES = (
    _rule(
        "runsc-ignore-cgroups",
        "gVisor's limits",
        _ignore_cgroups,
        "no limit on memory, processes or CPU holds with it",
    ),
    _rule(
        "runsc-network",
        "gVisor's network",
        _network,
        "a submission would use the host's own network stack",
    ),
    _rule(
        "runsc-host-access",
        "gVisor's host sockets",
        _host_access,
        "a submission could open sockets or pipes of the host",
    ),
    _rule(
        "runsc-overlay",
        "gVisor's overlay",
        _overlay,
        "predictions would stay in memory, and the vendor be blamed",
    ),
    _rule(
        "runsc-oci-seccomp",
        "gVisor's filter",
        _oci_seccomp,
        "it answers EPERM where programs expect ENOSYS: threads do not start",
    ),
    _rule(
        "runsc-debug",
        "gVisor's own log",
        _debug,
        "file names and data of system calls are written to the host's disk",
    ),
)
