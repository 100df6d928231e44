"""A private Docker engine with open defaults: what the wall leaves unsaid, it permits.

Its own data, socket and bridge; a runsc that may reach the host; stand-ins for the hooks of GPU
toolkits. Root only. Nothing private is on it, and it ends with the block.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import docker

import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of several at once on a host, each has a number of its own.
NUMBER = int(os.environ.get("ESCAPE_BRIDGE", "0"))
BRIDGE = f"evescape{NUMBER}"
GATEWAY = f"10.213.{NUMBER}.1"
GATEWAY6 = f"fd00:e5ca:{NUMBER}::1"
# Of the network without a way out that one technique is tried on.
INTERNAL, INTERNAL_GATEWAY = "internal", f"10.214.{NUMBER}.1"
SYSLOG_PORT = 51400 + NUMBER  # the default log driver sends here, whether or not anybody listens


@dataclass(frozen=True)
class PrivateEngine:
    """Its socket's address, and the folder that holds all of it."""

    address: str
    folder: Path

    @property
    def hooks(self) -> Path:
        """Where the stand-in hooks record what reaches them."""
        return self.folder / "hooks"


def why_not() -> str | None:
    """What is missing for an engine of one's own."""
    if os.geteuid() != 0:
        return "A private Docker engine needs root: run tests/escape as root."
    missing = [name for name in ("dockerd", "ip") if shutil.which(name) is None]
    return f"Install {', '.join(missing)} (docker.io, iproute2)." if missing else None


@contextlib.contextmanager
def private_engine() -> Iterator[PrivateEngine]:
    """Start it, wait until it answers, and take all of it away at the end."""
    folder = Path(tempfile.mkdtemp(prefix="escape-", dir="/var/tmp"))
    folder.chmod(0o711)
    address = f"unix://{folder}/docker.sock"
    _stand_ins(folder)
    with _bridge(), (folder / "log").open("wb") as log:
        path = f"{folder}/bin:{os.environ['PATH']}:/usr/sbin"
        engine = subprocess.Popen(
            _command(folder, address), stdout=log, stderr=log, env={**os.environ, "PATH": path}
        )
        try:
            _wait(engine, address, folder / "log")
            yield PrivateEngine(address, folder)
        finally:
            engine.terminate()
            engine.wait(60)
            _remove(folder)


def _command(folder: Path, address: str) -> list[str]:
    (folder / "daemon.json").write_text(json.dumps(_config(folder)))
    return [
        "dockerd",
        f"--config-file={folder}/daemon.json",
        f"--host={address}",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid",
    ]


def _config(folder: Path) -> dict[str, object]:
    runsc = shutil.which("runsc") or "/usr/bin/runsc"
    platform = "--platform=ptrace"
    return {
        "bridge": BRIDGE,
        "iptables": False,
        "ip6tables": False,
        "ip-masq": False,
        "ip-forward": False,
        "userland-proxy": True,  # what publishes a port where no iptables does
        "ipv6": True,
        "fixed-cidr-v6": f"{GATEWAY6}/64".replace("::1/", "::/"),
        "cgroup-parent": "/escape",
        "default-cgroupns-mode": "host",
        "default-ipc-mode": "shareable",
        "default-shm-size": "64M",
        "default-ulimits": {"core": {"Name": "core", "Soft": -1, "Hard": -1}},
        "log-driver": "syslog",
        "log-opts": {"syslog-address": f"udp://127.0.0.1:{SYSLOG_PORT}", "tag": "escape"},
        "default-runtime": "runc-hooked",
        "runtimes": {
            "runsc": {"path": runsc, "runtimeArgs": [platform, "--network=none"]},
            "runsc-open": {
                "path": runsc,
                "runtimeArgs": [platform, "--network=host", "--fsgofer-host-uds"],
            },
            "runc-hooked": {"path": str(folder / "bin" / "runc-hooked")},
        },
    }


@contextlib.contextmanager
def _bridge() -> Iterator[None]:
    """A bridge with an address on the host's side, which is the way out of a container."""
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)
    for command in (
        ["ip", "link", "add", BRIDGE, "type", "bridge"],
        ["ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE],
        ["ip", "-6", "address", "add", f"{GATEWAY6}/64", "dev", BRIDGE, "nodad"],
        ["ip", "link", "set", BRIDGE, "up"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], check=False)


def _stand_ins(folder: Path) -> None:
    """Programs that a GPU toolkit would have put in the engine's path, and that only take notes."""
    (folder / "bin").mkdir()
    (folder / "hooks").mkdir()
    # Not named by its process id: a hook runs in the container's process table.
    name = f'$(mktemp "{folder}/hooks/$(basename "$0").XXXXXX")'
    note = f'{{ env; echo "--"; cat; }} >"{name}" 2>/dev/null'
    programs = {
        "nvidia-container-runtime-hook": f"#!/bin/sh\n{note}\n",
        "create-container-hook": f"#!/bin/sh\n{note}\n",
        "runc-hooked": _hooked(folder),
    }
    for name, text in programs.items():
        path = folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)


def _hooked(folder: Path) -> str:
    """A runtime that adds a createContainer hook to every container, as GPU toolkits do."""
    return f"""#!/usr/bin/python3
import json, os, sys
arguments = sys.argv[1:]
if "create" in arguments and "--bundle" in arguments:
    path = os.path.join(arguments[arguments.index("--bundle") + 1], "config.json")
    config = json.load(open(path))
    hook = {{"path": "{folder}/bin/create-container-hook"}}
    config.setdefault("hooks", {{}}).setdefault("createContainer", []).append(hook)
    json.dump(config, open(path, "w"))
os.execvp("runc", ["runc", *arguments])
"""


def _wait(engine: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and engine.poll() is None:
        with contextlib.suppress(docker.errors.DockerException):
            docker.APIClient(base_url=address, version="auto").close()
            return
        time.sleep(0.2)
    raise sandbox.SandboxError(f"The private engine did not start:\n{log.read_text()[-2000:]}")


def _remove(folder: Path) -> None:
    """Unmount what an engine leaves mounted, then delete its data."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)
