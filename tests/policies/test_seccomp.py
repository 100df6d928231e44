"""The system-call allow-list, tried call by call in a container, with and without it."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evaluator.images import build_onnx_runner
from sandbox.wall import create_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import APIClient

    from sandbox import Spec

PROFILE = (Path(__file__).parents[2] / "policies" / "seccomp.json").read_text()


def docker_default() -> dict[str, int]:
    """What Docker's default profile allows, by name, with the numbers of x86_64."""
    text = (Path(__file__).parent / "docker_default.txt").read_text()
    words = " ".join(line for line in text.splitlines() if not line.startswith("#")).split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


def allowed(profile: str) -> set[str]:
    """The names that a profile lets through, with whatever arguments."""
    rules = json.loads(profile)["syscalls"]
    return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


# What Docker allows and we do not, with arguments that do no harm where the call is let through.
DROPPED = {
    name: (number, *[-1] * 6)
    for name, number in docker_default().items()
    # Since Linux 6.14 no filter sees uretprobe, and a program that calls it is ended.
    if name not in allowed(PROFILE) | {"uretprobe"}
}
# What Docker allows to nobody, or with a capability only; and one argument that it allows.
DENIED = {
    "io_uring_setup": (425, 0, 0),
    "userfaultfd": (323, 0xFFFF),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "bpf": (321, 0xFFFF, 0, 0),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "keyctl": (250, 0xFFFF, 0, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0),
    "setns": (308, -1, 0),
    "chroot": (161, 0),
    "personality": (135, 0x0008),
} | DROPPED
# With the answer that the profile gives instead of EPERM.
ANSWERED = {
    "clone3": ((435, 0, 0), errno.ENOSYS),
    "socket(AF_INET)": ((41, 2, 1, 0), errno.EAFNOSUPPORT),
    "socket(AF_NETLINK)": ((41, 16, 3, 0), errno.EAFNOSUPPORT),
    "socket(AF_VSOCK)": ((41, 40, 1, 0), errno.EAFNOSUPPORT),
    "socketpair(AF_INET)": ((53, 2, 1, 0, 0), errno.EAFNOSUPPORT),
}
# What programs need: a profile that denies everything would pass the table above.
ALLOWED = {
    "socket(AF_UNIX)": (41, 1, 1, 0),
    "memfd_create": (319, 0, 0),
    "getrandom": (318, 0, 0, 0),
    "futex": (202, 0, 1, 0, 0),
    "personality(query)": (135, 0xFFFFFFFF),
}
NEWER = 457  # statmount, of Linux 6.8
FOR_WANT_OF_PRIVILEGE = {"bpf", "mount", "chroot", "perf_event_open", "setns", "setgroups"}
CALLS = DENIED | {name: call for name, (call, _) in ANSWERED.items()} | ALLOWED

# Each call in a child of its own: some change who we are, one ends us. 255 is an end by a signal.
PROGRAM = """
import ctypes, json, os
calls = json.loads({calls!r})
libc = ctypes.CDLL(None, use_errno=True)
found = {{}}
for name, call in calls.items():
    child = os.fork()
    if child == 0:
        ctypes.set_errno(0)
        result = libc.syscall(*map(ctypes.c_long, call))
        os._exit(ctypes.get_errno() if result == -1 else 0)
    status = os.waitpid(child, 0)[1]
    found[name] = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 255
open("/output/predictions", "w").write(json.dumps(found))
"""


@pytest.fixture
def answers(
    engine: APIClient, make_spec: Callable[..., Spec], scratch: Path
) -> Callable[[str], dict[str, int]]:
    """A function from a profile to the errno of each call, in a container that has it."""

    def run(profile: str) -> dict[str, int]:
        output = scratch / "predictions"
        output.touch()
        output.chmod(0o666)
        spec = make_spec(build_onnx_runner(lambda _: None))
        asked: dict[str, Any] = create_arguments(spec, str(output), 2_000_000, profile)
        program = PROGRAM.format(calls=json.dumps(CALLS))
        asked |= {"Entrypoint": ["/usr/bin/python3.11", "-c", program], "Cmd": [], "Labels": {}}
        container = engine.create_container_from_config(asked)["Id"]
        try:
            engine.start(container)
            engine.wait(container, timeout=60)
        finally:
            engine.remove_container(container, force=True)
        found: dict[str, int] = json.loads(output.read_text())
        return found

    return run


@pytest.mark.docker
def test_the_profile_denies_what_it_says(answers: Callable[[str], dict[str, int]]) -> None:
    """EPERM for all that is not named, and the answers that programs handle better.

    runc says ENOSYS to calls that are newer than all that it knows: those from 457 on, here.
    """
    found = answers(PROFILE)
    unknown = {name for name, call in DENIED.items() if call[0] >= NEWER}

    assert {found[name] for name in DENIED.keys() - unknown} == {errno.EPERM}
    assert {found[name] for name in unknown} <= {errno.EPERM, errno.ENOSYS}
    assert {name: found[name] for name in ANSWERED} == {
        name: answer for name, (_, answer) in ANSWERED.items()
    }
    assert not {name for name in ALLOWED if found[name] in {errno.EPERM, errno.ENOSYS}}


@pytest.mark.docker
def test_without_the_profile_the_calls_reach_the_kernel(
    answers: Callable[[str], dict[str, int]],
) -> None:
    """The control: under no profile nearly all of them end otherwise than with its answers.

    A few stay EPERM without any profile, for want of a capability; they are named here.
    """
    found = answers("unconfined")

    still = {name for name in DENIED if found[name] == errno.EPERM}
    assert still <= FOR_WANT_OF_PRIVILEGE
    assert not {name for name, (_, answer) in ANSWERED.items() if found[name] == answer}


def test_every_rule_only_allows_or_answers() -> None:
    """An allow-list: default deny, x86_64 alone, no rule that logs, traces or kills instead."""
    profile = json.loads(PROFILE)

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}
    assert not allowed(PROFILE) & DENIED.keys() - {"personality"}


def test_the_profile_is_no_wider_than_dockers_default() -> None:
    """Every name that we allow Docker allows too, and where it looks at arguments so do we."""
    conditions = {
        name: [(a["index"], a["value"], a["op"]) for a in rule["args"]]
        for rule in json.loads(PROFILE)["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and rule.get("args")
        for name in rule["names"]
    }

    assert allowed(PROFILE) <= docker_default().keys()
    assert conditions == {
        "socket": [(0, 1, "SCMP_CMP_EQ")],
        "socketpair": [(0, 1, "SCMP_CMP_EQ")],
        "clone": [(0, 0x7E020000, "SCMP_CMP_MASKED_EQ")],
        "personality": [(0, 0xFFFFFFFF, "SCMP_CMP_EQ")],
    }


@pytest.mark.parametrize("name", ["bpf", "mount", "io_uring_setup", "open_by_handle_at", "keyctl"])
def test_a_wider_profile_would_be_noticed(name: str) -> None:
    """The control: what Docker denies is not in its list as we keep it."""
    assert name not in docker_default()
