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

# Numbers of x86_64 and arguments that do no harm where the call is let through.
DENIED = {
    "ptrace": (101, 0xFFFF, 0, 0, 0),
    "process_vm_readv": (310, 0, 0, 0, 0, 0, 0),
    "pidfd_open": (434, 1, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "io_uring_setup": (425, 0, 0),
    "io_setup": (206, 0, 0),
    "userfaultfd": (323, 0xFFFF),
    "bpf": (321, 0xFFFF, 0, 0),
    "perf_event_open": (298, 0, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "keyctl": (250, 0xFFFF, 0, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0),
    "setns": (308, -1, 0),
    "name_to_handle_at": (303, -1, 0, 0, 0, 0xFFFF),
    "modify_ldt": (154, 0xFFFF, 0, 0),
    "personality": (135, 0x0008),
    "splice": (275, -1, 0, -1, 0, 0, 0),
    "tee": (276, -1, -1, 0, 0),
    "sendfile": (40, -1, -1, 0, 0),
    "mincore": (27, 1, 0, 0),
    "readahead": (187, -1, 0, 0),
    "flock": (73, -1, 0),
    "inotify_init1": (294, 0xFFFFFFF),
    "shmget": (29, 0, 0, 0),
    "msgget": (68, 0, 0),
    "mq_open": (240, 0, 0, 0, 0),
    "setuid": (105, 0),
    "chown": (92, 0, -1, -1),
    "mknod": (133, 0, 0, 0),
    "chroot": (161, 0),
    "sync": (162,),
    "execveat": (322, -1, 0, 0, 0, 0xFFFF),
}
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
CALLS = DENIED | {name: call for name, (call, _) in ANSWERED.items()} | ALLOWED

PROGRAM = """
import ctypes, json
calls = json.loads({calls!r})
libc = ctypes.CDLL(None, use_errno=True)
found = {{}}
for name, call in calls.items():
    ctypes.set_errno(0)
    result = libc.syscall(*map(ctypes.c_long, call))
    found[name] = ctypes.get_errno() if result == -1 else 0
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
    """EPERM for all that is not named, and the answers that programs handle better."""
    found = answers(PROFILE)

    assert {name: found[name] for name in DENIED} == dict.fromkeys(DENIED, errno.EPERM)
    assert {name: found[name] for name in ANSWERED} == {
        name: answer for name, (_, answer) in ANSWERED.items()
    }
    assert not {name for name in ALLOWED if found[name] in {errno.EPERM, errno.ENOSYS}}


@pytest.mark.docker
def test_without_the_profile_the_calls_reach_the_kernel(
    answers: Callable[[str], dict[str, int]],
) -> None:
    """The control: under another profile most of them end otherwise than with its answers.

    A few stay EPERM without any profile, for want of a capability; they are named here.
    """
    found = answers("unconfined")
    for_want_of_privilege = {"bpf", "mount", "setuid", "chroot", "perf_event_open", "setns"}

    still = {name for name in DENIED if found[name] == errno.EPERM}
    assert still <= for_want_of_privilege | {"mknod", "kcmp", "userfaultfd", "add_key", "keyctl"}
    assert not {name for name, (_, answer) in ANSWERED.items() if found[name] == answer}


def test_every_rule_only_allows_or_answers() -> None:
    """An allow-list: default deny, x86_64 alone, no rule that logs, traces or kills instead."""
    profile = json.loads(PROFILE)
    names = [name for rule in profile["syscalls"] for name in rule["names"]]

    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"}
    assert not {name.partition("(")[0] for name in DENIED} & set(names) - {"personality"}
