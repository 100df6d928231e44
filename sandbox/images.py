"""Images in and out of the engine, by id: a submission's names and tags never matter."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import docker.errors

from sandbox.engine import DISK_FULL, connect, engine_errors
from sandbox.run import uninterrupted
from sandbox.spec import SandboxError
from sandbox.wall import run_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from docker import APIClient

IMAGE_LABEL = "evaluator.image"  # on admitted images, which outlive their run

_CHUNK = 2**20
_NOT_PULLED = (
    "The engine has no image of that name and could not pull it: its registry does not answer or "
    "broke off. `docker pull` with the same name says more."
)
# By the status of the engine's answer, the same from Docker 20.10 to 28.
_WHY_NOT_PULLED: dict[int | None, str] = {
    400: "The engine takes this for no image's name. Repository names are lower-case.",
    404: (
        "The registry has no such image, or keeps it from this user. Compare name and digest with "
        "what the vendor pushed, or log in with `docker login`."
    ),
}


class NotAvailable(Exception):  # noqa: N818 - an operator's mistake or a registry's, not ours
    """An image that is neither here nor to be had; the message says why."""


class TooLarge(Exception):  # noqa: N818 - a finding about an image, not a fault of ours
    """What a registry announces of an image is more than may come; `size` is in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class NotLoadable(Exception):  # noqa: N818 - a finding about an image, not a fault of ours
    """The engine read the archive and could not make an image of it."""


def load_image(archive: Iterable[bytes], ids: Callable[[], tuple[str, ...]]) -> str:
    """Give the engine an archive whose image must get one of `ids`; returns which.

    They are asked for once all of the archive was taken. Raises NotLoadable when the engine rejects
    it, SandboxError when the fault is the engine's own.
    """
    client = connect()
    with engine_errors(), ExitStack() as sent:
        try:
            for message in client.load_image(_until_sent(archive, sent)):
                if "error" in message:
                    _require_space(str(message["error"]))
                    raise NotLoadable
        except docker.errors.APIError as error:
            _require_space(str(error))
            raise NotLoadable from error
    expected = ids()
    image = next((found for found in map(find_image, expected) if found in expected), None)
    if image is None:
        raise NotLoadable
    return image


def _require_space(answer: str) -> None:
    if "no space left" in answer.lower():
        raise SandboxError(DISK_FULL)


def _until_sent(archive: Iterable[bytes], sent: ExitStack) -> Iterator[bytes]:
    """Hold interruptions back from the last byte on: the engine then loads the image anyway."""
    yield from archive
    sent.enter_context(uninterrupted())


def find_image(reference: str) -> str | None:
    """The local id behind an id, or behind name@sha256:..., or None."""
    client = connect()
    with engine_errors():
        try:
            return str(client.inspect_image(reference)["Id"])
        except docker.errors.APIError as error:
            if error.status_code in {400, 404}:  # no name of any image; no image of this name
                return None
            raise


@contextmanager
def held_image(reference: str, note: Path, most: int) -> Iterator[str]:
    """The local id behind an id or name@sha256:..., pulled by name where it is not here.

    What had to be pulled is removed at the end; an image that was here before stays. A killed
    process leaves the file `note` behind, which `remove_pulled` takes. Raises NotAvailable,
    and TooLarge as soon as the registry announces layers of more than `most` bytes.
    """
    image = find_image(reference)
    if image is not None:
        yield image
        return
    if "@" not in reference:
        raise NotAvailable("The engine has no image of that id. See `docker images --no-trunc`.")
    client = connect()
    with engine_errors():
        before = [image["Id"] for image in client.images(all=True)]
    note.write_text(json.dumps({"reference": reference, "before": before}))
    try:
        yield _pull(client, reference, most)
    finally:
        remove_pulled(note)


def remove_pulled(note: Path) -> None:
    """Remove the image that a note of `held_image` speaks of, unless it was here before."""
    try:
        said = json.loads(note.read_text())
    except (OSError, ValueError):  # killed while it was written: nothing was pulled yet
        return
    pulled = find_image(said["reference"])
    if pulled is not None and pulled not in said["before"]:
        with engine_errors():
            connect().remove_image(pulled, force=True)
    note.unlink()


def _pull(client: APIClient, reference: str, most: int) -> str:
    name, _, digest = reference.partition("@")
    announced: dict[str, int] = {}
    with engine_errors():
        try:
            for line in client.pull(name, tag=digest, stream=True, decode=True):
                if "error" in line:
                    _require_space(str(line["error"]))
                    raise NotAvailable(_NOT_PULLED)
                announced[line.get("id", "")] = (line.get("progressDetail") or {}).get("total", 0)
                if sum(announced.values()) > most:  # leaving stops the engine's pull
                    raise TooLarge(sum(announced.values()))
            return str(client.inspect_image(reference)["Id"])
        except docker.errors.APIError as error:
            _require_space(str(error))
            raise NotAvailable(_WHY_NOT_PULLED.get(error.status_code, _NOT_PULLED)) from error


def save_image(image: str) -> Iterator[bytes]:
    """The `docker save` archive of a local image id, in chunks."""
    client = connect()
    with engine_errors():
        yield from client.get_image(image, chunk_size=_CHUNK)


def remove_images(run: str | None = None) -> None:
    """Remove the images labelled with one run (or with any run, by default)."""
    _remove(run_filter(run), ())


def remove_admitted(owner: str, keep: Collection[str]) -> None:
    """Remove the images that were admitted for `owner`, but for the ids in `keep`."""
    _remove({"label": [f"{IMAGE_LABEL}={owner}"]}, keep)


def _remove(filters: dict[str, list[str]], keep: Collection[str]) -> None:
    client = connect()
    with engine_errors(), uninterrupted():
        found = {image["Id"] for image in client.images(filters=filters)}
        for image in found.difference(keep):
            try:
                client.remove_image(image, force=True)
            except docker.errors.APIError as error:
                if error.status_code not in {404, 409}:  # gone, or a container still has it
                    raise


def engine_version() -> str:
    """The engine's version, for the signed result."""
    client = connect()
    with engine_errors():
        return str(client.version()["Version"])


def ids_are_manifests() -> bool:
    """Whether an image's id is the digest of its manifest (containerd's image store).

    In Docker's own store it is the digest of its config.
    """
    client = connect()
    with engine_errors():
        status = client.info()["DriverStatus"]
    return ["driver-type", "io.containerd.snapshotter.v1"] in status


def labelled(config: dict[str, Any], owner: str) -> bytes:
    """An image config as JSON, marked so that `remove_admitted` finds the image."""
    settings = {**config["config"], "Labels": {IMAGE_LABEL: owner}}
    document = {**config, "config": settings}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
