"""Containers without the wall, for positive controls: in no shipped code, and never beside data."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.utils.config import load_general_config
from docker.utils.proxy import ProxyConfig
from engine import GATEWAY, INTERNAL, INTERNAL_GATEWAY

import sandbox
from evaluator.attacks.controls import CONTROLS
from evaluator.attacks.training_tries import MODEL
from sandbox.wall import MODEL as MODEL_PATH
from sandbox.wall import (
    OUTPUT,
    RUN_LABEL,
    create_arguments,
    model_volume,
    volume_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox import Spec

MIB = 2**20
# Each opens one more door of the host than the open ground does.
EXTRAS: dict[str, Callable[[dict[str, Any]], None]] = {
    "host-network": lambda host: host.update(NetworkMode="host"),
    "host-pids": lambda host: host.update(PidMode="host"),
    "host-ipc": lambda host: host.update(IpcMode="host"),
    "host-uts": lambda host: host.update(UTSMode="host"),
    "host-cgroups": lambda host: host["Mounts"].append(_same("/sys/fs/cgroup")),
    "fuse-device": lambda host: host.update(DeviceCgroupRules=["c 10:229 rwm"]),
    "workspace-folder": lambda host: _beside(host, "", "/workspace"),
    "engine-socket": lambda host: _beside(host, "/engine.sock", "/var/run/docker.sock"),
    "read-only-inputs": lambda host: [
        m.update(ReadOnly=m["Target"] != OUTPUT) for m in host["Mounts"]
    ].clear(),
    "host-resolver": lambda host: host.update(Dns=[GATEWAY]),
    "internal-network": lambda host: host.update(NetworkMode=INTERNAL, Dns=[INTERNAL_GATEWAY]),
    "without-network": lambda host: host.update(NetworkMode="none"),
    "published-ports": lambda host: host.update(PublishAllPorts=True),
    "hooked-runtime": lambda host: host.update(Runtime="runc-hooked"),
    "peer-network": lambda host: host.update(NetworkMode=f"container:{_peer()}"),
    "kernel-log-device": lambda host: host.update(Devices=[_device("/dev/kmsg")]),
}


def _same(path: str) -> dict[str, Any]:
    return {"Type": "bind", "Source": path, "Target": path}


def _device(path: str) -> dict[str, Any]:
    return {"PathOnHost": path, "PathInContainer": path, "CgroupPermissions": "rw"}


def _beside(host: dict[str, Any], name: str, target: str) -> None:
    """Give what is at `name` in the folder of the inputs."""
    folder = str(Path(host["Mounts"][0]["Source"]).parent)
    host.setdefault("Binds", []).append(f"{folder}{name}:{target}")


def _peer() -> str:
    """The container of the program that waits for its neighbours."""
    running = sandbox.connect().containers()
    return next(str(c["Id"]) for c in running if "net-peer" in c["Command"])


def whole_wall(spec: Spec, output: str, uid: int, seccomp: str) -> dict[str, Any]:
    """The wall's request, and under "Volume" the one for the model where there is one."""
    request = create_arguments(spec, output, uid, seccomp)
    return request | ({"Volume": volume_arguments(spec.run, MODEL, uid)} if spec.model else {})


def open_volume(spec: Spec) -> dict[str, Any]:
    """A volume in memory for a run's model, and nothing else said of it."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "mode=1777"}
    volume = {"Name": model_volume(spec.run), "Driver": "local", "DriverOpts": options}
    return volume | {"Labels": {RUN_LABEL: spec.run}}


def open_request(spec: Spec, output: str) -> dict[str, Any]:
    """The engine's request for a container that may do nearly everything; caps guard the host.

    Under "Volume" it has the one for the model, where there is one.
    """
    source = model_volume(spec.run)
    volumes = [{"Type": "volume", "Source": source, "Target": MODEL_PATH}] if spec.model else []
    mounts = [(str(mount.source), mount.target) for mount in spec.inputs] + [(output, OUTPUT)]
    return {
        "Image": spec.image,
        "Cmd": [spec.verb],
        "User": "0:0",
        "Env": client_environment(),
        "Labels": {RUN_LABEL: spec.run},
        "HostConfig": {
            "Runtime": "runsc-open" if spec.runtime == "runsc" else spec.runtime,
            "CapAdd": [
                "SYS_ADMIN",
                "SYS_PTRACE",
                "DAC_READ_SEARCH",
                "NET_ADMIN",
                "SYSLOG",
                "MKNOD",
            ],
            "SecurityOpt": ["seccomp=unconfined"],
            "Mounts": [
                {"Type": "bind", "Source": source, "Target": target} for source, target in mounts
            ]
            + volumes,
            "Tmpfs": {"/tmp": f"rw,exec,suid,dev,size={64 * MIB}"},
            "ShmSize": 64 * MIB,
            "Memory": 600 * MIB,
            "MemorySwap": 600 * MIB,
            "PidsLimit": 300,
            "CgroupnsMode": "host",
            "IpcMode": "shareable",
            "MaskedPaths": [],
            "ReadonlyPaths": [],
        },
        **({"Volume": open_volume(spec)} if spec.model else {}),
    }


def client_environment() -> Sequence[str]:
    """What docker-py itself adds to a container by default: the proxies of its settings."""
    proxies = load_general_config().get("proxies", {}).get("default", {})
    return ProxyConfig.from_dict(proxies).inject_proxy_environment([]) or []


def extended(request: dict[str, Any], extras: tuple[str, ...]) -> dict[str, Any]:
    """The request with the extras that a row needs."""
    request = copy.deepcopy(request)
    for name in extras:
        EXTRAS[name](request["HostConfig"])
    return request


def with_control(request: dict[str, Any], wall: dict[str, Any], name: str) -> dict[str, Any]:
    """The open request with what the wall says, or leaves to the engine, at one control's paths."""
    request = copy.deepcopy(request)
    for path in CONTROLS[name].paths:
        _take(request, wall, path)
    return request


def _take(request: dict[str, Any], wall: dict[str, Any], path: str) -> None:
    keys, _, element = path.partition("/")
    *parents, key = keys.split(".")
    for parent in parents:
        request, wall = request[parent], wall[parent]
    if not element:
        request.pop(key, None)
        if key in wall:
            request[key] = copy.deepcopy(wall[key])
    elif key == "Mounts":
        _take_mounts(request[key], wall[key], element)
    elif key == "Tmpfs":
        _take_option(request[key], wall.get(key, {}), element)
    elif key == "o":
        _take_option(request, wall, element)
    else:
        mine = [entry for entry in request.get(key, []) if not _named(entry, element)]
        request[key] = mine + [entry for entry in wall.get(key, []) if _named(entry, element)]


def remove(request: dict[str, Any], path: str) -> dict[str, Any]:
    """The request without the value at one path."""
    request = copy.deepcopy(request)
    keys, _, element = path.partition("/")
    *parents, key = keys.split(".")
    inner = request
    for parent in parents:
        inner = inner[parent]
    if not element:
        del inner[key]
    elif key == "Mounts":
        kind, field = _kind(element)
        for mount in (each for each in inner[key] if each["Type"] == kind):
            mount.pop(field, None)
            mount[OPTIONS[kind]].pop(field, None)
    elif key in {"Tmpfs", "o"}:
        texts = inner[key] if key == "Tmpfs" else inner
        for target, text in texts.items():
            kept = [option for option in text.split(",") if option.partition("=")[0] != element]
            texts[target] = ",".join(kept)
    else:
        inner[key] = [entry for entry in inner[key] if not _named(entry, element)]
    return request


def _named(entry: str | dict[str, Any], name: str) -> bool:
    if isinstance(entry, dict):
        return bool(entry["Name"] == name)
    return entry.partition("=")[0].partition(":")[0] == name


OPTIONS = {"bind": "BindOptions", "volume": "VolumeOptions"}


def _kind(element: str) -> tuple[str, str]:
    """Which mounts are meant, and which of their fields: "ReadOnly" is that of a bind."""
    kind, _, field = element.rpartition(".")
    return kind or "bind", field


def _take_mounts(mounts: list[dict[str, Any]], wall: list[dict[str, Any]], element: str) -> None:
    """Copy one field of every mount of a kind, from the mount of the same target."""
    kind, field = _kind(element)
    for mount in (each for each in mounts if each["Type"] == kind):
        (same, *_) = [each for each in wall if each["Target"] == mount["Target"]] or [{}]
        if field in same:
            mount[field] = same[field]
        if field in same.get(OPTIONS[kind], {}):
            mount.setdefault(OPTIONS[kind], {})[field] = same[OPTIONS[kind]][field]


def _take_option(tmpfs: dict[str, str], wall: dict[str, str], name: str) -> None:
    """Copy one option of each tmpfs, as in "rw,noexec,size=1"; its opposite goes."""
    for target, text in tmpfs.items():
        opposite = name.removeprefix("no")
        options = [o for o in text.split(",") if o.partition("=")[0] not in {name, opposite}]
        options += [o for o in wall.get(target, "").split(",") if o.partition("=")[0] == name]
        tmpfs[target] = ",".join(options)
