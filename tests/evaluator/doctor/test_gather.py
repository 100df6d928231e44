"""A host read for real, and the engine's answers as recorded."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
import pytest

from evaluator.doctor.checks import check_host, verdict
from evaluator.doctor.facts import Runtime
from evaluator.doctor.gather import gather, read_engine, toolkit_settings
from sandbox import SandboxError
from tests.evaluator.doctor.hosts import DEBIAN_12, HARDENED, host
from tests.faults.engine import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
SOCKET = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")

# Docker 28.5 of Debian forky, shortened.
VERSION: dict[str, Any] = {
    "Version": "28.5.2+dfsg4",
    "Components": [
        {"Name": "Engine", "Version": "28.5.2+dfsg4", "Details": {"GitCommit": "3ef3c07"}},
        {"Name": "containerd", "Version": "2.1.9+unknown", "Details": {"GitCommit": ""}},
        {"Name": "runc", "Version": "1.3.6+ds1", "Details": {"GitCommit": "1.3.6+ds1-1"}},
        {"Name": "rootlesskit", "Version": "2.3.4"},
    ],
}
INFO: dict[str, Any] = {
    "Driver": "overlay2",
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "LoggingDriver": "json-file",
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "KernelVersion": "6.12.0",
    "OperatingSystem": "Debian GNU/Linux forky/sid",
    "DockerRootDir": "/var/lib/docker",
    "DefaultRuntime": "runc",
    "Runtimes": {
        "runc": {"path": "runc", "status": {"org.opencontainers.runtime-spec.features": "{}"}},
        "runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=none"]},
        "shim": {"runtimeType": "io.containerd.runsc.v1", "options": {"ConfigPath": "/x.toml"}},
    },
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
    "Warnings": None,
}


def test_a_newer_engines_answers_are_read() -> None:
    """Names, flags and lists; a list that is null is empty."""
    engine = read_engine(INFO, VERSION)

    assert [part.name for part in engine.components] == [
        "engine",
        "containerd",
        "runc",
        "rootlesskit",
    ]
    assert Runtime("runsc", "/usr/bin/runsc", ("--network=none",)) in engine.runtimes
    assert engine.cdi_directories == ("/etc/cdi", "/var/run/cdi")
    assert engine.warnings == ()
    assert verdict(check_host(replace(DEBIAN_12, engine=engine), "runc")) == "SEALED"


def test_a_shims_flags_are_not_taken_for_none() -> None:
    """They stand in a file that only the shim reads."""
    assert Runtime("shim", "io.containerd.runsc.v1", None) in read_engine(INFO, VERSION).runtimes


def test_an_engine_that_does_not_speak_of_limits_has_none() -> None:
    """Missing is off."""
    engine = read_engine({}, {"Version": "28.5.2"})

    assert (engine.memory_limit, engine.pids_limit, engine.security) == (False, False, ())


def test_the_toolkits_settings_are_read_flat(tmp_path: Path) -> None:
    """With their section in front; a file that is no TOML is none."""
    path = tmp_path / "config.toml"
    path.write_text('a = false\n[features]\nignore-imex-channel-requests = true\n[x]\ny = "Z"\n')

    assert toolkit_settings(path) == (
        ("a", "false"),
        ("features.ignore-imex-channel-requests", "true"),
        ("x.y", "z"),
    )
    path.write_text("a = ")
    assert toolkit_settings(path) is None
    assert toolkit_settings(tmp_path / "none.toml") is None


def test_an_identity_is_json_and_sorted() -> None:
    """It is hashed by who remembers it."""
    identity = HARDENED.identity()

    assert json.loads(json.dumps(identity)) == identity
    assert list(identity) == sorted(identity)


@pytest.mark.parametrize(
    "changed",
    [
        {"engine": {"version": "29.6.1", "components": ()}},
        {"engine": {"runtimes": (Runtime("runsc", "/usr/bin/runsc", ("--debug",)),)}},
        {"engine": {"log_driver": "syslog"}},
        {"engine": {"security": ("name=seccomp,profile=default",)}},
        {"engine": {"cgroup_version": "1"}},
        {"engine": {"kernel": "6.1.0-32-amd64"}},
        {"engine": {"warnings": ("API is accessible on http://0.0.0.0:2375",)}},
        {"engine": {"pids_limit": False}},
        {"kernel": {"build": "#1 SMP Debian 6.1.129-1"}},
        {"runsc": "runsc version release-20260914.0"},
    ],
    ids=str,
)
def test_what_an_upgrade_changes_changes_the_identity(changed: dict[str, Any]) -> None:
    """So that a verdict of before is not taken for one of after."""
    assert host(**changed).identity() != DEBIAN_12.identity()


def test_a_security_update_of_a_package_changes_the_identity() -> None:
    """Debian's 1.1.5+ds1-1+deb12u2 has the version of deb12u1."""
    parts = tuple(
        replace(part, revision=part.revision.replace("deb12u1", "deb12u2"))
        for part in DEBIAN_12.engine.components
    )

    assert host(engine={"components": parts}).identity() != DEBIAN_12.identity()


def test_what_changes_by_the_minute_is_no_identity() -> None:
    """Free memory, disks, the clock and what else runs."""
    busy = host(
        room={"memory": 1, "engine_disk": 1, "clock": 0.0},
        kernel={"processes": frozenset({"vim"})},
    )

    assert busy.identity() == DEBIAN_12.identity()


def test_an_engine_over_tcp_is_refused_before_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tiles never leave this machine."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")

    with pytest.raises(SandboxError, match="another machine"):
        gather(tmp_path)


@pytest.mark.docker
def test_this_host_is_read_and_judged(engine: docker.APIClient, tmp_path: Path) -> None:
    """The engine's own words about itself, a free disk, and no check that fails to answer."""
    facts = gather(tmp_path)

    assert facts.engine.version == engine.version()["Version"]
    assert {"runc", "containerd"} <= {part.name for part in facts.engine.components}
    assert facts.room.workspace_disk
    assert facts.kernel.setting("kernel.core_pattern") is not None
    assert verdict(check_host(facts, "runc")) == "SEALED"


@pytest.mark.docker
@pytest.mark.gvisor
def test_this_hosts_gvisor_is_read(engine: docker.APIClient, tmp_path: Path) -> None:
    """Its flags from the engine, its build from the program."""
    facts = gather(tmp_path)
    registered = engine.info()["Runtimes"]["runsc"].get("runtimeArgs", [])

    (found,) = (runtime for runtime in facts.engine.runtimes if runtime.name == "runsc")
    assert list(found.arguments or ()) == registered
    assert "runsc version" in (facts.runsc or "")


_CARELESS = {
    "log-driver": "syslog",
    "live-restore": True,
    "runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--ignore-cgroups"]}},
}


@pytest.fixture
def careless_engine(tmp_path: Path) -> Iterator[str]:
    """The socket of an engine beside the host's, set up as nobody should."""
    if os.getuid() or not shutil.which("dockerd"):
        pytest.skip("An engine of one's own needs root and dockerd.")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="careless-") as folder:
        (Path(folder) / "daemon.json").write_text(json.dumps(_CARELESS))
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        options = [f"--{name}={folder}/{place}" for name, place in places.items()]
        options += ["--iptables=false", f"--config-file={folder}/daemon.json"]
        address = f"unix://{folder}/docker.sock"
        options += [f"--host={address}", f"--host=tcp://127.0.0.1:{port}", "--tls=false"]
        with (tmp_path / "log").open("wb") as log:
            # In a network of its own, so that the host's docker0 is not touched.
            command = [
                "unshare",
                "--net",
                "sh",
                "-c",
                'ip link set lo up && exec dockerd "$@"',
                "sh",
            ]
            daemon = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        try:
            wait_for(lambda: _answers(address), "an engine beside the host's")
            yield address
        finally:
            daemon.terminate()
            daemon.wait(60)


def _answers(address: str) -> bool:
    with suppress(docker.errors.DockerException):
        return bool(docker.APIClient(base_url=address, version="auto").ping())
    return False


@pytest.mark.docker
@pytest.mark.gvisor
def test_a_careless_engine_is_caught(
    careless_engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Docker's own warning of an open TCP socket, and gVisor's flags, from an engine that runs."""
    monkeypatch.setenv("DOCKER_HOST", careless_engine)
    statuses = {check.id: check.status for check in check_host(gather(tmp_path), "runsc")}

    assert {name: statuses[name] for name in ("tcp-socket", "runsc-ignore-cgroups")} == {
        "tcp-socket": "fatal",
        "runsc-ignore-cgroups": "fatal",
    }
    assert (statuses["default-log-driver"], statuses["live-restore"]) == ("info", "info")
    monkeypatch.delenv("DOCKER_HOST")
    host_engine = {check.id: check.status for check in check_host(gather(tmp_path), "runsc")}
    assert (host_engine["runsc-ignore-cgroups"], host_engine["live-restore"]) == ("ok", "ok")


# Imported first: the interpreter may lie where only its owner can read.
_AS_USER = """
import json, os, sys
from pathlib import Path
from evaluator.doctor.checks import check_host
from evaluator.doctor.gather import gather
os.setgroups([int(sys.argv[1])]); os.setgid(54322); os.setuid(54322)
facts = gather(Path("/tmp"))
checks = check_host(facts, "runc")
print(json.dumps([facts.identity(), {check.id: check.status for check in checks}]))
"""


@pytest.mark.docker
@pytest.mark.usefixtures("engine")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_of_the_engines_group_reads_the_same(tmp_path: Path) -> None:
    """Nothing needs root: the same identity, and the same judgement of everything."""
    group = str(Path(SOCKET).stat().st_gid)
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _AS_USER, group],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    identity, statuses = json.loads(done.stdout)
    facts = gather(Path("/tmp"))

    assert identity == facts.identity()
    assert statuses == {check.id: check.status for check in check_host(facts, "runc")}
