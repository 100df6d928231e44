"""What shows on the host that the trick of a forged image works."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker.errors
from containers import ended, made, status_of

import sandbox
from evaluator.attacks import forged_images as forge
from evaluator.attacks.image_tries import TRICKS, stat
from sandbox import Mount

# The request for a container of an image; changes replace what the open ground asks for.
Maker = Callable[..., dict[str, Any]]
# Of the image and of its containers.
Effect = Callable[[str, Maker], bool]


def there(_image: str, _maker: Maker) -> bool:
    """It was loaded at all."""
    return True


def trick(name: str) -> Effect:
    """What the engine has of the image still carries the trick, and would be obeyed."""
    return lambda image, _maker: TRICKS[name](image)


def readable(path: str) -> Effect:
    """A file of another image can be read from this one."""

    def effect(image: str, _maker: Maker) -> bool:
        with suppress(docker.errors.NotFound):
            return int(stat(image, path)["size"]) > 0
        return False

    return effect


def hooked(*lines: str) -> Effect:
    """A hook of the runtime, which is the host's root, has a variable of the image's."""

    def effect(image: str, maker: Maker) -> bool:
        hooks = Path(os.environ["DOCKER_HOST"].removeprefix("unix://")).parent / "hooks"
        for old in hooks.iterdir():  # a new note may have the same name: pids of a new namespace
            old.unlink()
        request = maker(image)
        request["HostConfig"]["Runtime"] = "runc-hooked"
        with made(request) as container:
            sandbox.connect().start(container)
        notes = [path.read_text().splitlines() for path in hooks.iterdir()]
        assert notes, "the hook was not run"
        return any(line in note for note in notes for line in lines)

    return effect


def checks_health(image: str, maker: Maker) -> bool:
    """The engine starts a program by the image's say, and keeps what it says."""
    with made(maker(image)) as container:
        client = sandbox.connect()
        client.start(container)
        for _ in range(25):
            time.sleep(0.1)
            if client.inspect_container(container)["State"].get("Health", {}).get("Log"):
                return True
    return False


def runs_as_root(image: str, maker: Maker) -> bool:
    """The host sees the image's own choice of user at work."""
    request = maker(image)
    if request.get("User") == "0:0":  # the open ground's; no control stands here
        del request["User"]
    with made(request) as container:
        sandbox.connect().start(container)
        return status_of(container)["Uid"].split()[1] == "0"


def ignores_stop(image: str, maker: Maker) -> bool:
    """It takes its time to stop."""
    with made(maker(image)) as container:
        client = sandbox.connect()
        client.start(container)
        before = time.monotonic()
        client.stop(container, timeout=3)
        return time.monotonic() - before > 2


def builds(image: str, _maker: Maker) -> bool:
    """A build on top of it carries out its instructions."""
    dockerfile = io.BytesIO(f"FROM {image.removeprefix('sha256:')}\n".encode())
    lines = sandbox.connect().build(fileobj=dockerfile, rm=True, forcerm=True, decode=True)
    said = str(list(lines))
    return "build trigger" in said


def gains(field: str, worth: Callable[[str], bool], program: str) -> Effect:
    """A program of the layer has more rights than the user who starts it."""

    def effect(image: str, maker: Maker) -> bool:
        request = maker(image, User="1000:1000", Entrypoint=[program])
        with made(request) as container, suppress(docker.errors.APIError):
            sandbox.connect().start(container)
            status = status_of(container)
            return bool(status) and worth(status[field])
        return False  # it could not even be started

    return effect


def follows_mount_point(image: str, maker: Maker) -> bool:
    """A mount goes where the image says, and not where we do."""
    request = maker(image, (Mount(Path("/etc/hostname"), "/input/manifest.json"),))
    with made(request) as container:
        ended(container, 10)
        changed = sandbox.connect().diff(container) or ()
        return any(entry["Path"].startswith("/opt/") for entry in changed)


def foreign_runs(image: str, maker: Maker) -> bool:
    """What says that it is for another processor is run by this one."""
    architecture = sandbox.connect().inspect_image(image)["Architecture"]
    with made(maker(image)) as container:
        return architecture != forge.ARCHITECTURE and ended(container, 10) == 0


def on_host(*paths: str) -> Effect:
    """A file has come to be outside the engine's own folders."""
    return lambda _image, _maker: any(Path(path).exists() for path in paths)


def same_as_host(image: str, _maker: Maker) -> bool:
    """A link of the archive has brought in a file of the host."""
    with suppress(docker.errors.NotFound):
        return int(stat(image, "/shadow")["size"]) == Path("/etc/passwd").stat().st_size
    return False


def larger(size: int) -> Effect:
    """It fills the host's disk."""
    return lambda image, _: bool(sandbox.connect().inspect_image(image)["Size"] >= size)


def big_label(image: str, _maker: Maker) -> bool:
    """The engine keeps five megabytes of words."""
    labels = sandbox.connect().inspect_image(image)["Config"]["Labels"]
    return len(str(labels)) > 5_000_000


def in_runtime(image: str, _maker: Maker) -> bool:
    """The engine would start it in a folder that is the runtime's own."""
    folder = sandbox.connect().inspect_image(image)["Config"]["WorkingDir"]
    return str(folder).startswith("/proc/self/fd/")
