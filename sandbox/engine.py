"""The Docker engine: reached through its local socket, or a sentence that says why not."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker
import docker.errors
import requests.exceptions

from sandbox.spec import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT = 120  # seconds for any one request but `wait` and image transfers


def connect() -> docker.APIClient:
    """A client of the local engine; SandboxError says what is missing and how to get it."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        raise SandboxError(
            "DOCKER_HOST names an engine on another machine, and tiles never leave this one. "
            "Unset it, or point it at a local socket (unix:///...)."
        )
    try:
        client = docker.APIClient(base_url=address, version="auto", timeout=_TIMEOUT)
        client.ping()
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise SandboxError(_why_not(address.removeprefix("unix://"))) from error
    return client


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
        full = "no space left on device" in str(error).lower()
        raise SandboxError(
            "The Docker engine's disk is full. Free some space (docker system df shows what uses "
            "it), then run again."
            if full
            else f"The Docker engine refused a request ({error.status_code}). Its log says why; "
            "--debug shows its answer."
        ) from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise SandboxError(
            "The connection to the Docker engine broke. See that it runs (docker info), then run "
            "again: nothing was kept of this run."
        ) from error
