"""A registry as the mailbox: two vendors, ten pushes, and everything that may go wrong in between.

Debian's docker-registry, where each vendor has a namespace of its own; the engine pushes images and
oras pushes models. The watcher is a process like any other: it is killed, and the registry with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from docker.errors import ImageNotFound
from oras.client import OrasClient  # type: ignore[import-untyped]  # it publishes no types

from evaluator.ledger import open_ledger
from evaluator.registry import Credentials, Denied, Gone, Registry
from tests.helpers.clock import make_clock
from tests.helpers.pusher import CONFIG, LAYER
from tests.helpers.registry import free_port, local_registry
from tests.helpers.tokens import READER, SERVICE, password_of, token_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker import APIClient

    from tests.helpers.clock import Clock
    from tests.helpers.registry import LocalRegistry
    from tests.helpers.tokens import Tokens

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

SOON = 120.0
ZEROS = "head -c 30 /dev/zero > /output/predictions"
ONNX = "application/vnd.onnx"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def until(fact: Callable[[], bool], said: Callable[[], str]) -> None:
    """Wait for something that has to happen."""
    deadline = time.monotonic() + SOON
    while not fact():
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)


@dataclass
class Mail:
    """A registry with access by vendor, and who pushes what to it."""

    registry: LocalRegistry
    tokens: Tokens
    engine: APIClient
    folder: Path
    pushed: dict[tuple[str, str], str] = field(default_factory=dict)  # by repository and tag

    def client(self, user: str) -> Registry:
        """The registry, as this user sees it."""
        return Registry(self.registry.url, Credentials(user, password_of(user)))

    def image(self, repository: str, tag: str, image: str) -> str:
        """`docker push`, as the vendor of the repository; returns the digest."""
        vendor, name = repository.partition("/")[0], f"{self.registry.address}/{repository}"
        self.engine.tag(image, name, tag)
        login = {"username": vendor, "password": password_of(vendor)}
        answer = self.engine.push(name, tag, auth_config=login)
        assert "errorDetail" not in answer, answer
        return self._known(repository, tag)

    def forget(self) -> None:
        """Remove the names that the engine pushed by."""
        for repository, tag in self.pushed:
            with suppress(ImageNotFound):
                self.engine.remove_image(f"{self.registry.address}/{repository}:{tag}", force=True)

    def model(self, repository: str, tag: str, content: bytes, media_type: str = ONNX) -> str:
        """`oras push`, as the vendor of the repository; returns the digest."""
        vendor = repository.partition("/")[0]
        path = self.folder / ("model.onnx" if media_type == ONNX else "paper.pdf")
        path.write_bytes(content)
        client = OrasClient(hostname=self.registry.address, insecure=True, auth_backend="token")
        # oras-py would go on with the token of its first question, which may only read.
        client.auth.set_token_auth(self._token(vendor, repository, "pull,push"))
        files, target = (
            [f"{path}:{media_type}"],
            f"{self.registry.address}/{repository}:{tag}",
        )
        client.push(target=target, files=files, disable_path_validation=True)
        return self._known(repository, tag)

    def huge(self, repository: str, tag: str) -> str:
        """Push an image whose only layer is 20 GiB, as its manifest says; returns the digest."""
        vendor = repository.partition("/")[0]
        client = self.client(vendor)
        config = client.push_blob(repository, b"{}", CONFIG).document()
        layer = client.push_blob(repository, b"not so much", LAYER).document()
        kind = "application/vnd.oci.image.manifest.v1+json"
        document = {"schemaVersion": 2, "mediaType": kind, "config": config}
        document["layers"] = [layer | {"size": 20 * 2**30}]
        client.push_manifest(repository, tag, json.dumps(document).encode(), kind)
        return self._known(repository, tag)

    def delete(self, repository: str, digest: str) -> None:
        """Remove a manifest, as its vendor."""
        token = self._token(repository.partition("/")[0], repository, "delete")
        url = f"{self.registry.url}/v2/{repository}/manifests/{digest}"
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.delete(url, headers=headers, timeout=20).status_code == 202

    def _token(self, vendor: str, repository: str, actions: str) -> str:
        asked = {"service": SERVICE, "scope": f"repository:{repository}:{actions}"}
        login = (vendor, password_of(vendor))
        answer = requests.get(self.tokens.realm, params=asked, auth=login, timeout=20)
        return str(answer.json()["token"])

    def attached(self, user: str, repository: str, digest: str) -> list[str]:
        """The names of what this user finds attached to a digest."""
        client, names = self.client(user), []
        for referrer in client.referrers(repository, digest):
            assert referrer.artifact_type == BUNDLE
            layers = client.manifest(repository, referrer.digest).document()["layers"]
            title = layers[0]["annotations"]["org.opencontainers.image.title"]
            names.append(title.removesuffix(".sigstore.json"))
        return sorted(names)

    def seen_by(self, user: str) -> bytes:
        """All that this user can read, in whatever repository."""
        client, found = self.client(user), b""
        for repository in {repository for repository, _ in self.pushed}:
            with suppress(Denied, Gone):
                for tag in client.tags(repository):
                    manifest = client.manifest(repository, tag)
                    found += manifest.raw + self._below(client, repository, manifest.document())
        return found

    def _below(self, client: Registry, repository: str, document: dict[str, Any]) -> bytes:
        found = b""
        for entry in document.get("manifests", ()):
            manifest = client.manifest(repository, entry["digest"])
            found += manifest.raw
            for layer in manifest.document()["layers"]:
                url = f"{self.registry.url}/v2/{repository}/blobs/{layer['digest']}"
                found += url.encode()
        return found

    def _known(self, repository: str, tag: str) -> str:
        digest = self.client(READER).manifest(repository, tag).digest
        self.pushed[repository, tag] = digest
        return digest


@pytest.fixture
def mail(engine: APIClient, tmp_path: Path) -> Iterator[Mail]:
    """An empty one for acme and zenith."""
    users = {name: (f"{name}/*",) for name in ("acme", "zenith")}
    with (
        token_server(tmp_path / "tokens", users) as tokens,
        local_registry(tmp_path / "registry", auth=tokens.auth, delete=True) as registry,
    ):
        made = Mail(registry, tokens, engine, tmp_path)
        yield made
        made.forget()


@dataclass
class Watcher:
    """`evaluator watch` over a workspace, as often as it is started."""

    farm: Path
    mail: Mail
    clock: Clock
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """All that it said."""
        return self.farm.parent / "watch.log"

    def said(self) -> str:
        """The same, read."""
        return self.log.read_text()

    def start(self) -> None:
        """Have it run."""
        credentials = self.farm.parent / "credentials"
        credentials.write_text(f"{READER}:{password_of(READER)}\n")
        command = [sys.executable, "-m", "evaluator", "watch", self.mail.registry.url]
        command += ["--credentials", str(credentials), "--interval", "1", "--phase", "baseline"]
        command += ["--listen", f"127.0.0.1:{self.port}", "--workspace", str(self.farm)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, **self.clock.environment}, stderr=log
            )

    def begin_slot(self, later: int) -> None:
        """Set its clock to the beginning of a release slot of an hour: the next, or a later one."""
        self.clock.set(3600 * (later + 1) - int(time.time()) % 3600)

    def end(self, number: int) -> int:
        """Send it a signal, and return how it ended."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(SOON)
        self.process = None
        return code

    def metric(self, line: str) -> float:
        """A figure of /metrics; 0 where it is not there, or nobody answers yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as page:
                lines = page.read().decode().splitlines()
        except OSError:
            return 0.0
        found = [each.rpartition(" ")[2] for each in lines if each.startswith(f"{line} ")]
        return float(found[0]) if found else 0.0

    def workers(self) -> list[int]:
        """The processes that work on this workspace."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"work" in words and str(self.farm).encode() in words:
                    found.append(int(path.parent.name))
        return found

    def states(self) -> list[tuple[str, str, str]]:
        """Vendor, digest and state of every submission that was not aborted."""
        with open_ledger(self.farm / "ledger.sqlite") as ledger:
            rows = ledger.submissions()
        return [(row.vendor, row.sha256, row.state) for row in rows if row.state != "aborted"]

    def runs(self) -> dict[str, set[str]]:
        """The runs of each vendor."""
        with open_ledger(self.farm / "ledger.sqlite") as ledger:
            rows = ledger.runs()
        return {
            name: {row.run for row in rows if row.vendor == name} for name in ("acme", "zenith")
        }


@contextmanager
def watching(farm: Path, mail: Mail) -> Iterator[Watcher]:
    """A watcher, and none of it afterwards."""
    clock = make_clock(farm.parent)
    assert clock, "The clock needs a C compiler (apt-get install gcc libc6-dev)."
    watcher = Watcher(farm, mail, clock)
    watcher.begin_slot(0)
    watcher.start()
    try:
        yield watcher
    finally:
        if watcher.process:
            watcher.end(signal.SIGKILL)
        for pid in watcher.workers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        until(lambda: not watcher.workers(), watcher.said)


def require_apart(
    mail: Mail, places: list[tuple[str, str, str]], runs: dict[str, set[str]]
) -> None:
    """Each vendor can read its own, and nothing of the other's."""
    for vendor, another in (("acme", "zenith"), ("zenith", "acme")):
        seen = mail.seen_by(vendor)
        own = [place for place in places if place[0] == vendor]
        assert all(digest.encode() in seen for _, _, digest in own)  # the control
        assert all(run.encode() in seen for run in runs[vendor])
        for _, repository, digest in places:
            if repository.startswith(f"{another}/"):
                with pytest.raises((Denied, Gone)):
                    mail.client(vendor).referrers(repository, digest)
        assert not any(run.encode() in seen for run in runs[another])


def test_ten_pushes_of_two_vendors(
    mail: Mail,
    workspace: Path,
    set_limit: Callable[..., None],
    make_image: Callable[..., str],
    save_model: Callable[..., Path],
    command: Callable[..., Any],
) -> None:
    """Each digest is evaluated once, and answered where it was pushed and nowhere else.

    In between the registry is away, the watcher is killed, a tag moves and an image is deleted.
    """
    set_limit(release_every_hours=1, submissions=50, submissions_per_day=50, submission_bytes=2**30)
    first, second, third = (make_image(f"{ZEROS} # {n}") for n in range(3))
    good, poor = save_model().read_bytes(), save_model(operator="Abs").read_bytes()
    with watching(workspace, mail) as watcher:
        one = mail.image("acme/model", "v1", first)
        mail.image("acme/model", "again", first)
        until(lambda: mail.attached("acme", "acme/model", one) != [], watcher.said)
        assert watcher.end(signal.SIGKILL) == -signal.SIGKILL

        network = mail.model("acme/networks/small", "v1", good)
        same = mail.model("acme/networks/small", "v2", good)  # perhaps in another second
        gone = mail.image("zenith/model", "deleted", third)
        mail.delete("zenith/model", gone)
        mail.registry.stop()
        watcher.start()
        unreachable = 'evaluator_watch_errors_total{kind="unreachable"}'
        until(lambda: watcher.metric(unreachable) > 0, watcher.said)
        mail.registry.start()

        theirs = mail.image("zenith/model", "v1", first)  # what acme has pushed, too
        moved = mail.image("acme/model", "v1", second)
        other = mail.model("zenith/networks", "v1", poor)
        mail.model("zenith/networks", "again", poor)
        huge = mail.huge("zenith/huge", "v1")
        mail.model("zenith/papers", "v1", b"no model", "application/pdf")
        expected = {
            ("acme", one[7:]),
            ("acme", moved[7:]),
            ("zenith", theirs[7:]),
            ("acme", hashlib.sha256(good).hexdigest()),
            ("zenith", hashlib.sha256(poor).hexdigest()),
        }
        ends = sorted([*((*each, "done") for each in expected), ("zenith", huge[7:], "refused")])
        until(lambda: sorted(watcher.states()) == ends, watcher.said)

        places = [
            ("acme", "acme/model", one),
            ("acme", "acme/model", moved),
            ("acme", "acme/networks/small", network),
            ("acme", "acme/networks/small", same),
            ("zenith", "zenith/model", theirs),
            ("zenith", "zenith/networks", other),
            ("zenith", "zenith/huge", huge),
        ]
        until(lambda: all(mail.attached(*place) for place in places), watcher.said)
        assert all(
            name.startswith("submission-") for place in places for name in mail.attached(*place)
        ), "before the end of the slot nothing but receipts leaves"

        watcher.begin_slot(2)
        until(lambda: all(len(mail.attached(*place)) >= 2 for place in places), watcher.said)
        runs = watcher.runs()
        assert [len(runs["acme"]), len(runs["zenith"])] == [3, 3]
        (refusal,) = {*mail.attached("zenith", "zenith/huge", huge)} & runs["zenith"]
        bundle = json.loads((workspace / f"results/zenith/{refusal}.sigstore.json").read_bytes())
        assert b"EVA102" in base64.b64decode(bundle["dsseEnvelope"]["payload"])
        for vendor, repository, digest in places:
            results = {*mail.attached(vendor, repository, digest)} - {
                name for name in mail.attached(vendor, repository, digest) if "submission" in name
            }
            assert results <= runs[vendor]
            assert len(results) == 1
        assert (
            urllib.request.urlopen(f"http://127.0.0.1:{watcher.port}/healthz", timeout=5).read()
            == b"ok\n"
        )
        assert watcher.end(signal.SIGTERM) == 130
        assert watcher.workers() == []

    require_apart(mail, places, runs)
    assert sum(" is no submission" in line for line in watcher.said().splitlines()) == 1
    for path in (workspace / "results").rglob("*.sigstore.json"):
        assert command("verify", path, "--key", workspace / "keys/signing.pub").code == 0
