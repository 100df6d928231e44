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
from sandbox.wall import OUTPUT, RUN_LABEL

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


def open_request(spec: Spec, output: str) -> dict[str, Any]:
    """The engine's request for a container that may do nearly everything; caps guard the host."""
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
            ],
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
        for mount in inner[key]:
            mount.pop(element, None)
            mount["BindOptions"].pop(element, None)
    elif key == "Tmpfs":
        for target, text in inner[key].items():
            kept = [option for option in text.split(",") if option.partition("=")[0] != element]
            inner[key][target] = ",".join(kept)
    else:
        inner[key] = [entry for entry in inner[key] if not _named(entry, element)]
    return request


def _named(entry: str | dict[str, Any], name: str) -> bool:
    if isinstance(entry, dict):
        return bool(entry["Name"] == name)
    return entry.partition("=")[0].partition(":")[0] == name


def _take_mounts(mounts: list[dict[str, Any]], wall: list[dict[str, Any]], field: str) -> None:
    """Copy one field of every bind, from the mount of the same target."""
    for mount in mounts:
        same = next(each for each in wall if each["Target"] == mount["Target"])
        if field in same:
            mount[field] = same[field]
        if field in same.get("BindOptions", {}):
            mount.setdefault("BindOptions", {})[field] = same["BindOptions"][field]


def _take_option(tmpfs: dict[str, str], wall: dict[str, str], name: str) -> None:
    """Copy one option of each tmpfs, as in "rw,noexec,size=1"; its opposite goes."""
    for target, text in tmpfs.items():
        opposite = name.removeprefix("no")
        options = [o for o in text.split(",") if o.partition("=")[0] not in {name, opposite}]
        options += [o for o in wall.get(target, "").split(",") if o.partition("=")[0] == name]
        tmpfs[target] = ",".join(options)
