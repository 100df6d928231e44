"""The image rows in the open: forged archives handed to the engine itself, and what comes of it."""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import docker.errors
import image_effects as effects
from containers import made, request_of, spec_of

import sandbox
from evaluator.attacks import forged_images as forge
from evaluator.attacks.image_tries import TAG, forged, known_layer, try_layer_oracle
from evaluator.attacks.probing import Tried
from evaluator.attacks.stand_in import admitted, stand_in_job
from evaluator.errors import Refused
from sandbox.readback import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from image_effects import Effect
    from trials import OpenTry, Wall

    from evaluator.attacks.corpus import Attack
    from evaluator.attacks.probing import Bench
    from sandbox import Mount

# Waits instead of ending, so that the host can look at it: pause(2), again and again.
PAUSE = forge.PROGRAM[:-9] + b"\xb8\x22\x00\x00\x00\x0f\x05\xeb\xf7"
NVIDIA = ("VISIBLE_DEVICES", "MOFED", "GDS", "GDRCOPY", "NVSWITCH", "IMEX_CHANNELS")


def waiting(name: str = "predict", mode: int = 0o755, **settings: object) -> bytes:
    """An archive whose program waits."""
    content = forge.tar([forge.file(name, PAUSE, mode)])
    config = forge.image_config([forge.digest(content)], **settings)
    return forge.tar(forge.docker_archive(content, config))


def with_capabilities() -> bytes:
    """An archive whose program waits, and has file capabilities."""
    member, _ = forge.file_with_capabilities()
    member.size = len(PAUSE)
    return forge.tar(forge.docker_archive(forge.tar([(member, PAUSE)])))


# The same tricks with a program that waits, or with more of them at once.
VARIANTS: dict[str, Callable[[], bytes]] = {
    "img-env-nvidia": partial(waiting, Env=[f"NVIDIA_{name}=enabled" for name in NVIDIA]),
    "img-healthcheck": partial(
        waiting, Healthcheck={"Test": ["CMD", "/predict"], "Interval": 10**9, "Timeout": 10**9}
    ),
    "img-user-root": partial(waiting, User="0"),
    "img-stopsignal": partial(waiting, StopSignal="SIGCONT"),
    "fs-setuid-in-layer": partial(waiting, "rootly", 0o4755),
    "fs-filecaps-in-layer": with_capabilities,
}


@contextmanager
def loaded(archive: bytes) -> Iterator[str | None]:
    """What the engine itself makes of an archive; None where it rejects it."""
    client = sandbox.connect()
    image = None
    with suppress(docker.errors.APIError):
        said = "".join(str(line.get("stream", "")) for line in client.load_image(archive))
        name = said.rpartition(": ")[2].strip()
        image = sandbox.find_image(name) if "Loaded image" in said else None
    try:
        yield image
    finally:
        if image is not None:
            client.remove_image(image, force=True)


@contextmanager
def taken(row: Attack, bench: Bench, control: str | None) -> Iterator[str | None]:
    """The image of a row: loaded as it is, or rebuilt where that is the control."""
    archive = VARIANTS[row.id]() if row.id in VARIANTS else forged(row.id, bench)
    if control != "rebuilt-image":
        with loaded(archive) as image:
            yield image
        return
    try:
        with admitted(archive, "image", stand_in_job(bench)) as found:
            yield found.image
    except Refused:
        yield None


def showing(effect: Effect) -> OpenTry:
    """A try that succeeds where the image is there and its effect shows on the host."""

    def try_it(row: Attack, bench: Bench, control: str | None, wall: Wall) -> Tried:
        output = bench.scratch / secrets.token_hex(4)
        output.touch()

        def maker(image: str, inputs: tuple[Mount, ...] = (), **changes: object) -> dict[str, Any]:
            spec = spec_of(image, "predict", bench, inputs)
            return request_of(spec, output, bench, control, wall, **changes)

        with taken(row, bench, control) as image:
            shown = image is not None and effect(image, maker)
        return Tried(row, "succeeds" if shown else "blocked")

    return try_it


def leaves_volume(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """A volume on the host's disk outlives the container, unless it is removed with it."""
    client = sandbox.connect()
    with taken(row, bench, control) as image:
        container = client.create_container_from_config({"Image": image, "Cmd": ["predict"]})["Id"]
        before = {mount["Name"] for mount in client.inspect_container(container)["Mounts"]}
        client.remove_container(container, force=True, v=control == "removed-after")
    left = before & {volume["Name"] for volume in client.volumes()["Volumes"] or ()}
    for name in left:
        client.remove_volume(name)
    return Tried(row, "succeeds" if left else "blocked")


def writable_volume(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """In spite of a read-only root there is a place on the host's disk to write to."""
    client = sandbox.connect()
    request: dict[str, Any] = {"Image": "", "Cmd": ["predict"], "Env": [], "Labels": {}}
    request["HostConfig"] = {"ReadonlyRootfs": True, "NetworkMode": "none", "Mounts": []}
    with taken(row, bench, control) as image, made(request | {"Image": image}) as container:
        found = client.inspect_container(container)
        settings = client.inspect_image(image)["Config"]
    caught = "Mounts" in differences(request, settings, found) and control == "read-back"
    shown = any(mount["RW"] for mount in found["Mounts"]) and not caught
    return Tried(row, "succeeds" if shown else "blocked")


def moves_tag(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """A name that stood for one image stands for another."""
    with loaded(forge.with_settings(Labels={"whose": "ours"})) as ours:
        repository, _, tag = TAG.partition(":")
        sandbox.connect().tag(ours, repository, tag)
        with taken(row, bench, control):
            moved = sandbox.find_image(TAG) != ours
    return Tried(row, "succeeds" if moved else "blocked")


def tells_layers(row: Attack, bench: Bench, control: str | None, _wall: Wall) -> Tried:
    """The engine says whether it has a layer: an archive that names it loads, or does not."""
    if control is not None:
        return try_layer_oracle(row, bench)
    with (
        loaded(forge.layer_by_reference(known_layer(bench))) as known,
        loaded(forge.layer_by_reference(f"sha256:{secrets.token_hex(32)}")) as unknown,
    ):
        return Tried(row, "succeeds" if known and not unknown else "blocked")


OPEN: dict[str, OpenTry] = {
    "img-tag-overwrite": moves_tag,
    "img-layer-by-reference": showing(effects.readable("/usr/bin/python3.11")),
    "img-diffid-mismatch": showing(effects.there),
    "img-env-ldpreload-hook": showing(effects.hooked("LD_PRELOAD=/proc/self/cwd/x.so")),
    "img-env-nvidia": showing(effects.hooked(*(f"NVIDIA_{name}=enabled" for name in NVIDIA))),
    "img-volume": leaves_volume,
    "img-healthcheck": showing(effects.checks_health),
    "img-user-root": showing(effects.runs_as_root),
    "img-workdir": showing(effects.in_runtime),
    "img-stopsignal": showing(effects.ignores_stop),
    "img-onbuild": showing(effects.builds),
    "img-gz-bomb": showing(effects.larger(200_000_000)),
    "img-traversal": showing(effects.on_host("/outside", "/var/outside")),
    "img-traversal-absolute": showing(effects.on_host("/outside")),
    "img-traversal-symlink": showing(effects.on_host("/opt/outside")),
    "img-traversal-hardlink": showing(effects.same_as_host),
    "img-traversal-outer": showing(effects.on_host("/tmp/evaluator-forged", "/evaluator-forged")),
    "img-traversal-layer-link": showing(effects.there),
    "img-arch": showing(effects.foreign_runs),
    "img-big-config": showing(effects.big_label),
    "img-duplicate-members": showing(effects.there),
    "img-ansi-label": showing(effects.trick("img-ansi-label")),
    "img-index-two-images": showing(effects.there),
    "img-index-other-platform": showing(effects.there),
    "img-index-blob-traversal": showing(effects.there),
    "fs-setuid-in-layer": showing(
        effects.gains("Uid", lambda ids: ids.split()[1] == "0", "/rootly")
    ),
    "fs-device-node-in-layer": showing(effects.trick("fs-device-node-in-layer")),
    "fs-filecaps-in-layer": showing(
        effects.gains("CapEff", lambda caps: int(caps, 16) > 0, "/capable")
    ),
    "fs-mountpoint-symlink": showing(effects.follows_mount_point),
    "fs-image-volume": writable_volume,
    "x-layer-oracle": tells_layers,
}
