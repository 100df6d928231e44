"""Images in and out of the engine, by id: a submission's names and tags never matter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import docker.errors

from sandbox.engine import connect, engine_errors
from sandbox.spec import SandboxError
from sandbox.wall import RUN_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_CHUNK = 2**20


class NotLoadable(Exception):  # noqa: N818 - a finding about an image, not a fault of ours
    """The engine read the archive and could not make an image of it."""


def load_image(archive: Iterable[bytes], expected: str) -> None:
    """Give the engine a `docker save` archive that must become the image `expected`.

    Raises NotLoadable when the engine rejects the archive, SandboxError when the fault
    is its own.
    """
    client = connect()
    with engine_errors():
        try:
            for message in client.load_image(archive):
                if "error" in message:
                    _raise_load_error(str(message["error"]))
            client.inspect_image(expected)
        except docker.errors.ImageNotFound as error:
            raise NotLoadable from error
        except docker.errors.APIError as error:
            _raise_load_error(str(error))


def _raise_load_error(answer: str) -> None:
    if "no space left" in answer.lower():
        raise SandboxError("The Docker engine's disk is full. Free some space, then run again.")
    raise NotLoadable


def find_image(reference: str) -> str | None:
    """The local id behind an id, or behind name@sha256:..., or None."""
    client = connect()
    with engine_errors():
        try:
            return str(client.inspect_image(reference)["Id"])
        except docker.errors.ImageNotFound:
            return None


def pull_image(reference: str) -> str | None:
    """Pull name@sha256:... and return its local id, or None where it cannot be had."""
    client = connect()
    name, _, digest = reference.partition("@")
    with engine_errors():
        try:
            for line in client.pull(name, tag=digest, stream=True, decode=True):
                if "error" in line:
                    return None
            return str(client.inspect_image(reference)["Id"])
        except docker.errors.APIError:
            return None


def save_image(image: str) -> Iterator[bytes]:
    """The `docker save` archive of a local image id, in chunks."""
    client = connect()
    with engine_errors():
        yield from client.get_image(image, chunk_size=_CHUNK)


def remove_images(label: str | None = None) -> int:
    """Remove the images loaded for one run (or for any run, by default)."""
    client = connect()
    filters = {"label": f"{RUN_LABEL}={label}" if label else RUN_LABEL}
    with engine_errors():
        found = {image["Id"] for image in client.images(filters=filters)}
        for image in found:
            try:
                client.remove_image(image, force=True)
            except docker.errors.ImageNotFound:
                continue
    return len(found)


def engine_version() -> str:
    """The engine's version, for the signed result."""
    client = connect()
    with engine_errors():
        return str(client.version()["Version"])


def labelled(config: dict[str, Any], run: str) -> bytes:
    """An image config as JSON, marked as belonging to `run` so that a sweep finds the image."""
    settings = {**config["config"], "Labels": {RUN_LABEL: run}}
    document = {**config, "config": settings}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
