"""Tries of the image rows: forged archives at the product's own door.

An archive that is refused, by the rule that it should be, is stopped. One that is let in must have
lost its trick: the engine is asked what it made of it, and the image is started behind the wall.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sandbox
from evaluator.attacks.forged_images import EXPECTED, FORGED, layer_by_reference
from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import admitted, stand_in_job
from evaluator.errors import Refused, SubmissionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench

    # Whether the image of that local id, as the engine has it, still carries the trick.
    Trick = Callable[[str], bool]

TAG = "evaluator-forged/stolen:latest"  # as in forged_images.tag_overwrite
_SETUID, _DEVICE = 1 << 23, 1 << 26  # Go's io/fs.FileMode, as the engine's API gives modes


def try_image(attack: Attack, bench: Bench) -> Tried:
    """Hand the forged archive in as a vendor would."""
    job, expected = stand_in_job(bench), EXPECTED[attack.id]
    try:
        with admitted(forged(attack.id, bench), "image", job) as found:
            still = TRICKS[attack.id](found.image)
            outcome = sandbox.run(
                job.predict(found.image, (), sandbox.Allowance()), job.scratch, job.seccomp
            )
    except Refused as refused:
        return Tried(attack, "blocked" if refused.rule == expected else "unknown")
    if still:
        return Tried(attack, "succeeds")
    sound = expected == "sanitised" and outcome.status is sandbox.Status.OK
    return Tried(attack, "blocked" if sound else "unknown")


def forged(name: str, bench: Bench) -> bytes:
    """The archive of a row; one that names layers names those of an image that is really there."""
    if name == "img-layer-by-reference":
        return layer_by_reference(known_layer(bench))
    return FORGED[name]()


def known_layer(bench: Bench) -> str:
    """The digest of a layer that the engine holds."""
    with sandbox.engine_errors():
        layers = sandbox.connect().inspect_image(bench.probe)["RootFS"]["Layers"]
    return str(layers[0])


def try_layer_oracle(attack: Attack, bench: Bench) -> Tried:
    """Whether the engine has a layer or not, the answer to an archive that names it is the same."""
    answers = set()
    for digest in (known_layer(bench), f"sha256:{secrets.token_hex(32)}"):
        try:
            with admitted(layer_by_reference(digest), "image", stand_in_job(bench)):
                answers.add("taken")
        except SubmissionError as refused:
            answers.add(str(refused))
    return Tried(attack, "blocked" if len(answers) == 1 else "succeeds")


def setting(name: str) -> Trick:
    """Whether the engine's image has a setting of that name."""
    return lambda image: bool(_settings(image).get(name))


def variable(prefix: str) -> Trick:
    """Whether the engine's image sets a variable whose name begins so."""
    return lambda image: any(line.startswith(prefix) for line in _settings(image)["Env"] or ())


def mode(path: str, bits: int) -> Trick:
    """Whether a file of the image has one of these mode bits, seen without starting it."""
    return lambda image: bool(stat(image, path)["mode"] & bits)


def capable(image: str) -> bool:
    """Whether the file of `fs-filecaps-in-layer` has kept its capabilities."""
    with created(image) as container:
        chunks, _ = sandbox.connect().get_archive(container, "/capable")
        return b"security.capability" in b"".join(chunks)


def stat(image: str, path: str) -> dict[str, Any]:
    """Name, size, mode and link target of a path of an image."""
    with created(image) as container:
        return dict(sandbox.connect().get_archive(container, path)[1])


@contextmanager
def created(image: str) -> Iterator[str]:
    """A container that is never started, to look into an image."""
    client, run = sandbox.connect(), secrets.token_hex(8)
    request = {"Image": image, "Cmd": ["predict"], "Labels": {"evaluator.run": run}}
    with sandbox.engine_errors():
        container = client.create_container_from_config(request)["Id"]
        try:
            yield container
        finally:
            client.remove_container(container, force=True, v=True)


def tagged(image: str) -> bool:
    """Whether another image's name has moved to this one, or it has any name at all."""
    with sandbox.engine_errors():
        return bool(sandbox.connect().inspect_image(image)["RepoTags"])


def _settings(image: str) -> dict[str, Any]:
    with sandbox.engine_errors():
        return dict(sandbox.connect().inspect_image(image)["Config"])


def escapes(image: str) -> bool:
    """Whether a terminal escape has reached the engine's inspect."""
    labels = _settings(image)["Labels"] or {}
    return any("\x1b" in text for entry in labels.items() for text in entry)


TRICKS: dict[str, Trick] = {
    "img-tag-overwrite": tagged,
    "img-env-nvidia": variable("NVIDIA_"),
    "img-volume": setting("Volumes"),
    "img-healthcheck": setting("Healthcheck"),
    "img-user-root": setting("User"),
    "img-stopsignal": setting("StopSignal"),
    "img-onbuild": setting("OnBuild"),
    "img-ansi-label": escapes,
    "fs-setuid-in-layer": mode("/rootly", _SETUID),
    "fs-device-node-in-layer": mode("/null", _DEVICE),
    "fs-filecaps-in-layer": capable,
    "fs-image-volume": setting("Volumes"),
}
TRIES: dict[str, Callable[[Attack, Bench], Tried]] = {
    **dict.fromkeys(FORGED, try_image),
    "x-layer-oracle": try_layer_oracle,
}
