"""The engine's answer is held against the request, field by field, on a real engine."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.readback import differences
from sandbox.wall import create_arguments, model_volume, volume_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
        ("CpusetCpus", "0"),
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
        ("AttachStderr", True),
        ("Labels", {"evaluator.run": "f" * 16}),
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


# The model volume


@pytest.fixture
def volumes(engine: docker.APIClient) -> Iterator[Callable[[str], str]]:
    """A function that makes the model volume of a run, and says its name; gone at the end."""
    made = []

    def make(run: str) -> str:
        wanted = volume_arguments(run, 2**20, 2_000_001)
        engine.create_volume(
            wanted["Name"], wanted["Driver"], wanted["DriverOpts"], wanted["Labels"]
        )
        made.append(wanted["Name"])
        return model_volume(run)

    yield make
    for name in made:
        engine.remove_volume(name, force=True)


@pytest.fixture
def with_model(
    make_image: Callable[..., str],
    make_spec: Callable[..., Spec],
    volumes: Callable[[str], str],
    scratch: Path,
) -> Callable[[str], dict[str, Any]]:
    """A function from how a run's model is seen to the request of such a container."""
    output = scratch / "predictions"
    output.touch()
    spec = make_spec(make_image("true"))
    volumes(spec.run)

    def make(model: str) -> dict[str, Any]:
        seen = replace(spec, model=model)  # type: ignore[arg-type]  # one of its three words
        return create_arguments(seen, str(output), 2_000_001, "{}")

    return make


@pytest.mark.parametrize("model", ["", "read", "write"])
def test_a_model_volume_that_was_asked_for_is_no_difference(
    engine: docker.APIClient, with_model: Callable[[str], dict[str, Any]], model: str
) -> None:
    """Read-only, writable or not at all: the control of the tests below."""
    asked = with_model(model)

    assert made(engine, asked, asked) == []


@pytest.mark.parametrize(
    ("wanted", "other"), [("read", "write"), ("", "read"), ("", "write"), ("write", "")]
)
def test_a_model_seen_otherwise_is_named(
    engine: docker.APIClient,
    with_model: Callable[[str], dict[str, Any]],
    wanted: str,
    other: str,
) -> None:
    """Writable where the holdout is, there where none was asked for, or missing."""
    assert "Mounts" in made(engine, with_model(wanted), with_model(other))


def test_another_runs_model_is_named(
    engine: docker.APIClient,
    with_model: Callable[[str], dict[str, Any]],
    volumes: Callable[[str], str],
) -> None:
    """By the name of its volume, and so is a directory of the host in its place."""
    asked = with_model("read")
    (model,) = (m for m in asked["HostConfig"]["Mounts"] if m["Type"] == "volume")
    others = [model | {"Source": volumes("f" * 16)}]
    others.append({**others[0], "Type": "bind", "Source": "/tmp", "VolumeOptions": None})
    others.append({**model, "Target": "/input"})
    for other in others:
        really = deepcopy(asked)
        mounts = [m for m in really["HostConfig"]["Mounts"] if m["Type"] != "volume"]
        really["HostConfig"]["Mounts"] = [*mounts, other]
        assert "Mounts" in made(engine, asked, really)


def test_a_volume_that_would_be_filled_from_the_image_is_named(
    engine: docker.APIClient, with_model: Callable[[str], dict[str, Any]]
) -> None:
    """The engine copies what an image has at that path, unless it is told not to."""
    asked = with_model("write")
    really = deepcopy(asked)
    for mount in really["HostConfig"]["Mounts"]:
        mount.pop("VolumeOptions", None)

    assert made(engine, asked, really) == ["HostConfig.Mounts"]
