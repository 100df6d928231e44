"""A registry of one's own: Debian's docker-registry on this host; nothing is installed.

    with local_registry(folder) as registry:                  anybody reads and writes
    with local_registry(folder, htpasswd=True) as registry:   USER and PASSWORD, or nothing
    with local_registry(folder, tls=True) as registry:        https, by the CA registry.ca
    with token_server(...) as tokens,                         see tests/helpers/tokens.py
         local_registry(folder, auth=tokens.auth):            each vendor its own namespace

    registry.address          "127.0.0.1:5077", as in an image's name; engines need no certificate
    registry.url              "http://127.0.0.1:5077", as `Registry(url)` takes it
    registry.stop(), .start() an outage: the same address and the same content afterwards
    registry.push(image, "acme/model", "v1", engine)          by the engine; the manifest's bytes
    Pusher(registry.url).image("acme/model", "v1", files)     without one: tests/helpers/pusher.py

`folder` is a tmp_path. A machine without apt-get skips. There is no Docker in this module but
where `push` is handed an engine.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker import APIClient

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evaluator-tests"
USER = "evaluator"
PASSWORD = "correct horse"  # noqa: S105 - of registries that live as long as a test
_BCRYPT = "$2b$04$tmslh/5pKUf79x96TpphE.NTKIcxL4o963NHA/RJBoWrx9IJws4Fu"  # PASSWORD's
# Docker's own image store pushes the one, containerd's the other.
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
)


def registry_program() -> Path:
    """docker-registry, from the distribution's own package, kept in the user's cache."""
    program = CACHE / "registry" / "usr" / "bin" / "docker-registry"
    if not program.exists():
        if shutil.which("apt-get") is None:
            pytest.skip("A registry of one's own comes from Debian's package docker-registry.")
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "docker-registry"], cwd=CACHE, check=True)
        package = next(CACHE.glob("docker-registry_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, CACHE / "registry"], check=True)
    return program


@dataclass
class LocalRegistry:
    """A running registry; `ca` is the file to trust it by where it speaks TLS."""

    address: str
    folder: Path
    ca: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{'https' if self.ca else 'http'}://{self.address}"

    def start(self) -> None:
        """Serve what the folder holds."""
        command = [str(registry_program()), "serve", str(self.folder / "config.yml")]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_for(self.address)

    def stop(self) -> None:
        """Be away."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def push(self, image: str, repository: str, tag: str, engine: APIClient) -> bytes:
        """Have the engine push an image and forget it; return the manifest's bytes."""
        name = f"{self.address}/{repository}"
        engine.tag(image, name, tag)
        answer = engine.push(name, tag)
        assert "errorDetail" not in answer, answer
        engine.remove_image(f"{name}:{tag}")
        return manifest(self.url, repository, tag, self.ca)


@contextmanager
def local_registry(
    folder: Path,
    *,
    htpasswd: bool = False,
    tls: bool = False,
    auth: Mapping[str, Any] | None = None,
    delete: bool = False,
) -> Iterator[LocalRegistry]:
    """An empty registry for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    registry = LocalRegistry(f"127.0.0.1:{free_port()}", folder)
    http: dict[str, Any] = {"addr": registry.address}
    if tls:
        registry.ca, certificate, key = certificates(folder)
        http["tls"] = {"certificate": str(certificate), "key": str(key)}
    if htpasswd:
        (folder / "htpasswd").write_text(f"{USER}:{_BCRYPT}\n")
        auth = {"htpasswd": {"realm": "evaluator", "path": str(folder / "htpasswd")}}
    storage = {
        "filesystem": {"rootdirectory": str(folder / "data")},
        "delete": {"enabled": delete},
    }
    config = {"version": 0.1, "log": {"level": "error"}, "http": http, "storage": storage}
    if auth:
        config["auth"] = auth
    (folder / "config.yml").write_text(json.dumps(config))  # YAML takes JSON
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def certificates(folder: Path) -> tuple[Path, Path, Path]:
    """A CA's certificate, and certificate and key of a server at 127.0.0.1 that it vouches for."""
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    certificate, key, request = folder / "tls.pem", folder / "tls.key", folder / "tls.csr"
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    signed = ["-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", names]
    for arguments in (
        ["req", "-x509", *new, "-keyout", ca_key, "-out", ca, "-subj", "/CN=test CA"],
        ["req", *new, "-keyout", key, "-out", request, "-subj", "/CN=127.0.0.1"],
        ["x509", "-req", "-in", request, "-out", certificate, *signed],
    ):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
    return ca, certificate, key


def manifest(url: str, repository: str, reference: str, ca: Path | None = None) -> bytes:
    """The bytes of a manifest, as the registry serves them."""
    answer = requests.get(
        f"{url}/v2/{repository}/manifests/{reference}",
        headers={"Accept": MANIFESTS},
        verify=str(ca) if ca else True,
        timeout=20,
    )
    answer.raise_for_status()
    return answer.content
