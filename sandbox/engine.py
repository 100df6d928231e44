"""The Docker engine: reached through its local socket, or a sentence that says why not."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import docker
import docker.errors
import requests.exceptions
from docker.constants import MINIMUM_DOCKER_API_VERSION as OLDEST

from sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT = 120  # seconds for any one request but `wait` and image transfers
_FRESH = 1.0  # seconds in which an engine that answered is taken to answer
_kept = threading.local()  # the client of each thread, where it leads, and when that answered


def connect() -> docker.APIClient:
    """A client of the local engine; SandboxError says what is missing and how to get it.

    It is the thread's own, since a run needs ten. Of one that was not needed for a second the
    engine is asked whether it answers.
    """
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        raise SandboxError(
            "DOCKER_HOST names an engine on another machine, and tiles never leave this one. "
            "Unset it, or point it at a local socket (unix:///...)."
        )
    if getattr(_kept, "address", None) == address and _answers(_kept.client):
        _kept.asked = time.monotonic()
        return cast("docker.APIClient", _kept.client)
    try:
        client = _speaking_to(address)
    except (docker.errors.DockerException, requests.exceptions.RequestException, KeyError) as error:
        raise SandboxError(_why_not(address.removeprefix("unix://"))) from error
    client.trust_env = False  # proxies and .netrc are not for a socket, and looked up each time
    _kept.address, _kept.client, _kept.asked = address, client, time.monotonic()
    return client


def _speaking_to(address: str) -> docker.APIClient:
    """A client in the engine's own version of the API, so one in hand is an engine that answers.

    A ping names it. `version="auto"` would ask /version, for which the engine starts runc and two
    other programs to learn theirs, and that takes it 10 ms.
    """
    asking = docker.APIClient(base_url=address, version=OLDEST, timeout=_TIMEOUT)
    with asking:
        answer = asking.get(f"{asking.base_url}/_ping", timeout=_TIMEOUT)
        answer.raise_for_status()
    return docker.APIClient(
        base_url=address, version=answer.headers["Api-Version"], timeout=_TIMEOUT
    )


def _answers(client: docker.APIClient) -> bool:
    if time.monotonic() < _kept.asked + _FRESH:
        return True
    try:
        return bool(client.ping())
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return False


def _why_not(socket: str) -> str:
    if not os.path.exists(socket):  # noqa: PTH110 - Path.exists raises where it may not look
        return (
            "No Docker engine answers: its socket is missing. Install one (Debian and Ubuntu: "
            "apt-get install docker.io) and start it (systemctl start docker)."
        )
    if not os.access(socket, os.R_OK | os.W_OK):
        return (
            "This user may not use the Docker engine. Join its group (sudo usermod -aG docker "
            '"$USER", then log in again) or run as root.'
        )
    return (
        "The Docker engine does not answer on its socket. Start it (systemctl start docker) and "
        "look at its own log if it does not stay up."
    )


@contextmanager
def engine_errors() -> Iterator[None]:
    """Turn whatever the engine or the way to it says into a SandboxError.

    The engine's own text is not repeated: it can quote an image's words.
    """
    try:
        yield
    except docker.errors.APIError as error:
        raise SandboxError(_refusal(error)) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise SandboxError(
            "The connection to the Docker engine broke. See that it runs (docker info), then run "
            "again: nothing was kept of this run."
        ) from error


DISK_FULL = (
    "The Docker engine's disk is full. Free some space (docker system df shows what uses it), then "
    "run again."
)
# What the engine's answer contains, in lower case, and what to say of it.
_REFUSALS = {
    "no space left on device": DISK_FULL,
    "could not select device driver": (
        "The Docker engine has no driver for the GPUs that were asked for. NVIDIA UUIDs need the "
        "NVIDIA Container Toolkit (`nvidia-ctk runtime configure`), CDI names Docker 25 or later "
        'with "features": {"cdi": true} in its daemon.json. Or set gpus = 0 in evaluator.toml.'
    ),
    "cdi device injection failed": (
        "The Docker engine cannot give a run the gpu_devices of evaluator.toml: no CDI "
        "specification (/etc/cdi, /var/run/cdi) has the name, or what it describes is not there. "
        "`nvidia-ctk cdi generate` writes one anew."
    ),
    "nvidia-container-cli": (
        "The NVIDIA Container Toolkit could not give the run its GPUs. `nvidia-smi -L` lists those "
        "that are there; gpu_devices of evaluator.toml names those that are used."
    ),
    " hook #": (
        "A hook of the host's own failed, and the container did not start. Its engine or one of "
        "its CDI specifications (/etc/cdi) names a program that is not there."
    ),
}


def hook_failed(error: docker.errors.APIError) -> bool:
    """Whether a start failed in a hook of the host's, and not for want of the program.

    runc quotes what an image says, so only what stands before a quotation mark is its own.
    """
    own, _, _ = str(error.explanation).partition('"')
    return re.search(r"error running (\w+ )?hook #\d", own) is not None


def _refusal(error: docker.errors.APIError) -> str:
    answer = str(error).lower()
    known = (sentence for words, sentence in _REFUSALS.items() if words in answer)
    return next(
        known,
        f"The Docker engine refused a request ({error.status_code}). Its log says why; --debug "
        "shows its answer.",
    )
