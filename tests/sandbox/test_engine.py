"""What is said of the engine's answers: recorded from Docker 20.10, 26.1 and 28.5."""

from __future__ import annotations

import docker.errors
import pytest
import requests

from sandbox import SandboxError, engine_errors
from sandbox.engine import hook_failed

_RUNC = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: "
)
HOOK = _RUNC + "error running createContainer hook #0: fork/exec /usr/bin/not-there: no such file"
OLDER_HOOK = _RUNC + "error running hook #0: fork/exec /usr/bin/not-there: no such file"
PROGRAM = _RUNC + 'exec: "{0}": stat {0}: no such file or directory'


def answer(explanation: str) -> docker.errors.APIError:
    """The engine's refusal of a request."""
    response = requests.Response()
    response.status_code = 500
    return docker.errors.APIError("500 Server Error", response, explanation)


@pytest.mark.parametrize(
    ("explanation", "words"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full"),
        ('could not select device driver "cdi" with capabilities: []', "CDI names Docker 25"),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "nvidia-ctk"),
        ("CDI device injection failed: unresolvable CDI devices a.b/c=0", "no CDI specification"),
        ("nvidia-container-cli: device error: GPU-1: unknown device", "nvidia-smi -L"),
        (HOOK, "A hook of the host's own failed"),
        ("a vendor's words", "refused a request (500)"),
    ],
)
def test_a_refusal_says_what_to_do_and_quotes_nothing(explanation: str, words: str) -> None:
    """The engine's own text can hold an image's words, so it is matched and never repeated."""
    with pytest.raises(SandboxError) as refusal, engine_errors():
        raise answer(explanation)

    assert words in str(refusal.value)
    assert explanation not in str(refusal.value)


@pytest.mark.parametrize("explanation", [HOOK, OLDER_HOOK])
def test_a_hook_that_fails_is_the_hosts_fault(explanation: str) -> None:
    """Docker gives it the exit code of a missing program, which would charge the vendor."""
    assert hook_failed(answer(explanation))


@pytest.mark.parametrize(
    "program", ["/nowhere", "/error running hook #0", "error running x hook #1"]
)
def test_a_missing_program_is_never_taken_for_a_hook(program: str) -> None:
    """Whatever its name: runc quotes it."""
    assert not hook_failed(answer(PROGRAM.format(program)))
