"""The engine's answer is held against the request, field by field, on a real engine."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.readback import differences
from sandbox.wall import create_arguments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import docker

    from sandbox import Spec

pytestmark = pytest.mark.docker


def made(engine: docker.APIClient, asked: dict[str, Any], really: dict[str, Any]) -> list[str]:
    """What `differences` says when `really` was created where `asked` was wanted."""
    container = engine.create_container_from_config(really)["Id"]
    try:
        image = engine.inspect_image(asked["Image"])["Config"]
        return differences(asked, image, engine.inspect_container(container))
    finally:
        engine.remove_container(container, v=True, force=True)


@pytest.fixture
def asked(
    make_image: Callable[..., str], make_spec: Callable[..., Spec], scratch: Path
) -> dict[str, Any]:
    """The request of an ordinary run."""
    output = scratch / "predictions"
    output.touch()
    return create_arguments(make_spec(make_image("true")), str(output), 2_000_001, "{}")


def test_an_honest_engine_shows_no_difference(
    engine: docker.APIClient, asked: dict[str, Any]
) -> None:
    """What was asked is what was made: the control of the tests below."""
    assert made(engine, asked, asked) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("NetworkMode", "bridge"),
        ("ReadonlyRootfs", False),
        ("CapDrop", []),
        ("CapAdd", ["SYS_ADMIN"]),
        ("Privileged", True),
        ("SecurityOpt", ["seccomp=unconfined"]),
        ("PidMode", "host"),
        ("IpcMode", "host"),
        ("CgroupnsMode", "host"),
        ("MemorySwap", -1),
        ("PidsLimit", 0),
        ("Ulimits", []),
        ("ShmSize", 2**30),
        ("LogConfig", {"Type": "json-file", "Config": {}}),
        ("Binds", ["/etc:/etc-of-the-host"]),
        ("VolumesFrom", ["other"]),
        ("DeviceRequests", [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]),
        ("DeviceRequests", [{"Driver": "cdi", "DeviceIDs": ["vendor.example/gpu=0"]}]),
        ("DeviceCgroupRules", ["c 1:3 rwm"]),
        ("Devices", [{"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg"}]),
        ("MaskedPaths", []),
        ("ReadonlyPaths", []),
        ("ExtraHosts", ["host:127.0.0.1"]),
        ("Sysctls", {"net.ipv4.ip_forward": "1"}),
        ("GroupAdd", ["0"]),
        ("Tmpfs", {"/tmp": "exec"}),
        ("RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}),
    ],
)
def test_every_widening_of_the_host_config_is_named(
    engine: docker.APIClient, asked: dict[str, Any], field: str, value: object
) -> None:
    """A container with one setting more open than asked differs in just that setting."""
    really = deepcopy(asked)
    really["HostConfig"][field] = value
    if field == "VolumesFrom":
        other = engine.create_container_from_config({"Image": asked["Image"], "Cmd": ["x"]})["Id"]
        really["HostConfig"][field] = [other]
    try:
        found = made(engine, asked, really)
    finally:
        if field == "VolumesFrom":
            engine.remove_container(other, v=True, force=True)

    assert f"HostConfig.{field}" in found


GPUS = [("GPU-1", "GPU-2"), ("vendor.example/gpu=0", "vendor.example/gpu=1")]


@pytest.mark.parametrize(("wanted", "other"), GPUS)
def test_a_container_gets_the_devices_asked_for_and_no_others(
    engine: docker.APIClient,
    asked: dict[str, Any],
    make_spec: Callable[..., Spec],
    wanted: str,
    other: str,
) -> None:
    """NVIDIA UUIDs and CDI names alike: another one, or one more, is a difference."""

    def with_gpus(*gpus: str) -> dict[str, Any]:
        spec = make_spec(asked["Image"], gpus=gpus)
        requests = create_arguments(spec, "", 1, "")["HostConfig"]["DeviceRequests"]
        return {**asked, "HostConfig": {**asked["HostConfig"], "DeviceRequests": requests}}

    assert made(engine, with_gpus(wanted), with_gpus(wanted)) == []
    for gpus in [(other,), (wanted, other), ()]:
        found = made(engine, with_gpus(wanted), with_gpus(*gpus))
        assert found == ["HostConfig.DeviceRequests"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("User", "0:0"),
        ("Env", ["LD_PRELOAD=/x.so"]),
        ("Volumes", {"/anywhere": {}}),
        ("ExposedPorts", {"80/tcp": {}}),
        ("Healthcheck", {"Test": ["CMD", "true"]}),
        ("Cmd", ["train"]),
        ("Entrypoint", ["/bin/sh"]),
        ("WorkingDir", "/proc/self/fd/7"),
    ],
)
def test_every_other_process_setting_is_named(
    engine: docker.APIClient, asked: dict[str, Any], field: str, value: object
) -> None:
    """Settings that an image or a daemon default could add are seen before the start."""
    found = made(engine, asked, {**asked, field: value})

    assert f"Config.{field}" in found


def test_a_volume_of_the_image_is_named(
    engine: docker.APIClient,
    make_image: Callable[..., str],
    asked: dict[str, Any],
) -> None:
    """VOLUME in a Dockerfile is a writable directory on the host's disk, read-only root or not."""
    image = make_image("true", "VOLUME /vol")

    assert "Mounts" in made(engine, {**asked, "Image": image}, {**asked, "Image": image})
